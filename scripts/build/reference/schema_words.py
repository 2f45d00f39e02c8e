"""A JSON schema in words."""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]

_KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def value_words(schema: Schema) -> str:
    """Which values a key may have."""
    if "$ref" in schema:
        return "section"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _one_of([f"`{value}`" for value in schema["enum"]])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = [value_words(part) for part in schema[key] if part.get("type") != "null"]
            return _one_of(list(dict.fromkeys(kinds)))
    if schema["type"] == "array":
        return _list_words(schema)
    return " ".join([_KINDS.get(schema["type"], "section"), ", ".join(_bounds(schema))]).strip()


def default_words(schema: Schema, required: bool) -> str:
    """What a key is when it is not given; a section's default is that of its keys."""
    if required or "const" in schema:
        return "required"
    if "default" not in schema:
        return ""
    value = schema["default"]
    if value in (None, "", []):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def section_names(schema: Schema) -> list[str]:
    """Names in `$defs` of the sections that a value may be, or hold."""
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]]
    parts = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if "items" in schema:
        parts.append(schema["items"])
    return [name for part in parts for name in section_names(part)]


def variant_of(section: Schema) -> str:
    """``key: value`` by which a section is told from its alternatives, or the empty text."""
    told = [f"{key}: {value['const']}" for key, value in section["properties"].items() if "const" in value]
    return ", ".join(told)


def _list_words(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} times {value_words(schema['prefixItems'][0])}"
    least = f", at least {schema['minItems']}" if "minItems" in schema else ""
    return f"list of {value_words(schema['items'])}{least}"


def _bounds(schema: Schema) -> list[str]:
    said = [f"{sign} {schema[key]:g}" for key, sign in _SIGNS.items() if key in schema]
    return said + ([f"multiple of {schema['multipleOf']}"] if "multipleOf" in schema else [])


def _one_of(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
