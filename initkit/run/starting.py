"""The start of a service's life: conditions, sockets, ExecStartPre=, the main program to its readiness, ExecStartPost=:
systemd.service(5)."""

from __future__ import annotations

import os
import time

from initkit import plan
from initkit.run import pidfile
from initkit.run.ending import Ending
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import Outcome, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.waiting import Part
    from initkit.settings.command import Command

_IDLE = 5.0  # seconds that Type=idle waits for others at the most: systemd.service(5)
_PAUSE = 0.1  # seconds between two looks at a file that the system has no watch left for


class Starting(Ending):
    """How one service is brought up."""

    idle: Callable[[], bool] = staticmethod(lambda: True)  # whether nothing is done for other services at present

    def come_up(self) -> Part[None]:
        """To readiness, or to an outcome."""
        service = self.service
        self.open_sockets()
        yield from self._conditions()
        for command in () if self.ending else service.exec_start_pre:
            if not (yield from self._succeeds(command)):
                return
        if not self.ending:
            yield from self._start_main()
        if not self.ending:
            self.guard()
        for command in () if self.ending else service.exec_start_post:
            if not (yield from self._succeeds(command)):
                return
        if self.ending:
            return
        if self.main in self.exits and service.exec_start_post and not service.remain_after_exit and not self.lives():
            self.ended()
            return
        self.ready = True
        self.deadline = INFINITY
        self.report("ready", "")

    def open_sockets(self) -> None:
        """Listen; what cannot be listened on is the end of the start."""
        try:
            self.handed.open()
        except OSError as fault:
            self.outcome = Outcome("resources", note=f"cannot listen on {fault.filename}: {fault.strerror}")

    def _conditions(self) -> Part[None]:
        self.outcome = self.outcome or self._unmet()
        if self.ending:
            return
        for command in self.service.exec_condition:
            status = yield from self.command(command, self.service.start_timeout)
            if status and not self.ending:
                skipped = os.WIFEXITED(status) and 0 < os.WEXITSTATUS(status) < 255
                result = "exec-condition" if skipped else result_of(self.service, status, daemon=False)
                self.outcome = Outcome(result, command=status)
            if self.ending:
                return

    def _unmet(self) -> Outcome:
        """What comes of a Condition…= or Assert…= that does not hold."""
        if not plan.has_conditions(self.service):
            return Outcome()
        from initkit.run import conditions

        return conditions.outcome(self.service)

    def _start_main(self) -> Part[None]:
        """The main program, until its Type= calls it started. What others have said of its state before is nothing."""
        service = self.service
        self.read_messages()
        self.said_ready = self.said_stopping = self.reloading = False
        if service.type == "oneshot":
            yield from self._run_each()
            return
        if service.type == "dbus" and not self._ask_bus():
            return
        if service.type == "idle":
            yield from self._until_idle()
        if self.ending:
            return
        pid = self._start_program(None if service.callable else service.exec_start[0])
        self.main, self.control = (0, pid) if service.type == "forking" else (pid, 0)
        if not pid or not (yield from self.executed(pid)):
            return
        if service.type == "forking":
            yield from self._forked(pid)
        elif service.type in ("notify", "notify-reload"):
            yield from self.until(lambda: self.said_ready)
            if self.outcome.result == "success":
                self.outcome = Outcome("protocol", self.outcome.status, "ended before it said READY=1")
            self._name_late("no READY=1")
        elif self.bus:
            yield from self.until(self._has_name)
            self._name_late(f"no {service.bus_name} on the message bus")
        self.write_main_pid()

    def _until_idle(self) -> Part[None]:
        """Type=idle: until nothing else is being started or stopped, and not for long."""
        limit = time.monotonic() + _IDLE
        while not self.idle() and not self.ending and time.monotonic() < limit:
            self.handle((yield min(self.deadline, limit)))

    def _name_late(self, what: str) -> None:
        """What a start has waited for in vain."""
        if self.outcome.result == "timeout":
            self.outcome = Outcome("timeout", self.outcome.status, f"{what} in time (TimeoutStartSec=)")

    def _ask_bus(self) -> bool:
        """Ask the bus for BusName= from now on; without a bus, that is the outcome."""
        from initkit.run.bus import BusName

        try:
            self.bus = BusName(self.service.bus_name, user=self.service.user)
        except OSError as fault:
            where = f"{fault.filename}: " if fault.filename else ""
            self.outcome = Outcome("resources", note=f"no message bus: {where}{fault.strerror}")
            return False
        self.loop.watch(self.bus.fileno(), self._hear_bus)
        return True

    def _hear_bus(self) -> tuple[Event, ...]:
        assert self.bus
        self.bus.read()
        if self.bus.lost:
            self.loop.unwatch(self.bus.fileno())
            if self.ready:
                self.report("note", f"{self.service.name}: the message bus: {self.bus.lost}")
        return (Event("wake", to=self.kin),)

    def _has_name(self) -> bool:
        """Whether BusName= is on the bus. A bus that tells no more is the outcome of a start."""
        if self.bus and self.bus.lost and not self.bus.owned:
            self.outcome = self.outcome or Outcome("resources", note=f"the message bus: {self.bus.lost}")
        return bool(self.bus and self.bus.owned)

    def _run_each(self) -> Part[None]:
        """Type=oneshot: all programs to their ends, each the main process in its turn."""
        for command in (None,) if self.service.callable else self.service.exec_start:
            self.main = pid = self._start_program(command)
            if pid and (yield from self.executed(pid)):
                yield from self.until(lambda: False)
            if self.outcome.result != "success":
                self._name_failed(command)
                return
            self.exits.pop(self.main)
            self.outcome, self.main = Outcome(), 0
            if self.ending:
                return

    def _name_failed(self, command: Command | None) -> None:
        """It may be one of several."""
        found = self.outcome
        if command and found.result and not found.note:
            note = command.path if found.status is None else f"{command.path} failed"
            self.outcome = Outcome(found.result, found.status, note)

    def _start_program(self, command: Command | None) -> int:
        """Start one in ExecStart=, or `callable`: its pid."""
        service = self.service
        self.limit(service.start_timeout)
        self.pardoned = command is not None and command.ignore_failure
        steps = plan.program(service, command) if command else plan.main_program(service)
        return self.start(steps, self._main_variables(), main=True)

    def _main_variables(self) -> dict[str, str]:
        found = {}
        if self.notify:
            found["NOTIFY_SOCKET"] = self.notify.address
        if self.watched():
            found["WATCHDOG_USEC"] = str(int(self.service.watchdog * 1e6))
        return found

    def _forked(self, pid: int) -> Part[None]:
        """Type=forking: the first process exits when the daemon is ready; the PID file tells which one that is."""
        yield from self.until(lambda: pid in self.exits)
        self._name_late("Type=forking, and its first process did not end")
        if self.ending:
            return
        self.control = 0
        status = self.exits.pop(pid)
        if self.result(status) != "success":
            self.outcome = Outcome(self.result(status), command=status)
        elif self.service.pid_file:
            yield from self._named_by_pid_file()
        else:
            found = self.family.children()
            self.main = found[0].pid if len(found) == 1 and self.service.guess_main_pid else 0
            if not found:
                self.outcome = Outcome("protocol", note="left no process running")

    def _named_by_pid_file(self) -> Part[None]:
        """The daemon's first process may exit before the second has written the file."""
        from initkit.run.filewatch import FileWatch

        path = self.service.pid_path
        watch = FileWatch(self.loop, path, lambda: (Event("wake", to=self.kin),))
        try:
            while not self.ending and time.monotonic() < self.deadline and not self.family.childless():
                pid = pidfile.named(path)
                if pid and self.family.includes(pid):
                    self.main = pid
                    return
                again = INFINITY if watch.works else time.monotonic() + _PAUSE
                self.handle((yield min(self.deadline, again)))
        finally:
            watch.close()
        if not self.ending:
            what = "names no process of the service" if os.path.lexists(path) else "was not written"
            self.outcome = Outcome("protocol", note=f"PID file {path} {what}")

    def _succeeds(self, command: Command) -> Part[bool]:
        status = yield from self.command(command, self.service.start_timeout)
        if status and not self.ending:
            result = result_of(self.service, status, daemon=False)
            self.outcome = Outcome(result, note=f"{command.path} failed", command=status)
        return not self.ending

    def watched(self) -> bool:
        """Whether the service is to say time and again that it is well: WatchdogSec=."""
        return 0 < self.service.watchdog < INFINITY
