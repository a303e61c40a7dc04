"""`initkit schema`: the JSON Schema (2020-12) of settings in TOML, for editors."""

from __future__ import annotations

import json
from typing import Any

from initkit import inits
from initkit.cli.arguments import Parser
from initkit.settings import choices, companions, directives
from initkit.settings.directives import Directive
from initkit.settings.service import OWN

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_WORDS: Schema = {"type": "array", "items": _TEXT}
_NUMBER_OR_TEXT: Schema = {"type": ["number", "string"]}
_INTEGER_OR_TEXT: Schema = {"type": ["integer", "string"]}
_YES_OR_NO = ["yes", "no", "true", "false", "on", "off", "y", "n", "t", "f", "1", "0", ""]

#: The kinds of systemd's own table whose values TOML does not write as text alone.
_KINDS: dict[str, Schema] = {
    "BOOLEAN": {"anyOf": [{"type": "boolean"}, {"enum": _YES_OR_NO}]},
    "SECONDS": {"anyOf": [{"type": "number", "minimum": 0}, _TEXT]},
    "NANOSECONDS": {"anyOf": [{"type": "integer", "minimum": 0}, _TEXT]},
    "MODE": {"type": "string", "pattern": "^[0-7]{0,4}$"},
    "SIGNAL": _INTEGER_OR_TEXT,
    "UNSIGNED": {"anyOf": [{"type": "integer", "minimum": 0}, _TEXT]},
    "NICE": {"anyOf": [{"type": "integer", "minimum": -20, "maximum": 19}, _TEXT]},
    "OOMSCOREADJUST": {"anyOf": [{"type": "integer", "minimum": -1000, "maximum": 1000}, _TEXT]},
    "TIMER": {"anyOf": [{"type": "number", "minimum": 0}, _TEXT]},
    "CONDITION": {"type": ["boolean", "number", "string"]},
    "NAMESPACES": {"type": ["boolean", "string"]},
    "OTHER": {"type": ["boolean", "number", "string"]},
}


def main(verb: str, argv: list[str]) -> int:
    """Print the schema."""
    parser(verb).parse_args(argv)
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def parser(verb: str) -> Parser:
    """The command line."""
    return Parser(
        prog=f"initkit {verb}", description="Write the JSON Schema (2020-12) of settings in TOML, for editors."
    )


def schema() -> Schema:
    """The schema of a whole settings file."""
    properties = {row.toml: _property(row) for row in directives.every()}
    properties[OWN] = _table("initkit's own settings", {row.toml: _property(row) for row in directives.own()})
    for name in companions.KINDS:
        rows = {row.toml: _property(row) for row in directives.every(f".{name}")}
        properties[name] = _table(f"the service's {name}: systemd.{name}(5)", rows)
    for name in inits.names():
        properties[name] = _table_of_init(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "initkit settings",
        "description": "A service: systemd's directives in snake_case; tables for its socket, its timer, each init",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _table(description: str, properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "description": description, "properties": properties, "additionalProperties": False}


def _table_of_init(name: str) -> Schema:
    item: Schema = {"type": ["boolean", "number", "string"]}
    value = {"anyOf": [item, {"type": "array", "items": item}]}
    known = {directives.snake(key): {"description": said, **value} for key, said in inits.load(name).TABLE.items()}
    return _table(f"settings for {name} only", known)


def _property(row: Directive) -> Schema:
    return {"description": _description(row), **_type(row)}


def _description(row: Directive) -> str:
    since = f"; since systemd {row.since}" if row.since else ""
    gone = f"; not in systemd {row.gone} any more" if row.gone else ""
    return f"{row.name}=, {row.manual}: {row.expected}{since}{gone}"


def _type(row: Directive) -> Schema:
    if row.is_command:
        return _WORDS if row.kind == "COMMAND" else {"anyOf": [_WORDS, {"type": "array", "items": _WORDS}]}
    if row.name == "Environment":
        table = {"type": "object", "additionalProperties": _NUMBER_OR_TEXT}
        return {"anyOf": [{**table, "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}}, _WORDS, _TEXT]}
    one = _one(row)
    return {"anyOf": [one, {"type": "array", "items": one}]} if row.is_list else one


def _one(row: Directive) -> Schema:
    """A single value."""
    if row.choices:
        names: Schema = {"enum": [*row.choices, ""]}
        return {"anyOf": [names, {"type": "integer"}]} if row.kind in choices.NUMBERED else names
    if row.is_text or row.name == "OnCalendar":
        return _TEXT
    return _KINDS.get(row.kind, _NUMBER_OR_TEXT)
