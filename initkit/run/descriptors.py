"""Descriptors: the standard ones, and room for others. A manager of many services takes more than RLIMIT_NOFILE leaves
it, its programs do not."""

from __future__ import annotations

import os
import sys

from initkit.errors import InitkitError

#: What programs are to have as their RLIMIT_NOFILE (soft, hard), where this process has raised its own.
of_programs: tuple[int, int] | None = None


def make_room(count: int) -> None:
    """Raise the soft limit, if need be, for this process to have `count` descriptors: setrlimit(2).

    Raises:
        InitkitError: when the hard limit is lower.
    """
    global of_programs
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise InitkitError(f"needs {count} file descriptors, and the hard limit is {hard}", hint="see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    of_programs = of_programs or (soft, hard)


_SPARE = 8  # what a look at all processes, and signals to some of them, take at a time
_spare: list[int] = []


def keep_spare() -> None:
    """Keep some descriptors: however many clients and files there are, services can be ended."""
    try:
        while len(_spare) < _SPARE:
            _spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        pass  # later, then


def use_spare() -> None:
    """Have them to use."""
    while _spare:
        os.close(_spare.pop())


def open_standard_streams() -> None:
    """Some callers close them: then the first files that are opened would take their places."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    if sys.stderr is None:  # else print() takes standard output instead
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as long as the process lives
