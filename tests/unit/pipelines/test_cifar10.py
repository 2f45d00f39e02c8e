"""The CIFAR-10 pipeline: real files in every form, checksums, safe unpickling, division over sites."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import mediswarm
from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import DataError, JobError
from mediswarm.pipelines import Site
from mediswarm.pipelines.cifar10 import Cifar10, download, published
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import Job, load_job

JOB = Path(mediswarm.__file__).parents[1] / "jobs" / "cifar10"
SITES = ["A", "B", "C"]


def cifar(**changes: Any) -> Cifar10:
    return Cifar10(Cifar10.Config.model_validate({"sites": SITES, "alpha": 1.0, "width": 8} | changes))


def arrays(train: int = 400, test: int = 100) -> dict[str, np.ndarray]:
    """Classes told apart by their colour."""
    random = np.random.default_rng(0)
    made = {}
    for split, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 10
        images = random.integers(0, 60, size=(count, 32, 32, 3))
        hue = 2 * np.pi * (labels[:, None] / 10 + np.array([0, 1, 2]) / 3)
        images += (90 + 90 * np.cos(hue)).astype(int)[:, None, None, :]
        made |= {f"{split}_x": images.astype(np.uint8), f"{split}_y": labels}
    return made


def batches(of: dict[str, np.ndarray]) -> dict[str, bytes]:
    """The files of the published archive, as Python 2 with NumPy wrote them."""
    files = {}
    for index, name in enumerate((*published.TRAIN, published.TEST)):
        split = "test" if name == published.TEST else "train"
        chosen = slice(None) if split == "test" else slice(index, None, 5)
        images, labels = of[f"{split}_x"][chosen], of[f"{split}_y"][chosen]
        data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        files[name] = python2_pickle(np.ascontiguousarray(data), labels.tolist())
    return files


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """``{"data": data, "labels": labels}`` as Python 2.7 and NumPy 1 pickled it, opcode by opcode."""
    shape = b"".join(b"J" + size.to_bytes(4, "little") for size in data.shape) + b"\x86"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T"
        + data.nbytes.to_bytes(4, "little")
        + data.tobytes()
        + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u."


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """A small archive whose checksum counts as the published one."""
    return pack(tmp_path / "data", batches(arrays()), monkeypatch)


def pack(folder: Path, files: dict[str, bytes], monkeypatch) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / published.ARCHIVE
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{published.FOLDER}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    digests = {
        name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()
    }
    digests[published.ARCHIVE] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(published, "MD5", published.MD5 | digests)
    return path


def refused(data_dir: Path, code: str) -> DataError:
    with pytest.raises(DataError) as caught:
        cifar().data(Site("A", data_dir))
    assert caught.value.code == code
    return caught.value


def test_archive_folder_and_npz_are_the_same_data(archive, tmp_path):
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "extracted", filter="data")
    (tmp_path / "packed").mkdir()
    in_order = np.concatenate([np.arange(400)[part::5] for part in range(5)])
    of = arrays()
    of |= {"train_x": of["train_x"][in_order], "train_y": of["train_y"][in_order]}
    np.savez(tmp_path / "packed" / "cifar.npz", **of)
    read = [
        cifar().data(Site("B", folder))
        for folder in (archive.parent, tmp_path / "extracted", tmp_path / "packed")
    ]
    for other in read[1:]:
        assert read[0].train.ids == other.train.ids
        assert torch.equal(read[0].train.dataset.images, other.train.dataset.images)
        assert read[0].measured == other.measured
    image, label = read[0].train.dataset[0]
    assert (image.shape, image.dtype, label) == (
        (3, 32, 32),
        torch.float32,
        int(read[0].train.dataset.labels[0]),
    )


def test_sites_share_every_image_once(archive):
    shares = [cifar().data(Site(name, archive.parent)) for name in SITES]
    train = [case for share in shares for case in (*share.train.ids, *share.validation.ids)]
    assert sorted(train) == sorted(f"train-{index}" for index in range(400))
    assert sorted(case for share in shares for case in share.test.ids) == sorted(
        f"test-{i}" for i in range(100)
    )
    assert all(
        len(share.validation) == round(0.1 * (len(share.train) + len(share.validation))) for share in shares
    )


def test_alpha_decides_how_much_the_sites_differ(archive):
    def spread(alpha: float) -> float:
        pipeline = cifar(alpha=alpha)
        counts = [
            np.bincount(pipeline.targets(pipeline.data(Site(name, archive.parent)).train), minlength=10)
            for name in SITES
        ]
        return float(np.std(np.array(counts), axis=0).mean())

    assert spread(0.3) > 3 * spread(1000.0)


def test_the_division_follows_from_the_seed(archive):
    site = Site("A", archive.parent)
    assert cifar(seed=1).data(site).train.ids == cifar(seed=1).data(site).train.ids
    assert cifar(seed=1).data(site).train.ids != cifar(seed=2).data(site).train.ids


def test_a_division_that_leaves_a_site_empty_is_refused(archive):
    with pytest.raises(JobError, match=r"config\.alpha") as caught:
        cifar(alpha=0.001, sites=[f"s{i}" for i in range(30)]).data(Site("s0", archive.parent))
    assert caught.value.code == "MS-J006"


def test_an_undeclared_site_is_refused(archive):
    with pytest.raises(DataError, match="A, B, C") as caught:
        cifar().data(Site("D", archive.parent))
    assert caught.value.code == "MS-D244"
    assert "`sites`" in caught.value.repair


def test_sites_are_declared_once():
    assert cifar().sites(None) == SITES
    with pytest.raises(ValidationError, match="twice"):
        cifar(sites=["A", "A"])


def test_a_damaged_archive_is_refused(archive):
    archive.write_bytes(archive.read_bytes()[:-20])
    error = refused(archive.parent, "MS-D242")
    assert error.file == str(archive)
    assert "download it again" in error.repair


def test_a_damaged_batch_is_refused(archive, tmp_path):
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "extracted", filter="data")
    batch = tmp_path / "extracted" / published.FOLDER / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert refused(tmp_path / "extracted", "MS-D242").file == str(batch)
    batch.unlink()
    error = refused(tmp_path / "extracted", "MS-D241")
    assert error.file == str(batch)
    assert "Extract the whole archive" in error.repair


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    files = batches(arrays()) | {"data_batch_2": pickle.dumps({b"data": Hostile(), b"labels": []})}
    path = pack(tmp_path / "data", files, monkeypatch)
    error = refused(path.parent, "MS-D243")
    assert "builtins.exec" in error.message
    assert error.file == str(path)


def test_an_incomplete_archive_is_refused(tmp_path, monkeypatch):
    files = batches(arrays())
    files.pop("data_batch_5")
    path = pack(tmp_path / "data", files, monkeypatch)
    assert "data_batch_5" in refused(path.parent, "MS-D241").message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"train_x": np.zeros((4, 32, 32, 3), np.uint8)}, "train_y"),
        (arrays() | {"train_x": np.zeros((400, 3, 32, 32), np.uint8)}, "train_x is uint8 of shape"),
        (arrays() | {"test_x": np.zeros((100, 32, 32, 3), np.float32)}, "test_x is float32"),
        (arrays() | {"train_y": np.arange(400)}, "class indices from 0 to 9"),
        (arrays() | {"train_y": np.array([object()] * 400)}, "ValueError"),
    ],
)
def test_an_npz_of_another_make_is_refused(tmp_path, content, said):
    np.savez(tmp_path / "cifar.npz", **content)
    error = refused(tmp_path, "MS-D241")
    assert said in error.message
    assert error.file.endswith("cifar.npz")


def test_no_data_and_several_files_are_refused(tmp_path):
    assert published.ARCHIVE in refused(tmp_path, "MS-D241").repair
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **arrays())
    assert "2 .npz files" in refused(tmp_path, "MS-D241").message
    with pytest.raises(DataError) as caught:
        cifar().data(Site("A"))
    assert caught.value.code == "MS-D002"


def test_download_fetches_once_and_checks(archive, tmp_path):
    target = tmp_path / "target"
    assert download(target, archive.as_uri()) == target / published.ARCHIVE
    assert (target / published.ARCHIVE).read_bytes() == archive.read_bytes()
    assert [entry.name for entry in target.iterdir()] == [published.ARCHIVE]
    archive.unlink()
    download(target, archive.as_uri())  # there already: not fetched again


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def mirror(tmp_path):
    """A server on this machine; gives its address and the folder it serves."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def test_a_failed_download_leaves_nothing_behind(tmp_path, mirror):
    address, folder = mirror
    with pytest.raises(DataError, match="404") as caught:
        download(tmp_path / "target", f"{address}/{published.ARCHIVE}")
    assert caught.value.code == "MS-D245"
    assert "proxy" in caught.value.repair
    (folder / published.ARCHIVE).write_bytes(b"a captive portal's page")
    with pytest.raises(DataError) as caught:
        download(tmp_path / "target", f"{address}/{published.ARCHIVE}")
    assert caught.value.code == "MS-D242"
    assert list((tmp_path / "target").iterdir()) == []


