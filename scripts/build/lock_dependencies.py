"""Write the lock files: every dependency with version and hashes, for all supported Pythons.

    pip install uv && python scripts/build/lock_dependencies.py

Three files come out in ``docker_config``: ``requirements.lock`` is what MediSwarm
runs with, and all that goes into an image; ``requirements-dev.lock`` is what the
tests and checks need besides. The public build of torch for Linux needs NVIDIA's
libraries beside it; they stand in ``requirements-cuda.lock`` and are installed
only where that build is, and so is torchvision, which has no build for the other.
Either build of torch satisfies the first file.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TORCH = "2.13.0"
CPU_BUILDS = {
    "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl":
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
}  # fmt: skip
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton==|torchvision==)")


def main() -> None:
    """Resolve twice, with and without what the tests need, and write the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        constraint = folder / "torch.txt"
        constraint.write_text(f"torch=={TORCH}\n")
        everything = _resolved(folder / "all.txt", constraint, "--extra", "dev", "--extra", "video")
        images = _resolved(folder / "runtime.txt", folder / "all.txt", "--extra", "dicom")
        runtime = {_pin(entry) for entry in images}
    cuda = [entry for entry in everything if CUDA_ONLY.match(entry)]
    other = [_with_cpu_builds(entry) for entry in everything if not CUDA_ONLY.match(entry)]
    _write("requirements.lock", [entry for entry in other if _pin(entry) in runtime])
    _write("requirements-dev.lock", [entry for entry in other if _pin(entry) not in runtime])
    _write("requirements-cuda.lock", cuda)


def _resolved(out: Path, constraint: Path, *extra: str) -> list[str]:
    """One entry for each package: its pin, its marker and its hashes."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "--universal", "--python-version", "3.10"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", *extra, "pyproject.toml"]
    subprocess.run([*command, "-c", str(constraint), "-o", str(out)], cwd=ROOT, check=True)
    return re.split(r"\n(?=\S)", out.read_text().strip())


def _pin(entry: str) -> str:
    return entry.split(maxsplit=1)[0]


def _write(name: str, entries: list[str]) -> None:
    header = "# Written by scripts/build/lock_dependencies.py; do not edit.\n"
    (ROOT / "docker_config" / name).write_text(header + "\n".join(entries) + "\n")


def _with_cpu_builds(entry: str) -> str:
    if not entry.startswith(f"torch=={TORCH}"):
        return entry
    return entry + "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_BUILDS.values())


if __name__ == "__main__":
    main()
