"""Volumes made fit for networks that were made for colour images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

COLOURS = 3
"""Channels of a colour image; a network for such images takes volumes of one channel, or of three."""


def as_colour(volumes: torch.Tensor) -> torch.Tensor:
    """Grey volumes [n, 1, …] with their channel repeated three times; those of three channels as they are."""
    return volumes.expand(-1, COLOURS, *volumes.shape[2:])


def pad_to_multiples(volumes: torch.Tensor, multiples: Sequence[int]) -> torch.Tensor:
    """Pad about the centre, so that axis `i` is a multiple of `multiples[i]`, never cropping.

    Args:
        volumes: [n, channels, x, y, z].
        multiples: voxels, for x, y and z.

    Returns:
        the volumes; what is added has the minimum of its case and channel, as the data module's own padding.
    """
    sizes = volumes.shape[2:]
    wanted = [-(-size // multiple) * multiple for size, multiple in zip(sizes, multiples, strict=True)]
    if list(sizes) == wanted:
        return volumes
    before = [(want - size) // 2 for size, want in zip(sizes, wanted, strict=True)]
    inside = [slice(start, start + size) for start, size in zip(before, sizes, strict=True)]
    padded = volumes.amin(dim=(2, 3, 4), keepdim=True).repeat(1, 1, *wanted)
    padded[:, :, inside[0], inside[1], inside[2]] = volumes
    return padded
