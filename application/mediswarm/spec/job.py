"""The job: one validated document that says all about what is trained."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator
from typing_extensions import Self

from mediswarm.spec.digest import sha256_of_file, sha256_of_json
from mediswarm.spec.pretrained import Pretrained
from mediswarm.spec.selection import Selection
from mediswarm.spec.strict import Strict
from mediswarm.spec.training import Training
from mediswarm.spec.workflow import Scaffold, Swarm, Workflow

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"


class Exchange(Strict):
    """What of the model crosses between sites."""

    exclude: tuple[str, ...] = Field(
        (),
        description="shell patterns of parameters that stay at their site: `*.norm*` (FedBN), `head.*`",
    )
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="in which weights and updates travel; sums are always kept in higher precision"
    )


class Job(Strict):
    """One job, read from `job.yml`; :func:`mediswarm.spec.load_job` makes it."""

    name: str = Field(pattern=NAME_PATTERN, description="the name of the job's folder")
    description: str = Field("", description="one sentence on the clinical question")
    pipeline: str = Field(description="a pipeline's name, or `./FILE.py` for a file in the job's folder")
    config: dict[str, JsonValue] = Field(default_factory=dict, description="the pipeline's own settings")
    files: tuple[str, ...] = Field((), description="further files in the job's folder that belong to the job")
    training: Training = Field(default_factory=Training, description="how a site trains within one round")
    pretrained: Pretrained | None = Field(
        None, description="pretrained weights of the first model; null: it is initialised at random"
    )
    workflow: Workflow = Field(description="how the sites work together")
    exchange: Exchange = Field(
        default_factory=Exchange, description="what of the model crosses between sites"
    )
    selection: Selection = Field(description="which model of the run is the best one")

    _folder: Path = PrivateAttr(default=Path())

    @field_validator("pipeline", "files")
    @classmethod
    def _inside(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (value,) if isinstance(value, str) else value:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{name!r} lies outside the job's folder")
        return value

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        named = {Path("job.yml"), Path(others.data.get("pipeline", ""))}
        for name in files:
            if Path(name) in named:
                raise ValueError(
                    f"names {name!r}, which belongs to the job already; "
                    "job.yml and the pipeline's file need not be named"
                )
            named.add(Path(name))
        return files

    @field_validator("workflow")
    @classmethod
    def _scaffold_is_plain_sgd(cls, workflow: Workflow, others: ValidationInfo) -> Workflow:
        training = others.data.get("training")
        if not isinstance(workflow, Scaffold) or training is None:
            return workflow
        optimizer = training.optimizer
        if optimizer.lr_groups:
            raise ValueError(
                "contradiction: scaffold needs one learning rate for all parameters (its control variates "
                "are updates divided by it), and training.optimizer.lr_groups gives several"
            )
        if optimizer.name != "sgd" or optimizer.momentum:
            raise ValueError(
                "contradiction: scaffold needs training.optimizer sgd without momentum "
                f"(its control variates are average gradients), not {optimizer.name}"
                + (f" with momentum {optimizer.momentum}" if optimizer.momentum else "")
            )
        return workflow

    @field_validator("workflow")
    @classmethod
    def _one_machine_makes_the_first_model(cls, workflow: Workflow, others: ValidationInfo) -> Workflow:
        if isinstance(workflow, Swarm) and others.data.get("pretrained") is not None:
            raise ValueError(
                "contradiction: pretrained weights are in the store of the machine that makes the first "
                "model, and in a swarm every site makes it by itself; use another workflow"
            )
        return workflow

    @property
    def folder(self) -> Path:
        """The folder that holds job.yml."""
        return self._folder

    def at(self, folder: Path) -> Self:
        """This job, read from `folder`."""
        self._folder = folder
        return self

    def varied(self, **sections: Any) -> Self:
        """The same job with whole sections replaced, validated anew; it has a hash of its own."""
        given = {
            name: value.model_dump() if isinstance(value, Strict) else value
            for name, value in sections.items()
        }
        return type(self).model_validate(self.model_dump() | given).at(self.folder)

    @property
    def ships_code(self) -> bool:
        """Whether the pipeline is a file of the job, so that sites must consent to job code."""
        return self.pipeline.startswith("./")

    @property
    def shipped_files(self) -> tuple[str, ...]:
        """Names of the files, beside job.yml, that travel with the job."""
        return ((self.pipeline.removeprefix("./"),) if self.ships_code else ()) + self.files

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the document, with defaults filled in, and every file it ships."""
        document = self.model_dump(mode="json")
        document["shipped"] = {name: sha256_of_file(self.folder / name) for name in self.shipped_files}
        return sha256_of_json(document)
