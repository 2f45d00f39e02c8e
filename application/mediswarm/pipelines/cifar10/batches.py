"""Reading CIFAR-10: the published archive, its extracted folder, or one .npz file."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mediswarm.errors import DataError
from mediswarm.pipelines.cifar10.published import ARCHIVE, CLASSES, FOLDER, TEST, TRAIN, check_published

Array = np.ndarray[Any, np.dtype[Any]]
_IMAGE = (32, 32, 3)
_RECONSTRUCT = np.empty(0).__reduce__()[0]  # NumPy's own way to rebuild an array, wherever it lives
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}

_ALLOWED = {"_reconstruct": _RECONSTRUCT, "ndarray": np.ndarray, "dtype": np.dtype}


@dataclass(frozen=True)
class Images:
    """All of CIFAR-10: uint8 images [n, 32, 32, 3] and int64 class indices [n]."""

    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array


def read_images(data_dir: Path) -> Images:
    """Read the data set from the one form in which `data_dir` holds it.

    Raises:
        DataError: MS-D241 none or several, or not to be read; MS-D242 not the
            published file; MS-D243 a pickle that asks for code.
    """
    archive, folder = data_dir / ARCHIVE, data_dir / FOLDER
    if archive.is_file():
        check_published(archive)
        return _from_archive(archive)
    if folder.is_dir():
        return _from_folder(folder)
    packed = sorted(data_dir.glob("*.npz"))
    if len(packed) == 1:
        return _from_npz(packed[0])
    raise DataError(
        "MS-D241",
        f"there is no {ARCHIVE}, no folder {FOLDER}, and {len(packed) or 'no'} .npz"
        f" file{'s' if len(packed) > 1 else ''}",
        file=data_dir,
    )


def _from_archive(archive: Path) -> Images:
    try:
        with tarfile.open(archive) as opened:
            content = {}
            for name in (*TRAIN, TEST):
                member = opened.extractfile(f"{FOLDER}/{name}")
                content[name] = member.read() if member else b""
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise DataError("MS-D241", f"the archive lacks a batch ({error})", file=archive) from error
    return _joined({name: _batch(data, archive) for name, data in content.items()})


def _from_folder(folder: Path) -> Images:
    batches = {}
    for name in (*TRAIN, TEST):
        file = folder / name
        if not file.is_file():
            raise DataError(
                "MS-D241", "this batch is missing", repair="Extract the whole archive again.", file=file
            )
        check_published(file)
        batches[name] = _batch(file.read_bytes(), file)
    return _joined(batches)


def _joined(batches: dict[str, tuple[Array, Array]]) -> Images:
    train_x, train_y = zip(*(batches[name] for name in TRAIN), strict=True)
    return Images(np.concatenate(train_x), np.concatenate(train_y), *batches[TEST])


def _batch(content: bytes, file: Path) -> tuple[Array, Array]:
    try:
        held = _ArraysOnly(io.BytesIO(content), file).load()
        images = np.asarray(held[b"data"], dtype=np.uint8).reshape(-1, 3, *_IMAGE[:2]).transpose(0, 2, 3, 1)
        return images, np.asarray(held[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
        raise DataError("MS-D241", f"a batch cannot be read ({type(error).__name__})", file=file) from error


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds NumPy arrays and plain Python values; anything else would run code of the file's choice."""

    def __init__(self, stream: io.BytesIO, file: Path) -> None:
        super().__init__(stream, encoding="bytes")
        self.file = file

    @override
    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name in _MODULES and global_name in _ALLOWED:
            return _ALLOWED[global_name]
        raise DataError("MS-D243", f"the file asks for {module_name}.{global_name}", file=self.file)


def _from_npz(file: Path) -> Images:
    try:
        with np.load(file, allow_pickle=False) as held:
            parts = {key: held[key] for key in ("train_x", "train_y", "test_x", "test_y")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            "MS-D241",
            f"it cannot be read as train_x, train_y, test_x, test_y ({type(error).__name__})",
            repair="Write the four arrays with numpy.savez, or use the published archive.",
            file=file,
        ) from error
    for split in ("train", "test"):
        images, labels = parts[f"{split}_x"], parts[f"{split}_y"]
        if images.dtype != np.uint8 or images.shape != (len(labels), *_IMAGE):
            raise DataError(
                "MS-D241",
                f"{split}_x is {images.dtype} of shape {images.shape}, not uint8 of shape "
                f"({len(labels)}, 32, 32, 3), for {len(labels)} labels",
                file=file,
            )
        if not len(labels) or labels.min() < 0 or labels.max() >= len(CLASSES):
            raise DataError("MS-D241", f"{split}_y must hold class indices from 0 to 9", file=file)
    return Images(
        parts["train_x"],
        parts["train_y"].astype(np.int64).reshape(-1),
        parts["test_x"],
        parts["test_y"].astype(np.int64).reshape(-1),
    )
