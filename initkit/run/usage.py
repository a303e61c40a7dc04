"""What a process is and uses, as `status` shows it: proc(5)."""

from __future__ import annotations

import os

from initkit.run import identity

_PAGE = os.sysconf("SC_PAGE_SIZE")
_HERTZ = os.sysconf("SC_CLK_TCK")
_COMMAND = 256  # characters of a command line that are shown


def command(pid: int) -> str:
    """Its command line, or its name in brackets where it has none."""
    line = identity.read(f"/proc/{pid}/cmdline")[:_COMMAND].rstrip("\0").replace("\0", " ")
    line = line or f"[{identity.read(f'/proc/{pid}/comm').strip() or '?'}]"
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def memory(pid: int) -> int:
    """Its resident set in bytes. What it shares with others is counted with each: the proportional set size is not told
    to every user, and takes the kernel a walk through all pages."""
    fields = identity.read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def cpu(pid: int) -> int:
    """Its own time and that of the children it has waited for, in microseconds: utime, stime, cutime, cstime."""
    fields = identity.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * 1_000_000 // _HERTZ
