"""The launcher's side of daemon mode: it waits until the service is ready, dead, or late, and exits with the truth."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import select
import sys
import time

from initkit import plan
from initkit.plan import log
from initkit.plan.daemonize import INTERRUPTS, NullStreams
from initkit.plan.process import CloseDescriptors
from initkit.plan.step import Process
from initkit.run import family, pidfile
from initkit.run.outcome import ended, shell_status
from initkit.run.watch import MOST, Interrupted, Tail, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.run.register import Register
    from initkit.settings.service import Service

_LINES = 10


class Launcher:
    """Waits for one start. `status` is the exit status it comes to."""

    def __init__(
        self,
        service: Service,
        pid_files: tuple[str, ...],
        reports: int,
        output: int,
        register: Register | None = None,
    ) -> None:
        self.service, self.pid_files, self.reports, self.output = service, pid_files, reports, output
        self.register = register
        self.tail = Tail(service)
        self.status = 1
        self._heir, self._words = 0, -1

    def make_heir(self) -> None:
        """Make the process that reads the daemon's early output when the launcher has gone, however it goes. It is
        there before the daemon: as soon as that is known, the launcher may be killed."""
        self._heir, self._words = _inherit(self.output, self.service, self.register)

    def leave_heir(self) -> None:
        """In the daemon: the heir is the launcher's."""
        os.close(self._words)

    def end_heir(self) -> None:
        """There is nothing to read."""
        if self._words >= 0:
            os.kill(self._heir, _signal.SIGKILL)
            os.waitpid(self._heir, 0)
            self._release()

    def _release(self) -> None:
        os.close(self._words)
        self._words = -1

    def wait(self, process: Process, close: tuple[int, ...]) -> None:
        """Wait, tell on standard error what there is to tell, and set `status`; `close` are descriptors of the
        daemon's."""
        # A handler that raised could do so between the reading of a report and its being understood.
        interrupts, heard = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = _signal.set_wakeup_fd(heard)
        for number in INTERRUPTS:
            _signal.signal(number, _noted)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, process.held)
        for fd in close:
            os.close(fd)
        if self.register:
            self.register.close()
        watch = Watch(self.reports, self.output, interrupts)
        os.waitpid(process.child, 0)  # it exits at once; the daemon is ours from then on
        try:
            self.status = self._follow(watch)
        except Interrupted as interrupt:
            for number in INTERRUPTS:
                _signal.signal(number, _signal.SIG_IGN)
            self._abandon(watch)
            self.status = 128 + interrupt.number
        self._hand_over(watch)
        _signal.set_wakeup_fd(before)
        os.close(interrupts)
        os.close(heard)

    def _follow(self, watch: Watch) -> int:
        service = self.service
        # A supervisor keeps to TimeoutStartSec= itself, ExecStopPost= and all.
        watch.until(lambda: watch.ready or watch.over or bool(watch.failed))
        if watch.ready and not watch.failed and service.type not in plan.TELLING and not watch.note:
            # Nothing tells that such a program works; one that dies within the first moments does not.
            watch.until(lambda: watch.over or bool(watch.failed), time.monotonic() + service.settle)
        if watch.failed and not watch.restarting:
            watch.until(lambda: watch.over)  # it says so at the very end
        if watch.over or watch.failed:
            return self._ended_early(watch)
        if watch.note:
            _say(f"initkit: {watch.note}")
        return 0

    def _ended_early(self, watch: Watch) -> int:
        status = 0
        if watch.over and watch.pid:
            _, status = os.waitpid(watch.pid, 0)
            self._clear(watch.pid)
        watch.drain()
        name = self.service.name
        if watch.failed:
            number, _, text = watch.failed.partition(" ")
            self._complain(watch, text or f"{name}: could not be started")
            return (int(number) if number.isdigit() else 1) or 1
        if not watch.pid:
            self._complain(watch, f"{name}: could not be started")
            return 1
        supervised = plan.needs_parent(self.service)
        if watch.note or (supervised and status == 0 and self.service.type in plan.TELLING):  # a life short and good
            if watch.note:
                _say(f"initkit: {watch.note}")
            return 0
        who = f"{name}: its manager was" if supervised and os.WIFSIGNALED(status) else f"{name}:"
        self._complain(watch, f"{who} {ended(status)} right after its start")
        return shell_status(status) or 1

    def _complain(self, watch: Watch, text: str) -> None:
        _say(f"initkit: {text}")
        shown = (self.tail.read() or watch.early).decode("utf-8", "replace").splitlines()
        for line in [line for line in shown if line != f"initkit: {text}"][-_LINES:]:
            _say(f"    {line}")

    def _abandon(self, watch: Watch) -> None:
        """The start was broken off: nothing of it goes on without anybody knowing."""
        # The pid is the daemon's first word; until then it has run nothing.
        watch.until(lambda: bool(watch.pid) or watch.over)
        if watch.pid and not watch.over:
            os.kill(watch.pid, _signal.SIGTERM)  # our child, not reaped
            os.kill(watch.pid, _signal.SIGCONT)
            supervised = plan.needs_parent(self.service)
            watch.until(lambda: watch.over, None if supervised else time.monotonic() + self.service.stop_timeout)
            if not watch.over:
                family.signal_all((_signal.SIGKILL,))
                watch.until(lambda: watch.over)
        self._clear(watch.pid)

    def _clear(self, pid: int) -> None:
        """Of a daemon that is dead: its files, and what it has left when it was killed."""
        for path in self.pid_files:
            pidfile.remove(path, pid)
        if self.register:
            self.register.close()
            from initkit.run import claim

            claim.abandon(self.service, self.register.path)

    def _hand_over(self, watch: Watch) -> None:
        """Leave the output to the heir, unless nobody writes any more."""
        watch.drain()
        if watch.closed:
            self.end_heir()
            return
        try:
            os.write(self._words, watch.early)
        except OSError:
            pass
        self._release()


def _inherit(output: int, service: Service, register: Register | None) -> tuple[int, int]:
    """Make the heir. Returns its pid and a pipe to it: what is written there is logged first; its end lets the process
    begin."""
    words, pipe = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(words)
        return pid, pipe
    try:
        for number in INTERRUPTS:
            _signal.signal(number, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, INTERRUPTS)
        os.setsid()
        if register:
            register.enrol("reader")
        process = Process(service)
        process.private_fds = (words, output)
        NullStreams().apply(process)
        CloseDescriptors().apply(process)
        reader = log.reader(service)
        early = b""
        while data := os.read(words, MOST):
            early += data
        if early and log.has_syslog():
            _log(early, reader)
        os.set_blocking(output, True)
        room = select.poll()
        room.register(output, select.POLLIN)
        if not any(event == select.POLLHUP for _, event in room.poll(0)):  # somebody may write still
            log.become_reader(output, reader)
    finally:
        os._exit(0)


def _log(text: bytes, words: tuple[str, ...]) -> None:
    source, sink = os.pipe2(os.O_CLOEXEC)
    reader = os.fork()
    if reader == 0:
        os.close(sink)
        log.become_reader(source, words)
    os.close(source)
    os.write(sink, text)
    os.close(sink)
    os.waitpid(reader, 0)


def _say(line: str) -> None:
    """For whoever has started it, who may have gone: the start goes on."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass


def _noted(number: int, frame: object) -> None:
    """The number is in the pipe: signal.set_wakeup_fd()."""
