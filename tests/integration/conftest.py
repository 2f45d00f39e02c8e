"""Jobs whose rounds a test can hold, for faults that must meet a round in its middle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.federation import Federation, until

GATED = Path(__file__).parent / "gated"

WriteGatedJob = Callable[..., Path]
Note = Callable[[str, int, float, str], None]

_recoveries: list[tuple[str, int, float, str]] = []


@pytest.fixture
def note() -> Note:
    """`note(scenario, rounds_lost, seconds, end)`: what a fault cost; shown when all tests are done."""
    return lambda *line: _recoveries.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what the faults cost."""
    if _recoveries:
        terminalreporter.section("faults: rounds done again, seconds to recover, what it ended with")
    for scenario, lost, seconds, end in _recoveries:
        terminalreporter.write_line(f"{scenario:<48} {lost:>2} {seconds:7.1f} s  {end}")


@pytest.fixture(scope="session")
def gated_job(tmp_path_factory: pytest.TempPathFactory) -> WriteGatedJob:
    """`gated_job(rounds=4, round_quorum=2)`: a job folder; the arguments are its workflow's."""

    def write(**workflow: Any) -> Path:
        folder = tmp_path_factory.mktemp("jobs") / "gated"
        shutil.copytree(GATED, folder, ignore=shutil.ignore_patterns("__pycache__"))
        document = {
            "name": "gated",
            "pipeline": "./pipeline.py",
            "config": {"cases": 64},
            "training": {
                "local": {"epochs": 1},
                "batch_size": 16,
                "optimizer": {"name": "adamw", "lr": 0.003},
            },
            "workflow": {"name": "fedavg", "rounds": 4, "segment_rounds": 2, "round_budget": 300} | workflow,
            "selection": {"metric": "auroc_macro", "mode": "max"},
        }
        (folder / "job.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation for all tests of a file."""
    with Federation(tmp_path_factory.mktemp("federation")) as federation:
        federation.start()
        yield federation


@pytest.fixture
def federation(shared: Federation, gates: Gates) -> Iterator[Federation]:
    """Server and three sites, all well, and no doors closed."""
    gates.clear()
    shared.start()
    yield shared
    for run in shared.unfinished():  # a test that failed leaves its run
        gates.clear()
        shared.cli("abort", run, within=150)


@pytest.fixture
def gates(shared: Federation) -> Gates:
    """The doors of the shared federation."""
    return Gates(shared)


@pytest.fixture(scope="session")
def make_gates() -> Callable[[Federation], Gates]:
    """The doors of a federation."""
    return Gates


class Gates:
    """The doors between a site and the training of its rounds, for jobs of :func:`gated_job`."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation

    def hold(self, round_: int, *sites: str) -> None:
        """Let sites wait in a round, when they come to it."""
        for site in sites:
            self._door(site, round_).parent.mkdir(parents=True, exist_ok=True)
            self._door(site, round_).touch()

    def release(self, round_: int, *sites: str) -> None:
        """Let sites go on."""
        for site in sites:
            self._door(site, round_).unlink(missing_ok=True)

    def begun(self, site: str) -> list[int]:
        """The rounds in which the site began to train, one entry for each time."""
        file = self.federation.data(site) / "begun.txt"
        return [int(line) for line in file.read_text().split()] if file.is_file() else []

    def wait_in(self, round_: int, *sites: str, within: float = 60.0) -> None:
        """Wait until sites train in a round."""
        for site in sites:
            until(
                lambda site=site: round_ in self.begun(site),
                within,
                lambda site=site: f"{site} comes to round {round_}; it trained {self.begun(site)}",
            )

    def clear(self) -> None:
        """Open all doors, and forget what was trained: a new run begins."""
        for place in (self.federation.folder / "data").glob("*/*"):
            place.unlink()

    def _door(self, site: str, round_: int) -> Path:
        return self.federation.data(site) / f"hold-{round_}"
