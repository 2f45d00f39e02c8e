"""A trained model of the pipeline `stamp`, made from its files alone."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from typing_extensions import Self

from mediswarm.errors import ArtefactError, ContractError
from mediswarm.pipelines.stamp import Stamp
from mediswarm.training.artefact import DESCRIPTION_FILE, architecture_of, describe_artefact, read_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """The network in evaluation mode, and the pipeline that knows its task.

    `cut_off` is the log risk that divided the validation patients of all sites most evenly,
    None where no record of the run lies beside the model, or the task is not survival. `contract` is what
    the sites of the run agreed on, with what their files say of themselves; empty without that record.
    `run` is the folder in which the model's lies.
    """

    pipeline: Stamp
    network: nn.Module
    device: torch.device
    cut_off: float | None
    contract: dict[str, Any]
    run: Path

    def predicted_by_the_run(self, site: str) -> Path | None:
        """The folder of predictions that the run left at a site, None where it is not beside the model."""
        places = [self.run / "sites" / site, self.run]  # of a simulation; at the site itself
        if self.run.name == "personal":
            places.append(self.run.parent)
        folders = (place / "predictions" for place in places)
        return next((folder for folder in folders if (folder / "validation.csv").is_file()), None)

    def require_features(self, site: str, measured: dict[str, Any]) -> None:
        """Hold what a site's files say of themselves against those of the run; warn where no record is.

        Raises:
            ContractError: MS-C001 features that were made in another way.
        """
        known = {key: value for key, value in self.contract.items() if key in measured}
        for key, value in known.items():
            if measured[key] != value:
                raise ContractError(
                    "MS-C001", f"site {site} has {key} {measured[key]}, the run of the model {value}"
                )
        if not known and self.pipeline.config.features.extractor_hash is None:
            log.warning(
                "site %s: no record of the run lies beside the model, and its job names no extractor_hash: "
                "whether these features are of the same extractor cannot be known",
                site,
            )

    @classmethod
    def load(cls, place: Path, device: str = "cpu") -> Self:
        """Read a checkpoint.

        Args:
            place: its folder, or that of a run, of which the best model is taken.
            device: where the network shall be.

        Raises:
            ArtefactError: MS-A001 no checkpoint, MS-A002 one of another pipeline or version,
                MS-A003 damaged weights.
        """
        folder = place / "best" if (place / "best" / DESCRIPTION_FILE).is_file() else place
        artefact = describe_artefact(folder)
        file = folder / DESCRIPTION_FILE
        if (artefact.pipeline, artefact.pipeline_version) != ("stamp", Stamp.version):
            raise ArtefactError(
                "MS-A002",
                f"the model is of pipeline {artefact.pipeline} {artefact.pipeline_version}, "
                f"and this command is for stamp {Stamp.version}",
                file=file,
            )
        try:
            pipeline = Stamp(Stamp.Config.model_validate(artefact.config))
        except ValidationError as error:
            raise ArtefactError("MS-A001", "the checkpoint's config is none of stamp's", file=file) from error
        network = pipeline.model()
        architecture = architecture_of(network.state_dict(), type(network).__name__)
        if (artefact.contract, artefact.architecture) != (pipeline.contract(), architecture):
            raise ArtefactError(
                "MS-A002", "the model's contract or architecture does not follow from its config", file=file
            )
        network.load_state_dict(read_weights(folder, artefact))
        network.requires_grad_(False)
        run = folder.resolve().parent
        record = _record(run)
        return cls(
            pipeline,
            network.eval().to(device),
            torch.device(device),
            _cut_off(record, artefact.round),
            record.get("contract") or {},
            run,
        )


def _record(run: Path) -> dict[str, Any]:
    """The run's record, empty where the folder is not one of a run."""
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _cut_off(record: dict[str, Any], model: int) -> float | None:
    """What the record says of model number `model`."""
    try:
        value = record["scores"][str(model)]["risk_cut_off"]
    except (KeyError, TypeError):
        return None
    return None if value is None else float(value)
