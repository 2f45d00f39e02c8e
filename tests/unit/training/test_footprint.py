"""What a model and a step of its training take."""

from __future__ import annotations

from multiprocessing import Pipe
from typing import Any

import pytest
import torch

from mediswarm.errors import HostError, PipelineError, RunCrashed
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training import footprint
from mediswarm.training.footprint import estimate_step, measure_step, model_size
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
    assert found.processor_seconds_per_case > 0
    assert found.peak_bytes > 50 * 2**20


@pytest.mark.parametrize("name", ["tabular_heart_disease", "linear_transcriptome"])
def test_a_pipeline_without_a_declared_input_is_refused(name: str) -> None:
    job = load_job(JOBS / name)
    with pytest.raises(PipelineError, match="declared shape") as caught:
        estimate_step(job, load_pipeline(job), "cpu")
    assert caught.value.code == "MS-P005"


def test_a_step_that_does_not_fit_is_a_coded_error(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2**50 bytes for the inputs alone: what the CPU's allocator says is turned into the code
    job = make_job(training={"batch_size": 2**40})
    with pytest.raises(HostError, match="does not fit on cpu") as caught:
        estimate_step(job, load_pipeline(job), "cpu")
    assert caught.value.code == "MS-H003"

    job = make_job()

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TorchLearner, "train", full)
    with pytest.raises(HostError, match="does not fit on cpu") as caught:
        estimate_step(job, load_pipeline(job), "cpu")
    assert caught.value.code == "MS-H003"
    assert "batch_size" in caught.value.repair


# -- in a process of its own -------------------------------------------------------------------------


CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")


def test_the_memory_measured_is_not_that_of_the_process_that_asks(make_job: Any) -> None:
    much = torch.ones(2**27)  # 512 MiB, touched
    own = footprint._peak(torch.device("cpu"))
    found = measure_step(make_job(), "cpu")
    assert 50 * 2**20 < found.peak_bytes < own - much.nbytes / 2
    assert found.threads == torch.get_num_threads()
    assert found.device_name


def test_a_process_that_is_killed_ran_out_of_memory(make_job: Any) -> None:
    deadly = CODE.replace("import zlib\n", "import os\nimport zlib\n").replace(
        "        width = ", "        os.kill(os.getpid(), 9)\n        width = "
    )
    with pytest.raises(HostError, match="killed, as happens when memory ends") as caught:
        measure_step(make_job(code=deadly), "cpu")
    assert caught.value.code == "MS-H003"


def test_a_process_that_ends_in_another_way_is_a_crash(
    make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # calling text fails, without an answer
    monkeypatch.setattr(footprint, "_measure_here", "no function")
    with pytest.raises(RunCrashed, match="ended with 1") as caught:
        measure_step(make_job(), "cpu")
    assert caught.value.code == "MS-R006"


@pytest.mark.parametrize("raised", ["PipelineError('MS-P005', 'said')", "KeyError('said')"])
def test_what_the_process_raises_is_its_answer(
    raised: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = CODE.replace("        width = ", f"        raise {raised}\n        width = ").replace(
        "import zlib\n", "import zlib\n\nfrom mediswarm.errors import PipelineError\n"
    )
    monkeypatch.setattr(footprint, "end_with_parent", lambda: None)
    receiving, sending = Pipe(duplex=False)
    footprint._measure_here(make_job(code=failing), "cpu", sending)
    answer = receiving.recv()
    coded = raised.startswith("Pipeline")
    assert isinstance(answer, PipelineError if coded else RuntimeError)
    assert str(answer).startswith("error[MS-P005] said" if coded else "KeyError: 'said'")
