"""What a service's life hears: signals, the deaths of its processes, and what the service says by sd_notify(3)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import time

from initkit.run import family, identity, pidfile
from initkit.run.handed import Handed
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.bus import BusName
    from initkit.run.cgroup import Group
    from initkit.run.family import Family
    from initkit.run.identity import Stat
    from initkit.run.kin import Kin
    from initkit.run.loop import Loop
    from initkit.run.notify import NotifySocket
    from initkit.run.register import Register
    from initkit.settings.service import Service

STOP = frozenset((_signal.SIGTERM, _signal.SIGINT))
_NOTICEABLE = 0.1  # seconds that a deadline moves, to be told
SETTLED = ("inactive", "active", "failed")  # states in which nothing is waited for


class Hearing:
    """One service's state, and what changes it from without."""

    register: Register | None = None  # where what is started is taken down
    _untold = False  # whether it has been told that this cannot be done

    def __init__(
        self,
        service: Service,
        loop: Loop,
        report: Callable[[str, str], None],
        *,
        output: int | None = None,
        passed: tuple[tuple[int, str], ...] = (),
        hangup: str = "ignore",
        kin: Kin | None = None,
        home: str = "",
    ) -> None:
        self.service, self.loop, self.report, self.output, self.hangup = service, loop, report, output, hangup
        self.handed = Handed(service, loop, lambda text: report("note", f"{service.name}: {text}"), passed)
        self.kin = kin  # the service's part of the descendants; without it, they are all the service's
        self.family: Family = kin or family
        self.main = 0  # pid of the main process, 0 while it is not known
        self.control = 0  # pid of the command that runs beside it
        self.state, self.since = "inactive", time.time()  # in the interface's words; since when, in the epoch's seconds
        self.changed: Callable[[], None] = _nothing  # told when the state or the status text is another
        self.monitored: dict[str, str] = {}  # about the service whose end started this one: systemd.exec(5)
        self.stopping = False
        # What follows a stop that was asked for: "start"; "hold" until the start that it is to be is asked for; "wait"
        # until one is asked for, if ever; or the end.
        self.then = ""
        self.restarts = 0  # since the last start that was asked for
        self.reloads = 0  # that were asked for
        self.reloaded = 0  # how many of them are over
        self.reload_fault = ""  # why the last one failed
        self.reloading_since = -1  # MONOTONIC_USEC= of the last RELOADING=1
        self.deadline = INFINITY  # of what is going on
        self.home = home  # the control group that the service's own is made below, where there can be one
        self.group: Group | None = None
        self.begin()
        self.exits: dict[int, int] = {}  # wait statuses of the programs started here
        self.notify: NotifySocket | None = None
        self.bus: BusName | None = None  # while a service of Type=dbus lives
        self._mine: set[int] = set()  # pids of the programs started here, until they are reaped
        self._failures: dict[int, str] = {}  # why a program was not executed, "" when it was

    def begin(self) -> None:
        """A new life, of which nothing has been heard yet."""
        self.outcome, self.ready, self.control = Outcome(), False, 0
        self.last_status: int | None = None  # of the last main process of this life that has ended
        self.said_ready = self.said_stopping = False
        self.reloading = False  # whether it has said RELOADING=1, and not READY=1 since
        self.status_text, self.errno = "", 0
        self.casualties = self.group.casualties() if self.group else 0  # before
        self.access = self.service.notify_access
        self.interval = self.service.watchdog  # seconds, that signs of life may be apart
        self.unguard()

    @property
    def returning(self) -> bool:
        """Whether a stop that was asked for is one half of a restart."""
        return self.then in ("start", "hold")

    @property
    def ending(self) -> bool:
        """Whether there is no going on: an outcome, a stop that was asked for, or one that the service has begun."""
        return bool(self.outcome.result) or self.stopping or (self.said_stopping and self.ready)

    def enter(self, state: str, seconds: float | None = None) -> None:
        """Be in another state from now on; what goes on there may take so many seconds."""
        if {state, self.state} != {"active", "reloading"}:
            self.since = time.time()
        self.state = state
        if seconds is not None:
            self.deadline = time.monotonic() + seconds
        self.changed()

    def limit(self, seconds: float) -> None:
        """From now on, what goes on may take as long as this."""
        self._move(time.monotonic() + seconds)

    def _move(self, deadline: float) -> None:
        before, self.deadline = self.deadline, deadline
        if self.state not in SETTLED and abs(deadline - before) > _NOTICEABLE:  # inf - inf is no number, and not more
            self.changed()

    def guard(self) -> None:
        """Expect signs of life from now on."""
        self.guarded = True
        self._revive()

    def unguard(self) -> None:
        """Expect no sign of life any more."""
        self.guarded, self.watchdog = False, INFINITY

    def _revive(self) -> None:
        if self.guarded and self.watchdog > 0:
            self.watchdog = time.monotonic() + self.interval if 0 < self.interval < INFINITY else INFINITY

    def signal_main(self, numbers: tuple[int, ...]) -> list[Stat]:
        """Signal the main process, and the command that runs beside it. Returns those that are another user's."""
        dead = self.loop.dead  # of these the numbers may be others' by now
        living = [pid for pid in (self.main, self.control) if pid and pid not in self.exits and pid not in dead]
        return [found for pid in living if not self._reaches(pid, numbers) and (found := identity.stat(pid))]

    def _reaches(self, pid: int, numbers: tuple[int, ...]) -> bool:
        if pid not in self._mine:
            found = identity.stat(pid)
            return found is None or family.reaches(found, numbers)
        try:
            for number in numbers:  # our child, and not reaped: the pid is its own
                os.kill(pid, number)
        except PermissionError:
            return False
        return True

    def take_down(self, write: Callable[[Register], None]) -> None:
        """Have something written into the register, as far as that can be done: no service ends for want of it."""
        if not self.register:
            return
        try:
            write(self.register)
        except OSError as fault:
            if not self._untold:
                said = f"nobody will find it if this manager is killed: {self.register.path}: {fault.strerror}"
                self.report("note", f"{self.service.name}: {said}")
            self._untold = True

    def write_main_pid(self) -> None:
        """PIDFile=, for programs that write none; and the register, of one that was not started here."""
        pid = self.main
        if pid and pid not in self._mine and pid not in self.exits:
            if self.kin:
                self.kin.roll.expect(pid, self.kin)
            self.take_down(lambda register: register.enrol("main", pid))
        if self.service.pid_file and self.service.type != "forking" and self.main and self.main not in self.exits:
            try:
                pidfile.write(self.service.pid_path, self.main)
            except OSError as fault:
                self.report("note", f"PID file {self.service.pid_path}: {fault.strerror}")

    # --- events ---------------------------------------------------------------------------------------------------

    def handle(self, event: Event | None) -> None:
        """Take in what happened."""
        if event is None:
            return
        if event.kind == "exit":
            self.read_messages()  # what it said before it died comes first
            if event.number in self._mine or event.number == self.main:  # not the orphans that are only reaped
                self._mine.discard(event.number)
                self.exits[event.number] = event.status
                if event.number == self.main:
                    self.last_status = event.status
        elif event.kind == "signal":
            self._signalled(event.number)
        elif event.kind == "oom":
            self._bereaved()

    def starved(self) -> bool:
        """Whether a process of this life has been killed for want of memory, and OOMPolicy= does not go on."""
        if not self.group or self.service.oom_policy == "continue":
            return False
        return self.group.casualties() > self.casualties

    def _bereaved(self) -> None:
        self.report("note", f"{self.service.name}: a process has been killed for want of memory")
        if self.starved() and not self.outcome.result:
            self.outcome = Outcome("oom-kill")

    def _signalled(self, number: int) -> None:
        if number in STOP:
            self.stopping, self.then = True, ""
        elif number != _signal.SIGHUP:
            self.signal_main((number,))
        elif self.service.exec_reload or self.service.type == "notify-reload":
            self.reloads += 1
        elif self.hangup == "stop":
            self.stopping, self.then = True, ""
        elif self.hangup == "forward":
            self.signal_main((number,))

    def read_messages(self) -> tuple[Event, ...]:
        """Take in what the service said: sd_notify(3)."""
        if self.notify is not None:
            before = self.said_ready
            for pid, uid, fields, fds in self.notify.messages():
                if self._may_notify(pid, uid):
                    self._noted(fields)
                    if self.handed.store:
                        self.handed.store.take(fields, fds)
                if self.said_ready != before:
                    break  # what comes next is said of a service that is ready, which it shall be first
        return (Event("notify", to=self.kin),)

    def said_newline(self) -> tuple[Event, ...]:
        """Take in the newline of a program with `notification_fd`."""
        self._noted({"READY": "1"})
        return (Event("notify", to=self.kin),)

    def _may_notify(self, pid: int, uid: int) -> bool:
        """NotifyAccess=; of a sender that is gone already only the user can be told."""
        if pid == self.main:
            return True
        if self.access == "exec":
            return pid == self.control
        if self.access == "all":
            # In this order: it may go between the two looks.
            return self.family.includes(pid) or (
                identity.stat(pid) is None and uid in pidfile.trusted_uids(self.service)
            )
        return False

    def _noted(self, fields: dict[str, str]) -> None:
        self._noted_state(fields)
        for name, take in _TAKEN.items():
            if name in fields:
                take(self, fields[name])

    def _noted_state(self, fields: dict[str, str]) -> None:
        """Who has said STOPPING=1 does not rise again."""
        if fields.get("STOPPING") == "1":
            self.said_stopping = True
        if self.said_stopping:
            return
        if fields.get("RELOADING") == "1":
            since = _number(fields.get("MONOTONIC_USEC", ""))
            self.reloading, self.reloading_since = True, -1 if since is None else since
            if self.state == "active":
                self.enter("reloading")
        if fields.get("READY") == "1":
            self.said_ready, self.reloading = True, False
            if self.state == "reloading" and self.reloaded == self.reloads:  # a reload that was its own idea
                self.enter("active")

    def _noted_status(self, text: str) -> None:
        if text != self.status_text:
            self.status_text = text
            self.changed()

    def _noted_errno(self, text: str) -> None:
        import errno

        number = _number(text)
        number = getattr(errno, text, None) if number is None and text.isupper() else number
        if number is not None and number < _MOST_ERRNO and number != self.errno:
            self.errno = number
            self.changed()

    def _noted_access(self, text: str) -> None:
        if text in ("main", "exec", "all"):
            self.access = text

    def _noted_main(self, text: str) -> None:
        pid = _number(text)
        if pid and pid != self.main and self.family.includes(pid):
            self._adopt(pid)

    def _noted_watchdog(self, text: str) -> None:
        if text == "1":
            self._revive()
        elif text == "trigger" and self.state != "deactivating":
            self.watchdog = 0.0

    def _noted_interval(self, text: str) -> None:
        """WATCHDOG_USEC=: another interval until this life ends, also where the settings have none."""
        microseconds = _number(text)
        if microseconds is not None:
            self.interval = microseconds / 1e6 if microseconds < _MOST_USEC else INFINITY
            self._revive()

    def _extend(self, text: str) -> None:
        """EXTEND_TIMEOUT_USEC=: what goes on, the watchdog's interval too, may last so long from now, if not longer."""
        until = time.monotonic() + (_number(text) or 0) / 1e6
        if 0 < self.watchdog < until:
            self.watchdog = until
        if self.deadline < until:
            self._move(until)

    def _adopt(self, pid: int) -> None:
        """MAINPID=: another process is the main one. Of one that is nobody's child here a pidfd tells the end."""
        found = identity.stat(pid)
        if found is None:
            return
        if found.parent != os.getpid():
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                return  # it has gone meanwhile
            except OSError as fault:
                self.report("note", f"{self.service.name}: MAINPID={pid}: {fault.strerror}")
                return
            self.loop.watch(pidfd, lambda: self._departed(pid, pidfd))
        self.main = pid
        self.write_main_pid()

    def _departed(self, pid: int, pidfd: int) -> tuple[Event, ...]:
        self.loop.unwatch(pidfd)
        os.close(pidfd)
        # Only its parent learns how it ended; systemd takes that for a good end as well.
        return () if pid in self.exits else (Event("exit", pid, to=self.kin),)


#: Assignments of sd_notify(3) and what takes them in, in that order.
_TAKEN = {
    "MAINPID": Hearing._noted_main,
    "STATUS": Hearing._noted_status,
    "NOTIFYACCESS": Hearing._noted_access,
    "ERRNO": Hearing._noted_errno,
    "EXTEND_TIMEOUT_USEC": Hearing._extend,
    "WATCHDOG": Hearing._noted_watchdog,
    "WATCHDOG_USEC": Hearing._noted_interval,
}
_MOST_ERRNO = 4096
_MOST_USEC = 2**64 - 1  # USEC_INFINITY


def _number(text: str) -> int | None:
    """An unsigned number of 64 bits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _nothing() -> None:
    """Nobody has asked to be told."""
