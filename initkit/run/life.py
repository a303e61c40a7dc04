"""A service's life, from ExecCondition= to ExecStopPost=, with systemd's meaning: systemd.service(5), systemd.kill(5).

The life is a generator: it yields how long it may wait and is handed what happens, so that one loop can drive it, and
it reads in the order in which things are done.
"""

from __future__ import annotations

import time

from initkit.run import descriptors
from initkit.run.loop import INFINITY, Event
from initkit.run.outcome import Outcome, manager_status, restart_delay, will_restart
from initkit.run.starting import Starting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.logger import Logger
    from initkit.run.loop import Task
    from initkit.run.waiting import Part
    from initkit.settings.service import Service


def kind_of(service: Service) -> type[Life]:
    """What kind of life the service has."""
    if not service.has_logger:
        return Life
    from initkit.run.logged import Logged

    return Logged


class Life(Starting):
    """One service under supervision, through all its restarts.

    `report` is told "ready", "skipped", "note", "restarting" or "failed" (the text of these two begins with the exit
    status), with a line for people. Output that the settings send nowhere goes to the descriptor `output`, `passed`
    are the sockets that the manager was given itself, with their names; a SIGHUP that is not for ExecReload= means
    "stop", "forward" or "ignore" as `hangup` says.
    """

    _starts: tuple[float, ...] = ()  # when the last lives began
    last = Outcome()  # of the life before this one
    verdict: int | None = None  # the exit status that the manager is to end with because of this service
    _delay = 0.0  # before the next restart
    logger: Logger | None = None  # who reads its output, where that is a process of the service's own

    def supervise(self) -> int:
        """Live until there is nothing more to restart; returns the exit status to end with."""
        self._listen()
        try:
            return self.loop.run(self._lives(), self.kin)
        finally:
            self.part()
            self.handed.rest()
            if self.notify:
                self.notify.close()

    def task(self) -> Task:
        """As one of several: down until it is told to start, and after each end."""
        self._listen()
        while True:
            self.stopping, self.then = True, "wait"
            if (yield from self._again()):
                yield from self._lives()

    def _listen(self) -> None:
        service = self.service
        if self._listens():
            from initkit.run.notify import NotifySocket

            # A file of the host's is not seen below another root.
            path = f"{service.runtime_root}/initkit/{service.name}.notify" if service.root_directory == "/" else ""
            self.notify = NotifySocket(path)
            self.loop.watch(self.notify.fileno(), self.read_messages, first=True)

    def _listens(self) -> bool:
        service = self.service
        return (
            service.type in ("notify", "notify-reload")
            or service.notify_access not in ("", "none")
            or service.fd_store_max > 0
            or self.watched()
        )

    def _lives(self) -> Task:
        self.dormant = self.service.on_demand
        while True:
            self._starts = (*self._starts, time.monotonic())
            descriptors.keep_spare()
            self.begin()
            yield from self._borne(self._live())
            so_far = self.outcome
            if not (yield from self._borne(self.end())):
                yield from self._end_anew(so_far)
            self.handed.ended()
            self.last, self.deadline = self.outcome, INFINITY
            restarts = self._restarts()
            if restarts:
                yield from self._pause()
            if self.stopping and (yield from self._again()):
                continue
            if self.stopping or not (restarts or self._may_sleep()):
                self.part()
                self.end_for_good()
                return self._exit_status()

    def _live(self) -> Part[None]:
        """One life, until there is no going on."""
        self.renew()
        if self.dormant:
            yield from self._sleep()
        if not self.ending:
            self.dormant, self.status_text = False, ""
            self.enter("activating", self.service.start_timeout)
            if self.join():
                yield from self.clear()
            yield from self.come_up()
        if self.ready:
            self.enter("reloading" if self.reloading else "active")
            yield from self._stay()

    def _borne(self, part: Part[None]) -> Part[bool]:
        """Go through a part of a life; returns whether to its end. What the system refuses there, and whatever else
        goes wrong, may end this life, and neither the manager nor another service."""
        try:
            yield from part
        except Exception as fault:
            self.refused(fault)
            return False
        return True

    def give_up(self, fault: Exception) -> None:
        """What is not a life's own has failed: end, and the manager with it."""
        self.report("note", f"{self.service.name}: {type(fault).__name__}: {fault}: the manager stops")
        self.verdict, self.stopping, self.then = 1, True, ""
        self.loop.wake(self.kin)

    def _end_anew(self, outcome: Outcome) -> Part[None]:
        """An end that could not be gone through: with the descriptors that are kept for that."""
        self.outcome = outcome
        descriptors.use_spare()
        if not (yield from self._borne(self._end_at_once())):
            self.report("note", f"{self.service.name}: something of it may be left")
            self.main = self.control = 0
            self.exits.clear()

    def _exit_status(self) -> int:
        return self.outcome.exit_status if self.verdict is None else self.verdict

    # --- asleep ---------------------------------------------------------------------------------------------------

    def _sleep(self) -> Part[None]:
        """`on_demand`: listen, which is all that is to be done, until somebody comes."""
        self.enter("activating")
        self.open_sockets()
        if self.ending:
            return
        came: list[bool] = []

        def take() -> tuple[Event, ...]:
            came.append(True)
            return (Event("wake", to=self.kin),)

        try:
            self.handed.await_traffic(take)
        except OSError as fault:
            self.outcome = Outcome("resources", note=f"cannot wait for traffic at {fault.filename}: {fault.strerror}")
            return
        self.deadline, self.status_text = INFINITY, "to be started by the first to come"
        self.enter("active")
        self.report("ready", "")
        yield from self.until(lambda: bool(came))
        self.handed.ignore_traffic()

    def _may_sleep(self) -> bool:
        """Whether to wait for traffic again: not when that was what could not be done, nor when it wakes a service time
        and again, systemd.socket(5) TriggerLimitBurst=."""
        if self.dormant or not self.service.on_demand:
            return False
        socket, now = self.service.sockets[0], time.monotonic()
        longest = max(socket.trigger_limit_interval, self.service.start_limit_interval)
        self._starts = tuple(each for each in self._starts if each > now - longest)
        recent = [each for each in self._starts if each > now - socket.trigger_limit_interval]
        if 0 < socket.trigger_limit_burst <= len(recent):
            self._fail(f"{self.service.name}: started {len(recent)} times within {socket.trigger_limit_interval:g} s")
            return False
        self.dormant = True
        return True

    # --- stay -----------------------------------------------------------------------------------------------------

    def _stay(self) -> Part[None]:
        """Until the main process ends, a stop is asked for, or time runs out."""
        service = self.service
        if service.type != "oneshot":
            self.limit(service.runtime_max)
            yield from self._serve(self.lives)
            if self.outcome.result == "timeout":
                self.outcome = Outcome("timeout", note="RuntimeMaxSec= is over")
        if service.remain_after_exit and self.outcome.clean and not self.stopping and not self.said_stopping:
            self.main, self.outcome, self.deadline = 0, Outcome(), INFINITY
            self.unguard()
            yield from self._serve(lambda: True)

    def _serve(self, lives: Callable[[], bool]) -> Part[None]:
        self.reloaded = self.reloads
        while lives() and not self.ending:
            if self.reloads != self.reloaded:
                yield from self._reload()
            else:
                yield from self.until(lambda: self.reloads != self.reloaded or not lives())
        if not self.ending and self.main in self.exits:
            self.ended()

    def _reload(self) -> Part[None]:
        """ExecReload=, or the signal; a reload that fails leaves the service as it is."""
        service, before, asked = self.service, self.deadline, self.reloads
        self.reload_fault = ""
        self.enter("reloading", service.start_timeout)
        if service.type == "notify-reload":
            yield from self._reload_by_signal()
        for command in () if self.ending or self.reload_fault else service.exec_reload:
            status = yield from self.command(command, service.start_timeout)
            if self.outcome.result in ("timeout", "resources"):
                self.outcome = Outcome()
                yield from self._end_control()
                status = 1
            if self.ending:
                break
            if status:
                self.reload_fault = f"{service.name}: {command.path}: the reload failed"
                break
        self.deadline, self.reloaded = before, asked
        if self.reload_fault:
            self.report("note", self.reload_fault)
        if not self.ending:
            self.enter("active")

    def _reload_by_signal(self) -> Part[None]:
        """Type=notify-reload: until it says READY=1 after a RELOADING=1 that is younger than the signal."""
        asked = time.monotonic_ns() // 1000
        self.signal_main((self.service.reload_signal,))
        yield from self.until(lambda: not self.reloading and self.reloading_since >= asked)
        if self.outcome.result == "timeout":
            self.outcome = Outcome()
            self.reload_fault = f"{self.service.name}: the reload took too long"

    def _end_control(self) -> Part[None]:
        if not self.control:
            return  # there was no process for it
        pid, main, self.main = self.control, self.main, 0
        self.signal_main((self.service.final_kill_signal,))
        self.main = main
        self.limit(self.service.stop_timeout)
        yield from self.until_gone(lambda: pid in self.exits)
        self.exits.pop(pid, None)
        self.control = 0

    # --- and again ------------------------------------------------------------------------------------------------

    def _restarts(self) -> bool:
        service, outcome = self.service, self.outcome
        wanted = not self.stopping and not self.dormant and will_restart(service, outcome)
        # One that sleeps has not been there, and Restart= of RestartMode=direct is as if it had not ended.
        if not self.dormant and (not wanted or service.restart_mode != "direct"):
            self._act("SuccessAction" if outcome.clean else "FailureAction")
        if self.verdict is not None or not wanted:
            if not self.returning:
                self._tell_end()
            return False
        interval, burst = service.start_limit_interval, service.start_limit_burst
        self._delay = restart_delay(service, self.restarts)
        next_start = time.monotonic() + self._delay
        self._starts = tuple(each for each in self._starts if each > next_start - interval)
        if interval > 0 and 0 < burst <= len(self._starts):
            self._fail(f"{service.name}: {outcome}; not restarted: {burst} starts within {interval:g} s")
            self._act("StartLimitAction")
            return False
        text = f"{service.name}: {outcome}; restarted in {self._delay:.6g} s"
        self.report("restarting", f"{outcome.exit_status} {text}")
        return True

    def _act(self, directive: str) -> None:
        """What the settings want of the manager now: to end, or what is systemd's alone."""
        service = self.service
        action = getattr(service, type(service).rows[directive].attribute)
        if self.returning or action == "none":
            return
        if action == "exit":
            self.verdict = manager_status(service, self.outcome)
            self.stopping, self.then = True, ""
        else:
            self.report("note", f"{service.name}: {directive}={action} is not for initkit to do")

    def _pause(self) -> Part[None]:
        self.enter("auto-restart", self._delay)
        while not self.stopping and time.monotonic() < self.deadline:
            self.handle((yield self.deadline))
        self.restarts += not self.stopping

    def _again(self) -> Part[bool]:
        """After a stop that was asked for: whether a start is to follow, now or when it is asked for."""
        self.deadline = INFINITY
        yield from self._hold()
        if self.then != "start":
            yield from self._let_go()
        self.deadline = INFINITY
        self.dormant = self.service.on_demand and self.then == "wait"  # a restart starts it at once
        if self.then == "wait":
            self.part()
            self.rest()
        while self.then == "wait":
            self.handle((yield INFINITY))
        if self.then != "start":
            return False
        self.stopping, self.then, self.restarts, self._starts = False, "", 0, ()
        return True

    def _hold(self) -> Part[None]:
        """Between the halves of a restart: down, with everything that the next life is to have."""
        if self.then == "hold":
            self._enter_down()
        while self.then == "hold":
            self.handle((yield INFINITY))

    def _let_go(self) -> Part[None]:
        """Part with what the next life would have had."""
        self.end_for_good()
        yield from ()

    def rest(self) -> None:
        """Be down."""
        self.handed.rest()
        self._enter_down()

    def _enter_down(self) -> None:
        self.enter("inactive" if self.outcome.clean else "failed")

    def _fail(self, text: str) -> None:
        self.report("failed", f"{self.outcome.exit_status} {text}")

    def _tell_end(self) -> None:
        name, outcome = self.service.name, self.outcome
        if outcome.result == "exec-condition":
            self.report("skipped", f"{name}: skipped: ExecCondition= {outcome}")
        elif outcome.result == "condition":
            self.report("skipped", f"{name}: {outcome}")
        elif not outcome.clean:
            self._fail(f"{name}: {outcome}")
        elif not self.ready and not self.dormant:
            self._fail(f"{name}: stopped before it was ready")
