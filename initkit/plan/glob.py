"""The shell's patterns: glob(7), fnmatch(3), glob(3). Python's own take `re`, as large as all of the runner."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAGIC = "*?[\\"
_LETTERS = "abcdefghijklmnopqrstuvwxy"  # of which the names of classes are, there or not
#: POSIX's classes of characters, in brackets.
_CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": str.isalnum, "alpha": str.isalpha, "lower": str.islower, "upper": str.isupper, "space": str.isspace,
    "digit": lambda char: char in "0123456789", "xdigit": lambda char: char in "0123456789abcdefABCDEF",
    "blank": lambda char: char in " \t", "cntrl": lambda char: char < " " or char == "\x7f",
    "print": str.isprintable, "graph": lambda char: char.isprintable() and not char.isspace(),
    "punct": lambda char: char.isprintable() and not char.isspace() and not char.isalnum(),
}  # fmt: skip


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text is what the pattern means: fnmatch(3)."""
    at = place = 0
    star, taken = -1, 0  # what comes after the last "*", and how far that one reaches
    while at < len(text) or place < len(pattern):
        if pattern[place : place + 1] == "*":
            place += 1
            star, taken = place, at
            continue
        if at < len(text) and place < len(pattern):
            fits, behind = _one(text[at], pattern, place)
            if fits:
                at, place = at + 1, behind
                continue
        if star < 0 or taken == len(text):
            return False
        taken += 1
        at, place = taken, star
    return True


def _one(char: str, pattern: str, place: int) -> tuple[bool, int]:
    """Whether a character is what the pattern has at a place, and the place behind that."""
    wanted = pattern[place]
    if wanted == "?":
        return True, place + 1
    if wanted == "\\":
        return char == pattern[place + 1 : place + 2], place + 2
    found = _bracket(char, pattern, place + 1) if wanted == "[" else None
    return found or (char == wanted, place + 1)


def _bracket(char: str, pattern: str, place: int) -> tuple[bool, int] | None:
    """The same for what a "[" has opened; None where nothing closes that."""
    negated = pattern[place : place + 1] in ("!", "^")
    place += negated
    first, found = place, False
    while place < len(pattern):
        if pattern[place] == "]" and place > first:
            return found != negated, place + 1
        kind, end, rest = pattern[place + 2 :].partition(":]") if pattern.startswith("[:", place) else ("", "", "")
        if end and not kind.strip(_LETTERS):
            if not found and kind not in _CLASSES:
                return False, place
            found = found or _CLASSES[kind](char)
            place = len(pattern) - len(rest)
            continue
        low, place = _member(pattern, place)
        high = low
        if pattern[place : place + 1] == "-" and pattern[place + 1 : place + 2] not in ("", "]"):
            high, place = _member(pattern, place + 1)
        found |= low <= char <= high
    return None


def _member(pattern: str, place: int) -> tuple[str, int]:
    place += pattern[place] == "\\" and place + 1 < len(pattern)
    return pattern[place], place + 1


def paths(pattern: str) -> list[str]:
    """The files that an absolute pattern names, sorted: glob(3)."""
    found = [""]
    for part in pattern.split("/")[1:]:
        if any(char in part for char in _MAGIC):
            found = [f"{folder}/{name}" for folder in found for name in _names(folder or "/", part)]
        else:
            found = [f"{folder}/{part}" for folder in found]
    return sorted(filter(os.path.lexists, found))


def _names(folder: str, pattern: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    if pattern.removeprefix("\\").startswith("."):  # a point at the beginning is to be said
        names += [".", ".."]
    else:
        names = [each for each in names if not each.startswith(".")]
    return [each for each in names if matches(each, pattern)]
