"""YAML to plain values, remembering the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mediswarm.spec.yaml_errors import JOB_FILE, FileErrors

KeyPath = tuple[str | int, ...]

_SAVE_AS_UTF8 = "Open the file in a text editor and save it as UTF-8."


def read_yaml(path: Path, errors: FileErrors = JOB_FILE) -> tuple[Any, dict[KeyPath, int]]:
    """Read a YAML file safely.

    Returns:
        the document, and the line (from 1) at which each key or item stands.

    Args:
        path: the file.
        errors: what kind of file it is, which gives the errors their class and codes.

    Raises:
        JobError: MS-J001 unreadable, MS-J002 not YAML, MS-J008 a key given twice;
            other kinds of file have their own, see :mod:`mediswarm.spec.yaml_errors`.
    """
    text = _read_text(path, errors)
    lines: dict[KeyPath, int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
        if root is not None:
            _collect(root, (), lines, path, errors)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise errors.kind(
            errors.not_yaml, str(error.problem or error), file=path, line=mark.line + 1 if mark else None
        ) from error
    except yaml.reader.ReaderError as error:
        raise errors.kind(
            errors.not_yaml,
            f"the character U+{ord(text[error.position]):04X} cannot stand in YAML",
            repair=_SAVE_AS_UTF8,
            file=path,
            line=text.count("\n", 0, error.position) + 1,
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-45
        raise errors.kind(errors.not_yaml, str(error).splitlines()[0], file=path) from error
    except RecursionError as error:
        raise errors.kind(
            errors.not_yaml, "a value contains itself, or values are nested too deeply", file=path
        ) from error
    return document, lines


def _read_text(path: Path, errors: FileErrors) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.kind(
            errors.unreadable, f"the file cannot be read ({type(error).__name__})", file=path
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.kind(
            errors.unreadable,
            "the file is not UTF-8 text",
            repair=_SAVE_AS_UTF8,
            file=path,
            line=content.count(b"\n", 0, error.start) + 1,
        ) from error


def _collect(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path, errors: FileErrors) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                raise errors.kind(
                    errors.duplicate_key,
                    f"key {key.value!r} stands at line {lines[here]} and again here",
                    file=path,
                    line=line,
                )
            lines[here] = line
            _collect(value, here, lines, path, errors)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            _collect(item, (*at, index), lines, path, errors)
