"""The values of standard streams: systemd.exec(5), StandardInputText= and its kin, SyslogFacility= and SyslogLevel=.

Imported for services that set some."""

from __future__ import annotations

from initkit.settings import syntax, values
from initkit.settings.choices import CHOICES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def text(value: str, expand: Callable[[str], str]) -> Iterator[bytes]:
    """A line of text, with C-style escapes and specifiers."""
    yield syntax.octets(expand(syntax.unescape(value).decode("utf-8", "surrogateescape"))) + b"\n"


def data(value: str, expand: Callable[[str], str]) -> Iterator[bytes]:
    """Bytes in Base64 (RFC 4648).

    Raises:
        ValueError: when they are not.
    """
    yield base64(value)


def base64(text: str) -> bytes:
    """The bytes; blanks may stand anywhere. Raises ValueError when it is not Base64."""
    import binascii

    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except binascii.Error:
        raise ValueError(f"expected Base64, found {text!r}") from None


def cells(text: str) -> int:
    """TTYRows=, TTYColumns=."""
    return values.integer(text, 0, 0xFFFF)


def facility(text: str) -> str:
    """The name of a facility, or its number: syslog(3)."""
    return _named("FACILITY", 23, text)


def level(text: str) -> str:
    """The name of a level, or its number: syslog(3)."""
    return _named("LEVEL", 7, text)


def _named(kind: str, highest: int, text: str) -> str:
    if text in CHOICES[kind]:
        return text
    try:
        number = values.integer(text, 0, highest)
    except ValueError:
        raise ValueError(f"expected one of {', '.join(CHOICES[kind])}") from None
    names = (*CHOICES[kind][:12], *[""] * 4, *CHOICES[kind][12:]) if kind == "FACILITY" else CHOICES[kind]
    return names[number] or str(number)


def code(facility: str, level: str) -> int:
    """The number that stands for both: syslog(3)."""
    names = (*CHOICES["FACILITY"][:12], *[""] * 4, *CHOICES["FACILITY"][12:])
    return (int(facility) if facility.isdigit() else names.index(facility)) << 3 | CHOICES["LEVEL"].index(level)
