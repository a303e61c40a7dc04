"""TOML to entries: every value becomes the text that a unit file would hold, so one text has one meaning in both."""

from __future__ import annotations

import tomllib

from initkit.errors import SettingsError
from initkit.settings import directives, syntax
from initkit.settings.service import OWN, Entry

#: Tables of the units that a service may have beside it.
_COMPANIONS = ("socket", "timer")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from initkit.settings.load import Complain


def read(text: str, path: str, complain: Complain) -> Iterator[Entry]:
    """The assignments in a TOML file: top-level keys are directives of the service; tables are `[socket]`, `[timer]`,
    `[initkit]` and one per init. `complain` is told of what is no assignment.

    Raises:
        SettingsError: when it is not TOML.
    """
    text = text.removeprefix("\ufeff")  # as in a unit file
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise _syntax_error(str(fault), path, text) from None
    except (RecursionError, ValueError) as fault:  # of Python's own: thousands of brackets, or of digits
        said = "arrays or tables are nested too deeply" if isinstance(fault, RecursionError) else "a number is too long"
        raise SettingsError(said, where=path) from None
    for key, value in document.items():
        for part in _parts(key, value):
            try:
                yield from entries(part, path, text)
            except SettingsError as fault:
                complain(fault)


def _parts(key: str, value: Any) -> Iterator[dict[str, Any]]:
    """A key of a document, by itself or, where it is a table of settings, with one of them each."""
    if isinstance(value, dict) and (key == OWN or key in _COMPANIONS or directives.is_init(key)):
        yield from ({key: {name: each}} for name, each in value.items())
    else:
        yield {key: value}


def entries(document: Mapping[str, Any], path: str, text: str = "") -> Iterator[Entry]:
    """The assignments in a TOML document that has been parsed; `text` tells the lines they are in.

    Raises:
        SettingsError: naming file, line, key and value.
    """
    for key, value in document.items():
        row = directives.find_toml(key)
        if row is not None:
            yield from _entries(row, key, value, path, text)
        elif isinstance(value, dict) and key == OWN:
            yield from _own(value, path, text)
        elif isinstance(value, dict) and key in _COMPANIONS:
            yield from _companion(key, value, path, text)
        elif isinstance(value, dict) and directives.is_init(key):
            yield from _for_init(key, value, path, text)
        else:
            raise _unknown(key, value, path, text)


