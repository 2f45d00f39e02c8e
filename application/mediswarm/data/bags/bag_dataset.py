"""Patients' bags of features: whole, always the same; or some tiles, drawn anew in each epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from mediswarm.data.bags.bag_cache import BagCache
from mediswarm.data.bags.feature_file import FeatureHeader
from mediswarm.data.bags.tile_reader import Coords, Features, Rows, read_tiles
from mediswarm.errors import DataError

Bag = dict[str, torch.Tensor]
"""`features` [T, F] float16, `coords` [T, 2] float32 in µm, `mask` [T] True where a tile is; or [n, T, …]."""

DRAWN_TILES = 512
_EXPONENT = np.uint16(0x7C00)
_BLOCK = 1 << 18  # numbers, which stay in the cache


class RandomBags(Dataset[tuple[Bag, torch.Tensor]]):
    """`count` bags of `tiles` tiles with random features and places; targets are `answers` zeros."""

    def __init__(self, count: int, tiles: int, features: int, answers: int) -> None:
        self.count, self.tiles, self.features, self.answers = count, tiles, features, answers

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Bag, torch.Tensor]:
        bag = {
            "features": torch.randn(self.tiles, self.features).half(),
            "coords": 1e4 * torch.rand(self.tiles, 2),
            "mask": torch.ones(self.tiles, dtype=torch.bool),
        }
        return bag, torch.zeros(self.answers)


def collate_bags(items: Sequence[tuple[Bag, torch.Tensor]]) -> tuple[Bag, torch.Tensor]:
    """A batch: bags padded to the longest by zeros whose mask is False, and targets [n, k]."""
    bags, targets = zip(*items, strict=True)
    padded: dict[str, Any] = {
        name: pad_sequence([bag[name] for bag in bags], batch_first=True) for name in bags[0]
    }
    return padded, torch.stack(targets)


class BagDataset(Dataset[tuple[Bag, torch.Tensor]]):
    """One case for each patient: the tiles of all of its feature files, in the files' order.

    Slides of one patient have coordinates of their own: two tiles of different slides may
    have the same.
    """

    collate = staticmethod(collate_bags)

    def __init__(
        self,
        ids: Sequence[str],
        files: Sequence[Sequence[Path]],
        targets: Sequence[Sequence[float]],
        headers: Mapping[Path, FeatureHeader],
        drawn_tiles: int = DRAWN_TILES,
        cache: BagCache | None = None,
    ) -> None:
        """One element of `files` and `targets` for each patient of `ids`.

        Args:
            ids: the patients.
            files: their feature files.
            targets: what is to be learned, [k] for each.
            headers: of each of the files.
            drawn_tiles: how many tiles at most a bag has that is drawn for training.
            cache: for files that are compressed; without one they are decoded each time.
        """
        self.ids, self.files, self.drawn_tiles, self.cache = ids, files, drawn_tiles, cache
        self.targets = torch.tensor([list(target) for target in targets], dtype=torch.float32)
        self.headers = {file: headers[file] for group in files for file in group}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Bag, torch.Tensor]:
        """The whole bag and its target [k]. Raises DataError MS-B001, MS-B008 or MS-B009."""
        return self._bag([(file, None) for file in self.files[index]]), self.targets[index]

    def tiles(self, index: int) -> list[tuple[Path, int]]:
        """The feature files of a case and how many tiles of each stand in the bag, one after another."""
        return [(file, self.headers[file].tiles) for file in self.files[index]]

    def some_tiles(self, index: int, rows: Rows) -> tuple[Bag, torch.Tensor]:
        """The bag of those tiles of the whole bag that `rows`, ascending, number."""
        parts, start = [], 0
        for file, tiles in self.tiles(index):
            here = rows[(rows >= start) & (rows < start + tiles)] - start
            if len(here):
                parts.append((file, here))
            start += tiles
        return self._bag(parts), self.targets[index]

    def drawn(self, seed: int) -> DrawnBags:
        """Bags of at most `drawn_tiles` tiles for training."""
        return DrawnBags(self, seed, self.drawn_tiles)

    @property
    def largest(self) -> int:
        """The case with the most tiles."""
        return max(range(len(self)), key=lambda index: sum(count for _, count in self.tiles(index)))

    def _bag(self, parts: Sequence[tuple[Path, Rows | None]]) -> Bag:
        read = [self._read(file, rows) for file, rows in parts]
        features, coords = (
            np.concatenate(arrays) if len(read) > 1 else arrays[0] for arrays in zip(*read, strict=True)
        )
        return {
            "features": torch.from_numpy(features),
            "coords": torch.from_numpy(coords),
            "mask": torch.ones(len(features), dtype=torch.bool),
        }

    def _read(self, file: Path, rows: Rows | None) -> tuple[Features, Coords]:
        if self.cache is not None:
            features, coords = self.cache.read(file, self.headers[file], rows)
        else:
            features, coords = read_tiles(file, rows, self.headers[file])
        if not _all_finite(features):
            bad = int((~np.isfinite(features).all(axis=1)).sum())
            raise DataError("MS-B008", f"{bad} of {len(features)} tiles read hold NaN or infinity", file=file)
        return features, coords


def _all_finite(features: Features) -> bool:
    """Whether none is NaN or infinite, as halves are whose exponent has all its bits set.

    A fifth of the time of numpy's isfinite, which converts each half.
    """
    bits = np.ascontiguousarray(features).view(np.uint16).reshape(-1)
    blocks = (bits[start : start + _BLOCK] for start in range(0, bits.size, _BLOCK))
    return not any(((block & _EXPONENT) == _EXPONENT).any() for block in blocks)


class DrawnBags(Dataset[tuple[Bag, torch.Tensor]]):
    """At most `size` tiles of each bag, drawn without replacement, all of them where there are fewer.

    Item `epoch * len + i` is case `i` as it is drawn in that epoch. What is drawn follows
    from the seed, the epoch and the patient's id, not from who reads it or when.
    """

    collate = staticmethod(collate_bags)

    def __init__(self, bags: BagDataset, seed: int, size: int) -> None:
        self.bags, self.seed, self.size = bags, seed, size

    def __len__(self) -> int:
        return len(self.bags)

    @property
    def largest(self) -> int:
        """The case with the most tiles, which none is drawn larger than."""
        return self.bags.largest

    def __getitem__(self, item: int) -> tuple[Bag, torch.Tensor]:
        epoch, index = divmod(item, len(self.bags))
        tiles = sum(count for _, count in self.bags.tiles(index))
        if tiles <= self.size:
            return self.bags[index]
        patient = int.from_bytes(hashlib.sha256(self.bags.ids[index].encode()).digest()[:8], "big")
        generator = np.random.default_rng((self.seed, epoch, patient))
        rows = np.sort(generator.choice(tiles, self.size, replace=False))
        return self.bags.some_tiles(index, rows)
