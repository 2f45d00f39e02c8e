"""What of a job's model is federated: every tensor by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mediswarm.pipelines.base import Pipeline
from mediswarm.spec import Job
from mediswarm.training.precision import bytes_of, narrow
from mediswarm.training.site_run import initial_weights, shared_of


@dataclass(frozen=True)
class TensorEntry:
    """One parameter or buffer; `bytes` are those it has in memory, whatever the exchange's precision."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    trained: bool
    federated: bool


@dataclass(frozen=True)
class TensorList:
    """All tensors of a job's model, in the model's order.

    `exchanged_bytes` is what the federated ones take in one direction, once, in the exchange's precision.
    """

    tensors: tuple[TensorEntry, ...]
    exchanged_bytes: int

    def count(self, *, federated: bool) -> int:
        """How many are federated, or stay at their site."""
        return sum(entry.federated is federated for entry in self.tensors)

    def bytes(self, *, federated: bool) -> int:
        """Bytes in memory of those that are federated, or stay at their site."""
        return sum(entry.bytes for entry in self.tensors if entry.federated is federated)


def list_tensors(job: Job, pipeline: Pipeline[Any]) -> TensorList:
    """List the tensors of the job's model, as every run of it divides them.

    Raises:
        JobError: MS-J013, MS-J015 when patterns of the job do not fit the model.
        PipelineError: MS-P003 when model() gives something else than a module.
    """
    weights, trained, _ = initial_weights(job, pipeline, {})
    shared = shared_of(job, pipeline, weights)
    entries = tuple(
        TensorEntry(
            name,
            tuple(value.shape),
            str(value.dtype).removeprefix("torch."),
            value.numel() * value.element_size(),
            name in trained,
            name in shared,
        )
        for name, value in weights.items()
    )
    return TensorList(entries, bytes_of(narrow(shared, job.exchange.precision)))