def line_of(text: str, key: str, table: str = "") -> int:
    """The line that assigns `key` (in `table`, "" for the top level); 0 when it is written in some other way."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _header(line)
        if header:
            here = header
            if here == (f"{table}.{key}" if table else key):
                return number
        name, equals, _ = line.partition("=")
        first = name.strip().strip("\"'").split(".")[0].strip()
        if equals and here == table and first == key:
            return number
    return line_of(text, table) if table else 0  # an inline table is in one line


def _header(line: str) -> str:
    """The name of the table that a line begins; "" for other lines, also those of an array."""
    bare = line.partition("#")[0].strip()
    name = bare.strip("[] \t")
    plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return name if bare.startswith("[") and bare.endswith("]") and plain else ""


def _entries(row: directives.Directive, key: str, value: Any, path: str, text: str, table: str = "") -> Iterator[Entry]:
    number = line_of(text, key, table)
    unit = f".{table}" if table in _COMPANIONS else ""
    try:
        for each in _texts(row, value, path, number, key):
            yield _entry(row.section, row.name, each, path, number, key, unit, _literal(value))
    except ValueError as fault:  # no unit file can hold it, however it is quoted
        raise _wrong(key, value, path, number, str(fault)) from None


def _entry(
    section: str, name: str, value: str, path: str, number: int, key: str, unit: str = "", literal: str = ""
) -> Entry:
    """An assignment that a unit file could hold as well: systemd.syntax(7)."""
    bare = value.strip(syntax.BLANKS)
    if any(char in bare for char in "\n\r\0") or syntax.ends_open(bare) or not syntax.is_utf8(bare):
        raise _wrong(key, value, path, number, "expected one line of text that does not end in a backslash")
    return Entry(section, name, bare, path, number, key, unit, literal)


def _texts(row: directives.Directive, value: Any, path: str, number: int, key: str) -> Iterator[str]:
    """The right-hand sides that say `value` in a unit file."""
    if value in ([], {}, ""):
        yield ""
    elif row.is_command:
        yield from _commands(row, value, key, path, number)
    elif row.name == "Environment" and isinstance(value, dict):
        yield from _environment(value, key, path, number)
    elif isinstance(value, list) and row.is_list:
        for each in value:
            plain = _scalar(row, each, key, path, number)
            # An empty item resets what was said before, as an empty assignment does.
            yield syntax.quote(plain) if row.is_words and plain else plain
    else:
        yield _scalar(row, value, key, path, number)


def _environment(table: dict[str, Any], key: str, path: str, number: int) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _wrong(f"{key}.{name}", value, path, number, "expected a string")
        yield syntax.quote(f"{name}={value}")


def _commands(row: directives.Directive, value: Any, key: str, path: str, number: int) -> Iterator[str]:
    listed = isinstance(value, list)
    commands = value if listed and row.kind != "COMMAND" and all(isinstance(each, list) for each in value) else [value]
    for words in commands:
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise _wrong(key, words, path, number, f"expected {row.expected}")
        yield " ".join(map(_word, words))  # no words: what was said before is reset


def _word(word: str) -> str:
    """The first word keeps its prefixes; a lone `;` is a word here, not a separator."""
    return r"\;" if word == ";" else syntax.quote(word)


def _scalar(row: directives.Directive, value: Any, key: str, path: str, number: int) -> str:
    if isinstance(value, bool) and not row.is_text and row.kind in ("BOOLEAN", "OTHER", "CONDITION", "NAMESPACES"):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    number_fits = row.kind not in ("BOOLEAN", "MODE") and not row.is_text
    if isinstance(value, int | float) and not isinstance(value, bool) and number_fits:
        return str(value)
    raise _wrong(key, value, path, number, f"expected {row.expected}")


def _own(table: dict[str, Any], path: str, text: str) -> Iterator[Entry]:
    for key, value in table.items():
        row = directives.find_own_toml(key)
        if row is None:
            raise _unknown_in(OWN, "setting", key, value, path, text, directives.own())
        yield from _entries(row, key, value, path, text, OWN)


def _companion(name: str, table: dict[str, Any], path: str, text: str) -> Iterator[Entry]:
    for key, value in table.items():
        row = directives.find_toml(key, f".{name}")
        if row is None:
            raise _unknown_in(name, "directive", key, value, path, text, directives.every(f".{name}"))
        yield from _entries(row, key, value, path, text, name)


def _unknown_in(
    table: str, what: str, key: str, value: Any, path: str, text: str, known: Iterator[directives.Directive]
) -> SettingsError:
    number = line_of(text, key, table)
    near = directives.nearest(key, (row.toml for row in known))
    return SettingsError(
        f"unknown {what} {key} = {Entry('', key, _shown(value)).shown} in [{table}]",
        where=f"{path}:{number}" if number else path,
        hint=near and f"did you mean {near}?",
    )


def _for_init(init: str, table: dict[str, Any], path: str, text: str) -> Iterator[Entry]:
    for key, value in table.items():
        number = line_of(text, key, init)
        if not key.isidentifier():
            raise _wrong(key, value, path, number, f"expected the name of a setting in [{init}]")
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str | int | float):
                raise _wrong(key, value, path, number, "expected one line of text, or an array of such")
            shown = ("yes" if each else "no") if isinstance(each, bool) else str(each)
            yield _entry(init, directives.camel(key), shown, path, number, key)


def _wrong(key: str, value: Any, path: str, number: int, expected: str) -> SettingsError:
    return Entry("", key, _shown(value), path, number, key, literal=_literal(value)).error(expected)


def _literal(value: Any) -> str:
    """A value that TOML writes without quotes, unlike a unit file's text; "" for others."""
    return ("true" if value else "false") if isinstance(value, bool) else ""


def _shown(value: Any) -> str:
    """A value as TOML has it, more or less."""
    try:
        return _literal(value) or str(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number that is too long to be written
        return "…"


def _unknown(key: str, value: Any, path: str, text: str) -> SettingsError:
    number = line_of(text, key)
    where = f"{path}:{number}" if number else path
    if isinstance(value, dict):
        return SettingsError(
            f"unknown table [{key}]",
            where=where,
            hint="directives stand at the top level; tables are [socket], [timer], [initkit] and one per init",
        )
    near = directives.nearest(key, (row.toml for row in directives.every()))
    shown = Entry("", key, _shown(value), path, number, key).shown
    return SettingsError(f"unknown directive {key} = {shown}", where=where, hint=near and f"did you mean {near}?")


def _syntax_error(message: str, path: str, text: str) -> SettingsError:
    """tomllib says "Expected … (at line 3, column 7)": put the place in front, as in every other message."""
    said, _, place = message.partition(" (at line ")
    number = place.split(",")[0]
    lines = text.splitlines()
    line = lines[int(number) - 1].strip() if number.isdigit() and 0 < int(number) <= len(lines) else ""
    where = f"{path}:{number}" if number.isdigit() else path
    if said.startswith("Cannot "):  # "overwrite a value", "declare a table twice"
        name = line.partition("=")[0].strip()
        first = line_of(text, name.strip("\"'"))
        also = f", first in line {first}" if first and str(first) != number else ""
        return SettingsError(f"{name or said}: assigned twice{also}", where=where, hint="keep one of them")
    found = f", found {line[:60]!r}" if line else ""
    return SettingsError(f"not TOML: {said[:1].lower()}{said[1:]}{found}", where=where)
