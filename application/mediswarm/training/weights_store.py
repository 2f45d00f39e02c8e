"""The weights store: pretrained weights as safetensors files, found by their digest.

::

    <store>/<SHA-256>/<NAME>.safetensors

Where the store is does not change what is trained: a job names the digest.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import safetensors

from mediswarm.errors import NO_ROOM, ArtefactError, UsageError
from mediswarm.spec import sha256_of_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PICKLES = (b"PK\x03\x04", b"\x80")
"""How files of torch.save begin, in today's zip form and before that."""


@dataclass(frozen=True)
class StoredWeights:
    """One file of the store."""

    name: str
    sha256: str
    file: Path
    tensors: int
    bytes: int


def default_store() -> Path:
    """The folder of the store where none is named: in the account's home; it need not be there."""
    return Path.home() / ".local" / "share" / "mediswarm" / "weights"


def add_weights(file: Path, name: str, store: Path, sha256: str | None = None) -> StoredWeights:
    """Copy a safetensors file into the store; a file that is there already stays as it is.

    Args:
        file: what to copy.
        name: what people call it, without an ending.
        store: the store's folder, made where it is missing.
        sha256: the digest that its publisher names, if there is one.

    Raises:
        UsageError: MS-U001 when there is no such file, MS-U003 when other weights have this name,
            MS-U006 when the store cannot be written.
        ArtefactError: MS-G001 for what is not safetensors, MS-G002 for another digest, MS-G005 for
            a name that cannot be.
        OSError: when the disk is full.
    """
    if not _NAME.fullmatch(name):
        raise ArtefactError("MS-G005", f"{name!r} cannot be a name of weights")
    if not file.is_file():
        raise UsageError("MS-U001", "there is no such file", file=file)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=store) as folder:
            # what is checked is the copy: the original may change meanwhile
            copy = Path(folder) / f"{name}.safetensors"
            shutil.copyfile(file, copy)
            return _place(copy, file, store, sha256)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise UsageError(
            "MS-U006", f"the weights cannot be copied: {error.strerror}", file=error.filename or store
        ) from error


def find_weights(sha256: str, store: Path) -> StoredWeights:
    """The weights of a digest, with their bytes checked against it.

    Raises:
        ArtefactError: MS-G003 when they are not there, MS-G002 when the file was changed.
    """
    found = sorted((store / sha256).glob("*.safetensors"))
    if not found:
        raise ArtefactError(
            "MS-G003", f"the weights store holds no weights with the SHA-256 {sha256}", file=store
        )
    _require_digest(found[0], found[0], sha256)
    return _described(found[0], sha256)


def _place(copy: Path, original: Path, store: Path, wanted: str | None) -> StoredWeights:
    _require_safetensors(copy, original)
    digest = _require_digest(copy, original, wanted)
    for other in store.glob(f"*/{copy.name}"):
        if other.parent.name not in (digest, copy.parent.name):
            raise UsageError(
                "MS-U003", f"other weights have this name, with the SHA-256 {other.parent.name}", file=other
            )
    target = store / digest
    if not (there := sorted(target.glob("*.safetensors"))):
        copy.chmod(0o644)
        target.mkdir(exist_ok=True)
        there = [copy.replace(target / copy.name)]
    return _described(there[0], digest)


def _described(file: Path, digest: str) -> StoredWeights:
    with safetensors.safe_open(file, framework="pt") as opened:
        return StoredWeights(file.stem, digest, file, len(opened.keys()), file.stat().st_size)


def _require_safetensors(copy: Path, original: Path) -> None:
    with copy.open("rb") as stream:
        head = stream.read(4)
    if head.startswith(_PICKLES):
        raise ArtefactError(
            "MS-G001", "this is a pickle, as torch.save writes; reading one can run code", file=original
        )
    try:
        with safetensors.safe_open(copy, framework="pt") as opened:
            opened.keys()
    except safetensors.SafetensorError as error:
        raise ArtefactError("MS-G001", f"this is not safetensors ({error})", file=original) from error


def _require_digest(file: Path, named: Path, wanted: str | None) -> str:
    digest = sha256_of_file(file)
    if wanted is not None and digest != wanted.lower():
        raise ArtefactError("MS-G002", f"the file's SHA-256 is {digest}, not {wanted}", file=named)
    return digest
