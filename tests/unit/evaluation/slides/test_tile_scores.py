"""What a tile adds: exact where that can be said, to first order everywhere; and the attention."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mediswarm.evaluation.slides.tile_scores import tile_scores
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.models.bags.attention import Attention

Load = Callable[..., TrainedModel]
TILES, FEATURES = 11, 8


def bag_of(tiles: int = TILES) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        "features": torch.randn(tiles, FEATURES, generator=generator).half(),
        "coords": 256.0 * torch.randint(0, 9, (tiles, 2), generator=generator),
        "mask": torch.ones(tiles, dtype=torch.bool),
    }


def answer(trained: TrainedModel, bag: dict[str, torch.Tensor]) -> torch.Tensor:
    output: torch.Tensor = trained.network({name: part[None] for name, part in bag.items()})[0]
    return output


def test_of_a_linear_model_the_tiles_add_up(load_model: Load) -> None:
    trained, bag = load_model("binary", "linear"), bag_of()
    scores = tile_scores(trained, bag)
    output, bias = answer(trained, bag), trained.network.head.bias  # type: ignore[union-attr]
    log_odds = (output - bias)[1] - (output - bias)[0]  # type: ignore[operator]
    assert scores["score_high"].sum() == pytest.approx(float(log_odds), abs=1e-5)
    np.testing.assert_allclose(scores["score_low"], -scores["score_high"], atol=1e-7)
    assert set(scores) == {"score_low", "score_high"}
    assert next(iter(scores)) == ("score_high" if output[1] > output[0] else "score_low")


@pytest.mark.parametrize("model", ["vit", "alibi", "trans_mil", "barspoon", "abmil", "clam", "mlp", "linear"])
def test_the_score_is_the_change_when_a_tile_grows(load_model: Load, model: str) -> None:
    trained, bag = load_model("classification", model), bag_of()
    scores = tile_scores(trained, bag)
    trained.network.double()
    bag["features"] = bag["features"].double()
    for tile in (0, TILES - 1):
        ends = []
        for factor in (0.999, 1.001):
            changed = bag["features"].clone()
            changed[tile] *= factor
            logits = answer(trained, bag | {"features": changed})
            ends.append(float(logits[2] - logits[:2].logsumexp(dim=0)))
        assert scores["score_rare"][tile] == pytest.approx((ends[1] - ends[0]) / 0.002, rel=2e-2, abs=1e-4)


@pytest.mark.parametrize(
    ("task", "model", "names"),
    [
        ("classification", "vit", ["attention"]),
        ("regression", "alibi", ["attention"]),
        ("multi_target", "barspoon", ["attention_SUBTYPE", "attention_GRADE"]),
        ("survival", "barspoon", ["attention"]),
        ("regression", "abmil", ["attention"]),
        ("classification", "clam", ["attention_common", "attention_other", "attention_rare"]),
        ("classification", "trans_mil", []),
        ("survival", "mlp", []),
    ],
)
def test_attention_where_a_network_has_it(load_model: Load, task: str, model: str, names: list[str]) -> None:
    scores = tile_scores(load_model(task, model), bag_of())
    assert [name for name in scores if name.startswith("attention")] == names
    for name in names:
        assert scores[name].shape == (TILES,)
        assert scores[name].min() > 0
        assert scores[name].mean() == pytest.approx(1.0, abs=1e-5)
        assert np.ptp(scores[name]) > 1e-3


def test_the_gated_attention_is_what_weighs_the_tiles(load_model: Load) -> None:
    trained, bag = load_model("survival", "abmil"), bag_of()
    scores = tile_scores(trained, bag)
    tiles = trained.network.project(bag["features"][None])[0]  # type: ignore[operator]
    pooled = torch.tensor(scores["attention"]).float() / TILES @ tiles
    expected = trained.network.head(pooled)  # type: ignore[operator]
    torch.testing.assert_close(answer(trained, bag), expected, rtol=1e-4, atol=1e-6)
    assert list(scores) == ["score_log_risk", "attention"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_shares_are_those_of_the_attention_itself(masked: bool, biased: bool) -> None:
    torch.manual_seed(1)
    attention = Attention(16, 2)
    tokens, memory = torch.randn(2, 3, 16), torch.randn(2, 7, 16)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    added = torch.randn(2, 2, 3, 7)
    given = (tokens, memory, mask if masked else None, (lambda rows: added[:, :, rows]) if biased else None)
    shares = attention.shares(*given)
    value = attention.key_value(memory).unflatten(-1, (2, 2, -1)).permute(2, 0, 3, 1, 4)[1]
    expected = attention.project((shares @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(*given), expected)
    assert bool((shares[1, ..., 4:] == 0).all()) == masked
