"""Times, sizes and text for people."""

from __future__ import annotations

import os
import time

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(seconds: float) -> str:
    """A length of time in at most two units: "2 d 3 h", "1 min 5 s", "120 ms"."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    parts: list[str] = []
    rest = int(seconds)
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2]))


def moment(usec: int) -> str:
    """A point in time, absolute and relative: "Fri 2025-11-21 09:10:08 CET, 5 min ago"."""
    absolute = time.strftime("%a %Y-%m-%d %H:%M:%S %Z", time.localtime(usec / 1e6))
    return f"{absolute}, {span(max(0.0, time.time() - usec / 1e6))} ago"


def size(count: float) -> str:
    """A number of bytes: "12.3 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def printable(text: str) -> str:
    """On one line and without what a terminal would obey: the text may be anybody's."""
    return "".join(char if char.isprintable() else "�" for char in text)


def width(fd: int) -> int:
    """Columns of the terminal that `fd` is."""
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80
