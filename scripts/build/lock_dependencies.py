"""Write the lock files: every dependency with version and hashes, for all supported Pythons.

    pip install uv && python scripts/build/lock_dependencies.py

Two files come out, because torch exists in two legitimate builds. Both satisfy
``docker_config/requirements.lock``; the public build for Linux needs NVIDIA's
libraries beside it, which stand in ``docker_config/requirements-cuda.lock`` and
are installed only where that build is.
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
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton==)")


def main() -> None:
    """Resolve, split, and write both files."""
    with tempfile.TemporaryDirectory() as folder:
        constraint, resolved = Path(folder) / "constraint.txt", Path(folder) / "resolved.txt"
        constraint.write_text(f"torch=={TORCH}\n")
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "-q",
            "--universal",
            "--python-version",
            "3.10",
        ]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--extra", "dev", "pyproject.toml"]
        subprocess.run([*command, "-c", str(constraint), "-o", str(resolved)], cwd=ROOT, check=True)
        entries = re.split(r"\n(?=\S)", resolved.read_text().strip())
    cuda = [entry for entry in entries if CUDA_ONLY.match(entry)]
    other = [_with_cpu_builds(entry) for entry in entries if not CUDA_ONLY.match(entry)]
    header = "# Written by scripts/build/lock_dependencies.py; do not edit.\n"
    (ROOT / "docker_config" / "requirements.lock").write_text(header + "\n".join(other) + "\n")
    (ROOT / "docker_config" / "requirements-cuda.lock").write_text(header + "\n".join(cuda) + "\n")


def _with_cpu_builds(entry: str) -> str:
    if not entry.startswith(f"torch=={TORCH}"):
        return entry
    return entry + "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_BUILDS.values())


if __name__ == "__main__":
    main()
