"""Reading a model: what it is made of, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm.errors import ArtefactError
from mediswarm.evaluation.slides.trained import TrainedModel


def change(folder: Path, **changes: Any) -> None:
    file = folder / "best" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_run_means_its_best_model(save_model: Callable[..., Path]) -> None:
    run = save_model("regression", "mlp")
    whole, folder = TrainedModel.load(run), TrainedModel.load(run / "best")
    assert not whole.network.training
    assert not any(parameter.requires_grad for parameter in whole.network.parameters())
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(value, folder.network.state_dict()[name])


def test_the_cut_off_is_that_of_the_models_round(save_model: Callable[..., Path]) -> None:
    run = save_model("survival")
    assert TrainedModel.load(run).cut_off is None
    (run / "run.json").write_text(
        json.dumps({"scores": {"1": {"risk_cut_off": 9.0}, "2": {"risk_cut_off": 0.25}}})
    )
    assert TrainedModel.load(run).cut_off == 0.25
    (run / "run.json").write_text("{")
    assert TrainedModel.load(run).cut_off is None


def test_what_is_no_model_of_this_pipeline_is_refused(
    save_model: Callable[..., Path], tmp_path: Path
) -> None:
    def code(folder: Path) -> str:
        with pytest.raises(ArtefactError) as caught:
            TrainedModel.load(folder)
        return caught.value.code

    assert code(tmp_path / "nothing") == "MS-A001"
    run = save_model("classification")
    saved = json.loads((run / "best" / "model.json").read_text())
    for changes, expected in (
        ({"pipeline": "odelia"}, "MS-A002"),
        ({"pipeline_version": "99"}, "MS-A002"),
        ({"config": saved["config"] | {"bag": 3}}, "MS-A001"),
        ({"contract": saved["contract"] | {"classes": ["rare", "other", "common"]}}, "MS-A002"),
        ({"architecture": "MeanMlp:0"}, "MS-A002"),
        ({"sha256": "0" * 64}, "MS-A003"),
    ):
        change(run, **(saved | changes))
        assert code(run) == expected, changes
