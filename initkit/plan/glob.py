"""The shell's patterns, as the C library has them: glob(7). Python's own take `re`, as large as all of the runner."""

from __future__ import annotations

import os

from initkit.plan import kernel

_MAGIC = "*?[\\"


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text is what the pattern means: fnmatch(3)."""
    return kernel.call("fnmatch", os.fsencode(pattern), os.fsencode(text), 0) == 0


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
