"""Random flips and rotations by quarter turns, which need no interpolation."""

from __future__ import annotations

import torch


def flip_and_rotate(volumes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip each volume along each axis with probability 1/2 and turn it within its slices.

    Args:
        volumes: [n, channels, x, y, z], on any device. Turns by 0°, 90°, 180° or 270°
            are about z; where x and y differ in size, only by 0° or 180°.
        generator: on the CPU, so that one seed gives one sequence on every device.

    Returns:
        A new tensor of the same shape.
    """
    count = len(volumes)
    flips = torch.randint(2, (count, 3), generator=generator).tolist()
    turns = torch.randint(4, (count,), generator=generator).tolist()
    square = volumes.shape[2] == volumes.shape[3]
    changed = []
    for volume, flip, turn in zip(volumes, flips, turns, strict=True):
        axes = [axis for axis, chosen in enumerate(flip, start=1) if chosen]
        changed.append(torch.rot90(volume.flip(axes), turn if square else turn // 2 * 2, (1, 2)))
    return torch.stack(changed)
