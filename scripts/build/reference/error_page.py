"""docs/errors.md: from the table of error codes and the exception tree."""

from __future__ import annotations

import re

from reference.markdown import GENERATED, table

from mediswarm import errors
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import MediSwarmError

INTRO = f"""\
# Errors

{GENERATED}

Every error says four things: a stable code, the place (file and line), the rule that was broken, and a hint
how to repair it. Scripts may rely on codes and exit codes; the wording of messages may change. With `--json`
the same stands on standard output as an object `error`.

```
error[MS-J003] my_question/job.yml:9: unknown key `training.batchsize`
  hint: Did you mean `batch_size`? Remove the key or correct its spelling.
```

Between sites only the code crosses. Message, path and traceback stay in the log of the site they concern.

## Exit codes
"""

SERIES = {
    "U": "Use of a command",
    "J": "Job files",
    "P": "Pipelines",
    "D": "A site's data",
    "C": "Agreement between sites",
    "R": "Runs",
    "A": "Models on disk",
    "E": "Evaluation",
    "H": "The machine",
    "F": "Federations and provisioning",
    "G": "Pretrained weights",
    "K": "Startup kits",
    "X": "Preparing images",
    "B": "Bags of features",
    "I": "Images",
    "N": "Running nodes and the network",
    "S": "Sessions and runs in a federation",
}

_BRANCH = re.compile(r"[├└]── (\w+) +exit \d+ +(.+)")


def error_page() -> str:
    """The page.

    Raises:
        KeyError: for a code whose letter is not among :data:`SERIES`.
    """
    lines = [INTRO, *table(("exit code", "error", "when"), _exit_codes())]
    codes: dict[str, list[tuple[str, str, str]]] = {letter: [] for letter in SERIES}
    for code, entry in sorted(ERROR_CODES.items()):
        codes[code[3]].append((f"`{code}`", entry.title, entry.resolve))
    for letter, rows in codes.items():
        lines += [f"## {SERIES[letter]}", "", *table(("code", "what", "what to do"), rows)]
    return "\n".join(lines).rstrip() + "\n"


def _exit_codes() -> list[tuple[str, str, str]]:
    """Exit codes from the classes, their meanings from the tree at the top of the errors module."""
    meanings = dict(_BRANCH.findall(errors.__doc__ or ""))
    return [
        ("0", "", "success; a warning is no failure"),
        (str(MediSwarmError.exit_code), f"`{MediSwarmError.__name__}`", "anything unforeseen"),
        *(
            (str(kind.exit_code), f"`{kind.__name__}`", meanings[kind.__name__])
            for kind in MediSwarmError.__subclasses__()
        ),
        ("130", "", "stopped from the keyboard"),
    ]
