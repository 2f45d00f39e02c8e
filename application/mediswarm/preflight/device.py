"""Which devices torch can compute on, tried rather than believed."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from mediswarm.data.findings import Finding
from mediswarm.errors import HostError

_GIB = 1 << 30
_DRIVER = Path("/proc/driver/nvidia/version")


def check_device(driver: Path = _DRIVER) -> Finding:
    """Every CUDA device multiplies a matrix; a machine without any trains on its CPU.

    Args:
        driver: the file that exists where an NVIDIA driver is loaded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a driver it cannot use; the finding says it better
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return _tried(count)
    if driver.exists():
        kind = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        error = HostError("MS-H008", f"the driver is loaded, but torch ({kind}) finds no usable device")
        return Finding("WARN", "device", error.message, error.code, error.repair)
    return Finding.passed("device", "no CUDA device; training uses the CPU")


def require_device(name: str) -> None:
    """Raises HostError MS-H002 for a device that torch does not know or does not find."""
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not index.isdecimal()):
        raise HostError(
            "MS-H002", f"there is no device {name!r}", repair="Use cpu, cuda, or cuda:1 and so on."
        )
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise HostError("MS-H002", f"device {name} was asked for, but torch finds {count} CUDA device(s)")


def _tried(count: int) -> Finding:
    devices = []
    for index in range(count):
        name = torch.cuda.get_device_name(index)
        try:
            ones = torch.ones(64, 64, device=f"cuda:{index}")
            right = bool((ones @ ones == ones.shape[0]).all())
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            return Finding.of(
                HostError("MS-H002", f"cuda:{index} ({name}) does not compute: {reason}"), "device"
            )
        if not right:
            return Finding.of(HostError("MS-H002", f"cuda:{index} ({name}) computes wrongly"), "device")
        devices.append(f"cuda:{index} {name}, {free / _GIB:.0f} of {total / _GIB:.0f} GiB free")
    return Finding.passed("device", "; ".join(devices))
