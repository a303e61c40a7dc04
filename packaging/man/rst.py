"""reStructuredText for text that is not."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\*|_<>])")


def text(plain: str) -> str:
    """Prose as help texts and reasons have it: `code` in backquotes, and nothing else is special."""
    parts = plain.split("`")
    return "".join(f"``{part}``" if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts))


def sentence(plain: str) -> str:
    """The same, beginning with a capital and ending with a full stop."""
    made = text(plain[:1].upper() + plain[1:])
    return made if made.endswith(".") else made + "."


def item(term: str, *paragraphs: str) -> str:
    """An item of a definition list."""
    return "\n".join([term, *(f"    {paragraph}\n" for paragraph in paragraphs)])


def title(name: str, line: str) -> str:
    """The title or the subtitle of the document."""
    rule = line * len(name)
    return f"{rule}\n{name}\n{rule}\n"


def heading(name: str, line: str = "-") -> str:
    """A section's title; `line` tells its level."""
    return f"{name}\n{line * len(name)}\n"


def literal(lines: list[str]) -> str:
    """A block that stays as it is."""
    return "::\n\n" + "".join(f"    {line}".rstrip() + "\n" for line in lines)
