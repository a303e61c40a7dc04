"""A service's logger: the pipe from the one to the other, and another reader whenever one has died."""

from __future__ import annotations

import os
import select
import time

from initkit.plan import logger
from initkit.run.kin import Kin
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import ended
from initkit.run.spawn import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.plan.step import Process
    from initkit.run.kin import Roll
    from initkit.run.loop import Loop, Task
    from initkit.settings.service import Service

_APART = 0.1  # seconds, at least, between the starts of two loggers
_LONGEST_WAIT = 60.0  # seconds for one that dies again and again


class Logger:
    """The logger of one service. What it says itself goes to `output`; the task `reader` is woken when it changes.

    It is never given up: one that dies more often than StartLimitBurst= and StartLimitIntervalSec= allow only waits.
    """

    def __init__(
        self,
        service: Service,
        loop: Loop,
        report: Callable[[str, str], None],
        roll: Roll,
        *,
        reader: object,
        output: int | None = None,
    ) -> None:
        self._service, self._loop, self._report, self._output, self._reader = service, loop, report, output, reader
        self.kin = Kin(roll)
        self.enrol: Callable[[], None] | None = None  # what its process does first: see `spawn`
        self.fork: Callable[[], int] = os.fork
        self.pid = 0
        self.sink = -1  # the end that the service writes to
        self.failure = ""  # why the first one was not executed
        self.status = 0  # the wait status of the last one
        self.works = False  # whether one has been executed
        self._source = -1
        self._told = -1  # the pipe that tells whether it is executed
        self._due = INFINITY  # when the next one is started
        self._starts: tuple[float, ...] = ()
        self._said = ""
        if service.log_file:  # now: the process that needs it may not be allowed to read it
            from initkit.run.logfile import LogFile

            self._file = lambda: LogFile(service.log_file, service.log_max_size, service.log_max_files)
        loop.add(self.kin, self._task())

    def begin(self, source: int = -1) -> None:
        """See to it that one reads: from `source`, else from a pipe that is made for it and kept."""
        if self._source < 0:
            self._source, self.sink = (source, -1) if source >= 0 else os.pipe2(os.O_CLOEXEC)
            self.failure, self.works = "", False
        if self.pid == 0 and self._due == INFINITY:
            self._start()

    def end(self) -> None:
        """Nobody here writes any more: the logger reads to the end and ends as well."""
        if self.sink < 0:
            return
        os.close(self.sink)
        self.sink = -1
        if self.pid == 0 and self._is_over():
            self._due = INFINITY

    def close(self) -> None:
        """There is nothing more to be read; whoever reads still is left to himself."""
        self.end()
        self._due = INFINITY
        if self._source >= 0:
            os.close(self._source)
            self._source = -1

    @property
    def tries(self) -> bool:
        """Whether it is not known yet if the first one can be executed."""
        return not self.works and (self.pid != 0 or self._due != INFINITY)

    def gone(self) -> bool:
        """Whether nothing of it is left, and nothing will come."""
        return self.pid == 0 and self._due == INFINITY and self.kin.childless()

    # --- its processes --------------------------------------------------------------------------------------------

    def _task(self) -> Task:
        while True:
            event = yield self._due
            if event is None:
                if self._due <= time.monotonic():
                    self._start_again()
            elif event.kind == "exit":
                if event.number == self.pid:
                    self._ended(event.status)
                self._loop.wake(self._reader)

    def _start(self) -> None:
        self._due = INFINITY
        self._starts = (*self._starts, time.monotonic())
        self.kin.renew()
        variables = {"INVOCATION_ID": self.kin.invocation}
        steps = logger.steps(self._service)
        self.pid, self._told = spawn(
            self._service,
            steps,
            variables,
            output=self._output,
            prepare=self._prepare,
            enrol=self.enrol,
            fork=self.fork,
        )
        self.kin.born(self.pid)
        self._loop.watch(self._told, self._read, first=True)

    def _start_again(self) -> None:
        """The service goes on, also where the system has nothing left for another logger."""
        try:
            self._start()
        except OSError as fault:
            self._due = self._next()
            text = f"{self._service.name}: its logger: {fault.strerror}"
            if text != self._said:
                self._said = text
                self._report("note", text)

    def _prepare(self, process: Process) -> None:
        process.pipe = self._source
        process.private_fds = (*process.private_fds, self._source)
        if self._service.log_file:
            process.hooks["open_log"] = self._file

    def _read(self) -> tuple[Event, ...]:
        """Whether it is executed, or why not."""
        text = os.read(self._told, 4096).decode(errors="replace")
        self._loop.unwatch(self._told)
        os.close(self._told)
        self._told = -1
        if not text:
            self.works = True
        elif not self.works:
            self.failure = text
        elif text != self._said:
            self._said = text
            self._report("note", text)
        return (Event("exec", to=self._reader),)

    def _ended(self, status: int) -> None:
        if self._told >= 0:
            self._read()  # why it was not executed
        self.pid, self.status = 0, status
        if self._source < 0 or self._is_over() or (self.failure and not self.works):
            return
        self._due = self._next()
        text = f"{self._service.name}: its logger {ended(status)}"
        if text != self._said or self._due > time.monotonic() + _APART:
            self._said = text
            self._report("note", f"{text}; started again in {max(0.0, self._due - time.monotonic()):.1f} s")

    def _is_over(self) -> bool:
        """Whether nothing is left in the pipe, and nobody writes to it."""
        found = select.poll()
        found.register(self._source, select.POLLIN)
        return any(event == select.POLLHUP for _, event in found.poll(0))

    def _next(self) -> float:
        now, last = time.monotonic(), self._starts[-1]
        interval, burst = min(self._service.start_limit_interval, _LONGEST_WAIT), self._service.start_limit_burst
        self._starts = tuple(each for each in self._starts if each > now - interval)
        if 0 < burst <= len(self._starts):
            return self._starts[0] + interval
        self._starts = self._starts or (last,)
        return max(now, last + _APART)
