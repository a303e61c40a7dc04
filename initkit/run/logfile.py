"""initkit's own logger: it keeps what comes on standard input in a file, which it rotates between lines.

splice(2) moves the bytes from the pipe to the file inside the kernel: each is in one of the two at any moment, so that
nothing is lost or written twice whatever ends this process and whenever.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import fcntl
import gc
import os
import select
import time

from initkit.plan import libc
from initkit.settings.values import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 64 * 1024  # bytes by which a file may grow beyond its size to end a line
_CHUNK = 1024 * 1024
_FIRST, _LAST = 1.0, 30.0  # seconds between tries to write, or to rotate
_FIONREAD = 0x541B  # ioctl(2): how many bytes are there


class LogFile:
    """A file at `path` of about `max_size` bytes, and at most `max_files` with it, the others called PATH.1, PATH.2 …

    Raises:
        OSError, ValueError: when it cannot be opened.
    """

    def __init__(self, path: str, max_size: int, max_files: int) -> None:
        self._path, self._max_size, self._max_files = path, max_size, max_files
        self._fd = _open(path)
        self._extra = 0  # bytes written to end a line in a file that is to be left
        self._leaving = False  # it is to be left, because somebody has asked for that
        self._asked = False  # SIGHUP
        self._left = -1  # bytes to be kept before the end, once SIGTERM has come
        self._pause, self._not_before = _FIRST, 0.0  # of tries to rotate
        self._fault = ""  # that has been told
        self._copy: tuple[int, int] | None = None

    def run(self) -> None:
        """Keep what comes: to its end, or on SIGTERM to what is there by then. SIGHUP opens the file anew."""
        gc.disable()  # there are no cycles here, and a look for them would write to memory shared with the parent
        libc.set_title(f"initkit: logger of {self._path}")
        wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGHUP, self._hang_up)
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, self._end)
        told = select.poll()
        told.register(wakeup, select.POLLIN)
        both = select.poll()
        both.register(wakeup, select.POLLIN)
        both.register(0, select.POLLIN)
        pause = 0.0  # after a failure: what comes waits so long, and nobody looks at it
        while self._left != 0:
            found = told.poll(pause * 1000) if pause else both.poll()
            if any(fd == wakeup for fd, _ in found):
                os.read(wakeup, 4096)
                self._open_anew_if_asked()
                pause = 0.0
                continue
            try:
                if self._move() == 0:
                    return
                pause = 0.0
            except BlockingIOError:
                pass
            except OSError as fault:
                self._complain(fault, "what comes waits in the pipe")
                pause = min(pause * 2 or _FIRST, _LAST)
                if self._left > 0:
                    return  # the next one may be luckier

    def _hang_up(self, number: int, frame: object) -> None:
        self._asked = True

    def _end(self, number: int, frame: object) -> None:
        if self._left < 0:
            self._left = int.from_bytes(fcntl.ioctl(0, _FIONREAD, bytes(4)), "little")

    # --- bytes ----------------------------------------------------------------------------------------------------

    def _move(self) -> int:
        """Move some of what is there; 0 when no more will come."""
        size = os.lseek(self._fd, 0, os.SEEK_END)  # also when somebody has truncated it
        elsewhere = self._leaving or self._is_elsewhere()
        if (elsewhere or self._is_full(size)) and time.monotonic() >= self._not_before:
            if not self._ends_line(size) and self._extra < LONGEST:
                count = self._splice(self._rest_of_line())
                self._extra += count
                return count
            self._leave(rotate=not elsewhere)
            size = os.lseek(self._fd, 0, os.SEEK_END)
        return self._splice(_CHUNK if self._is_full(size) or self._max_size == UNLIMITED else self._max_size - size)

    def _splice(self, most: int) -> int:
        left = self._left  # SIGTERM may come at any moment
        count = os.splice(0, self._fd, most if left < 0 else min(most, left))
        if left > 0:
            self._left = left - count
        if self._fault and count and time.monotonic() >= self._not_before:
            self._say(f"{self._path} is written again")
            self._fault = ""
        return count

    def _rest_of_line(self) -> int:
        """How many bytes are there to the end of the line: seen in a copy, which leaves them in the pipe."""
        self._copy = self._copy or os.pipe2(os.O_CLOEXEC)
        seen, sink = self._copy
        count = libc.tee(0, sink, LONGEST - self._extra)
        data = os.read(seen, count) if count else b""
        return data.find(b"\n") + 1 or count

    # --- files ----------------------------------------------------------------------------------------------------

    def _is_full(self, size: int) -> bool:
        return self._max_size != UNLIMITED and size >= self._max_size

    def _ends_line(self, size: int) -> bool:
        return size == 0 or os.pread(self._fd, 1, size - 1) in (b"\n", b"")

    def _is_elsewhere(self) -> bool:
        """Whether the file has been moved away, or removed."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _open_anew_if_asked(self) -> None:
        if self._asked:
            self._asked, self._not_before = False, 0.0
            self._leaving = not self._ends_line(os.lseek(self._fd, 0, os.SEEK_END))
            if not self._leaving:
                self._leave(rotate=False)

    def _leave(self, *, rotate: bool) -> None:
        """Go on in another file; where that cannot be, in the same for a while."""
        try:
            if rotate:
                self._shift()
            fresh = _open(self._path)
        except (OSError, ValueError) as fault:
            self._complain(fault, "the log goes on where it is")
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LAST)
            return
        os.close(self._fd)
        self._fd, self._extra, self._leaving = fresh, 0, False
        self._pause, self._not_before = _FIRST, 0.0

    def _shift(self) -> None:
        """PATH becomes PATH.1, that PATH.2, and so on to the first number that is free, else over the oldest."""
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, self._max_files))]
        if len(names) == 1:
            os.unlink(self._path)
            return
        free = next((place for place, name in enumerate(names) if place and not os.path.lexists(name)), len(names) - 1)
        for place in range(free, 0, -1):
            os.rename(names[place - 1], names[place])

    # --- words ----------------------------------------------------------------------------------------------------

    def _complain(self, fault: Exception, what: str) -> None:
        """Once for each cause."""
        said = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        if said != self._fault:
            self._fault = said
            self._say(f"{self._path}: {said}: {what}")

    def _say(self, text: str) -> None:
        room = select.poll()
        room.register(2, select.POLLOUT)
        try:
            if room.poll(0):  # never held up by whoever reads it
                os.write(2, f"initkit: {text}\n".encode("utf-8", "replace")[: select.PIPE_BUF])
        except OSError:
            pass  # nobody does


def _open(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:  # S_ISREG
        os.close(fd)
        raise ValueError(f"{path} is no ordinary file")
    return fd


def older(path: str) -> Iterator[str]:
    """The files that have been rotated away from `path`, the youngest first."""
    number = 1
    while os.path.isfile(f"{path}.{number}"):
        yield f"{path}.{number}"
        number += 1
