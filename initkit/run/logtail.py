"""Supervisor's own way to follow a log, over HTTP."""

from __future__ import annotations

from initkit.run import logs
from initkit.run.follow import Follow
from initkit.run.supervisor import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.api import Manager
    from initkit.run.loop import Loop


class Tail:
    """`supervisorctl tail -f`: the end of a log, then what is added to it, given to `told` in bytes.

    Raises:
        CallError: when there is no such log.
        OSError: when it cannot be read.
    """

    _FIRST = 1600  # bytes

    def __init__(self, loop: Loop, manager: Manager, name: str, stream: str, told: Callable[[bytes], None]) -> None:
        path = manager.log_path(name, stream) if name in manager.names() and stream in ("stdout", "stderr") else ""
        if not path:
            raise CallError("NO_FILE", name)
        _, size = logs.part(path, 0, 0)
        self._first, _ = logs.part(path, max(0, size - self._FIRST), self._FIRST)
        self._told = told
        self._follow = Follow(loop, path, size, lambda lines: told("".join(f"{line}\n" for line in lines).encode()))

    def begin(self) -> None:
        """Tell the end of the log."""
        self._told(self._first)

    def close(self) -> None:
        """Stop."""
        self._follow.close()
