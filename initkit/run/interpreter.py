"""Why execve(2) does not find a program that is there: what is to run it is not."""

from __future__ import annotations

import os

_MOST = 256  # bytes of a first line that the kernel looks at


def remark(path: str | bytes) -> str:
    """What to add to "No such file or directory": "" where the program itself is not there. A bare name has been looked
    for elsewhere."""
    if "/" not in os.fsdecode(path):
        return ""
    try:
        with open(path, "rb") as file:
            first = file.read(_MOST)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return " (its dynamic loader; the program itself is there)"
    words = first[2:].split(b"\n")[0].split(maxsplit=1)
    return f" (its interpreter {os.fsdecode(words[0])}; the program itself is there)" if words else ""
