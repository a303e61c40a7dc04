"""Waiting for a daemon that has been started to listen at its socket."""

from __future__ import annotations

import os
import select

from initkit.run.filewatch import FileWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_MOMENT = 0.05  # seconds between two looks where the system has no watch left


class Arrival:
    """Watches a socket's folder from now on: who has looked for the socket afterwards misses nothing by waiting."""

    def __init__(self, path: str) -> None:
        self._poll = select.poll()
        self._file = FileWatch(self, path, tuple)  # type: ignore[arg-type]  # as much of a loop as it needs

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._file.close()

    def watch(self, fd: int, read: object) -> None:
        """For the watch: wait for its descriptor."""
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """For the watch: no longer."""
        self._poll.unregister(fd)

    def wait(self, pid: int, seconds: float) -> None:
        """Until something has changed in the folder, the process has ended, or the time is over."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            self._poll.register(pidfd, select.POLLIN)
            self._poll.poll((seconds if self._file.works else min(seconds, _MOMENT)) * 1000)
        finally:
            os.close(pidfd)
