"""What a model and a step of its training take."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mediswarm.errors import HostError, PipelineError
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.footprint import estimate_step, model_size
from mediswarm.training.torch_learner import TorchLearner


def test_a_model_is_counted_with_its_buffers() -> None:
    pipeline = load_pipeline(load_job(JOBS / "odelia_demo"))
    model = pipeline.model()
    size = model_size(pipeline)
    assert size is not None
    assert size.parameters == sum(value.numel() for value in model.parameters())
    assert size.bytes == sum(value.nbytes for value in model.state_dict().values()) > 4 * size.parameters


def test_a_model_that_this_machine_cannot_build_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_pipeline(load_job(JOBS / "odelia_demo"))

    def lacking() -> None:
        raise HostError("MS-H012", "no such package")

    monkeypatch.setattr(pipeline, "model", lacking)
    assert model_size(pipeline) is None


def test_a_step_is_one_batch_whatever_is_accumulated(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(training={"local": {"epochs": 3}, "batch_size": 5, "accumulate": 4})
    batches: list[int] = []
    backward = TorchLearner._backward

    def counted(self: TorchLearner, inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
        batches.append(len(inputs))
        return backward(self, inputs, *rest)

    monkeypatch.setattr(TorchLearner, "_backward", counted)
    found = estimate_step(job, load_pipeline(job), "cpu")
    assert batches == [5, 5]
    assert (found.device, found.batch_size) == ("cpu", 5)
    assert found.seconds_per_case > 0
    assert found.peak_bytes > 50 * 2**20


@pytest.mark.parametrize("name", ["tabular_heart_disease", "linear_transcriptome"])
def test_a_pipeline_without_a_declared_input_is_refused(name: str) -> None:
    job = load_job(JOBS / name)
    with pytest.raises(PipelineError, match="declared shape") as caught:
        estimate_step(job, load_pipeline(job), "cpu")
    assert caught.value.code == "MS-P005"


def test_a_step_that_does_not_fit_is_a_coded_error(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TorchLearner, "train", full)
    with pytest.raises(HostError, match="does not fit on cpu") as caught:
        estimate_step(job, load_pipeline(job), "cpu")
    assert caught.value.code == "MS-H003"
    assert "batch_size" in caught.value.repair
