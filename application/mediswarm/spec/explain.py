"""A pydantic validation error as a :class:`JobError` that names key, line and repair."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mediswarm.errors import JobError
from mediswarm.spec.yaml_lines import KeyPath

_TAGS = {"union_tag_invalid", "union_tag_not_found"}
_RULES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("list_type", "tuple_type"), "should be a list"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"), "should be a mapping of keys to values"
    ),
    "string_type": "should be a text",
    "bool_type": "should be true or false",
    "invalid-json-value": "should be a text, a number, true, false, null, a list or a mapping; quote a date",
}


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
    # a misspelt key is unknown and leaves the right one missing: the first says more
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    at = _place(prefix, problems[0], lines)
    # where a value may be of several kinds, pydantic names the problem with each kind
    here = [problem for problem in problems if _place(prefix, problem, lines) == at]
    shown = ".".join(str(part) for part in at) or "the document"
    message, repair, own_code = _say(here, shown, model)
    if len(problems) > len(here):
        message += f" (and {len(problems) - len(here)} more)"
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
    if problem["type"] in _TAGS:
        return (*at, str(problem["ctx"]["discriminator"]).strip("'"))
    if problem["type"] == "missing" and at[-1:] != problem["loc"][-1:]:
        return (*at, problem["loc"][-1])
    return at


def _say(problems: list[Any], shown: str, model: type[BaseModel]) -> tuple[str, str | None, str]:
    problem = problems[0]
    kind = problem["type"]
    if kind == "extra_forbidden":
        unknown = str(problem["loc"][-1])
        known = sorted(_all_keys(model))
        close = get_close_matches(unknown, known, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        return f"unknown key `{shown}`", f"{hint}Remove the key or correct its spelling.", "MS-J003"
    if kind in {"missing", "union_tag_not_found"}:
        return f"the required key `{shown}` is missing", f"Add `{shown}:` with a value.", "MS-J004"
    if kind == "union_tag_invalid":
        tag, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"]
        return f"`{shown}` should be one of {known}, not {tag!r}", None, "MS-J005"
    text = str(problem["msg"]).removeprefix("Value error, ")
    if text.startswith("contradiction: "):
        return f"`{shown}`: {text.removeprefix('contradiction: ')}", None, "MS-J006"
    if "outside the job's folder" in text:
        return f"`{shown}`: {text}", None, "MS-J011"
    rule, *others = dict.fromkeys(_rule(problem) for problem in problems)
    rule += "".join(f" or {other.removeprefix('should be ')}" for other in others)
    given = problem.get("input")
    got = f", not {given!r}" if isinstance(given, str | int | float | bool | type(None)) else ""
    return f"`{shown}` {rule}{got}", None, "MS-J005"


def _rule(problem: Any) -> str:
    """What a value should be, in the words of people who write YAML."""
    if problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        return "should have only texts as keys (quote numbers)"
    if problem["type"] in _RULES:
        return _RULES[problem["type"]]
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{text[0].lower()}{text[1:]}"


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
