"""The values of credentials: systemd.exec(5), "CREDENTIALS". Imported for services that have some."""

from __future__ import annotations

from initkit.settings import syntax, values
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Load(Record):
    """LoadCredential=: a credential's name, and the file, folder or socket that it is read from; a name in its place
    is looked for where the system keeps credentials."""

    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}:{self.source}"


class Set(Record):
    """SetCredential=: a credential's name and what is in it."""

    name: str
    data: bytes

    def __str__(self) -> str:
        """What is in it is nobody's business."""
        return self.name


class Import(Record):
    """ImportCredential=: a pattern of names, and what those that match begin with afterwards instead."""

    pattern: str
    renamed: str | None = None

    def __str__(self) -> str:
        return self.pattern if self.renamed is None else f"{self.pattern}:{self.renamed}"


def loaded(text: str, expand: Callable[[str], str]) -> Iterator[Load]:
    """`NAME[:SOURCE]`.

    Raises:
        ValueError: for a name that is none, or a path that is not sound.
    """
    name, colon, source = (expand(part) for part in text.partition(":"))
    is_path = colon and source.startswith("/")
    yield Load(_name(name), values.path(source) if is_path else _name(source or name))


def set_to(text: str, expand: Callable[[str], str]) -> Iterator[Set]:
    """`NAME:TEXT`, with C-style escapes in the text.

    Raises:
        ValueError: for a name that is none, an escape that is none, or no colon.
    """
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"expected NAME:TEXT, found {text!r}")
    yield Set(_name(expand(name)), syntax.unescape(value, nul=True))


def imported(text: str, expand: Callable[[str], str]) -> Iterator[Import]:
    """`PATTERN[:NAME]`; only the end of the pattern may be a "*".

    Raises:
        ValueError: for another pattern.
    """
    pattern, colon, renamed = text.partition(":")
    pattern = expand(pattern)
    _name(pattern.removesuffix("*") or "x")
    yield Import(pattern, expand(renamed) if colon else None)


def _name(text: str) -> str:
    if not text or text in (".", "..") or "/" in text or len(syntax.octets(text)) > 255 or not text.isprintable():
        raise ValueError(f"expected the name of a credential, found {text!r}")
    return text
