"""What a whole federation does when something goes wrong, and what the command says of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mediswarm.errors import RunCrashed, RunFailed
from mediswarm.flare.simulator import simulate
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.artefact import describe_artefact

SITES = ["alpha", "beta", "gamma"]
CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).with_name("mediswarm")
SECRETS = ("patient-4711", "/srv/secret", "a text that stays", "Traceback")
SHORT: dict[str, Any] = {"training": {"local": {"epochs": 1}}, "config": {"cases": 40}}

pytestmark = pytest.mark.simulator


def family_of(run_dir: Path) -> list[psutil.Process]:
    """Processes that belong to the run, by their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(run_dir) in process.environ().get(
                "MEDISWARM_SCRATCH_DIR", ""
            ):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Gives the run's living processes, and leaves none behind whatever the test does."""
    yield lambda: family_of(tmp_path)
    for process in family_of(tmp_path):
        process.kill()


def failing(where: str, method: str) -> str:
    """The minimal pipeline with a line before the body of `method`."""
    head = next(line for line in CODE.splitlines() if line.startswith(f"    def {method}("))
    assert CODE.count(head) == 1
    return CODE.replace(head, f"{head}\n        {where}")


def test_a_site_whose_data_fails_is_named_by_its_code_alone(
    make_job: Any, tmp_path: Path, nothing_left: Any
) -> None:
    raises = (
        "if site.name == 'beta':\n            from mediswarm.errors import DataError\n"
        "            raise DataError('MS-D110', 'patient-4711: a text that stays', file='/srv/secret/a.csv')"
    )
    job = make_job(code=failing(raises, "data"), workflow={"name": "fedavg", "rounds": 2}, **SHORT)
    run_dir = tmp_path / "run"
    with pytest.raises(RunFailed) as caught:
        simulate(job, SITES, run_dir)
    assert caught.value.code == "MS-R002"
    assert "2 of 3 sites answered, 3 needed" in caught.value.message
    assert "beta (MS-D110:" in caught.value.message

    record = json.loads((run_dir / "run.json").read_text())
    assert (record["state"], record["error"]["code"], record["rounds"]) == ("failed", "MS-R002", [])
    for file in ("run.json", "events.jsonl", "contributions.csv", "logs/server.log"):
        text = (run_dir / file).read_text()
        assert not [secret for secret in SECRETS if secret in text], file
    # the site's people find the reason in their own log
    assert "patient-4711: a text that stays" in (run_dir / "logs" / "beta.log").read_text()
    assert not nothing_left()


@pytest.mark.parametrize(
    ("victim", "code", "message"),
    [("beta", "MS-R006", "the process of site beta died"), ("simulator", "MS-R008", "ended while running")],
)
def test_a_killed_process_ends_the_run_and_leaves_none(
    victim: str, code: str, message: str, make_job: Any, tmp_path: Path, nothing_left: Any
) -> None:
    """R19, and what the simulator makes of R6: the run ends at once, with a name."""
    training = {"local": {"steps": 50}, "batch_size": 8}
    job = make_job(workflow={"name": "fedavg", "rounds": 500}, training=training, config={"cases": 40})
    killed_at = 0.0

    def watch(event: dict[str, Any]) -> None:
        nonlocal killed_at
        if event["event"] == "round" and not killed_at:
            family = nothing_left()
            assert len(family) == len(SITES) + 1
            killed_at = time.monotonic()
            next(process for process in family if name_of(process) == victim).kill()

    with pytest.raises(RunCrashed, match=message) as caught:
        simulate(job, SITES, tmp_path / "run", watch=watch)
    assert caught.value.code == code
    assert time.monotonic() - killed_at < 30
    assert not nothing_left()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["state"], record["error"]["code"]) == ("crashed", code)
    assert record["finished"]
    describe_artefact(tmp_path / "run" / "last")


