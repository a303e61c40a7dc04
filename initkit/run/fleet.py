"""The manager of several services: starts and stops them in their order, and answers for each."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`

from initkit.run.api import Fault
from initkit.run.hearing import STOP
from initkit.run.loop import INFINITY, Event
from initkit.run.manager import LifeManager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from initkit.plan.order import Order
    from initkit.run.api import Answered, Done
    from initkit.run.life import Life
    from initkit.run.loop import Loop, Task

_UP = ("active", "reloading")
_DOWN = ("inactive", "failed")


class _Job:
    """What a service waits for its turn to do: "start", "stop", or "restart", which becomes a start."""

    def __init__(self, what: str, done: Done | None) -> None:
        self.what = what
        self._asked = [done] if done else []

    def join(self, earlier: _Job | None) -> _Job:
        """Take an earlier job's place: whoever has asked for that is told of the end of this."""
        self._asked += earlier._asked if earlier else []
        return self

    def done(self, fault: Exception | None) -> None:
        """Tell all who have asked."""
        for each in self._asked:
            each(fault)


class Fleet:
    """Looks after several lives: see `initkit.run.api.Manager`.

    `run` is its task: it ends when nothing is left to be done. `say` is told lines for people, `hangup` is as a life's.
    """

    def __init__(self, lives: list[Life], order: Order, loop: Loop, say: Callable[[str], None], hangup: str) -> None:
        self._lives = {life.service.name: life for life in lives}
        self._managers = {name: LifeManager(life) for name, life in self._lives.items()}
        self._order, self._loop, self._say, self._hangup = order, loop, say, hangup
        self._jobs: dict[str, _Job] = {}
        self._busy: set[str] = set()  # those that are not down
        self._kept: set[str] = set()  # those that are down until a client, who has said so, starts them again
        self._failures: dict[str, int] = {}  # exit statuses of those that have failed, the first one first
        self._quitting = False
        for name, manager in self._managers.items():
            loop.add(self._lives[name].kin, self._lives[name].task())
            manager.subscribe(self._changed)

    def run(self) -> Task:
        """Start them all, and look after them until none is left; returns the first failure's exit status, else 0."""
        self._loop.listener = self
        for name in self._lives:
            self._ask(name, "start")
        self._settle()
        while self._jobs or self._busy or self._kept:
            event = yield INFINITY
            if event is not None and event.kind == "signal":
                self._signalled(event.number)
            self._settle()
        return next(iter(self._failures.values()), 0)

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
        self._jobs[name] = _Job(what, done).join(self._jobs.pop(name, None))
        self._loop.wake(self)

    def _settle(self) -> None:
        """Do the jobs whose time has come."""
        for name, job in tuple(self._jobs.items()):
            if job.what == "start" and self._may_start(name):
                del self._jobs[name]
                self._start(name, job)
            elif job.what != "start" and self._may_stop(name):
                del self._jobs[name]
                self._stop(name, job)

    def _may_start(self, name: str) -> bool:
        return not self._ends(name) and all(
            other not in self._jobs and self._rests(self._lives[other]) for other in self._order.after[name]
        )

    def _may_stop(self, name: str) -> bool:
        """Whether those that have started after it are down, as far as they are to be."""
        return not any(self._ends(other) or self._is_to_end(other) for other in self._order.before[name])

    def _is_to_end(self, name: str) -> bool:
        return name in self._jobs and self._jobs[name].what != "start" and name in self._busy

    def _ends(self, name: str) -> bool:
        return name in self._busy and self._lives[name].stopping and self._lives[name].then != "start"

    @staticmethod
    def _rests(life: Life) -> bool:
        """Whether it has come to where it was to go: up, or down until it is asked to start."""
        return (life.state in _UP and not life.stopping) or (life.state in _DOWN and life.then == "wait")

    def _start(self, name: str, job: _Job) -> None:
        life = self._lives[name]
        missing = sorted(each for each in self._order.needs[name] if self._is_missing(name, each))
        if missing and life.state in _DOWN:
            reason = f"{name}: not started: {missing[0]}.service, which it needs, {self._fate(missing[0])}"
            self._say(reason)
            self._failures.setdefault(name, 1)
            job.done(Fault("StartFailed", name=name, status=1, reason=reason))
            self._let_down(name)
            return
        self._kept.discard(name)
        self._busy.add(name)
        self._managers[name].start(name, job.done)
        self._loop.wake(life.kin)

    def _is_missing(self, name: str, needed: str) -> bool:
        if needed in self._jobs or needed in self._busy:
            return False
        return needed in self._failures or needed in self._kept or needed in self._order.bound[name]

    def _fate(self, name: str) -> str:
        return "has failed" if name in self._failures else "has ended"

    def _stop(self, name: str, job: _Job) -> None:
        if job.what == "restart":
            self._jobs[name] = _Job("start", None).join(job)
            self._managers[name].stop(name, _ignored, stay=True)
        else:
            self._managers[name].stop(name, job.done, stay=True)
        self._loop.wake(self._lives[name].kin)
        self._loop.wake(self)

    def _changed(self, name: str) -> None:
        """A service is in another state, by its own doing or ours."""
        life = self._lives[name]
        if life.state in _UP:
            self._failures.pop(name, None)
        elif life.state in _DOWN and life.then == "wait" and name in self._busy:
            self._busy.discard(name)
            if life.state == "failed":
                self._failures.setdefault(name, life.outcome.exit_status or 1)
            self._let_down(name)
        self._loop.wake(self)

    def _let_down(self, name: str) -> None:
        """Stop those that cannot be without a service that has ended; by its own doing, or it would have been later."""
        unready = name in self._failures and not self._lives[name].ready
        for other in self._lives:
            needs = name in self._order.bound[other] or (unready and name in self._order.needs[other])
            if needs and other in self._busy and not self._lives[other].stopping and other not in self._jobs:
                self._say(f"{other}: stopped: {name}.service, which it needs, {self._fate(name)}")
                self._failures.setdefault(other, 1) if unready else None
                self._ask(other, "stop")

    # --- initkit.run.api.Manager ----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The services, in the order of their files."""
        return list(self._lives)

    def start(self, name: str, done: Done) -> None:
        """Start it, and what it needs or wants."""
        for each in reversed(self._order.with_needs(name)):
            if each == name or self._lives[each].state in _DOWN:
                self._ask(each, "start", done if each == name else None)

    def stop(self, name: str, done: Done, *, stay: bool = False) -> None:
        """Stop it, and what needs it; the manager ends with the last one, unless told to `stay`."""
        for each in self._order.with_followers(name):
            if stay:
                self._kept.add(each)
            self._ask(each, "stop", done if each == name else None)

    def restart(self, name: str, done: Done) -> None:
        """Restart it, and what needs it; start it if it does not run."""
        for each in self._order.with_followers(name):
            if each == name or each in self._busy:
                self._ask(each, "restart" if each in self._busy else "start", done if each == name else None)

    def reload(self, name: str, done: Done) -> None:
        """Reload it."""
        self._managers[name].reload(name, done)
        self._loop.wake(self._lives[name].kin)

    def quit(self) -> None:
        """Stop them all, and end."""
        self._quitting = True
        self._kept.clear()
        for name in self._lives:
            self._ask(name, "stop")

    def kill(self, name: str, signal: int, whom: str) -> None:
        """Signal the main process, or all."""
        self._managers[name].kill(name, signal, whom)

    def status(self, name: str) -> dict[str, Any]:
        """A service's state."""
        return self._managers[name].status(name)

    def log_path(self, name: str, stream: str) -> str:
        """The file that the output goes to."""
        return self._managers[name].log_path(name, stream)

    def commands(self, name: str) -> list[str]:
        """The commands that it has registered."""
        return self._managers[name].commands(name)

    def call(self, name: str, command: str, arguments: list[str], done: Answered) -> None:
        """Run one of them."""
        self._managers[name].call(name, command, arguments, done)

    def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Call `told` at every change of any."""
        ends = [manager.subscribe(told) for manager in self._managers.values()]

        def end() -> None:
            for each in ends:
                each()

        return end


def _ignored(fault: Exception | None) -> None:
    """The start that follows is what was asked for."""
