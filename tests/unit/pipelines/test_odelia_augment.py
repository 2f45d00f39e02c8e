"""Training volumes are cropped, then turned or flipped, then noised, as the config says and at random."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from scipy.ndimage import affine_transform

from mediswarm.pipelines.odelia.augment import augment_volumes, turn_slices
from mediswarm.pipelines.odelia.config import Augmentation

PLAIN = Augmentation(rotation_degrees=0, noise_std=0)
TURNS = Augmentation(noise_std=0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_generator_decides_and_the_volumes_stay_as_they_were() -> None:
    volumes = torch.randn(8, 2, 9, 8, 4, generator=seeded(0))
    before = volumes.clone()
    one, same, other = (
        augment_volumes(volumes, (6, 6, 4), Augmentation(), seeded(seed))[0] for seed in (1, 1, 2)
    )
    assert one.shape == (8, 2, 6, 6, 4)
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert (one != other).any()
    torch.testing.assert_close(volumes, before, rtol=0, atol=0)


def test_the_crops_place_is_drawn_evenly_and_flips_are_independent() -> None:
    shape, size = (6, 5, 4), (4, 4, 4)
    numbered = torch.arange(math.prod(shape), dtype=torch.float32).view(1, 1, *shape)
    found, mirrored = augment_volumes(numbered.expand(4000, -1, -1, -1, -1), size, PLAIN, seeded(0))
    first, last = found[:, 0, 0, 0, 0].long(), found[:, 0, -1, -1, -1].long()
    low, high = torch.minimum(first, last), torch.maximum(first, last)
    # of the two corners, along each axis, one has the crop's start
    corners = [
        torch.stack([low // 20, low // 4 % 5, low % 4]),
        torch.stack([high // 20, high // 4 % 5, high % 4]),
    ]
    starts = torch.minimum(*corners)
    assert not starts[2].any()
    for axis, gap in enumerate((2, 1)):
        counts = torch.bincount(starts[axis], minlength=gap + 1)
        assert len(counts) == gap + 1
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    own = torch.stack([first // 20, first // 4 % 5, first % 4])
    flips = (own != starts).long()
    assert torch.equal(flips[0].bool(), mirrored)
    counts = torch.bincount(flips[0] * 4 + flips[1] * 2 + flips[2], minlength=8)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for index in range(20):
        x, y, z = starts[:, index].tolist()
        crop = numbered[0, :, x : x + 4, y : y + 4, z : z + 4]
        axes = [axis + 1 for axis in range(3) if flips[axis, index]]
        torch.testing.assert_close(found[index], crop.flip(axes), rtol=0, atol=0)


def test_half_are_turned_by_even_angles_and_those_are_not_flipped() -> None:
    # a bright line from the centre along x, in a slice of its own
    marked = torch.zeros(1, 1, 41, 41, 3)
    marked[0, 0, 20:38, 20, 2] = 1
    found, mirrored = augment_volumes(marked.expand(3000, -1, -1, -1, -1), (41, 41, 3), TURNS, seeded(0))
    found = found[:, 0]
    exact = torch.stack([marked[0, 0].flip(axes) for axes in ([], [0], [2], [0, 2])])
    flipped = (found[:, None] == exact).flatten(2).all(dim=2).any(dim=1)
    assert stats.binomtest(int(flipped.sum()), 3000).pvalue > 1e-3
    assert torch.equal(mirrored, (found[:, None] == exact[[1, 3]]).flatten(2).all(dim=2).any(dim=1))
    turned = found[~flipped]
    assert turned[..., 0].max() == 0  # a flip along z would have moved the line there
    x = torch.arange(41.0) - 20
    mass = turned[..., 2]
    angles = torch.rad2deg(torch.atan2((mass * x).sum((1, 2)), (mass * x[:, None]).sum((1, 2))))
    assert stats.kstest(angles.numpy(), stats.uniform(-90, 180).cdf).pvalue > 1e-3


def test_the_noise_is_gaussian_with_evenly_drawn_deviations() -> None:
    config = Augmentation(rotation_degrees=0)
    found, _ = augment_volumes(torch.zeros(1500, 1, 8, 8, 8), (8, 8, 8), config, seeded(0))
    found = found.flatten(1)
    deviations = found.std(dim=1)
    assert stats.kstest(deviations.numpy(), stats.uniform(0, 0.25).cdf).pvalue > 1e-3
    scaled = (found / deviations[:, None])[deviations > 0.01]
    assert stats.kstest(scaled[:20].flatten().numpy(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(scaled[0].numpy(), scaled[1].numpy())[0, 1]
    assert abs(correlation) < 0.2


@pytest.mark.parametrize("degrees", [0.0, 17.0, -63.0, 90.0, 180.0])
@pytest.mark.parametrize("shape", [(12, 12, 3), (11, 14, 2), (7, 8, 1)])
def test_turning_is_linear_interpolation_in_slices(degrees: float, shape: tuple[int, int, int]) -> None:
    volume = torch.randn(2, *shape, generator=seeded(1))
    turned = turn_slices(volume, degrees)
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    centre = (np.array(shape[:2]) - 1) / 2
    for channel, out in zip(volume.double().numpy(), turned.numpy(), strict=True):
        for z in range(shape[2]):
            expected = affine_transform(
                np.pad(channel[:, :, z], 1, constant_values=channel.min()),
                matrix,
                centre + 1 - matrix @ (centre + 1),
                order=1,
                mode="constant",
                cval=channel.min(),
            )[1:-1, 1:-1]
            np.testing.assert_allclose(out[:, :, z], expected, atol=2e-5)


def test_a_config_without_sense_is_refused() -> None:
    for wrong in ({"rotation_degrees": 200}, {"noise_std": -0.1}, {"noise_std": math.inf}, {"flip": True}):
        with pytest.raises(ValidationError):
            Augmentation.model_validate(wrong)
