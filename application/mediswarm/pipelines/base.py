"""The pipeline interface: the one thing a developer implements.

A pipeline answers, for one clinical question: how a site's data is read and
checked, which model, which loss, which metrics. The same pipeline runs in a
site's check, in local training, in simulation and in a real federation.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from typing_extensions import Self

from mediswarm.data.findings import Finding
from mediswarm.errors import DataError, MediSwarmError, PipelineError
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.learner import Learner
from mediswarm.spec import Strict, Training
from mediswarm.spec.site_name import require_site_name

C = TypeVar("C", bound=Strict)


@dataclass(frozen=True)
class Site:
    """A hospital's node as a pipeline sees it.

    The data directory is read-only; caches and temporary files go to the
    scratch directory.
    """

    name: str
    data_dir: Path | None = None
    scratch_dir: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raises UsageError MS-U005 when `name` cannot be a site's."""
        require_site_name(self.name)

    @property
    def folder(self) -> Path:
        """``<data_dir>/<name>``.

        Raises:
            DataError: MS-D002 when there is no such folder.
        """
        if self.data_dir is None:
            raise DataError(
                "MS-D002", f"site {self.name} was given no data directory", repair="Pass --data DIR."
            )
        folder = self.data_dir / self.name
        if not folder.is_dir():
            raise DataError("MS-D002", f"the data directory has no folder for site {self.name}", file=folder)
        return folder


@runtime_checkable
class Collating(Protocol):
    """A data set that makes batches itself, because its inputs differ in size.

    With an attribute `largest`, the number of its largest item, memory for batches read ahead is
    reckoned by that one instead of by item 0.
    """

    def collate(self, items: list[Any]) -> Any:
        """A batch (inputs, targets) of items (input, target)."""


@runtime_checkable
class Drawable(Protocol):
    """A data set of whose cases training sees a random part, another one in each epoch.

    Only for what :meth:`Pipeline.augment` cannot do, because the whole case must not be read.
    """

    def drawn(self, seed: int) -> Dataset[Any]:
        """What one round trains on; item ``epoch * len(self) + i`` is the part of case `i` in that epoch.

        It must follow from `seed` and the item's number alone: any process may read it, in any order.
        """


