"""What a life waits for: its programs, its deadlines, and conditions that what it hears makes true."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import time

from initkit import plan
from initkit.run import family
from initkit.run.hearing import Hearing
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import Outcome, result_of, success, unspawned
from initkit.run.perform import StepError
from initkit.run.quickspawn import quickspawn
from initkit.run.spawn import blank, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeVar

    from initkit.plan.step import Process, Step
    from initkit.run.dynamic import User
    from initkit.run.joined import Joined
    from initkit.settings.command import Command

    T = TypeVar("T")
    Part = Generator["float", "Event | None", T]


_MANY = 5  # services that a fork for each takes longer than one grace period of the kernel's
_UNSTARTED = 255 << 8  # a wait status, of a program that there was no process for


class Waiting(Hearing):
    """One service's processes and deadlines. Waits are generators: they yield until when they wait, and are sent what
    happens, None when that time has come."""

    invocation = ""  # of this life
    user: User | None = None  # allocated for it: DynamicUser=
    joined: Joined | None = None  # another service, whose private things are its own, too
    namespaces: Mapping[str, int] = {}  # those that its programs share
    pardoned = False  # whether a failure of the program in ExecStart= that runs does not count

    def lives(self) -> bool:
        """Whether the service still runs: ExitType=, Type=forking where no process is known to be the main one, and
        Type=dbus without its name. Where that is gone because the main process dies, it is the death that ends it."""
        if self.ready and self.bus and not (self.bus.owned or self.bus.lost):
            return bool(self.main) and self.main not in self.exits and family.is_dying(self.main)
        if self.main and self.main not in self.exits:
            return True
        alone = self.main and self.service.exit_type == "main"
        return not alone and not self.family.childless()

    def until(self, met: Callable[[], bool]) -> Part[None]:
        """Wait for a condition; or for the main process's death, a stop, a watchdog or the deadline, which end the
        life."""
        while not met() and not self.ending:
            if self.main in self.exits and not self.lives():
                self.ended()
                return
            self.handle((yield min(self.deadline, self.watchdog)))
            late = self._late_for()
            if late == "watchdog" or (late and not met()):
                self.outcome = Outcome(late)

    def _late_for(self) -> str:
        """What has run out, as a result: "watchdog", "timeout", "" for neither."""
        now = time.monotonic()
        return "watchdog" if now >= self.watchdog else "timeout" if now >= self.deadline else ""

    def until_gone(self, gone: Callable[[], bool]) -> Part[None]:
        """Wait until processes are gone, not longer than the deadline."""
        while not gone() and time.monotonic() < self.deadline:
            self.handle((yield self.deadline))

    def executed(self, pid: int) -> Part[bool]:
        """Whether the program was executed. Its outcome says why not."""
        while pid not in self._failures and not self.stopping and time.monotonic() < self.deadline:
            self.handle((yield self.deadline))
        if pid not in self._failures:
            self.outcome = self.outcome or Outcome("" if self.stopping else "timeout")
            return False
        failure = self._failures.pop(pid)
        if failure:
            while pid not in self.exits:
                self.handle((yield INFINITY))
            self._unexecuted(self.exits[pid], failure, first=pid == self.control)
        return not failure

    def _unexecuted(self, status: int, failure: str, *, first: bool) -> None:
        """What comes of a program in ExecStart= that was not executed, for Type=forking the `first` of several."""
        if unspawned(status):
            self.outcome, self.last_status = Outcome("resources", None, failure, status), None
            return
        result = self.result(status)
        self.outcome = Outcome(result, None if first else status, failure, status if first else None)
        if result == "success":
            self.report("note", failure)

    def result(self, status: int) -> str:
        """$SERVICE_RESULT where the program in ExecStart= that runs has ended like this."""
        return "success" if self.pardoned else result_of(self.service, status)

    def command(self, command: Command, seconds: float, *, stoppable: bool = True) -> Part[int]:
        """Run one of the service's commands beside the main one to its end, which may take so long: its wait status
        when it has failed and that counts, else 0. What keeps it from being started at all is the outcome.

        A command that is `stoppable` does not hold up a stop, nor does any a watchdog; one that goes on is left to
        `control`.
        """
        self.limit(seconds)
        self.control = pid = self.start(plan.program(self.service, command, main=False), self.variables())
        if not pid:
            return _UNSTARTED
        late = ""
        while not (pid in self.exits and pid in self._failures):
            late = self._late_for()
            if late or (stoppable and self.stopping):
                break
            self.handle((yield min(self.deadline, self.watchdog)))
        failure = self._failures.pop(pid, "")
        if failure:
            self.report("note", failure)
        if pid not in self.exits:
            if (not self.stopping or not stoppable) and self.outcome.clean:
                self.outcome = Outcome(late, note=command.path if late == "timeout" else "")
            return 0
        self.control = 0
        status = self.exits.pop(pid)
        if failure and unspawned(status):
            if self.outcome.clean:
                self.outcome = Outcome("resources", self.outcome.status, f"{command.path} failed", status)
            return status
        return 0 if command.ignore_failure or success(self.service, status, daemon=False) else status

    # --- acts -----------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """A new life begins, with an $INVOCATION_ID of its own: systemd.exec(5)."""
        if self.kin:
            self.kin.renew()
        self.invocation = self.kin.invocation if self.kin else os.urandom(16).hex()
        if plan.has_credentials(self.service):
            from initkit.run import leftovers

            leftovers.remove_credentials(self.service)
        if plan.joins(self.service):
            from initkit.run import joined

            self.joined = joined.find(self.service)
            self.namespaces = self.joined.namespaces if self.joined else {}
        if plan.shares_namespaces(self.service) and not self.namespaces:
            from initkit.run import shared

            self.namespaces = shared.make(self.service)
        if self.service.dynamic_user and self.user is None:
            from initkit.run import dynamic

            self.user = dynamic.allocate(self.service)
        self.take_down(lambda register: register.begin(self.invocation, self.family))

    def bear(self, fork: Callable[[], int]) -> int:
        """Make a process, with the register open, in the child until that is executed."""
        self.take_down(lambda register: register.open())
        pid = -1
        try:
            pid = fork()
        finally:
            if pid and self.register:
                self.register.close()
        return pid

    def enrolling(self, word: str) -> Callable[[], None] | None:
        """What a process has to do to be taken down as this."""
        register = self.register
        if not register:
            return None

        def enrol() -> None:
            try:
                register.enrol(word)
            except OSError:  # the manager has told of what it could not write itself
                _signal.sigtimedwait((_signal.SIGXFSZ,), 0)  # it waits while it is blocked, and then ends the program

        return enrol

    def _prepare(self, process: Process) -> None:
        """In the child: the user that is allocated for this life; then the service's control group."""
        if self.user:
            process.uid, process.gid = self.user.uid, self.user.gid
        process.namespaces = dict(self.namespaces)
        process.private_tmp = self.joined.whose if self.joined else ""
        process.private_fds = (*process.private_fds, *self.namespaces.values())
        if self.group:
            process.group = self.group.path
            try:
                self.group.enter()
                if self.service.delegate is not None:
                    from initkit.run import allotment

                    allotment.hand_over(process)
            except OSError as fault:
                raise StepError(f"{self.service.name}: {self.group.path}: {fault.strerror}", status=219) from None

    def start(self, steps: tuple[Step, ...], variables: dict[str, str], *, main: bool = False) -> int:
        """Start a program: its pid; 0 where the system has no process or no descriptor left for it, and that is the
        outcome. A `main` one is handed the service's descriptors."""
        try:
            return self._start(steps, variables, main=main)
        except OSError as fault:
            self.refused(fault)
            return 0

    def refused(self, fault: Exception) -> None:
        """What the system does not give is the end of this life."""
        said = f"{type(fault).__name__}: {fault}"
        if isinstance(fault, OSError) and fault.strerror:
            said = f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
        if self.outcome.clean:
            self.outcome = Outcome("resources", self.outcome.status, said)
        else:
            self.report("note", f"{self.service.name}: {said}")

    def _start(self, steps: tuple[Step, ...], variables: dict[str, str], *, main: bool) -> int:
        variables = {**self.monitored, **variables, "INVOCATION_ID": self.invocation}
        word = "main" if main else "control"
        if self.restarts and self.service.restart_mode == "debug":
            variables = {**variables, "DEBUG_INVOCATION": "1"}
        if main:
            variables = {**variables, **self.handed.variables()}
            self.handed.listen(self.said_newline)
        fds = self.handed.fds() if main else None
        pid = 0
        if self._moves() and not fds and "WATCHDOG_USEC" not in variables:  # which comes with the program's own pid
            pid = self.bear(lambda: self._start_quickly(steps, variables, word))
        if pid == 0:
            pid = self._start_by_fork(steps, variables, fds, word)
        self.handed.started()
        self._mine.add(pid)
        if self.kin:
            self.kin.born(pid)
        return pid

    def _start_quickly(self, steps: tuple[Step, ...], variables: dict[str, str], word: str) -> int:
        pid = quickspawn(steps, blank(self.service, variables, self.output), self.group)
        if pid:
            self._failures[pid] = ""
            self.take_down(lambda register: register.enrol(word, pid))  # until now known by its $INVOCATION_ID
        return pid

    def _start_by_fork(
        self, steps: tuple[Step, ...], variables: dict[str, str], fds: Mapping[int, int] | None, word: str
    ) -> int:
        fork = self.group.fork if self.group and not self.service.callable else os.fork
        pid, report = spawn(
            self.service,
            steps,
            variables,
            output=self.output,
            fds=fds,
            enrol=self.enrolling(word),
            prepare=self._prepare,
            fork=lambda: self.bear(fork),
        )
        self.loop.watch(report, lambda: self._read_report(pid, report), first=True)
        return pid

    def _moves(self) -> bool:
        """Whether it is quicker to start a program from this process, moved into the service's group for as long, than
        from a fork that is born there. The kernel has a move wait for 5 to 15 ms, but not one of many in a row."""
        if not self.group:
            return True
        return self.kin is not None and len(self.kin.roll.groups) > _MANY and not self.restarts

    def join(self) -> bool:
        """Have a control group for the service where there can be one; whether it is a new one for this manager."""
        known = self.group is not None
        if self.group and self.group.spoilt and not self.group.populated():
            self.part()  # for one in which programs can be born
        if self.group or not self.home:
            return False
        from initkit.run import cgroup, grouped

        try:
            self.group = cgroup.Group(self.home, self.service)
        except OSError as fault:
            said = "another manager has it" if isinstance(fault, BlockingIOError) else fault.strerror
            self.report("note", f"{self.service.name}: no control group of its own: {said}")
            self.home = ""
            return False
        self.family = grouped.Grouped(self.family, self.group, self.loop, lambda: (Event("wake", to=self.kin),))
        self.group.mourn(self.loop, lambda: (Event("oom", to=self.kin),))
        self.casualties = self.group.casualties()
        if self.kin:
            self.kin.roll.groups[self.group.inner] = self.kin
        return not known

    def part(self) -> None:
        """Give the control group up: nothing is to be started in it any more."""
        if self.group:
            if self.kin:
                self.kin.roll.groups.pop(self.group.inner, None)
            self.family = self.kin or family
            self.group.remove(self.loop)
            self.group = None

    def _read_report(self, pid: int, report: int) -> tuple[Event, ...]:
        self._failures[pid] = os.read(report, 4096).decode(errors="replace")
        self.loop.unwatch(report)
        os.close(report)
        return (Event("exec", pid, to=self.kin),)

    def variables(self) -> dict[str, str]:
        """What commands beside the main one are told: systemd.exec(5)."""
        found = {}
        if self.notify and self.service.notify_access in ("exec", "all"):
            found["NOTIFY_SOCKET"] = self.notify.address
        if self.main and self.main not in self.exits:
            found["MAINPID"] = str(self.main)
        if self.outcome.result or self.ready:
            how = self.last_status if self.outcome.status is None else self.outcome.status
            found.update(Outcome(self.outcome.result, how).variables())
        return found

    def ended(self) -> None:
        """The main process is dead: take down how."""
        status = self.exits[self.main]
        starved = self.starved() and os.WIFSIGNALED(status)
        self.outcome = Outcome("oom-kill" if starved else self.result(status), status)
