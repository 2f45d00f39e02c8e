"""A small cohort of slides, and untrained models saved as a run saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm import __version__
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site
from mediswarm.pipelines.stamp import Stamp
from mediswarm.training.artefact import Artefact, architecture_of, save_artefact

FEATURES = 8
TASKS: dict[str, dict[str, Any]] = {
    "classification": {
        "name": "classification",
        "label": "SUBTYPE",
        "categories": ["common", "other", "rare"],
    },
    "binary": {"name": "classification", "label": "GRADE", "categories": ["low", "high"]},
    "multi_target": {
        "name": "multi_target",
        "targets": [
            {"label": "SUBTYPE", "categories": ["common", "other", "rare"]},
            {"label": "GRADE", "categories": ["low", "high"]},
        ],
    },
    "regression": {"name": "regression", "label": "VALUE", "unit": "1", "minimum": -10, "maximum": 10},
    "survival": {
        "name": "survival",
        "time": "DAYS",
        "status": "STATUS",
        "unit": "days",
        "censored_after": 1000,
    },
}
SMALL = {"width": 16, "heads": 2, "hidden": 16}
MODELS: dict[str, dict[str, Any]] = {
    "vit": {"name": "vit", **SMALL},
    "alibi": {"name": "vit", "alibi": True, **SMALL},
    "trans_mil": {"name": "trans_mil", "width": 16, "heads": 2, "landmarks": 4},
    "barspoon": {"name": "barspoon", **SMALL},
    "abmil": {"name": "abmil"},
    "clam": {"name": "clam"},
    "mlp": {"name": "mlp"},
    "linear": {"name": "linear"},
}
SaveModel = Callable[..., Path]


@pytest.fixture(scope="session")
def slide_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one site of 40 patients."""
    folder = tmp_path_factory.mktemp("slides") / "data"
    write_synthetic_bags(
        folder, 3, [SyntheticBagSite("north", (18, 14, 8), 0.5, 1.0)], BagSize((6, 14), FEATURES, 3, 0.3)
    )
    return folder


@pytest.fixture
def north(slide_data: Path, tmp_path: Path) -> Site:
    return Site("north", slide_data, tmp_path / "scratch")


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    """Saves an untrained model as the best of a run, and gives the run directory."""

    def save(task: str, model: str = "linear", **features: Any) -> Path:
        config = {
            "task": TASKS[task],
            "features": {"extractor": "synthetic", "dimension": FEATURES} | features,
            "model": MODELS[model],
        }
        pipeline = Stamp(Stamp.Config.model_validate(config))
        torch.manual_seed(0)
        network = pipeline.model()
        weights = network.state_dict()
        described = Artefact(
            job="made_up",
            job_hash="0" * 64,
            pipeline="stamp",
            pipeline_version=Stamp.version,
            config=config,
            contract=pipeline.contract(),
            architecture=architecture_of(weights, type(network).__name__),
            round=2,
            metric="loss",
            value=None,
            mediswarm_version=__version__,
        )
        save_artefact(tmp_path / f"{task}-{model}" / "best", weights, described)
        return tmp_path / f"{task}-{model}"

    return save


@pytest.fixture
def load_model(save_model: SaveModel) -> Callable[..., TrainedModel]:
    return lambda *wanted, **features: TrainedModel.load(save_model(*wanted, **features))
