"""Files of environment variables: systemd.exec(5), EnvironmentFile=."""

from __future__ import annotations

from initkit.settings.syntax import BLANKS, COMMENTS, is_utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NEWLINES = "\n\r"
_ESCAPABLE = '"\\`$'
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
_NAME = frozenset(_LETTERS + "0123456789")
_PLAIN = _NAME | frozenset("@%+,-./:=~^[]{}()!*?")


def is_name(name: str) -> bool:
    """Whether systemd takes `name` as the name of an environment variable: letters, digits and "_", no digit first."""
    return bool(name) and name[0] in _LETTERS and _NAME.issuperset(name)


def parse(text: str) -> dict[str, str]:
    """The variables of an environment file; the last assignment of a name wins, invalid names are left out.

    Raises ValueError for NUL, and for a value that is not UTF-8: systemd refuses such a file as a whole.
    """
    return {name: value for _, name, value in pairs(text) if is_name(name)}


def pairs(text: str) -> Iterator[tuple[int, str, str]]:
    """Every assignment as (line, name, value), also those whose name systemd would ignore."""
    if "\0" in text:
        raise ValueError("expected no NUL byte, found one")
    position = 0
    while True:
        position = _skip(text, position, BLANKS)
        if position >= len(text):
            return
        if text[position] in COMMENTS:
            position = _line_end(text, position)
            continue
        end = _line_end(text, position)
        equals = text.find("=", position + 1, end)  # systemd takes any first character for one of the name
        if equals < 0:
            position = end
            continue
        number = text.count("\n", 0, position) + 1
        name = text[position:equals]
        value, position = _value(text, equals + 1)
        if not is_utf8(name) or not is_utf8(value):
            raise ValueError(f"expected UTF-8 text in line {number}, found {name + '=' + value!r}")
        yield number, name.rstrip(BLANKS), value


def _skip(text: str, position: int, chars: str) -> int:
    while position < len(text) and text[position] in chars:
        position += 1
    return position


def _line_end(text: str, position: int) -> int:
    while position < len(text) and text[position] not in _NEWLINES:
        position += 1
    return position


def _value(text: str, position: int) -> tuple[str, int]:
    """The value that begins at `position`, and the position after it: quoted pieces, then perhaps an unquoted rest."""
    pieces: list[str] = []
    while True:
        position = _skip(text, position, " \t")
        mark = text[position : position + 1]
        if not mark or mark in _NEWLINES:
            return "".join(pieces), position
        if mark == "'":
            piece, position = _single(text, position + 1)
        elif mark == '"':
            piece, position = _double(text, position + 1)
        else:
            piece, position = _unquoted(text, position)
            return "".join((*pieces, piece)), position
        pieces.append(piece)


def _single(text: str, position: int) -> tuple[str, int]:
    end = text.find("'", position)
    return (text[position:], len(text)) if end < 0 else (text[position:end], end + 1)


def _double(text: str, position: int) -> tuple[str, int]:
    """Up to the closing quote; a backslash escapes as in a shell's double quotes."""
    pieces = []
    while position < len(text) and text[position] != '"':
        if text[position] != "\\":
            pieces.append(text[position])
            position += 1
            continue
        char = text[position + 1 : position + 2]
        if char and char != "\n":
            pieces.append(char if char in _ESCAPABLE else "\\" + char)
        position += 2
    return "".join(pieces), position + 1


def _unquoted(text: str, position: int) -> tuple[str, int]:
    """Up to the end of the line; a backslash keeps the next character, and blanks at the end go unless escaped."""
    pieces: list[str] = []
    kept = 0
    while position < len(text) and text[position] not in _NEWLINES:
        if text[position] == "\\":
            char = text[position + 1 : position + 2]
            pieces.append("" if char in _NEWLINES else char)
            position += 2
            kept = len(pieces)
            continue
        pieces.append(text[position])
        position += 1
        if pieces[-1] not in BLANKS:
            kept = len(pieces)
    return "".join(pieces[:kept]), position


def write(mapping: Mapping[str, str]) -> str:
    """The text of an environment file that systemd, and `parse`, read back as `mapping`.

    Raises ValueError for an invalid name, and for a value with NUL or bytes that are not UTF-8.
    """
    return "".join(f"{_sound_name(name)}={_quoted(name, value)}\n" for name, value in mapping.items())


def _sound_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"expected the name of an environment variable, found {name!r}")
    return name


def _quoted(name: str, value: str) -> str:
    if "\0" in value or not is_utf8(value):
        raise ValueError(f"expected UTF-8 text without NUL as the value of {name}, found {value!r}")
    if _PLAIN.issuperset(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + "".join("\\" + char if char in _ESCAPABLE else char for char in value) + '"'
