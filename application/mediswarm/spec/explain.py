"""A pydantic validation error as a :class:`JobError` that names key, line and repair."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mediswarm.errors import JobError
from mediswarm.spec.yaml_lines import KeyPath


def explain(
    error: ValidationError,
    model: type[BaseModel],
    file: Path | None,
    lines: dict[KeyPath, int],
    prefix: KeyPath = (),
    code: str | None = None,
) -> JobError:
    """The first problem of `error` in plain words; the others are counted.

    Args:
        error: what pydantic found.
        model: the model that was validated, for suggestions of key names.
        file: the file the values came from.
        lines: line of each key, from :func:`mediswarm.spec.yaml_lines.read_yaml`.
        prefix: where the validated section stands in the file, such as ``("config",)``.
        code: overrides the code (a pipeline's own config uses MS-J009).
    """
    problems = error.errors()
    first = problems[0]
    at = _place(prefix, first, lines)
    shown = ".".join(str(part) for part in at) or "the document"
    message, repair, own_code = _say(first, shown, model)
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more)"
    return JobError(code or own_code, message, repair=repair, file=file, line=_line(at, lines))


def _place(prefix: KeyPath, problem: Any, lines: dict[KeyPath, int]) -> KeyPath:
    """Where the problem stands in the file.

    Pydantic also names the tag of a discriminated union, as in `workflow.fedavg.rounds`;
    what is not a key of the file is left out, but for a missing key.
    """
    at = prefix
    for part in problem["loc"]:
        if not lines or (*at, part) in lines:
            at = (*at, part)
    last = problem["loc"][-1] if problem["loc"] else None
    return (*at, last) if problem["type"] == "missing" and at[-1:] != (last,) else at


def _say(problem: Any, shown: str, model: type[BaseModel]) -> tuple[str, str | None, str]:
    kind = problem["type"]
    if kind == "extra_forbidden":
        unknown = str(problem["loc"][-1])
        known = sorted(_all_keys(model))
        close = get_close_matches(unknown, known, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        return f"unknown key `{shown}`", f"{hint}Remove the key or correct its spelling.", "MS-J003"
    if kind in {"missing", "union_tag_not_found"}:
        key = f"{shown}.name" if kind == "union_tag_not_found" else shown
        return f"the required key `{key}` is missing", f"Add `{key}:` with a value.", "MS-J004"
    text = str(problem["msg"]).removeprefix("Value error, ")
    if text.startswith("contradiction: "):
        return f"`{shown}`: {text.removeprefix('contradiction: ')}", None, "MS-J006"
    if "outside the job's folder" in text:
        return f"`{shown}`: {text}", None, "MS-J011"
    given = problem.get("input")
    got = f", not {given!r}" if isinstance(given, str | int | float | bool | type(None)) else ""
    return f"`{shown}`: {text[0].lower()}{text[1:]}{got}", None, "MS-J005"


def _all_keys(model: type[BaseModel]) -> set[str]:
    schema = model.model_json_schema()
    keys = set(schema.get("properties", {}))
    for definition in schema.get("$defs", {}).values():
        keys |= set(definition.get("properties", {}))
    return keys


def _line(at: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at, 1 if lines else None)
