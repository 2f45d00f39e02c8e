"""A site answers tasks; of what fails only a stable code leaves."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from mediswarm.flare.messages import CONTRIBUTE, INTRODUCE, JUDGE, error_in, pack, unpack
from mediswarm.flare.site_executor import SiteExecutor
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.crossing import Contribution, Introduction, Judgement, JudgeOrder, Order
from mediswarm.training.site_run import initial_weights

NAME = "minimal_training_pytorch_cnn"


@pytest.fixture
def job_folder(context: Any) -> Path:
    """The minimal job as deployed at a site."""
    return Path(shutil.copytree(JOBS / NAME, context.root / "job-1" / "app" / "custom" / NAME))


def ask(
    executor: SiteExecutor, task: str, message: Shareable, context: Any, signal: Signal | None = None
) -> Shareable:
    return executor.execute(task, message, context, signal or Signal())


def test_a_round_at_a_site(job_folder: Path, context: Any) -> None:
    executor = SiteExecutor(NAME, "run-1")
    said = unpack(Introduction, ask(executor, INTRODUCE, Shareable(), context))
    assert said.cases == {"train": 60, "validation": 30, "test": 30}
    run = executor._run
    assert run is not None
    weights, _, _ = initial_weights(run.job, run.pipeline, said.statistics)
    order = Order(0, weights, said.statistics)
    contribution = unpack(Contribution, ask(executor, CONTRIBUTE, pack(order), context))
    assert (contribution.cases, contribution.steps) == (60, 8)
    assert contribution.update.keys() == weights.keys()
    assert contribution.metrics["judged_cases"] == [30.0]
    judge = JudgeOrder(weights, said.statistics, keep_predictions=True)
    judged = unpack(Judgement, ask(executor, JUDGE, pack(judge), context))
    assert judged.test["cases"] == [30.0]
    kept = context.root / "runs" / "run-1" / "predictions" / "test.csv"
    assert len(kept.read_text().splitlines()) == 31


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("ValueError('patient-4711 is in /data/secret/4711.nii')", "MS-R001"),
        ("DataError('MS-D110', 'patient-4711', file='/data/secret/split.csv')", "MS-D110"),
        ("MemoryError('4711')", "MS-H003"),
        ("OSError(28, 'No space left', '/data/secret/4711')", "MS-H004"),
        ("KeyboardInterrupt('4711')", None),
    ],
)
def test_of_an_error_only_its_code_leaves(
    raised: str, code: str | None, job_folder: Path, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = job_folder / "pipeline.py"
    text = file.read_text().replace(
        "    def data(self, site: Site) -> SiteData:\n",
        "    def data(self, site: Site) -> SiteData:\n"
        f"        from mediswarm.errors import DataError\n        raise {raised}\n",
    )
    file.write_text(text)
    if code is None:
        with pytest.raises(KeyboardInterrupt):
            ask(SiteExecutor(NAME, "run-1"), INTRODUCE, Shareable(), context)
        return
    with caplog.at_level(logging.ERROR):
        answer = ask(SiteExecutor(NAME, "run-1"), INTRODUCE, Shareable(), context)
    assert error_in(answer) == code
    assert "4711" not in repr(dict(answer))
    assert "secret" not in repr(dict(answer))
    # the site's own log tells its people what happened
    assert "4711" in caplog.text
    # and where in our code only where that is not named
    assert (caplog.records[-1].exc_info is None) == ("DataError" in raised)


def test_a_job_that_is_not_there_is_a_code_too(context: Any) -> None:
    assert error_in(ask(SiteExecutor(NAME, "run-1"), INTRODUCE, Shareable(), context)) == "MS-J001"


def test_an_unknown_task_is_a_code_too(job_folder: Path, context: Any) -> None:
    assert error_in(ask(SiteExecutor(NAME, "run-1"), "steal", Shareable(), context)) == "MS-R001"


def test_a_stopped_round_says_so(job_folder: Path, context: Any) -> None:
    executor, signal = SiteExecutor(NAME, "run-1"), Signal()
    said = unpack(Introduction, ask(executor, INTRODUCE, Shareable(), context, signal))
    run = executor._run
    assert run is not None
    weights, _, _ = initial_weights(run.job, run.pipeline, said.statistics)
    signal.trigger(True)
    answer = ask(executor, CONTRIBUTE, pack(Order(0, weights, said.statistics)), context, signal)
    assert error_in(answer) == "MS-R007"
