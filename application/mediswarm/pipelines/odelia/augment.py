"""Random changes of training volumes: crop, then turn or flip, then noise.

Tensor operations on whatever device the batch lies. Only within a slice is
interpolated, never between slices, which lie farther apart.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from mediswarm.pipelines.odelia.config import Augmentation


def augment_volumes(
    volumes: torch.Tensor, size: tuple[int, int, int], augmentation: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crop at random, turn or flip (one of the two, evenly), add Gaussian noise.

    Args:
        volumes: [n, channels, x, y, z], on any device; at least of `size` along each axis.
        size: voxels [x, y, z] of the crop, whose place is drawn evenly.
        augmentation: a turn about z by an angle drawn evenly up to `rotation_degrees` either
            way; or along each axis a flip with probability 1/2. The noise's
            standard deviation is drawn evenly from 0 to `noise_std`.
        generator: on the CPU; what it draws for each volume is the same on every device.
            The noise itself is drawn on the volumes' device, from a seed of this generator.

    Returns:
        A new tensor [n, channels, *size], and a boolean one [n], on the CPU: which volumes were
        flipped along x, so that left is right in them.
    """
    count = len(volumes)
    spare = [have - want for have, want in zip(volumes.shape[2:], size, strict=True)]
    starts = torch.stack([torch.randint(gap + 1, (count,), generator=generator) for gap in spare], dim=1)
    turned = torch.rand(count, generator=generator) < (0.5 if augmentation.rotation_degrees else 0.0)
    angles = (2 * torch.rand(count, generator=generator) - 1) * augmentation.rotation_degrees
    flips = torch.randint(2, (count, 3), generator=generator)
    deviations = torch.rand(count, generator=generator) * augmentation.noise_std
    seed = int(torch.randint(2**62, (), generator=generator))
    noise = torch.Generator(volumes.device).manual_seed(seed)
    changed = volumes.new_empty((count, volumes.shape[1], *size))
    # one volume at a time, and the noise first, in place: half as much memory is gone through
    for index in range(count):
        changed[index].normal_(0.0, float(deviations[index]), generator=noise)
        x, y, z = starts[index].tolist()
        cropped = volumes[index, :, x : x + size[0], y : y + size[1], z : z + size[2]]
        if turned[index]:
            changed[index].add_(turn_slices(cropped, float(angles[index])))
        elif axes := [axis for axis, chosen in enumerate(flips[index].tolist(), start=1) if chosen]:
            changed[index].add_(cropped.flip(axes))
        else:
            changed[index].add_(cropped)
    return changed, ~turned & flips[:, 0].bool()


def turn_slices(volume: torch.Tensor, degrees: float) -> torch.Tensor:
    """Turn a volume about the z axis through its centre, from x towards y, by linear interpolation.

    Args:
        volume: [channels, x, y, z], float32.
        degrees: the angle.

    Returns:
        [channels, x, y, z]; what comes from outside has the channel's minimum.
    """
    channels, width, height, depth = volume.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x = (torch.arange(width, device=volume.device) - (width - 1) / 2)[:, None]
    y = (torch.arange(height, device=volume.device) - (height - 1) / 2)[None]
    from_x, from_y = x * cos + y * sin + (width - 1) / 2, y * cos - x * sin + (height - 1) / 2
    column, row = from_x.floor(), from_y.floor()
    right, below = from_x - column, from_y - row
    outside = width * height
    place = torch.stack(
        [
            _number(column + step_x, row + step_y, width, height, outside)
            for step_x in (0, 1)
            for step_y in (0, 1)
        ],
        dim=-1,
    )
    weight = torch.stack(
        [across * along for across in (1 - right, right) for along in (1 - below, below)], dim=-1
    )
    # Each line of voxels along z is a weighted sum of four such lines, which lie in one piece in
    # memory: for a CPU faster than a grid sampler, which wants the slices to lie in one piece.
    lines = volume.new_empty((outside + 1, channels, depth))
    lines[:-1].view(width, height, channels, depth).copy_(volume.permute(1, 2, 0, 3))
    lines[-1] = volume.amin(dim=(1, 2, 3))[:, None]
    turned = functional.embedding_bag(
        place.view(-1, 4), lines.flatten(1), mode="sum", per_sample_weights=weight.view(-1, 4)
    )
    return turned.view(width, height, channels, depth).permute(2, 0, 1, 3)


def _number(column: torch.Tensor, row: torch.Tensor, width: int, height: int, outside: int) -> torch.Tensor:
    """The number of the line of voxels in this column and row; `outside` where there is none."""
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return torch.where(inside, column * height + row, outside).int()
