"""A pydantic validation error as one of ours, that names key, line and repair."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mediswarm.errors import MediSwarmError
from mediswarm.spec.job import NAME_PATTERN
from mediswarm.spec.yaml_errors import JOB_FILE, FileErrors
from mediswarm.spec.yaml_lines import KeyPath

_LONGEST = 60
"""Characters of a wrong value that are shown."""

_QUOTE = (
    'Put the value in quotes, as in "no": YAML reads no, off, yes and on as true or false, and 1 as a number.'
)
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
    errors: FileErrors = JOB_FILE,
) -> MediSwarmError:
    """The first problem of `error` in plain words; the others are counted.

    Args:
        error: what pydantic found.
        model: the model that was validated, for suggestions of key names.
        file: the file the values came from.
        lines: line of each key, from :func:`mediswarm.spec.yaml_lines.read_yaml`.
        prefix: where the validated section stands in the file, such as ``("config",)``.
        code: overrides the code (a pipeline's own config uses MS-J009).
        errors: what kind of file it is.
    """
    # a default that follows from other values is not made when one of those is wrong: no problem of its own
    problems = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
    # a misspelt key is unknown and leaves the right one missing: the first says more
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    at = _place(prefix, problems[0], lines)
    # where a value may be of several kinds, pydantic names the problem with each kind
    here = [problem for problem in problems if _place(prefix, problem, lines) == at]
    shown = ".".join(str(part) for part in at) or "the document"
    message, repair, own_code = _say(here, shown, model, errors)
    if len(problems) > len(here):
        message += f" (and {len(problems) - len(here)} more)"
    return errors.kind(code or own_code, message, repair=repair, file=file, line=_line(at, lines))


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


def _say(
    problems: list[Any], shown: str, model: type[BaseModel], errors: FileErrors
) -> tuple[str, str | None, str]:
    problem = problems[0]
    kind = problem["type"]
    if kind == "extra_forbidden":
        unknown = str(problem["loc"][-1])
        hint = _meant(unknown, *_section(model, problem["loc"][:-1]))
        return f"unknown key `{shown}`", f"{hint}Remove the key or correct its spelling.", errors.unknown_key
    if kind in {"missing", "union_tag_not_found"}:
        return f"the required key `{shown}` is missing", f"Add `{shown}:` with a value.", errors.missing_key
    if kind == "union_tag_invalid":
        tag, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"]
        return f"`{shown}` should be one of {known}, not {_shortened(tag)}", None, errors.value
    text = str(problem["msg"]).removeprefix("Value error, ")
    if text.startswith("contradiction: "):
        return f"`{shown}`: {text.removeprefix('contradiction: ')}", None, errors.contradiction
    if "outside the job's folder" in text:
        return f"`{shown}`: {text}", None, errors.outside
    rule, *others = dict.fromkeys(_rule(problem) for problem in problems)
    rule += "".join(f" or {other.removeprefix('should be ')}" for other in others)
    given = problem.get("input")
    got = f", not {_shortened(given)}" if isinstance(given, str | int | float | bool | type(None)) else ""
    repair = _QUOTE if problem["type"] == "string_type" and isinstance(given, bool | int | float) else None
    return f"`{shown}` {rule}{got}", repair, errors.value


def _rule(problem: Any) -> str:
    """What a value should be, in the words of people who write YAML."""
    if problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        return "should have only texts as keys (quote numbers)"
    if problem.get("ctx", {}).get("pattern") == NAME_PATTERN:
        return "should start with a letter and hold only letters, digits, - and _, at most 63"
    if problem["type"] in _RULES:
        return _RULES[problem["type"]]
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{text[0].lower()}{text[1:]}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _meant(unknown: str, section: list[type[BaseModel]], others: dict[str, type[BaseModel]]) -> str:
    """A suggestion: a similar key of the section itself, or the kinds of section that have this key."""
    close = get_close_matches(unknown, [key for kind in section for key in kind.model_fields], n=1)
    if close:
        return f"Did you mean `{close[0]}`? "
    owners = [name for name, kind in others.items() if unknown in kind.model_fields]
    return f"`{unknown}` belongs to {', '.join(owners)}. " if owners else ""


def _section(
    model: type[BaseModel], loc: tuple[str | int, ...]
) -> tuple[list[type[BaseModel]], dict[str, type[BaseModel]]]:
    """The models that a section may be of, and all kinds of a section that is chosen by its `name`."""
    here: list[type[BaseModel]] = [model]
    others: dict[str, type[BaseModel]] = {}
    for part in loc:
        inner = [kind.model_fields[part].annotation for kind in here if part in kind.model_fields]
        if inner:
            here = [found for annotation in inner for found in _models_in(annotation)]
            others = {}
        else:  # the tag of a discriminated union, or an item of a list
            named = {kind.model_fields["name"].default: kind for kind in here if "name" in kind.model_fields}
            if part in named:
                here, others = [named[part]], named
    return here, others


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


def _line(at: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at, 1 if lines else None)