def name_of(process: psutil.Process) -> str:
    """The site whose files a process of the simulation holds open."""
    files = " ".join(file.path for file in process.open_files())
    return next((site for site in SITES if f"/workspace/{site}/" in files), "simulator")


def test_a_site_that_fails_or_is_late_is_excluded_from_its_round_and_comes_back(
    make_job: Any, tmp_path: Path, nothing_left: Any
) -> None:
    released = tmp_path / "released"
    code = failing("self.name, self.batches = site.name, 0", "data").replace(
        "    def model(self) -> nn.Module:\n",
        "    def augment(self, inputs, targets, generator):\n"
        "        self.batches += 1  # two in each round\n"
        "        if (self.name, self.batches) == ('beta', 3):\n"
        "            raise ValueError('patient-4711: a text that stays')\n"
        "        while (self.name, self.batches) == ('gamma', 5) and not released.exists():\n"
        "            time.sleep(0.05)\n"
        "        return inputs, targets\n\n"
        "    def model(self) -> nn.Module:\n",
    )
    code = f"import time\nfrom pathlib import Path\n{code}\n\nreleased = Path({str(released)!r})\n"
    workflow = {"name": "fedavg", "rounds": 5, "round_quorum": 2, "round_budget": 6}
    job = make_job(code=code, workflow=workflow, **SHORT)
    exclusions = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "exclusion":
            exclusions.append((event["round"], event["site"], event["reason"]))
            if event["site"] == "gamma":
                released.touch()

    record = simulate(job, SITES, tmp_path / "run", watch=watch)
    assert record["state"] == "succeeded"
    assert exclusions == [(1, "beta", "MS-R001"), (2, "gamma", "MS-R005")]
    without = {1: "beta", 2: "gamma"}
    for entry in record["rounds"]:
        assert entry["contributed"] == [site for site in SITES if site != without.get(entry["round"])]
    rows = (tmp_path / "run" / "contributions.csv").read_text()
    assert "1,beta,excluded,MS-R001" in rows
    assert "2,gamma,excluded,MS-R005" in rows
    log = (tmp_path / "run" / "logs" / "server.log").read_text()
    assert not [secret for secret in SECRETS if secret in rows + log]
    assert not nothing_left()


@pytest.mark.parametrize("workflow", ["fedavg", "swarm"])
def test_a_site_that_cannot_measure_is_left_out_of_the_round_and_of_its_sums(
    workflow: str, make_job: Any, tmp_path: Path
) -> None:
    """Where the loss needs sums over the sites, each round trains with those of the sites that are in it.

    In the swarm, beta was to aggregate round 1: another site does, and all measure again.
    """
    seen = tmp_path / "seen"
    seen.mkdir()
    code = failing("self.name, self.measured = site.name, 0", "data").replace(
        "    def model(self) -> nn.Module:\n",
        "    sums_each_round = True\n\n"
        "    def round_statistics(self, predictions, targets):\n"
        "        self.measured += 1\n"
        "        if (self.name, self.measured) == ('beta', 2):\n"
        "            raise ValueError('patient-4711: a text that stays')\n"
        "        return {'cases': [float(len(targets))]}\n\n"
        "    def agree_on_round(self, totals, own):\n"
        "        if totals:\n"
        f"            file = Path({str(seen)!r}) / f'{{self.name}}-{{self.measured}}'\n"
        "            file.write_text(f\"{totals['cases'][0]:g} {own['cases'][0]:g}\")\n\n"
        "    def model(self) -> nn.Module:\n",
    )
    job = make_job(
        code=f"from pathlib import Path\n{code}",
        workflow={"name": workflow, "rounds": 4, "round_quorum": 2},
        **SHORT,
    )
    record = simulate(job, SITES, tmp_path / "run")
    assert record["state"] == "succeeded"
    assert [entry["excluded"] for entry in record["rounds"]] == [{}, {"beta": "MS-R001"}, {}, {}]
    assert [len(entry["contributed"]) for entry in record["rounds"]] == [3, 2, 3, 3]
    # 20 training cases at each site
    others = {1: "60 20", 2: "40 20", 3: "60 20", 4: "60 20"}
    if workflow == "swarm":
        others = {1: "60 20", 3: "40 20", 4: "60 20", 5: "60 20"}
    expected = {f"{site}-{number}": text for site in ("alpha", "gamma") for number, text in others.items()}
    expected |= {f"beta-{number}": "60 20" for number in (1, 3, 4)}
    assert {file.name: file.read_text() for file in seen.iterdir()} == expected


