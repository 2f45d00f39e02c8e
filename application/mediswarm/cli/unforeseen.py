"""What nobody foresaw, as an error with a code: whose file it happened in, and where its traceback is."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from mediswarm.errors import HostError, MediSwarmError, PipelineError, code_of


def explained(error: Exception) -> MediSwarmError:
    """`error` as the pipeline's fault (MS-P003) if a job's own file raised it, else the machine's or MS-R001.

    The traceback goes to a temporary file, which the error names.
    """
    if code_of(error) != "MS-R001":
        return HostError(code_of(error), str(error))
    with tempfile.NamedTemporaryFile("w", prefix="mediswarm-", suffix=".log", delete=False) as stream:
        traceback.print_exception(error, file=stream)
    said = f"{type(error).__name__}: {error}"
    folders = _job_folders()
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent in folders]
    if not own:
        return MediSwarmError("MS-R001", said, file=Path(stream.name))
    return PipelineError(
        "MS-P003",
        f"it raised {said}",
        repair=f"Mend the line named; the traceback is in {stream.name}.",
        file=own[-1].filename,
        line=own[-1].lineno,
    )


def _job_folders() -> set[Path]:
    """Where the pipelines that jobs brought along were loaded from."""
    find = sys.modules.get("mediswarm.pipelines.find")
    if find is None:
        return set()
    loaded = [module for name, module in sys.modules.items() if name.startswith(find.MODULE_PREFIX)]
    return {Path(module.__file__).parent for module in loaded if module.__file__}
