"""What is added to a log, as it is added: inotify(7), also behind a rotation."""

from __future__ import annotations

import ctypes
import os

from initkit.run import logs
from initkit.run.loop import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.loop import Event, Loop

_libc = ctypes.CDLL(None, use_errno=True)
# inotify(7)
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class Follow:
    """Calls `told` with every whole line that is in the file at `path` from the offset `start` on, or is added to it,
    until it is closed.

    Raises:
        OSError: when it cannot be read or watched.
    """

    def __init__(self, loop: Loop, path: str, start: int, told: Callable[[list[str]], None]) -> None:
        self._loop, self._path, self._told = loop, path, told
        self._rest = b""
        self._file = logs.open_file(path)
        self._offset = start
        try:
            self._inotify = _checked(_libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
        except OSError:
            os.close(self._file)
            raise
        try:
            self._watch(os.path.dirname(path), _IN_CREATE | _IN_MOVED_TO)
            self._watch(path, _IN_MODIFY)
        except OSError:
            os.close(self._inotify)
            os.close(self._file)
            raise
        loop.watch(self._inotify, self._changed)
        loop.at(self._read, 0.0)  # what has come since

    def _watch(self, path: str, mask: int) -> None:
        _checked(_libc.inotify_add_watch(self._inotify, os.fsencode(path), mask))

    def _changed(self) -> Iterable[Event]:
        try:
            os.read(self._inotify, 64 * 1024)
        except BlockingIOError:
            pass
        return self._read()

    def _read(self) -> Iterable[Event]:
        self._loop.at(self._read, INFINITY)
        data = os.pread(self._file, logs.MOST, self._offset)
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > logs.MOST:
            lines, self._rest = [*lines, self._rest], b""
        if lines:
            self._told([logs.text(each) for each in lines])
        if self._inotify < 0:
            return ()  # whoever was told has had enough
        if len(data) == logs.MOST or self._replaced():
            self._loop.at(self._read, 0.0)
        return ()

    def _replaced(self) -> bool:
        """Whether there is something to read in another place: the file was truncated, or another is there now."""
        found = os.fstat(self._file)
        if found.st_size < self._offset:
            self._offset = 0
            return True
        try:
            now = logs.open_file(self._path)
        except OSError:
            return False  # not yet
        new = os.fstat(now)
        if (new.st_dev, new.st_ino) == (found.st_dev, found.st_ino):
            os.close(now)
            return False
        if os.fstat(self._file).st_size > self._offset:  # what came before the other was there
            os.close(now)
            return True
        os.close(self._file)
        self._file, self._offset = now, 0
        self._watch(self._path, _IN_MODIFY)
        return True

    def close(self) -> None:
        """Stop following."""
        if self._inotify < 0:
            return
        self._loop.at(self._read, INFINITY)
        self._loop.unwatch(self._inotify)
        os.close(self._inotify)
        os.close(self._file)
        self._inotify = -1


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