@pytest.mark.parametrize("workflow", ["fedavg", "swarm"])
def test_too_few_sites_that_can_measure_end_the_run_and_stand_in_the_record(
    workflow: str, make_job: Any, tmp_path: Path
) -> None:
    """A sum that is no finite number would spoil the round of all: the site that has it is left out."""
    code = failing("self.name = site.name", "data").replace(
        "    def model(self) -> nn.Module:\n",
        "    sums_each_round = True\n\n"
        "    def round_statistics(self, predictions, targets):\n"
        "        return {'risk': [float('inf') if self.name == 'beta' else 1.0]}\n\n"
        "    def model(self) -> nn.Module:\n",
    )
    job = make_job(code=code, workflow={"name": workflow, "rounds": 2}, **SHORT)
    with pytest.raises(RunFailed, match="2 of 3 sites answered") as caught:
        simulate(job, SITES, tmp_path / "run")
    assert caught.value.code == "MS-R002"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [entry["excluded"] for entry in record["rounds"]] == [{"beta": "MS-R004"}]
    assert "0,beta,excluded,MS-R004" in (tmp_path / "run" / "contributions.csv").read_text()


def test_a_run_directory_may_have_any_name(make_job: Any, tmp_path: Path) -> None:
    """Also one that NVFlare takes for no job's name."""
    job = make_job(workflow={"name": "fedavg", "rounds": 1}, **SHORT)
    record = simulate(job, SITES, tmp_path / ".second try, für Köln")
    assert record["state"] == "succeeded"
    assert (tmp_path / ".second try, für Köln" / "last" / "model.safetensors").is_file()


def test_the_command_trains_and_prints_the_record(tmp_path: Path, nothing_left: Any) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [
            COMMAND,
            "simulate",
            "minimal_training_pytorch_cnn",
            "--sites",
            "alpha,beta",
            "--json",
            "--out",
            out,
        ],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["state"], list(record["participants"])) == ("succeeded", ["alpha", "beta"])
    assert json.loads((out / "run.json").read_text()) == record
    assert "round 5 of 5" in done.stderr
    assert {path.name for path in out.iterdir()} >= {
        "best", "last", "logs", "sites", "run.json", "events.jsonl", "contributions.csv",
    }  # fmt: skip
    # pickles cross no border, and none is left behind
    assert not [path for path in out.rglob("*") if path.suffix in {".pt", ".pth", ".pkl", ".pickle"}]
    assert not nothing_left()


def test_a_command_that_is_terminated_leaves_no_process(
    make_job: Any, tmp_path: Path, nothing_left: Any
) -> None:
    job = make_job(workflow={"name": "swarm", "rounds": 5000}, **SHORT)
    out = tmp_path / "run"
    command = subprocess.Popen(
        [COMMAND, "simulate", job.folder, "--sites", "alpha,beta", "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stderr is not None
        for line in command.stderr:
            if "round 2 of" in line:
                break
        assert len(nothing_left()) >= 3
        command.send_signal(signal.SIGTERM)
        stopped = time.monotonic()
        _, stderr = command.communicate(timeout=60)
    finally:
        command.kill()
    assert time.monotonic() - stopped < 30
    assert command.returncode == 130
    assert "nothing of the run is running any more" in stderr
    assert "Traceback" not in stderr
    assert not nothing_left()
    record = json.loads((out / "run.json").read_text())
    assert (record["state"], record["error"]["code"]) == ("stopped", "MS-R007")
