"""A pipeline that gives what it must not is named before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import PipelineError
from mediswarm.pipelines import Site
from mediswarm.spec.catalogue import JOBS

CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")


def broken(name: str, body: str) -> str:
    """The minimal pipeline with one method that replaces its own."""
    return CODE + f"\n\ndef _{name}(self, *_):\n    {body}\n\n\nMinimal.{name} = _{name}\n"


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("data", "return ()", "data() gave a tuple, and must give SiteData"),
        ("data", "return SiteData(None, None, None)", "train is a NoneType"),
        (
            "data",
            "return SiteData(*[Cases.of(torch.zeros(2, 1), torch.zeros(2), ['a', 'a'])] * 3)",
            "ids of their own; 1 repeat",
        ),
        ("metrics", "return {'mine': 1.0}", "metrics() gave mine, but reported names"),
        ("model", "return {}", "model() gave a dict, and must give a torch.nn.Module"),
    ],
)
def test_a_broken_promise_names_the_pipeline_file(
    name: str, body: str, message: str, make_job: Any, tmp_path: Path
) -> None:
    job = make_job(code=broken(name, body))
    run = tmp_path / "run"
    with pytest.raises(PipelineError) as caught:
        ReferenceRun(job, [Site("north")], run).run()
    assert caught.value.code == "MS-P003"
    assert message in caught.value.message
    assert caught.value.file == str(job.folder / "pipeline.py")
    events = (run / "events.jsonl").read_text() if (run / "events.jsonl").exists() else ""
    assert '"contribution"' not in events
