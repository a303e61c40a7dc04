"""Waiting for a file to be written, in a folder that may not be there yet: inotify(7)."""

from __future__ import annotations

import os

from initkit.plan import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.loop import Event, Loop

#: IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE, IN_DELETE_SELF, IN_MOVE_SELF, IN_ONLYDIR
_MASK = 0x2 | 0x8 | 0x80 | 0x100 | 0x400 | 0x800 | 0x1000000


class FileWatch:
    """Calls `told` for events whenever the file at an absolute path may have changed, until it is closed.

    `works` says whether it does: the system has only so many watches.
    """

    def __init__(self, loop: Loop, path: str, told: Callable[[], Iterable[Event]]) -> None:
        self._loop, self._folder, self._told = loop, os.path.dirname(path), told
        self._fd = kernel.call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        self._watch = -1  # of the nearest folder that there is
        self.works = self._fd >= 0
        if self.works:
            self._approach()
            loop.watch(self._fd, self._changed)

    def _approach(self) -> None:
        """Watch the nearest folder; another may have come before the watch had."""
        watched = ""
        while (nearest := _nearest(self._folder)) != watched:
            before, self._watch = self._watch, kernel.call("inotify_add_watch", self._fd, os.fsencode(nearest), _MASK)
            if before not in (-1, self._watch):
                kernel.call("inotify_rm_watch", self._fd, before)
            watched = nearest
        self.works = self._watch >= 0

    def _changed(self) -> Iterable[Event]:
        try:
            os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            pass
        self._approach()
        return self._told()

    def close(self) -> None:
        """Wait no longer."""
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1


def _nearest(folder: str) -> str:
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    return folder
