"""The line on a terminal that tells what a start or a stop waits for, and how long it still may."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import select
import sys
import time

from initkit.cli import humane
from initkit.errors import InitkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    #: Told what is waited for, and how many seconds it may still take (inf: no limit).
    Tell = Callable[[str, float], None]
    Action = Callable[[Tell], int]

_CLEAR = "\r\x1b[K"


def shown(title: str, action: Action, teller: Action | None = None) -> int:
    """Do `action`, which is given a function to tell its progress with; returns its exit status.

    On a terminal it is done by a child, and so is `teller`, which tells of the progress where the action itself cannot.
    Elsewhere nothing is told.
    """
    if not sys.stderr.isatty():
        return action(lambda what, seconds: None)
    return _Line(title).follow(action, teller)


class _Line:
    """One line at the end of standard error, and the process whose progress it shows."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.what, self.deadline = "", 0.0
        self.told, self.tell = os.pipe2(os.O_CLOEXEC)
        self.said, self.say = os.pipe2(os.O_CLOEXEC)  # the child's standard error, which must not run into the line
        self.rest = b""

    def follow(self, action: Action, teller: Action | None) -> int:
        if sys.stdout is not None:
            sys.stdout.flush()
        child = self._fork(action, self.say)
        helper = self._fork(teller, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)) if teller else 0
        before = _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # Ctrl-C is the child's to obey
        try:
            self._show(child)
            _, status = os.waitpid(child, 0)
        finally:
            _signal.signal(_signal.SIGINT, before)
            if helper:
                os.kill(helper, _signal.SIGKILL)
                os.waitpid(helper, 0)
        for fd in (self.told, self.tell, self.said, self.say):
            os.close(fd)
        return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def _fork(self, action: Action, errors: int) -> int:
        pid = os.fork()
        if pid == 0:
            self._child(action, errors)
        return pid

    def _child(self, action: Action, errors: int) -> NoReturn:
        status = 1
        try:
            os.dup2(errors, 2)
            status = action(self._tell)
        except InitkitError as error:
            print(f"initkit: {error}", file=sys.stderr)
            status = error.status
        except KeyboardInterrupt:
            status = 130
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _tell(self, what: str, seconds: float) -> None:
        os.write(self.tell, f"{seconds} {humane.printable(what)}".encode("utf-8", "replace")[:500] + b"\n")

    def _show(self, child: int) -> None:
        """Until the child has ended."""
        pidfd = os.pidfd_open(child)
        poll = select.poll()
        for fd in (pidfd, self.told, self.said):
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        ready: list[int] = []
        while pidfd not in ready:
            # The time that is left changes every second, whatever happens.
            ready = [fd for fd, _ in poll.poll(1000 if self.what else None)]
            if self.told in ready:
                self._hear()
            if self.said in ready:
                self._write(_CLEAR + os.read(self.said, 65536).decode("utf-8", "replace"))
            self._write(self._text())
        self._write(_CLEAR)
        if select.select([self.said], [], [], 0)[0]:  # its last words
            self._write(os.read(self.said, 65536).decode("utf-8", "replace"))
        os.close(pidfd)

    def _hear(self) -> None:
        *lines, self.rest = (self.rest + os.read(self.told, 65536)).split(b"\n")
        for line in lines:
            seconds, _, self.what = line.decode().partition(" ")
            self.deadline = time.monotonic() + float(seconds)

    def _text(self) -> str:
        if not self.what:
            return ""
        left = self.deadline - time.monotonic()
        limit = f", {humane.span(max(0.0, left // 1))} left" if left != float("inf") else ""
        room = humane.width(2) - 1 - len(self.title) - len(": ") - len(limit)
        what = self.what if len(self.what) <= room else self.what[: max(0, room - 1)] + "…"
        return f"{_CLEAR}{self.title}: {what}{limit}"

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
