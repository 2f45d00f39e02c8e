"""Networks for bags: padding and company play no part, sizes and formulas are those published."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn.functional import pad

from mediswarm.models.bags import attention
from mediswarm.models.bags.attention import Attention
from mediswarm.models.bags.bag import Bag
from mediswarm.models.bags.clam import ClamOutput
from mediswarm.models.bags.nystrom import NystromAttention, pseudo_inverse, run_means
from mediswarm.models.bags.rescaled import Rescaled
from mediswarm.models.bags.vit import distance_bias
from mediswarm.pipelines.stamp.models import BagModel

FEATURES = 12
SMALL = {
    "vit": {"name": "vit", "width": 16, "heads": 2, "hidden": 16},
    "vit with alibi": {"name": "vit", "width": 16, "heads": 2, "hidden": 16, "alibi": True},
    "trans_mil": {"name": "trans_mil", "width": 16, "heads": 2, "landmarks": 8},
    "mlp": {"name": "mlp", "hidden": 16},
    "linear": {"name": "linear"},
    "barspoon": {"name": "barspoon", "width": 16, "heads": 2, "hidden": 16},
    "abmil": {"name": "abmil", "width": 16, "attention": 8},
    "clam": {"name": "clam", "width": 16, "attention": 8},
}
every_network = pytest.mark.parametrize("kind", SMALL)


def network(
    settings: dict[str, object], features: int = FEATURES, groups: tuple[int, ...] = (2, 3)
) -> nn.Module:
    torch.manual_seed(0)
    model: BagModel = TypeAdapter(BagModel).validate_python(settings)
    return model.build(features, groups)


def bags(tiles: list[int], longest: int, seed: int = 1) -> Bag:
    """Bags of so many tiles, padded to `longest` with what must not matter."""
    generator = torch.Generator().manual_seed(seed)
    there = torch.arange(longest) < torch.tensor(tiles)[:, None]
    count = len(tiles)
    batch = {
        "features": torch.full((count, longest, FEATURES), 9.0, dtype=torch.float16),
        "coords": torch.full((count, longest, 2), 1e4),
        "mask": there,
    }
    for index, number in enumerate(tiles):
        batch["features"][index, :number] = torch.randn(number, FEATURES, generator=generator).half()
        batch["coords"][index, :number] = 256.0 * torch.randint(40, (number, 2), generator=generator)
    return batch


@every_network
def test_neither_padding_nor_the_other_bags_of_a_batch_matter(kind: str) -> None:
    model = network(SMALL[kind]).eval()
    tiles = [30, 1, 11, 30, 5]
    together = model(bags(tiles, max(tiles)))
    assert together.shape == (5, 5)
    torch.testing.assert_close(model(bags(tiles, 64)), together, rtol=0, atol=1e-6)
    batch = bags(tiles, 64)
    for index, number in enumerate(tiles):
        alone = {name: value[index : index + 1, :number] for name, value in batch.items()}
        torch.testing.assert_close(model(alone)[0], together[index], rtol=0, atol=1e-6)


@every_network
def test_tiles_matter_and_every_parameter_learns(kind: str) -> None:
    model, batch = network(SMALL[kind]).train(), bags([40, 33], 40)
    torch.manual_seed(0)
    output = model(batch)
    if isinstance(output, ClamOutput):
        loss = output.loss(output.patients.square().sum(), torch.tensor([0, 4]))
    else:
        loss = output.square().sum()
    torch.autograd.backward(loss)
    without = {name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()}
    # the score's bias moves the scores of all tiles alike, and shares are what is used of them; as do
    # the biases of queries against keys that tell nothing apart
    assert {name for name in without if not name.endswith("score.bias")} == set()
    model.eval()
    changed = batch | {"features": batch["features"] * 1.5}
    assert not torch.allclose(model(batch), model(changed))


@every_network
def test_there_is_nothing_that_sites_could_not_average(kind: str) -> None:
    model = network(SMALL[kind])
    assert not list(model.buffers())
    assert not any(isinstance(part, nn.modules.batchnorm._NormBase) for part in model.modules())


@pytest.mark.parametrize(("name", "parameters"), [("vit", 3_683_330), ("trans_mil", 2_672_146)])
def test_published_numbers_of_parameters(name: str, parameters: int) -> None:
    """For 1024 features and two categories: 3.68 million and 2.67 million."""
    model = network({"name": name}, features=1024, groups=(2,))
    assert sum(value.numel() for value in model.parameters()) == parameters


@pytest.mark.parametrize("alibi", [False, True])
def test_queries_in_chunks_give_the_same(alibi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(SMALL["vit"] | {"alibi": alibi, "layers": 3}).eval()
    batch = bags([50, 20], 50)
    whole = model(batch)
    calls = []
    original = attention.scaled_dot_product_attention

    def counted(query: torch.Tensor, *others: object, **named: object) -> torch.Tensor:
        calls.append(query.shape[2])
        return original(query, *others, **named)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", counted)
    monkeypatch.setattr(attention, "_MOST_SCORES", 2 * 2 * 51 * 8)
    torch.testing.assert_close(model(batch), whole, rtol=0, atol=1e-6)
    assert calls == [8, 8, 8, 8, 8, 8, 3] * 2 + [1], "the last layer answers the class token alone"


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own, other = Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        other.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
        other.out_proj.load_state_dict(own.project.state_dict())
    tokens, memory, mask = torch.randn(2, 3, 16), torch.randn(2, 7, 16), torch.rand(2, 7) > 0.4
    mask[:, 0] = True
    expected, _ = other(tokens, memory, memory, key_padding_mask=~mask, need_weights=False)
    torch.testing.assert_close(own(tokens, memory, mask), expected)


def test_alibi_lowers_scores_by_the_distance_in_tiles() -> None:
    coords = torch.tensor([[[100_000.0, 0.0], [100_256.0, 0.0], [100_000.0, 1_024.0]]])
    bias = distance_bias(coords, 8)(slice(0, 4))
    assert bias.shape == (1, 8, 4, 4)
    assert not bias[0, :, 0].any()
    assert not bias[0, :, :, 0].any(), "the class token is as near to all"
    distances = torch.tensor([[0, 1, 4], [1, 0, math.sqrt(17)], [4, math.sqrt(17), 0]])
    for head in range(8):
        torch.testing.assert_close(bias[0, head, 1:, 1:], -distances / 2 ** (head + 1))
    torch.testing.assert_close(distance_bias(coords, 8)(slice(2, 4)), bias[:, :, 2:4])


def test_nystrom_attention_is_its_formula_with_all_matrices_written_out() -> None:
    torch.manual_seed(0)
    layer, tokens = NystromAttention(8, 2, 4, 0.0).eval(), torch.randn(2, 18, 8)
    query, key, value = layer.query_key_value(tokens).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    runs = [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 18)]
    few_queries, few_keys = (
        torch.stack([many[:, :, run].mean(dim=2) for run in runs], dim=2) for many in (query, key)
    )
    first, second, third = (
        (left @ right.mT / 2).softmax(dim=-1)
        for left, right in ((query, few_keys), (few_queries, few_keys), (few_queries, key))
    )
    approximated = first @ pseudo_inverse(second) @ third
    found = approximated @ value + layer.neighbours(value)
    torch.testing.assert_close(layer(tokens), layer.project(found.transpose(1, 2).flatten(2)))


def test_few_tokens_attend_to_each_other_directly() -> None:
    torch.manual_seed(0)
    layer, tokens = NystromAttention(8, 2, 6, 0.0).eval(), torch.randn(2, 6, 8)
    query, key, value = layer.query_key_value(tokens).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    found = (query @ key.mT / 2).softmax(dim=-1) @ value + layer.neighbours(value)
    torch.testing.assert_close(layer(tokens), layer.project(found.transpose(1, 2).flatten(2)))


def test_the_pseudo_inverse_of_each_matrix_is_its_own() -> None:
    torch.manual_seed(0)
    matrices = (4 * torch.eye(5) + torch.rand(3, 5, 5)).softmax(dim=-1) * torch.tensor([1.0, 7, 5e4])[
        :, None, None
    ]
    torch.testing.assert_close(pseudo_inverse(matrices), torch.linalg.pinv(matrices), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pseudo_inverse(matrices)[:1], pseudo_inverse(matrices[:1]))


def test_means_of_runs() -> None:
    vectors = torch.arange(7.0)[None, None, :, None]
    assert run_means(vectors, 3).flatten().tolist() == [1.0, 4.0, 6.0]


def test_clustering_asks_of_the_patients_category_what_the_paper_asks() -> None:
    """Evidence of the tiles of highest attention, none of the lowest, none of other categories' highest."""
    sure, unsure = torch.tensor([-9.0, 9.0]), torch.tensor([9.0, -9.0])
    high = torch.stack([sure, unsure, unsure])[None, :, None].expand(1, 3, 2, 2)
    low = unsure.expand(1, 3, 2, 2)
    there = torch.tensor([[True, True]])
    right = ClamOutput(torch.zeros(1, 3), high, low, there, 0.5)
    assert right.loss(torch.tensor(0.0), torch.tensor([0])) < 1e-6
    assert right.loss(torch.tensor(0.0), torch.tensor([1])) > 3
    assert float(right.loss(torch.tensor(4.0), torch.tensor([0]))) == pytest.approx(2.0, abs=1e-6)
    nothing = right._replace(there=torch.tensor([[False, False]]))
    assert float(nothing.loss(torch.tensor(4.0), torch.tensor([1]))) == 2.0


def test_clam_never_clusters_padding_or_a_tile_twice() -> None:
    model = network(SMALL["clam"], groups=(3,)).train()
    batch = bags([40, 5, 1], 40)
    torch.manual_seed(0)
    output = model(batch)
    assert isinstance(output, ClamOutput)
    assert output.there.sum(dim=1).tolist() == [8, 2, 0]
    for part in (output.high, output.low):
        assert part.shape == (3, 3, 8, 2)
    model.project.dropout.p = 0.0
    padded = {name: pad(value, (0, 0, 0, 9) if value.dim() > 2 else (0, 9)) for name, value in batch.items()}
    one, other = model(batch), model(padded)
    kept = one.there[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(one.high[kept], other.high[kept])
    torch.testing.assert_close(one.low[kept], other.low[kept])


def test_a_rescaled_output_is_in_the_labels_unit() -> None:
    model = network(SMALL["linear"], groups=(1,))
    scaled = Rescaled(model, torch.tensor([50.0]), torch.tensor([10.0]))
    batch = bags([4, 7], 7)
    torch.testing.assert_close(scaled(batch), 50 + 10 * model(batch))
    assert set(scaled.state_dict()) == {"mean", "scale", "network.head.weight", "network.head.bias"}
