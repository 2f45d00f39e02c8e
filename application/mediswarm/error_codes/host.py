"""Codes of machines."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # host
    "MS-H001": ErrorCode("The scratch directory cannot be written", "Choose a writable --scratch directory."),
    "MS-H002": ErrorCode(
        "The device asked for is not there",
        "Run `mediswarm doctor` to see what torch finds; use --device cpu.",
    ),
    "MS-H003": ErrorCode(
        "Out of memory", "Lower training.batch_size and raise training.accumulate by the same factor."
    ),
    "MS-H004": ErrorCode(
        "The disk is full", "Free space at the path or the sites named; the last good model is intact."
    ),
    "MS-H005": ErrorCode(
        "Little space is left for the scratch directory",
        "Free space there, or choose a --scratch directory on a larger disk.",
    ),
    "MS-H006": ErrorCode(
        "Shared memory is small",
        "Start the container with --shm-size=2g; data-loader workers die with a bus error when it is full.",
    ),
    "MS-H007": ErrorCode(
        "The clock is wrong",
        "Set the clock by NTP; with a wrong one, certificates look expired or not yet valid.",
    ),
    "MS-H008": ErrorCode(
        "There is an NVIDIA driver, but torch cannot use a device",
        "Start the container with --gpus all, and use a torch build for CUDA that fits the driver.",
    ),
    "MS-H009": ErrorCode(
        "Little memory", "Give the machine or container at least 4 GiB, or train with a small batch."
    ),
    "MS-H010": ErrorCode(
        "Required packages are missing or of another version",
        "Install MediSwarm again in a fresh environment, from its locked requirements.",
    ),
    "MS-H011": ErrorCode(
        "The scratch directory lies inside the data directory",
        "Choose a --scratch directory elsewhere; a site's data is only read.",
    ),
    "MS-H012": ErrorCode(
        "A network needs a package that is not there",
        "Use another backbone, or an image made for CUDA, whose torchvision fits its torch (the CPU build of "
        "torch has none); any other breaks more than this network.",
    ),
}
