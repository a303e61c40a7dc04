"""The end of a service's life: ExecStop=, the signals, ExecStopPost=, with systemd's meaning: systemd.service(5),
systemd.kill(5)."""

from __future__ import annotations

import time

from initkit import plan
from initkit.plan import log
from initkit.run import pidfile
from initkit.run.family import listed, with_continue
from initkit.run.outcome import Outcome, result_of, will_restart
from initkit.run.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.run.family import Told
    from initkit.run.identity import Stat
    from initkit.run.waiting import Part
    from initkit.settings.command import Command

#: What TimeoutStopFailureMode= calls the signals: KillSignal=, WatchdogSignal=, FinalKillSignal=.
_TERMINATE, _ABORT, _KILL = "terminate", "abort", "kill"


class Ending(Waiting):
    """How one service is brought down, whatever the cause."""

    _outlived: frozenset[int] = frozenset()  # the main programs that the last end has not ended
    dormant = False  # whether it is to be started by traffic at its sockets, and has not been since
    _preserved = False  # whether the last life has left what only a restart is to find

    def end(self) -> Part[None]:
        """ExecStop=, then the signals, then ExecStopPost=; nothing is left when it is done."""
        service = self.service
        self.unguard()
        self.enter("deactivating", service.stop_timeout)
        if self.main in self.exits and not self.outcome.result:
            self.ended()
        first = yield from self._first()
        number = service.restart_kill_signal if self.returning else 0
        yield from self._kill(first, number or service.kill_signal)
        self._take_down_end()
        posts = () if self.outcome.unstarted or self.dormant else service.exec_stop_post
        late = yield from self._overrun(posts)
        if posts:
            yield from self._kill(service.stop_failure_mode if late else _TERMINATE, service.kill_signal)
        self._clean_up()

    def _end_at_once(self) -> Part[None]:
        """The signals alone."""
        yield from self._kill(_TERMINATE, self.service.kill_signal)
        self._take_down_end()
        self._clean_up()

    def clear(self) -> Part[None]:
        """Stop what is in the control group already: a manager that was killed has left it."""
        left = self.group.members() if self.group else []
        if left and self.service.kill_mode in ("control-group", "mixed"):
            self.report("note", f"{self.service.name}: {listed(left)} left over from before: stopped")
            yield from self._kill(_TERMINATE, self.service.kill_signal)

    def _first(self) -> Part[str]:
        """What comes before the signals. Returns which one is the first, in TimeoutStopFailureMode='s words."""
        service, outcome = self.service, self.outcome
        if outcome.result == "watchdog":
            return _ABORT
        if outcome.result == "oom-kill" and service.oom_policy == "kill":
            return _KILL
        if outcome.result == "timeout" and not self.ready:
            return service.start_failure_mode
        if self.said_stopping and self.ready:  # as if the signal had been sent
            yield from self.until_gone(self._main_gone)
            return _TERMINATE if self._main_gone() else self._late(service.stop_timeout)
        if self.ready and (outcome.clean or outcome.result in ("timeout", "oom-kill")):  # RuntimeMaxSec=, OOMPolicy=
            late = yield from self._overrun(service.exec_stop)
            return service.stop_failure_mode if late else _TERMINATE
        return _TERMINATE

    def _overrun(self, commands: tuple[Command, ...]) -> Part[bool]:
        """Run commands, each with TimeoutStopSec= to itself, until one fails. Returns whether one took too long."""
        for command in commands:
            status = yield from self.command(command, self.service.stop_timeout, stoppable=False)
            if self.control:
                return True
            if status:
                self._blame(status, command)
                break
        return False

    def _take_down_end(self) -> None:
        """How the main process ended belongs to the outcome, whatever the cause of its end."""
        if self.main in self.exits and not self.outcome.result:
            self.ended()
        elif self.outcome.status is None:
            found = self.outcome
            self.outcome = Outcome(found.result or "success", self.last_status, found.note, found.command)

    def _blame(self, status: int, command: Command) -> None:
        if status and self.outcome.clean:
            result = result_of(self.service, status, daemon=False)
            self.outcome = Outcome(result, self.outcome.status, f"{command.path} failed", status)

    def _kill(self, how: str, number: int) -> Part[None]:
        """systemd.kill(5): the signal that `how` asks for, `number` to terminate, to those KillMode= names; SIGKILL to
        what is left in the end."""
        service = self.service
        if service.kill_mode == "none" or self._gone():
            return
        if how == _TERMINATE:
            signals = with_continue(number, hangup=service.send_sighup)
            if not (yield from self._signal(signals, service.stop_timeout)):
                how = self._late(service.stop_timeout)
        if how == _ABORT:
            signals = with_continue(service.watchdog_signal)
            if not (yield from self._signal(signals, service.abort_timeout)):
                self._late(service.abort_timeout, last=True)
        if service.send_sigkill:
            yield from self._kill_rest()

    def _signal(self, numbers: tuple[int, ...], seconds: float) -> Part[bool]:
        """Signal those that hear of it first, and give them so much time. Returns whether they have gone."""
        gone = self.family.childless if self.service.kill_mode == "control-group" else self._main_gone
        if not gone():
            self.limit(seconds)
            self._tell_refused(self._send(numbers, first=True))
            yield from self.until_gone(gone)
        return gone()

    def _send(self, numbers: tuple[int, ...], *, first: bool, told: Told | None = None) -> list[Stat]:
        """Signal those whom KillMode= names, `first` or in the end, but those that have been `told`; returns those that
        it cannot reach."""
        mode = self.service.kill_mode
        if mode == "process" or (mode == "mixed" and first):
            return self.signal_main(numbers)
        return self.family.signal_all(numbers, log.readers_of(self.service), told)

    def _tell_refused(self, refused: list[Stat]) -> None:
        if refused:
            self.report("note", f"{self.service.name}: {listed(refused)} cannot be signalled: another user's")

    def _late(self, seconds: float, *, last: bool = False) -> str:
        """What is to be done with those that have not ended in time."""
        service = self.service
        aborts = service.stop_failure_mode == _ABORT and not last
        fate = "aborted" if aborts else "killed" if service.send_sigkill else "left running"
        self.report("note", f"{service.name}: {self.family.names()} still there after {seconds:g} s: {fate}")
        self.outcome = self.outcome if self.outcome.result else Outcome("timeout")
        return _ABORT if aborts else _KILL

    def _kill_rest(self) -> Part[None]:
        """FinalKillSignal=, to each once: what was forked while it was being sent hears it, too."""
        service = self.service
        final = (service.final_kill_signal,)
        told: Told = set()
        refused: list[Stat] = []
        self.limit(service.stop_timeout)
        while not self._gone() and time.monotonic() < self.deadline:
            refused += self._send(final, first=False, told=told)
            beyond = [(each.pid, each.start) for each in refused]
            left = self.family.members() if beyond else []
            if left and all((each.pid, each.start) in beyond for each in left):
                self._tell_refused(left)
                return  # who is left is none of ours to end
            if not self._gone():
                yield from self._take_in()

    def _take_in(self) -> Part[None]:
        """Wait for something to happen, and take in all that happens with it: many die at once, and it takes long to
        look for those that are left."""
        event = yield self.deadline
        while event is not None:
            self.handle(event)
            event = yield 0.0  # None comes when there is nothing more

    def _gone(self) -> bool:
        return self._main_gone() if self.service.kill_mode == "process" else self.family.childless()

    def _main_gone(self) -> bool:
        return all(pid == 0 or pid in self.exits for pid in (self.main, self.control))

    def survivors(self) -> list[Stat]:
        """Those that were to end and have not; what KillMode=process and none leave is meant to be left."""
        mode = self.service.kill_mode
        if mode == "none" or self.family.childless():
            return []
        return [each for each in self.family.members() if mode != "process" or each.pid in self._outlived]

    def _clean_up(self) -> None:
        service = self.service
        self._outlived = frozenset(pid for pid in (self.main, self.control) if pid and pid not in self.exits)
        if service.pid_file:
            pidfile.remove(service.pid_path, self.main)
        self.main = self.control = 0
        self.exits.clear()
        restarted = self.returning or (not self.stopping and will_restart(service, self.outcome))
        self._remove_leavings(self._uid(), restarted=restarted)
        self._forget_bus()
        if self.joined:
            self.joined.leave()
            self.joined = None
        if self.namespaces:
            from initkit.run import shared

            shared.release(self.namespaces)
            self.namespaces = {}
        if self.user:
            self.user.release()
            self.user = None

    def _remove_leavings(self, user: int, *, restarted: bool) -> None:
        if plan.leaves_something(self.service):
            from initkit.run import leftovers

            leftovers.remove(self.service, self.invocation, user, restarted=restarted)
            self._preserved = restarted

    def end_for_good(self) -> None:
        """No restart follows, whatever the end was taken for."""
        if self._preserved:
            self._remove_leavings(0, restarted=False)

    def _forget_bus(self) -> None:
        """Ask no more."""
        if self.bus:
            self.loop.unwatch(self.bus.fileno())
            self.bus.close()
            self.bus = None

    def _uid(self) -> int:
        """The number of the service's user; 0 for root, and for one that does not exist."""
        if self.user or not self.service.account:
            return self.user.uid if self.user else 0
        from initkit.plan.identity import find_user

        try:
            entry = find_user(self.service.account)
        except LookupError:
            return 0
        return entry.pw_uid if entry else int(self.service.account)
