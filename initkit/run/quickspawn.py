"""A program's start by posix_spawn(3), which borrows the manager's memory until the exec instead of copying it.

It can do no more than the commonest steps. Where a plan has another one, or a start fails, `initkit.run.spawn` forks:
then every step is performed as it stands, and says what is wrong with it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan.streams import open_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from initkit.plan.step import Process, Step
    from initkit.run.cgroup import Group


class _Start:
    """What is to be done, in posix_spawn(3)'s terms. A method for a step returns whether it could be said so."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.actions: list[Any] = []
        self.defaults = _signal.valid_signals()
        self.umask, self.directory = -1, ""
        self.arguments: tuple[Any, Any, Any] = ("", (), {})

    def reset_signals(self, step: Any) -> bool:
        if not step.ignore_sigpipe:
            return True
        self.defaults -= {_signal.SIGPIPE}
        return bool(_signal.getsignal(_signal.SIGPIPE) == _signal.SIG_IGN)  # as Python has it, and the child inherits

    def reset_signal_mask(self, step: Any) -> bool:
        return True  # `run` does it

    def close_fds(self, step: Any) -> bool:
        return True  # an exec does it: see `keep_private`

    def stdio(self, step: Any) -> bool:
        fd, stream = step.fd, step.stream
        if stream.kind == "null":
            self.actions.append((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY if fd else os.O_RDONLY, 0))
        elif stream.kind == "default":
            output = self.process.default_output
            self.actions.append((os.POSIX_SPAWN_DUP2, fd if output is None else output, fd))
        elif stream.kind == "inherit":
            self.actions.append((os.POSIX_SPAWN_DUP2, min(fd, 1), fd))
        elif stream.kind in ("file", "append", "truncate") and _opens_at_once(stream.target):
            self.actions.append((os.POSIX_SPAWN_OPEN, fd, stream.target, open_flags(fd, stream), 0o666))
        else:
            return False
        return True

    def environment(self, step: Any) -> bool:
        if step.files:  # somebody else's file system may be slow
            return False
        step.apply(self.process)
        return True

    def set_umask(self, step: Any) -> bool:
        self.umask = step.mask
        return True

    def chdir(self, step: Any) -> bool:
        self.directory = step.path
        return bool(step.path != "~")

    def exec(self, step: Any) -> bool:
        self.arguments = step.arguments(self.process)
        return True

    def run(self, group: Group | None) -> int:
        """Start it: its pid. What the program inherits is this process's for as long, its control group too."""
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        before = os.umask(self.umask)
        try:
            os.chdir(self.directory)
            if group:
                group.enter()
            return self._spawn()
        finally:
            if group:
                _leave(group)
            os.umask(before)
            os.fchdir(here)
            os.close(here)

    def _spawn(self) -> int:
        limit = _limit(self.process.file_limit)
        try:
            return os.posix_spawn(
                *self.arguments, file_actions=self.actions, setsid=True, setsigmask=(), setsigdef=self.defaults
            )
        finally:
            _limit(limit)


def _leave(group: Group) -> None:
    try:
        group.leave()
    except OSError:
        pass  # the program runs, or does not, all the same; and a group that the manager is in is not killed at once


def _limit(wanted: tuple[int, int] | None) -> tuple[int, int] | None:
    """Set RLIMIT_NOFILE, which stays above what is open; what it was before."""
    if wanted is None:
        return None
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted[0], before[1]))
    return before


#: By the names of steps.
_SAID: dict[str, Callable[[_Start, Any], bool]] = {
    "reset_signals": _Start.reset_signals,
    "reset_signal_mask": _Start.reset_signal_mask,
    "close_fds": _Start.close_fds,
    "stdio": _Start.stdio,
    "environment": _Start.environment,
    "umask": _Start.set_umask,
    "chdir": _Start.chdir,
    "exec": _Start.exec,
}


def quickspawn(steps: Iterable[Step], process: Process, group: Group | None = None) -> int:
    """The pid of the program, in a session and in the control group of its own; 0 when it is to be started another
    way."""
    steps = tuple(steps)
    if not all(step.name in _SAID for step in steps):
        return 0
    start = _Start(process)
    try:
        return start.run(group) if all(_SAID[step.name](start, step) for step in steps) else 0
    except (OSError, LookupError, ValueError, NotImplementedError):
        return 0  # a fork will tell


def keep_private() -> None:
    """Let the descriptors that this process was started with go no further by themselves. Those that it opens are
    private (PEP 446), so that nothing is to be closed at a program's start."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2:
                os.set_inheritable(int(name), False)
        except OSError:
            pass  # the listing's own


def _opens_at_once(path: str) -> bool:
    """Whether a file is a regular one, or is to become one: a FIFO would have the manager wait for its other end."""
    try:
        return os.stat(path).st_mode & 0o170000 == 0o100000  # S_ISREG
    except FileNotFoundError:
        return True
