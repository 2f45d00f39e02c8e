import errno
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from mediswarm.data.findings import Finding
from mediswarm.preflight import clock, device, memory, scratch
from mediswarm.preflight.clock import check_clock
from mediswarm.preflight.device import check_device
from mediswarm.preflight.host import check_host
from mediswarm.preflight.memory import check_memory, check_processors, check_shared_memory
from mediswarm.preflight.scratch import check_scratch
from mediswarm.preflight.software import check_software, mismatches

GIB = 1 << 30


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Memory(NamedTuple):
    total: int


def _is(finding: Finding, status: str, code: str | None, said: str) -> None:
    assert (finding.status, finding.code) == (status, code)
    assert said in finding.message
    assert code is None or finding.repair


def test_this_machine_can_run_the_tests(tmp_path: Path) -> None:
    findings = check_host(tmp_path)
    subjects = ["software", "device", "processors", "memory", "shared memory", "scratch", "disk", "clock"]
    assert [finding.subject for finding in findings] == subjects
    by_subject = {finding.subject: finding for finding in findings}
    assert all(by_subject[name].status == "PASS" for name in ("software", "processors", "scratch", "clock"))


def test_software_names_its_versions() -> None:
    finding = check_software()
    _is(finding, "PASS", None, f"torch {version('torch')}")
    assert "nvflare 2.9.0" in finding.message
    assert "Python 3." in finding.message


def test_missing_and_foreign_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["torch>=99", "a-package-that-is-not", "numpy>=1", 'other>=1; extra == "dev"']
    wrong = mismatches(wanted)
    assert wrong == [f"torch is {version('torch')}, not >=99", "a-package-that-is-not is missing"]
    monkeypatch.setattr("mediswarm.preflight.software.requires", lambda _: wanted)
    _is(check_software(), "FAIL", "MS-H010", "torch is")


def test_cpu_only_machine_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _is(check_device(tmp_path / "none"), "PASS", None, "training uses the CPU")


def test_r14_driver_without_a_usable_device_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    driver = tmp_path / "version"
    driver.touch()
    finding = check_device(driver)
    _is(finding, "WARN", "MS-H008", "finds no usable device")
    assert "--gpus" in (finding.repair or "")


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A stand-in for a CUDA device, which computes on the CPU."""
    ones = torch.ones

    def on_the_cpu(*shape: int, device: str) -> torch.Tensor:
        assert device == "cuda:0"
        return ones(*shape)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Accelerator")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (30 * GIB, 40 * GIB))
    monkeypatch.setattr(device.torch, "ones", on_the_cpu)
    return monkeypatch


def test_device_that_computes(one_device: pytest.MonkeyPatch) -> None:
    _is(check_device(), "PASS", None, "cuda:0 Accelerator, 30 of 40 GiB free")


def test_device_that_is_listed_but_does_not_compute(one_device: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: device lost\nmore lines")

    one_device.setattr(device.torch, "ones", fail)
    _is(check_device(), "FAIL", "MS-H002", "cuda:0 (Accelerator) does not compute: CUDA error: device lost")
    assert "more lines" not in check_device().message


def test_device_that_computes_wrongly(one_device: pytest.MonkeyPatch) -> None:
    zeros = torch.zeros(64, 64)
    one_device.setattr(device.torch, "ones", lambda *_, **__: zeros)
    _is(check_device(), "FAIL", "MS-H002", "computes wrongly")


def test_processors_are_those_of_this_process() -> None:
    finding = check_processors()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _is(finding, "PASS", None, str(count))


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_limit_of_the_container_counts_as_memory(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{GIB}\n")
    _is(check_memory(tmp_path), "WARN", "MS-H009", "1.0 GiB (limit of the container)")


@pytest.mark.parametrize("text", ["max\n", str(1 << 62), None])
def test_no_limit_leaves_the_memory_of_the_machine(monkeypatch, tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Memory(8 * GIB))
    _is(check_memory(tmp_path), "PASS", None, "8.0 GiB")
    assert "container" not in check_memory(tmp_path).message


@pytest.mark.parametrize(
    ("free", "status", "code"), [(GIB // 16, "WARN", "MS-H006"), (2 * GIB, "PASS", None)]
)
def test_r12_shared_memory(monkeypatch, tmp_path: Path, free: int, status: str, code: str | None) -> None:
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: Usage(2 * GIB, 0, free))
    finding = check_shared_memory(tmp_path)
    _is(finding, status, code, f"of 2.0 GiB free at {tmp_path}")
    assert code is None or "--shm-size" in (finding.repair or "")


def test_a_system_without_shared_memory_passes(tmp_path: Path) -> None:
    _is(check_shared_memory(tmp_path / "none"), "PASS", None, "is not used on this system")


def test_r13_scratch_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "scratch"
    finding, *_ = check_scratch(target)
    _is(finding, "FAIL", "MS-H001", "cannot be written")
    assert finding.file == str(target)


def test_r13_scratch_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", full)
    finding, *_ = check_scratch(tmp_path)
    _is(finding, "FAIL", "MS-H004", "No space left")


def test_r13_scratch_inside_the_data(tmp_path: Path) -> None:
    for inside in (tmp_path, tmp_path / "cache", tmp_path / "north" / ".." / "cache"):
        (finding,) = check_scratch(inside, tmp_path)
        _is(finding, "FAIL", "MS-H011", str(tmp_path))
    assert check_scratch(tmp_path.parent / "scratch", tmp_path)[0].status == "PASS"


def test_scratch_that_is_not_there_yet_is_not_made_by_looking(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "scratch"
    finding, *_ = check_scratch(target)
    _is(finding, "PASS", None, "can be made")
    assert not target.parent.exists()


@pytest.mark.parametrize(("free", "status"), [(GIB // 2, "FAIL"), (5 * GIB, "WARN"), (20 * GIB, "PASS")])
def test_r21_space_on_the_disk(monkeypatch, tmp_path: Path, free: int, status: str) -> None:
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: Usage(30 * GIB, 0, free))
    finding = check_scratch(tmp_path)[1]
    _is(finding, status, None if status == "PASS" else "MS-H005", f"{free / GIB:.1f} GiB free")
    assert finding.file == (None if status == "PASS" else str(tmp_path))


def test_r24_clock_behind_the_software(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 86400.0)
    finding = check_clock(tmp_path)
    _is(finding, "FAIL", "MS-H007", "the clock shows 1970-01-02 00:00 UTC")
    assert "certificates" in (finding.repair or "")


def test_r24_clock_apart_from_the_disks(monkeypatch, tmp_path: Path) -> None:
    now = time.time()
    monkeypatch.setattr(clock.time, "time", lambda: now + 7200)
    _is(check_clock(tmp_path), "FAIL", "MS-H007", "7200 s from that of the disk")


def test_clock_without_a_disk_to_compare_with_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _is(check_clock(tmp_path / "file" / "scratch"), "PASS", None, "not compared")
