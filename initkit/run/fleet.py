"""The manager of several services: starts and stops them in their order, and answers for each."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`

from initkit.run.api import Fault
from initkit.run.hearing import STOP
from initkit.run.jobs import Job, Quota
from initkit.run.loop import INFINITY, Event
from initkit.run.manager import LifeManager
from initkit.run.several import Several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.plan.order import Order
    from initkit.run.api import Done
    from initkit.run.life import Life
    from initkit.run.loop import Loop, Task

_UP = ("active", "reloading")
_DOWN = ("inactive", "failed")
_WAITING = ("wait", "hold")  # what a life that is down does, by its `then`


class Fleet(Several):
    """Looks after several lives: see `initkit.run.api.Manager`.

    `run` is its task: it ends when nothing is left to be done. `say` is told lines for people, `hangup` is as a life's.
    """

    def __init__(self, lives: list[Life], order: Order, loop: Loop, say: Callable[[str], None], hangup: str) -> None:
        self._lives = {life.service.name: life for life in lives}
        super().__init__({name: LifeManager(life) for name, life in self._lives.items()})
        self._order, self._loop, self._say, self._hangup = order, loop, say, hangup
        self._jobs: dict[str, Job] = {}
        self._stirred: dict[str, None] = {}  # those whose jobs' time may have come
        self._hindered: dict[str, dict[str, None]] = {}  # by who is in their way, which is to change first
        self._busy: set[str] = set()  # those that are not down
        self._kept: set[str] = set()  # those that are down until a client, who has said so, starts them again
        self._yielded = dict(order.yields)  # those that are down because they conflict with which other
        self._upheld: dict[str, Quota] = {}
        self._failures: dict[str, int] = {}  # exit statuses of those that have failed, the first one first
        self._quitting = False
        self._states: dict[str, str] = {}  # as last seen
        self._verdict: int | None = None  # the exit status that a service has decided on
        self._idlers = [name for name, life in self._lives.items() if life.service.type == "idle"]
        for name in self._idlers:
            self._lives[name].idle = self._is_idle
        for name, manager in self._managers.items():
            loop.add(self._lives[name].kin, self._lives[name].task())
            manager.subscribe(self._changed)

    def run(self) -> Task:
        """Start them all, and look after them until none is left; returns the first failure's exit status, else 0."""
        self._loop.listener = self
        for name in self._lives:
            if name in self._yielded:
                self._say(f"{name}: not started: {self._fate(name)}")
            elif name not in self._order.waits:
                self._ask(name, "start")
        self._settle()
        while self._jobs or self._busy or self._kept:
            event = yield INFINITY
            if event is not None and event.kind == "signal":
                self._signalled(event.number)
            self._settle()
        return next(iter(self._failures.values()), 0) if self._verdict is None else self._verdict

    def _signalled(self, number: int) -> None:
        if number in STOP or (number == _signal.SIGHUP and self._hangup == "stop"):
            self.quit()
            return
        for life in self._lives.values():
            life.handle(Event("signal", number))
            self._loop.wake(life.kin)

    # --- jobs -----------------------------------------------------------------------------------------------------

    def _ask(self, name: str, what: str, done: Done | None = None) -> None:
        if self._quitting and what != "stop":
            if done:
                done(Fault("StartFailed", name=name, status=1, reason=f"{name}: the manager is being stopped"))
            return
        earlier = self._jobs.pop(name, None)
        if earlier and earlier.what != "stop" and what == "stop":
            earlier.done(Fault("StartFailed", name=name, status=1, reason=f"{name}: stopped before it was started"))
            earlier = None
        self._jobs[name] = Job(what, done).join(earlier)
        self._stir(name)

    def _stir(self, name: str) -> None:
        """It is in another state, or something else is to be done with it: look at its job, and at those that it was in
        the way of."""
        self._stirred[name] = None
        self._stirred.update(self._hindered.pop(name, {}))
        self._loop.wake(self)

    def _settle(self) -> None:
        """Do the jobs whose time has come."""
        stirred, self._stirred = self._stirred, {}
        for name in stirred:
            if name in self._jobs:
                hindrance = self._hindrance(name, self._jobs[name].what)
                if hindrance:
                    self._hindered.setdefault(hindrance, {})[name] = None
                else:
                    self._do(name, self._jobs.pop(name))
                    self._stir(name)
        for name in self._idlers if stirred else ():
            if self._lives[name].state == "activating":
                self._loop.wake(self._lives[name].kin)

    def _is_idle(self) -> bool:
        """Whether all have come to where they were to go, but those of Type=idle and who waits for them."""
        waiting: set[str] = set()
        more = {*self._idlers}
        while more:
            waiting |= more
            more = {behind for each in more for behind in self._hindered.get(each, ())} - waiting
        others = {*self._jobs, *self._busy} - waiting
        return all(each not in self._jobs and self._rests(self._lives[each]) for each in others)

    def _hindrance(self, name: str, what: str) -> str | None:
        """Who is in the way of that, perhaps itself: a start waits until those that it starts after have started or
        stopped; all wait until those that have started after it are down, as far as they are to be."""
        if what == "start":
            if self._ends(name):
                return name
            for other in self._order.after[name]:
                if other in self._jobs or not self._rests(self._lives[other]):
                    return other
        return next((each for each in self._order.before[name] if self._ends(each) or self._is_to_end(each)), None)

    def _is_to_end(self, name: str) -> bool:
        return name in self._jobs and self._jobs[name].what != "start" and name in self._busy

    def _ends(self, name: str) -> bool:
        return name in self._busy and self._lives[name].stopping and self._lives[name].then != "start"

    @staticmethod
    def _rests(life: Life) -> bool:
        """Whether it has come to where it was to go: up, or down until it is asked to start."""
        return (life.state in _UP and not life.stopping) or (life.state in _DOWN and life.then in _WAITING)

    def _do(self, name: str, job: Job) -> None:
        if job.what == "start":
            self._start(name, job)
            return
        if job.what == "restart":
            self._jobs[name] = Job("start", None).join(job)
            self._managers[name].hold()
        else:
            self._end(name, job.done)
        self._loop.wake(self._lives[name].kin)

    def _end(self, name: str, done: Done) -> None:
        """Stop it. One that is held between the halves of a restart has to let go of what it keeps."""
        if self._lives[name].then == "hold":
            self._busy.add(name)
        self._managers[name].stop(name, done, stay=True)

    def _start(self, name: str, job: Job) -> None:
        life = self._lives[name]
        missing = sorted(each for each in self._order.needs[name] if self._is_missing(name, each))
        if missing and life.state in _DOWN:
            reason = f"{name}: not started: {missing[0]}.service, which it needs, {self._fate(missing[0])}"
            self._say(reason)
            self._failures.setdefault(name, 1)
            job.done(Fault("StartFailed", name=name, status=1, reason=reason))
            self._let_down(name)
            self._trigger(name, self._order.on_failure[name])
            if life.then == "hold":
                self._end(name, _ignored)
                self._loop.wake(life.kin)
            return
        self._kept.discard(name)
        self._yielded.pop(name, None)
        self._busy.add(name)
        self._managers[name].start(name, job.done)
        self._loop.wake(life.kin)

    def _is_missing(self, name: str, needed: str) -> bool:
        if needed in self._jobs or needed in self._busy:
            return False
        gone = needed in self._failures or needed in self._kept or needed in self._yielded
        return gone or needed in self._order.present[name]

    def _fate(self, name: str) -> str:
        if name in self._yielded:
            return f"conflicts with {self._yielded[name]}.service"
        return "has failed" if name in self._failures else "has ended"

    def _changed(self, name: str) -> None:
        """A service is in another state, by its own doing or ours."""
        life = self._lives[name]
        before, self._states[name] = self._states.get(name, ""), life.state
        if before == "auto-restart" and life.state == "activating" and life.service.restart_mode != "direct":
            self._restart_followers(name)
        if life.state in _UP:
            self._failures.pop(name, None)
            for each in sorted(self._order.upholds[name]):
                self._uphold(each, name)
        elif life.state in _DOWN and life.then in _WAITING and name in self._busy:
            self._busy.discard(name)
            if before not in _DOWN:  # else it has only let go of what it kept for a restart
                self._ended(name, life)
        self._stir(name)

    def _ended(self, name: str, life: Life) -> None:
        failed = life.state == "failed"
        if failed:
            self._failures.setdefault(name, life.outcome.exit_status or 1)
        self._let_down(name)
        self._trigger(name, self._order.on_failure[name] if failed else self._order.on_success[name])
        for each in sorted(self._order.upheld_by[name]):
            if self._lives[each].state in _UP:
                self._uphold(name, each)
        if life.verdict is not None and not self._quitting:  # SuccessAction=exit, FailureAction=exit
            self._say(f"{name}: ends the manager")
            self._verdict = life.verdict
            self.quit()

    def _restart_followers(self, name: str) -> None:
        """RestartMode=normal: a service that is restarted, by itself as well, takes those with it that follow it."""
        for each in self._order.with_followers(name)[1:]:
            if each in self._busy and each not in self._jobs and not self._lives[each].stopping:
                self._ask(each, "restart")

    def _let_down(self, name: str) -> None:
        """BindsTo=: stop those that cannot be without a service that has ended."""
        for other in sorted(self._order.bound_by[name]):
            life = self._lives[other]
            if other in self._busy and not life.stopping and other not in self._jobs:
                self._say(f"{other}: stopped: {name}.service, which it needs, {self._fate(name)}")
                if not life.ready:
                    self._failures.setdefault(other, 1)
                self._ask(other, "stop")

    def _trigger(self, name: str, others: Iterable[str]) -> None:
        """OnSuccess=, OnFailure=: those are told whose end it is, unless they run already."""
        life = self._lives[name]
        for each in () if self._quitting else sorted(others):
            fresh = each not in self._busy and each not in self._jobs
            self.start(each, _ignored)
            if fresh:
                told = {**life.outcome.variables(), "INVOCATION_ID": life.kin.invocation if life.kin else ""}
                self._lives[each].monitored = {f"MONITOR_{key}": value for key, value in told.items() if value}
                self._lives[each].monitored["MONITOR_UNIT"] = life.service.unit

    def _uphold(self, name: str, leader: str) -> None:
        """Upholds=: start it, if it is down; not more often than it may be started at all."""
        if name in self._busy or name in self._jobs or self._quitting:
            return
        service = self._lives[name].service
        quota = self._upheld.setdefault(name, Quota(service.start_limit_burst, service.start_limit_interval))
        if quota.take():
            self._say(f"{name}: started: {leader}.service upholds it")
            self.start(name, _ignored)
        else:
            self._say(f"{name}: not started, though {leader}.service upholds it: {quota}")

    def _displace(self, name: str) -> None:
        """Conflicts=: stop those that cannot be up together with it."""
        for other in sorted(self._order.conflicts[name]):
            if other in self._busy or other in self._jobs:
                if other not in self._yielded:
                    self._say(f"{other}: stopped: conflicts with {name}.service")
                self._yielded[other] = name
                for each in self._order.with_followers(other, stop=True):
                    self._ask(each, "stop")

    # --- initkit.run.api.Manager ----------------------------------------------------------------------------------

    def start(self, name: str, done: Done) -> None:
        """Start it, and what it needs or wants; stop what it conflicts with."""
        for each in reversed(self._order.with_needs(name)):
            if each == name or self._lives[each].state in _DOWN:
                self._displace(each)
                self._lives[each].monitored = {}
                self._ask(each, "start", done if each == name else None)

    def stop(self, name: str, done: Done, *, stay: bool = False) -> None:
        """Stop it, and what needs it. The manager always stays: whoever has stopped one service may start it again."""
        for each in self._order.with_followers(name, stop=True):
            self._kept.add(each)
            self._ask(each, "stop", done if each == name else None)

    def restart(self, name: str, done: Done) -> None:
        """Restart it, and what needs it; start it if it does not run."""
        for each in self._order.with_followers(name):
            if each == name or each in self._busy:
                self._ask(each, "restart" if each in self._busy else "start", done if each == name else None)

    def reload(self, name: str, done: Done) -> None:
        """Reload it, and those that reload with it, if they run and can."""
        for each in self._order.with_reloads(name):
            self._managers[each].reload(each, done if each == name else _ignored)
            self._loop.wake(self._lives[each].kin)

    def quit(self) -> None:
        """Stop them all, and end."""
        self._quitting = True
        self._kept.clear()
        for name in self._lives:
            self._ask(name, "stop")

    def give_up(self, fault: Exception) -> None:
        """What is not a service's own has failed: stop them all."""
        self._say(f"{type(fault).__name__}: {fault}: the manager stops")
        self._verdict = 1
        self.quit()


def _ignored(fault: Exception | None) -> None:
    """Nobody has asked for it by itself."""
