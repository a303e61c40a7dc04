"""What a launcher hears of its daemon: reports on a pipe, early output on another, its death by a pidfd."""

from __future__ import annotations

import os
import select
import time

from initkit.plan.daemonize import INTERRUPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.settings.service import Service

MOST = 64 * 1024  # bytes of early output that are kept


class Interrupted(BaseException):
    """Whoever waits is told to stop, by signal `number`."""

    def __init__(self, number: int) -> None:
        self.number = number


class Watch:
    """The daemon's state as far as it is known here.

    `pid` is 0 until it is told; `ready`, `failed` ("STATUS a line for people"), `restarting` and `note` come from
    reports; `over` says that the daemon is dead; `closed` that nobody writes to its early output any more. A byte in
    `interrupts` is the number of a signal.
    """

    def __init__(self, reports: int, output: int, interrupts: int) -> None:
        self._reports, self._output, self._interrupts = reports, output, interrupts
        self.pid = 0
        self.ready = self.over = self.closed = self.restarting = False
        self.failed = self.note = ""
        self.early = b""
        self._executing = False
        self._line = b""
        self._poll = select.poll()
        for fd in (reports, output, interrupts):
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)

    def _read_interrupts(self) -> None:
        number = os.read(self._interrupts, 1)[0]
        if number in INTERRUPTS:  # and no other that the caller has a handler for
            self._poll.unregister(self._interrupts)
            raise Interrupted(number)

    def until(self, met: Callable[[], bool], deadline: float | None = None) -> None:
        """Take in what comes until `met()` or the deadline (`time.monotonic`).

        Raises:
            Interrupted: once.
        """
        while not met():
            timeout = None if deadline is None else (deadline - time.monotonic()) * 1000
            if timeout is not None and timeout <= 0:
                return
            for fd, _ in self._poll.poll(timeout):
                if fd == self._output:
                    self._read_output()
                elif fd == self._reports:
                    self._read_reports()
                elif fd == self._interrupts:
                    self._read_interrupts()
                else:
                    self.over = True
                    self._poll.unregister(fd)
                    os.close(fd)

    def drain(self) -> None:
        """Take in what is there already."""
        while not self.closed and self._read_output():
            pass

    def _read_output(self) -> bool:
        try:
            data = os.read(self._output, MOST)
        except BlockingIOError:
            return False
        if not data:
            self.closed = True
            self._poll.unregister(self._output)
        self.early = (self.early + data)[-MOST:]
        return bool(data)

    def _read_reports(self) -> None:
        data = os.read(self._reports, 4096)
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))
        if not data:  # executed, or dead
            self._poll.unregister(self._reports)
            self.ready = self.ready or (self._executing and not self.failed)
            if not self.pid:
                self.over = True

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "pid":
            self.pid = int(rest)
            self._poll.register(os.pidfd_open(self.pid), select.POLLIN)  # our child: not reaped, so there
        elif word == "executing":
            self._executing = True
        elif word in ("ready", "skipped"):
            self.ready, self.note = True, rest
        elif word in ("failed", "restarting"):
            self.failed, self.restarting = rest or "1", word == "restarting"


class Tail:
    """The part of the file that StandardError= names which this start has added."""

    def __init__(self, service: Service) -> None:
        stream = service.standard_error or service.standard_output
        if stream and stream.kind == "inherit":
            stream = service.standard_output
        self._path = stream.target if stream else service.log_file
        self._overwritten = bool(stream and stream.kind == "file")  # from its beginning, what is behind stays
        before = self._content(0) if self._overwritten else b""
        self._before = before
        self._offset = 0 if self._overwritten or (stream and stream.kind == "truncate") else self._size()

    def read(self) -> bytes:
        """The last of it."""
        size = self._size()
        content = self._content(max(min(self._offset, size), size - MOST))
        if not self._overwritten:
            return content
        same = 0
        while same < min(len(content), len(self._before)) and content[-same - 1] == self._before[-same - 1]:
            same += 1
        return content[: len(content) - same] if len(content) == len(self._before) else content

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size if self._path else 0
        except OSError:
            return 0

    def _content(self, offset: int) -> bytes:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            return os.pread(fd, MOST, offset)
        except OSError:
            return b""
        finally:
            os.close(fd)
