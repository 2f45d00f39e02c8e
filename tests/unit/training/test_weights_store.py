"""Pretrained weights come in as safetensors alone, and go out as what they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from mediswarm.errors import ArtefactError, UsageError
from mediswarm.spec import sha256_of_file
from mediswarm.training.weights_store import add_weights, default_store, find_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "downloaded.safetensors"
    safetensors.torch.save_file({"a": torch.arange(3.0), "b": torch.ones(2, 2)}, path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_weights_are_found_by_their_digest(file: Path, store: Path) -> None:
    added = add_weights(file, "small-net", store)
    assert added.sha256 == sha256_of_file(file)
    assert (added.tensors, added.bytes) == (2, file.stat().st_size)
    assert find_weights(added.sha256, store) == added
    file.unlink()
    assert safetensors.torch.load_file(added.file)["a"].tolist() == [0, 1, 2]
    assert [path.name for path in store.iterdir()] == [added.sha256]  # nothing half done is left


def test_the_same_file_twice_is_there_once(file: Path, store: Path) -> None:
    added = add_weights(file, "small-net", store)
    assert add_weights(file, "another-name", store) == added
    assert len(list(store.rglob("*.safetensors"))) == 1


def test_a_name_belongs_to_one_file(file: Path, store: Path) -> None:
    first = add_weights(file, "small-net", store)
    safetensors.torch.save_file({"a": torch.zeros(3)}, file)
    with pytest.raises(UsageError, match=first.sha256) as caught:
        add_weights(file, "small-net", store)
    assert caught.value.code == "MS-U003"


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused(zipped: bool, tmp_path: Path, store: Path) -> None:
    file = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ArtefactError, match="this is a pickle") as caught:
        add_weights(file, "small-net", store)
    assert (caught.value.code, caught.value.file) == ("MS-G001", str(file))
    assert not list(store.iterdir())


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_what_is_not_safetensors_is_refused(damage: str, file: Path, store: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-1], "empty": b"", "text": b"a page that says 404 not found"}[damage])
    with pytest.raises(ArtefactError, match="this is not safetensors") as caught:
        add_weights(file, "small-net", store)
    assert caught.value.code == "MS-G001"


def test_the_publishers_digest_is_held_to(file: Path, store: Path) -> None:
    digest = sha256_of_file(file)
    assert add_weights(file, "small-net", store, digest.upper()).sha256 == digest
    with pytest.raises(ArtefactError, match=f"SHA-256 is {digest}, not {'0' * 64}") as caught:
        add_weights(file, "other", store, "0" * 64)
    assert caught.value.code == "MS-G002"


def test_bytes_that_changed_in_the_store_are_refused(file: Path, store: Path) -> None:
    added = add_weights(file, "small-net", store)
    safetensors.torch.save_file({"a": torch.zeros(3)}, added.file)
    with pytest.raises(ArtefactError) as caught:
        find_weights(added.sha256, store)
    assert caught.value.code == "MS-G002"


def test_weights_that_are_not_there(store: Path) -> None:
    with pytest.raises(ArtefactError, match="holds no weights with the SHA-256 000") as caught:
        find_weights("0" * 64, store)
    assert (caught.value.code, caught.value.file) == ("MS-G003", str(store))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 64])
def test_names_that_are_no_file_names_are_refused(name: str, file: Path, store: Path) -> None:
    with pytest.raises(ArtefactError) as caught:
        add_weights(file, name, store)
    assert caught.value.code == "MS-G005"


def test_a_store_that_cannot_be_written(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        add_weights(file, "small-net", file / "store")
    assert caught.value.code == "MS-U006"
    with pytest.raises(UsageError) as caught:
        add_weights(tmp_path / "missing", "small-net", tmp_path / "store")
    assert caught.value.code == "MS-U001"


def test_the_store_of_the_account_is_in_its_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store() == tmp_path / ".local" / "share" / "mediswarm" / "weights"