def test_download_over_http(archive, tmp_path, mirror):
    address, folder = mirror
    (folder / published.ARCHIVE).write_bytes(archive.read_bytes())
    assert download(tmp_path / "target", f"{address}/{published.ARCHIVE}").is_file()


def test_augmentation_moves_and_mirrors_and_is_reproducible(archive):
    pipeline = cifar()
    images = torch.rand(64, 3, 32, 32)
    first, labels = pipeline.augment(images, torch.arange(64), torch.Generator().manual_seed(1))
    again, _ = pipeline.augment(images, torch.arange(64), torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert torch.equal(labels, torch.arange(64))
    centre = images[:, :, 12:20, 12:20]
    found = [0, 0]
    for image, wanted in zip(first, centre, strict=True):
        patches = image.unfold(1, 8, 1).unfold(2, 8, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 8, 8)
        for candidate, mirrored in ((wanted, False), (wanted.flip(2), True)):
            if (patches == candidate).flatten(1).all(dim=1).any():
                found[mirrored] += 1
                break
    assert sum(found) == 64
    assert min(found) > 16


def test_cases_are_the_same_whenever_they_are_asked_for(archive):
    """E5: augmentation happens on training batches alone."""
    pipeline = cifar()
    site = Site("A", archive.parent)
    data = pipeline.data(site)
    assert torch.equal(data.validation.dataset[0][0], data.validation.dataset[0][0])


def test_the_interface_is_kept(archive):
    job = load_job(JOB)
    job = job.varied(config=job.config | {"width": 8})
    assert {finding.status for finding in check_pipeline(job, archive.parent)} == {"PASS"}


def test_the_shipped_job_learns(archive, tmp_path):
    document = load_job(JOB).model_dump()
    document["config"] |= {"sites": SITES, "width": 8, "alpha": 10.0}
    document["workflow"] |= {"rounds": 4}
    document["training"] |= {
        "local": {"epochs": 2},
        "batch_size": 16,
        "optimizer": {"name": "adamw", "lr": 0.003},
    }
    run = ReferenceRun(
        Job.model_validate(document), [Site(name, archive.parent) for name in SITES], tmp_path / "run"
    )
    record = run.run()
    assert record["state"] == "succeeded"
    assert record["best"]["value"] > 0.8
