"""A working skeleton of a job, made from the smallest complete example."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mediswarm.errors import UsageError
from mediswarm.spec.catalogue import JOBS
from mediswarm.spec.job import NAME_PATTERN

EXAMPLE = JOBS / "minimal_training_pytorch_cnn"


def write_skeleton(name: str, into: Path) -> Path:
    """Write ``<into>/<name>`` with job.yml, pipeline.py and README.md; it passes the contract test as it is.

    Raises:
        UsageError: MS-U003 when the folder exists, MS-U004 for a name that no job can have.
    """
    if not re.match(NAME_PATTERN, name):
        raise UsageError(
            "MS-U004",
            f"{name!r} cannot be a job's name",
            repair="Use letters, digits, - and _, starting with a letter, at most 63.",
        )
    folder = into / name
    if folder.exists():
        raise UsageError("MS-U003", "the folder exists already", file=folder)
    folder.mkdir(parents=True)
    shutil.copyfile(EXAMPLE / "pipeline.py", folder / "pipeline.py")
    text = (EXAMPLE / "job.yml").read_text(encoding="utf-8")
    (folder / "job.yml").write_text(text.replace(EXAMPLE.name, name), encoding="utf-8")
    (folder / "README.md").write_text(
        f"# {name}\n\nWhich clinical question this job answers, on which data,\n"
        "and how a result is to be read.\n\n"
        f"    mediswarm job test {name}\n    mediswarm simulate {name}\n",
        encoding="utf-8",
    )
    return folder
