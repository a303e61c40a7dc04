"""What a service's life hears: signals, the deaths of its processes, and what the service says by sd_notify(3)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import time

from initkit.run import family, identity, pidfile
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.family import Family
    from initkit.run.kin import Kin
    from initkit.run.loop import Loop
    from initkit.run.notify import NotifySocket
    from initkit.settings.service import Service

STOP = frozenset((_signal.SIGTERM, _signal.SIGINT))


class Hearing:
    """One service's state, and what changes it from without."""

    def __init__(
        self,
        service: Service,
        loop: Loop,
        report: Callable[[str, str], None],
        *,
        output: int | None = None,
        fds: tuple[int, ...] = (),
        sockets: dict[str, str] | None = None,
        hangup: str = "ignore",
        kin: Kin | None = None,
    ) -> None:
        self.service, self.loop, self.report, self.output, self.fds = service, loop, report, output, fds
        self.sockets, self.hangup = sockets or {}, hangup
        self.kin = kin  # the service's part of the descendants; without it, they are all the service's
        self.family: Family = kin or family
        self.main = 0  # pid of the main process, 0 while it is not known
        self.control = 0  # pid of the command that runs beside it
        self.state, self.since = "inactive", time.time()  # in the interface's words; since when, in the epoch's seconds
        self.changed: Callable[[], None] = _nothing  # told when the state or the status text is another
        self.monitored: dict[str, str] = {}  # about the service whose end started this one: systemd.exec(5)
        self.stopping = False
        self.then = ""  # what follows a stop that was asked for: "start", "wait" until it is asked for, or the end
        self.ready = False
        self.said_ready = False
        self.status_text = ""
        self.outcome = Outcome()
        self.reloads = 0  # that were asked for
        self.reloaded = 0  # how many of them are over
        self.reload_fault = ""  # why the last one failed
        self.reloading = False  # whether it has said RELOADING=1, and not READY=1 since
        self.reloading_since = -1  # MONOTONIC_USEC= of that
        self.deadline = INFINITY  # of what is going on
        self.watchdog = INFINITY
        self.exits: dict[int, int] = {}  # wait statuses of the programs started here
        self.notify: NotifySocket | None = None
        self._mine: set[int] = set()  # pids of the programs started here, until they are reaped
        self._failures: dict[int, str] = {}  # why a program was not executed, "" when it was

    @property
    def ending(self) -> bool:
        """Whether there is no going on: an outcome, or a stop that was asked for."""
        return bool(self.outcome.result) or self.stopping

    def enter(self, state: str) -> None:
        """Be in another state from now on."""
        if {state, self.state} != {"active", "reloading"}:
            self.since = time.time()
        self.state = state
        self.changed()

    def limit(self, seconds: float) -> None:
        """From now on, what goes on may take as long as this."""
        self.deadline = time.monotonic() + seconds

    def signal_main(self, numbers: tuple[int, ...]) -> None:
        """Signal the main process, and the command that runs beside it."""
        for pid in (self.main, self.control):
            if pid == 0 or pid in self.exits:
                continue
            if pid in self._mine:  # our child, and not reaped: the pid is its own
                for number in numbers:
                    os.kill(pid, number)
            elif found := identity.stat(pid):
                family.send(found, numbers)

    def write_main_pid(self) -> None:
        """PIDFile=, for programs that write none."""
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
        elif event.kind == "signal":
            self._signalled(event.number)

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
            for pid, uid, fields in self.notify.messages():
                if self._may_notify(pid, uid):
                    self._noted(fields)
        return (Event("notify", to=self.kin),)

    def _may_notify(self, pid: int, uid: int) -> bool:
        """NotifyAccess=; of a sender that is gone already only the user can be told."""
        if pid == self.main:
            return True
        access = self.service.notify_access
        if access == "exec":
            return pid == self.control
        if access == "all":
            gone = identity.stat(pid) is None and uid in pidfile.trusted_uids(self.service)
            return gone or self.family.includes(pid)
        return False

    def _noted(self, fields: dict[str, str]) -> None:
        if fields.get("RELOADING") == "1":
            since = fields.get("MONOTONIC_USEC", "")
            self.reloading, self.reloading_since = True, int(since) if since.isascii() and since.isdigit() else -1
            if self.state == "active":
                self.enter("reloading")
        if fields.get("READY") == "1":
            self.said_ready, self.reloading = True, False
            if self.state == "reloading" and self.reloaded == self.reloads:  # a reload that was its own idea
                self.enter("active")
        if fields.get("STATUS", self.status_text) != self.status_text:
            self.status_text = fields["STATUS"]
            self.changed()
        named = fields.get("MAINPID", "")
        if named.isascii() and named.isdigit() and int(named) != self.main and self.family.includes(int(named)):
            self._adopt(int(named))
        if self.watchdog != INFINITY and fields.get("WATCHDOG") == "1":
            self.watchdog = time.monotonic() + self.service.watchdog
        elif fields.get("WATCHDOG") == "trigger":
            self.watchdog = 0.0
        extend = fields.get("EXTEND_TIMEOUT_USEC", "")
        if extend.isascii() and extend.isdigit() and self.deadline != INFINITY:
            self.deadline = max(self.deadline, time.monotonic() + int(extend) / 1e6)

    def _adopt(self, pid: int) -> None:
        """MAINPID=: another process is the main one. Of one that is nobody's child here a pidfd tells the end."""
        found = identity.stat(pid)
        if found is None:
            return
        self.main = pid
        if found.parent != os.getpid():
            pidfd = os.pidfd_open(pid)
            self.loop.watch(pidfd, lambda: self._departed(pid, pidfd))
        self.write_main_pid()

    def _departed(self, pid: int, pidfd: int) -> tuple[Event, ...]:
        self.loop.unwatch(pidfd)
        os.close(pidfd)
        # Only its parent learns how it ended; systemd takes that for a good end as well.
        return () if pid in self.exits else (Event("exit", pid, to=self.kin),)


def _nothing() -> None:
    """Nobody has asked to be told."""
