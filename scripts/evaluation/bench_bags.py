"""What a bag of tiles costs before the network sees it, against h5py reading the same file.

Makes feature files of 50,000 tiles of 1,536 features (float16, with coordinates), in one piece as
STAMP writes them, and in compressed chunks, and reads each

- as a site does: the whole bag, as for judgement, and 512 tiles drawn anew each time, as for
  training; of the compressed file through the cache in an empty scratch directory, whose first
  read is shown apart;
- as a reference: h5py opening the file, and reading both datasets whole or at the same rows.

Reads of the two take turns; a line is the median of them. MB are 10^6 bytes of features and
coordinates that arrive. Files lie in the page cache both times. Everything runs in one process on
one thread. `ratio` is the reference's seconds divided by the reader's.

    python scripts/evaluation/bench_bags.py
    python scripts/evaluation/bench_bags.py --tiles 5000 --repeats 20 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mediswarm.data.bags.bag_cache import BagCache
from mediswarm.data.bags.bag_dataset import DRAWN_TILES, BagDataset
from mediswarm.data.bags.feature_file import read_header
from mediswarm.data.bags.feature_writer import write_features

EXTRACTOR = "synthetic"
TILE_UM = 256.0


def write_files(folder: Path, tiles: int, features: int) -> dict[str, Path]:
    """The same numbers in one piece, and in chunks of whole tiles compressed by gzip."""
    numbers = np.random.default_rng(0).standard_normal((tiles, features), np.float32).astype(np.float16)
    width = int(np.ceil(np.sqrt(tiles)))
    coords = TILE_UM * np.stack(np.divmod(np.arange(tiles), width), axis=1).astype(np.float32)
    files = {"one piece": folder / "plain.h5", "gzip": folder / "gzip.h5"}
    write_features(files["one piece"], numbers, coords, extractor=EXTRACTOR)
    with h5py.File(files["one piece"]) as plain, h5py.File(files["gzip"], "w") as packed:
        packed.create_dataset("feats", data=numbers, chunks=(min(64, tiles), features), compression="gzip")
        packed["coords"] = coords
        packed.attrs.update(plain.attrs)
    return files


def read_by_h5py(file: Path, rows: Any) -> tuple[Any, Any]:
    """The reference; `rows` is a slice or ascending numbers."""
    with h5py.File(file, "r") as opened:
        return opened["feats"][rows], opened["coords"][rows]


def measure(folder: Path, tiles: int, features: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each file and each way of reading it."""
    files = write_files(folder, tiles, features)
    cache = BagCache(folder / "scratch")
    return [row for stored, file in files.items() for row in measure_file(stored, file, cache, repeats)]


def measure_file(stored: str, file: Path, cache: BagCache, repeats: int) -> list[dict[str, Any]]:
    """The whole bag, and tiles at random."""
    header = read_header(file)
    bags = BagDataset(["patient"], [[file]], [[0.0]], {file: header}, cache=cache)
    start = time.perf_counter()
    whole = bags[0][0]["features"].numpy()
    first = time.perf_counter() - start
    if not np.array_equal(whole, read_by_h5py(file, slice(None))[0]):
        raise SystemExit(f"{stored}: the reader and h5py do not give the same numbers")
    drawn, rng, several = bags.drawn(seed=0), np.random.default_rng(0), min(DRAWN_TILES, header.tiles)

    def at_random() -> Any:
        return read_by_h5py(file, np.sort(rng.choice(header.tiles, several, replace=False)))

    whole_bag = _times(lambda _: bags[0], lambda: read_by_h5py(file, slice(None)), max(3, repeats // 10))
    some_tiles = _times(drawn.__getitem__, at_random, repeats)
    return [
        {
            "stored": stored,
            "read": what,
            "reader": _figures(ours, tiles, header.features),
            "h5py": _figures(reference, tiles, header.features),
            "ratio": reference / ours,
            "first_s": first,
        }
        for what, tiles, (ours, reference) in (
            ("whole bag", header.tiles, whole_bag),
            (f"{several} tiles at random", several, some_tiles),
        )
    ]


def _times(reader: Callable[[int], Any], reference: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of both, which take turns."""
    ours, others = [], []
    for turn in range(repeats):
        start = time.perf_counter()
        reader(turn)
        middle = time.perf_counter()
        reference()
        ours.append(middle - start)
        others.append(time.perf_counter() - middle)
    return statistics.median(ours), statistics.median(others)


def _figures(seconds: float, tiles: int, features: int) -> dict[str, float]:
    return {
        "s": seconds,
        "tiles_per_s": tiles / seconds,
        "mb_per_s": tiles * (2 * features + 8) / seconds / 1e6,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements for people."""
    lines = [f"{'stored':<10} {'read':<22} {'':6} {'ms':>9} {'tiles/s':>12} {'MB/s':>8}   ratio  first read"]
    for row in rows:
        for who in ("reader", "h5py"):
            figures = row[who]
            numbers = f"{1e3 * figures['s']:9.2f} {figures['tiles_per_s']:12,.0f} {figures['mb_per_s']:8,.0f}"
            end = f"   {row['ratio']:5.1f}  {row['first_s']:.2f} s" if who == "reader" else ""
            lines.append(f"{row['stored']:<10} {row['read']:<22} {who:<6} {numbers}{end}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=50_000, help="tiles of a bag (default: 50000)")
    parser.add_argument("--features", type=int, default=1536, help="features of a tile (default: 1536)")
    parser.add_argument("--repeats", type=int, default=100, help="draws that are timed (default: 100)")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    if min(arguments.tiles, arguments.features, arguments.repeats) < 1:
        parser.error("at least one tile, feature and repeat are needed")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.tiles, arguments.features, arguments.repeats)
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


if __name__ == "__main__":
    main()