@dataclass(frozen=True)
class Cases:
    """The cases of one split.

    ``dataset[i]`` is ``(input, target)`` and always the same for the same `i`:
    augmentation happens on batches, in :meth:`Pipeline.augment`, and only in
    training. `ids` stay at the site. The data set may be :class:`Collating` and :class:`Drawable`.
    """

    dataset: Dataset[Any]
    ids: Sequence[str]

    def __post_init__(self) -> None:
        """Raises PipelineError MS-P003 when `ids` do not name the cases one by one."""
        if isinstance(self.dataset, Sized) and len(self.dataset) != len(self.ids):
            raise PipelineError("MS-P003", f"{len(self.ids)} ids were given for {len(self.dataset)} cases")
        if repeated := len(self.ids) - len(set(self.ids)):
            raise PipelineError(
                "MS-P003", f"the cases of a split must have ids of their own; {repeated} repeat another"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbered(self) -> bool:
        """Whether the ids are the cases' numbers from 0 on, as :meth:`of` gives them."""
        return all(name == str(index) for index, name in enumerate(self.ids))

    @classmethod
    def of(cls, inputs: torch.Tensor, targets: torch.Tensor, ids: Sequence[str] | None = None) -> Self:
        """Cases held in memory: `inputs` [n, …] and `targets` [n, …]."""
        return cls(
            TensorDataset(inputs, targets), ids if ids is not None else [str(i) for i in range(len(inputs))]
        )


@dataclass(frozen=True)
class SiteData:
    """What a pipeline read at one site.

    `measured` completes the data contract with what the data itself says (for
    example the preprocessing tag that every file carries).
    """

    train: Cases
    validation: Cases
    test: Cases
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises PipelineError MS-P003 for splits that are no Cases, DataError MS-D110 for shared cases."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, cases in splits.items():
            if not isinstance(cases, Cases):
                raise PipelineError("MS-P003", f"{name} is a {type(cases).__name__}, and must be Cases")
        # ids that only number the cases of their split say nothing about who they are
        named = {name: set(cases.ids) for name, cases in splits.items() if not cases.numbered}
        for one, other in combinations(named, 2):
            if shared := len(named[one] & named[other]):
                raise DataError("MS-D110", f"{shared} case(s) are in both {one} and {other}")


class Pipeline(ABC, Generic[C]):
    """One clinical question. Subclass, set `Config`, and fill in the abstract methods."""

    Config: type[C]
    version: ClassVar[str] = "1"
    local_parameters: tuple[str, ...] = ()
    """Shell patterns of parameter names that never leave a site, whatever the job says."""
    needs_data: ClassVar[bool] = False
    """Whether the pipeline reads a data directory; False for one that makes its own data."""
    parts: tuple[str, ...] = ()
    """What of a case is judged by itself, such as its two sides; empty where a case is judged as one.

    With parts, targets are [n, parts] and predictions [n, parts, …]; each part has a row of its own in
    the predictions file, named ``<case>_<part>``."""
    judged_at_once: int | None = None
    """How many cases go through the model together in judgement; None: as many as in training.

    Where it is set, the loss is taken once, over the outputs [n, …] for all cases of a split."""

    def __init__(self, config: C, folder: Path | None = None) -> None:
        """`folder` is the job's folder, for pipelines whose config names files in it."""
        self.config = config
        self.folder = folder
        self.totals: Counts = {}

    # -- what all sites agree on before round 0 ----------------------------------------------

    @abstractmethod
    def contract(self) -> dict[str, Any]:
        """What must be equal at all sites: ordered classes, input shape, units… (JSON values)."""

    def statistics(self, data: SiteData) -> Counts:
        """Counts of this site whose sum over the sites the pipeline needs, never rows."""
        return {}

    def agree(self, totals: Counts) -> None:
        """Receive the summed statistics of all sites; called before :meth:`model`."""
        self.totals = totals

    # -- what all sites agree on before each round, where the loss is of all cases together ------

    @property
    def sums_each_round(self) -> bool:
        """Whether training needs :meth:`round_statistics` of all sites, one more exchange in each round.

        The loss is a mean over cases then, and the workflow must weigh sites by their cases.
        """
        return False

    def round_statistics(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Counts of this site's training cases under the model that a round begins with, never rows."""
        return {}

    def agree_on_round(self, totals: Counts, own: Counts) -> None:
        """Receive the summed round statistics of all sites, and the site's own; both empty after training."""

    # -- data -----------------------------------------------------------------------------------

    def sites(self, data_dir: Path | None) -> list[str]:
        """Names of the sites that a data directory holds; for simulation."""
        if data_dir is None:
            return ["site-1", "site-2", "site-3"]
        return sorted(
            entry.name for entry in data_dir.iterdir() if entry.is_dir() and entry.name[0] not in "._"
        )

    @abstractmethod
    def data(self, site: Site) -> SiteData:
        """Read a site's data.

        Raises:
            DataError: with file, rule and repair. Nothing is dropped in silence.
        """

    def check(self, site: Site) -> list[Finding]:
        """Check a site's data. Default: it can be read, and no split is empty."""
        try:
            data = read_site(self, site)
        except MediSwarmError as error:
            return [Finding.of(error, "data")]
        counts = f"{len(data.train)} training, {len(data.validation)} validation, {len(data.test)} test cases"
        if not len(data.train) or not len(data.validation):
            return [
                Finding("FAIL", "data", counts, "MS-D003", "Give the site cases for training and validation.")
            ]
        return [Finding.passed("data", counts)]

    # -- model ----------------------------------------------------------------------------------

    @property
    def smallest_batch(self) -> int:
        """The smallest `training.batch_size` with which the loss learns from every batch of an epoch."""
        return 1

    @abstractmethod
    def model(self) -> nn.Module:
        """A newly initialised model. May read `self.totals`; must not need them to load weights."""

    @abstractmethod
    def loss(self, output: Any, target: Any) -> torch.Tensor:
        """Mean loss of a batch (scalar)."""

    def augment(self, inputs: Any, targets: Any, generator: torch.Generator) -> tuple[Any, Any]:
        """Random changes of a training batch, on its device; `generator` lives on the CPU."""
        return inputs, targets

    def localise(self, model: nn.Module, data: SiteData) -> None:
        """Set what the model keeps from this site alone (such as a site's own standardisation)."""

    def example(self, count: int) -> Cases | None:
        """Random numbers in the shape of `count` training cases, to measure a step; None where it is unknown.

        Default: what a contract with `input_shape` and `classes` says.
        """
        contract = self.contract()
        if not {"input_shape", "classes"} <= contract.keys():
            return None
        shape = (count, len(self.parts)) if self.parts else (count,)
        return Cases.of(
            torch.randn(count, *contract["input_shape"]), torch.randint(len(contract["classes"]), shape)
        )

    def learner(self, data: SiteData, training: Training, site: Site) -> Learner | None:
        """A learner of the pipeline's own, or None for the PyTorch learner."""
        return None

    # -- judgement ------------------------------------------------------------------------------

    @abstractmethod
    def predict(self, output: Any) -> torch.Tensor:
        """The model's output for a batch as predictions [n, …] (probabilities, risks, values)."""

    @property
    @abstractmethod
    def reported(self) -> tuple[str, ...]:
        """Names of all metrics that :meth:`metrics` gives."""

    @property
    def qualities(self) -> tuple[str, ...]:
        """Those by which a model can be selected; not counts of cases, nor where a curve is cut."""
        return self.reported

    @abstractmethod
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Summable counts of a whole split, from which the metrics follow."""

    @abstractmethod
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """Metrics from counts of one site or from the sum over sites; None where undefined."""

    def prediction_columns(self) -> list[str]:
        """Column names for one row of predictions, for the CSV that stays at the site."""
        return ["prediction"]

    def target_columns(self) -> list[str]:
        """Column names for one row of targets in the same CSV."""
        return ["target"]


def read_site(pipeline: Pipeline[Any], site: Site) -> SiteData:
    """:meth:`Pipeline.data`, with the pipeline's file named where the pipeline is at fault.

    Raises:
        PipelineError: MS-P003 when it gives no SiteData, or Cases that cannot be.
        DataError: whatever the pipeline finds wrong.
    """
    file = inspect.getsourcefile(type(pipeline))
    try:
        data = pipeline.data(site)
    except PipelineError as error:
        raise PipelineError(
            error.code, error.message, repair=error.repair, file=error.file or file, line=error.line
        ) from error
    if not isinstance(data, SiteData):
        raise PipelineError(
            "MS-P003", f"data() gave a {type(data).__name__}, and must give SiteData", file=file
        )
    return data
