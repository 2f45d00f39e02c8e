"""The picture of one breast for the page of quality control."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mediswarm.data.volumes import Volume

_TILE = 128
_BRIGHTEST = 99.5
_Grey = npt.NDArray[np.uint8]


def breast_picture(planes: Sequence[Volume]) -> bytes:
    """A PNG with planes [x, y] side by side: anterior up, as if seen from the patient's feet."""
    return _png(np.concatenate([_tile(plane) for plane in planes], axis=1))


def planes_of(subtraction: Volume) -> list[Volume]:
    """The middle slice and the maximum intensity projection from feet to head."""
    return [subtraction[..., subtraction.shape[2] // 2], subtraction.max(axis=2)]


def _tile(plane: Volume) -> _Grey:
    brightest = max(float(np.percentile(plane, _BRIGHTEST)), 1e-6)
    # x runs from the patient's left to right, and is shown as radiologists look: left is at the right
    seen = np.clip(plane / brightest, 0, 1).T[::-1, ::-1]
    rows, columns = (np.linspace(0, length - 1, _TILE).round().astype(int) for length in seen.shape)
    grey: _Grey = (255 * seen[np.ix_(rows, columns)]).round().astype(np.uint8)
    return grey


def _png(grey: _Grey) -> bytes:
    rows, columns = grey.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), grey], axis=1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
