"""The crossing dataclasses as NVFlare messages and back.

A message holds named tensors, numbers, and short texts, in the fields of one
dataclass of :mod:`mediswarm.training.crossing`; an error is a stable code.
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.tensor_disk_offload_context import _TENSOR_DISK_OFFLOAD_ROOT_DIR
from nvflare.app_opt.pt.decomposers import TensorDecomposer
from nvflare.fuel.utils import fobs
from nvflare.fuel.utils.fobs import FOBSContextKey, datum

from mediswarm.errors import RunCrashed
from mediswarm.training.tensor_views import Shape, TensorView, shape_in, tensor_in

T = TypeVar("T")
_ERROR = "mediswarm_error"
_COPIED_BYTES = 1 << 16
"""Up to here bytes are copied into a message; more are a piece of their own."""

INTRODUCE, MEASURE, CONTRIBUTE, JUDGE = "introduce", "measure", "contribute", "judge"
AGGREGATE = "aggregate"


def prepare_tensors() -> None:
    """Let torch tensors travel as safetensors bytes; needed once in every process.

    Bytes above a limit, NVFlare's of 10 MiB, are sent as they are and shared by all receivers; what is
    below it is copied into every message, and again where it arrives. Each tensor is one such piece.
    """
    fobs.register(TensorDecomposer)
    datum.TEN_MEGA = _COPIED_BYTES


def receive_on_disk(fl_ctx: FLContext, folder: Path) -> None:
    """Let tensors that arrive here wait on disk until they are summed, however many sites send them.

    NVFlare's own helper takes the system's temporary directory, which in a container is memory.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
    folder.mkdir(parents=True)
    context = {FOBSContextKey.TENSOR_DISK_OFFLOAD: True, _TENSOR_DISK_OFFLOAD_ROOT_DIR: str(folder)}
    cell = fl_ctx.get_engine().get_cell()
    if cell is not None:
        cell.update_fobs_context(context)


def at_hand(tensors: Any) -> TensorView:
    """Named tensors, each read when it is asked for if it waits on disk; the files go with the view."""

    def read(name: str) -> torch.Tensor:
        value = tensors[name]
        return value if isinstance(value, torch.Tensor) else tensor_in(value.file_path, value.key)

    def shape(name: str) -> Shape:
        value = tensors[name]
        return tuple(value.shape) if isinstance(value, torch.Tensor) else shape_in(value.file_path, value.key)

    return TensorView(list(tensors), read, shape)


def pack(value: Any) -> Shareable:
    """A dataclass as a message; tensors are not copied."""
    message = Shareable()
    for field in fields(value):
        message[field.name] = getattr(value, field.name)
    return message


def unpack(kind: type[T], message: Shareable) -> T:
    """A message as the dataclass `kind`.

    Raises:
        RunCrashed: MS-R008 when a field is missing.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    missing = [name for name in names if name not in message]
    if missing:
        raise RunCrashed("MS-R008", f"a message of kind {kind.__name__} came without {', '.join(missing)}")
    return kind(**{name: message[name] for name in names})


def pack_error(code: str) -> Shareable:
    """What a site answers when it cannot: the stable code and nothing else."""
    message = Shareable()
    message[_ERROR] = code
    return message


def error_in(message: Shareable) -> str | None:
    """The code of a failed answer; None for a good one."""
    if _ERROR in message:
        return str(message[_ERROR])
    if message.get_return_code() == ReturnCode.TASK_ABORTED:
        return "MS-R007"
    return None if message.get_return_code() == ReturnCode.OK else "MS-R006"
