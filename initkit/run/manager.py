"""The manager of one supervised service: what clients ask for, as wishes that its life fulfils."""

from __future__ import annotations

import time

from initkit.run import family, identity, logs, usage
from initkit.run.api import Fault
from initkit.run.hearing import SETTLED
from initkit.run.loop import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from initkit.run.api import Answered, Done
    from initkit.run.identity import Stat
    from initkit.run.life import Life

_UP = ("active", "reloading")
_DOWN = ("inactive", "failed")
_SIGHUP = 1
_GLANCE = 0.5  # seconds that a client is kept waiting for what the service's process tells
_PATIENCE = 60.0  # seconds that it has for that while nobody waits


class _Wish:
    """Something asked for that is not done yet. A start has `begun` when the life that it asked for has; a reload is
    over when so many of them (`number`) are."""

    def __init__(self, what: str, done: Done, *, begun: bool = False, number: int = 0) -> None:
        self.what, self.done, self.begun, self.number = what, done, begun, number


class LifeManager:
    """Drives a `Life`: see `initkit.run.api.Manager`."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._service = life.service
        self._name = life.service.name
        self._wishes: list[_Wish] = []
        self._told: list[Callable[[str], None]] = []
        self._known: list[str] = []
        self._seen = life.state
        life.changed = self._changed

    def names(self) -> list[str]:
        """The one service."""
        return [self._name]

    # --- wishes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, done: Done) -> None:
        """Start it; done when it is ready."""
        life = self.life
        if life.state in _UP and not life.stopping:
            done(None)
        elif life.stopping and not life.then:
            done(Fault("StartFailed", name=name, status=1, reason=f"{name}: is being stopped"))
        else:
            if life.stopping:
                life.then = "start"
            self._wishes.append(_Wish("start", done, begun=life.state == "activating" and not life.stopping))

    def stop(self, name: str, done: Done, *, stay: bool = False) -> None:
        """Stop it; done when nothing is left. Unless it is to `stay`, the manager ends, and is done then."""
        life = self.life
        if life.state in _DOWN and life.then != "hold" and (stay or life.then != "wait"):
            done(None)
            return
        self._wishes.append(_Wish("stop", done))
        if life.then or not life.stopping:
            life.stopping, life.then = True, "wait" if stay else ""

    def hold(self) -> None:
        """The first half of a restart: stop it, and keep what the next life is to have until it is started, or stopped
        after all."""
        life = self.life
        if life.state not in _DOWN and (life.then or not life.stopping):
            life.stopping, life.then = True, "hold"

    def restart(self, name: str, done: Done) -> None:
        """Stop and start it; done when it is ready."""
        life = self.life
        if life.stopping and not life.then:
            done(Fault("StartFailed", name=name, status=1, reason=f"{name}: is being stopped"))
            return
        life.stopping, life.then = True, "start"
        self._wishes.append(_Wish("start", done))

    def reload(self, name: str, done: Done) -> None:
        """Reload it; done when ExecReload= has ended, or READY=1 has come."""
        life = self.life
        if not (self._service.exec_reload or self._service.type == "notify-reload"):
            done(Fault("ReloadFailed", name=name, reason=f"{name}: has no way to reload: ExecReload= is not set"))
        elif life.state not in _UP or life.stopping:
            done(Fault("ReloadFailed", name=name, reason=f"{name}: is not active"))
        else:
            life.reloads += 1
            self._wishes.append(_Wish("reload", done, number=life.reloads))

    def quit(self) -> None:
        """Stop it, and end."""
        self.life.stopping, self.life.then = True, ""

    def kill(self, name: str, signal: int, whom: str) -> None:
        """Signal the main process, or all; none is no fault when all are meant. Those that cannot be signalled are
        named."""
        if whom == "all":
            refused = self.life.family.signal_all((signal,))
        else:
            pid = self._logger() if whom == "logger" else self._main()
            found = identity.stat(pid) if pid else None
            if found is None:
                raise Fault("NotRunning", name=name)
            refused = [] if family.reaches(found, (signal,)) else [found]
        if refused:
            raise Fault("NotPermitted", name=name, processes=[f"{_comm(each.pid)}[{each.pid}]" for each in refused])

    def _logger(self) -> int:
        return self.life.logger.pid if self.life.logger else 0

    def _main(self) -> int:
        return self.life.main if self.life.main not in self.life.exits else 0

    # --- what comes of them ---------------------------------------------------------------------------------------

    def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Call `told` at every change."""
        self._told.append(told)
        return lambda: self._told.remove(told) if told in self._told else None

    def _changed(self) -> None:
        state, before = self.life.state, self._seen
        if state not in _UP:
            self._known = []  # they were those of a process that has ended, or is about to
        if state != before or state in _DOWN:  # where a manager that waits comes to its end
            self._seen = state
            wishes, self._wishes = self._wishes, []
            for wish in wishes:
                fulfilled, fault = self._judged(wish, state)
                if fulfilled:
                    wish.done(fault)
                else:
                    self._wishes.append(wish)
        self._tell()
        if self._told and state != before and state == "active":
            self._ask(_nothing, _PATIENCE)  # whoever watches is told when it is another answer

    def _tell(self) -> None:
        for told in tuple(self._told):
            told(self._name)

    def _judged(self, wish: _Wish, state: str) -> tuple[bool, Fault | None]:
        """Whether a wish is over now that the service is in another state, and what is wrong."""
        if wish.what == "stop":
            return state in (*_DOWN, "activating"), self._survivors() if state in _DOWN else None
        if wish.what == "reload":
            if wish.number <= self.life.reloaded and state in _UP:
                reason = self.life.reload_fault
                return True, Fault("ReloadFailed", name=self._name, reason=reason) if reason else None
            over = state not in _UP
            return over, Fault("ReloadFailed", name=self._name, reason=f"{self._name}: has ended") if over else None
        if state == "activating":
            wish.begun = True
        if state == "active":
            return wish.begun, None
        if self.life.then == "hold":
            return False, None  # the start that follows will tell
        if state in (*_DOWN, "auto-restart") and (wish.begun or state in _DOWN):
            return True, self._not_started()
        return False, None

    def _not_started(self) -> Fault | None:
        outcome = self.life.last
        if outcome.result in ("condition", "exec-condition"):
            return None  # skipped, which is what was wanted
        reason = f"{self._name}: {'stopped before it was ready' if outcome.clean else outcome}"
        return Fault("StartFailed", name=self._name, status=outcome.exit_status or 1, reason=reason)

    def _survivors(self) -> Fault | None:
        left = [f"{_comm(each.pid)}[{each.pid}]" for each in self.life.survivors()]
        return Fault("StopFailed", name=self._name, survivors=left) if left else None

    # --- what there is to know ------------------------------------------------------------------------------------

    def status(self, name: str) -> dict[str, Any]:
        """The service's state."""
        life = self.life
        found = self._processes()
        pids = {each.pid for each in found}
        told = life.last.variables()
        limit = INFINITY if life.state in SETTLED else life.deadline
        return {
            "name": name,
            "description": self._service.description,
            "state": life.state,
            "result": told["SERVICE_RESULT"],
            "since": int(life.since * 1e6),
            "mainPid": self._main() or None,
            "loggerPid": self._logger() or None,
            "processes": [
                {
                    "pid": each.pid,
                    "parent": each.parent if each.parent in pids else 0,
                    "command": usage.command(each.pid),
                }
                for each in found
            ],
            "memory": sum(map(usage.memory, pids)),
            "cpu": sum(map(usage.cpu, pids)),
            "restarts": life.restarts,
            "exitCode": told.get("EXIT_CODE"),
            "exitStatus": told.get("EXIT_STATUS"),
            "statusText": life.status_text or None,
            "errno": life.errno or None,
            "waitingFor": self._waiting_for() or None,
            "deadline": None if limit == INFINITY else int((time.time() + limit - time.monotonic()) * 1e6),
            "settings": self._service.path or None,
            "commands": self.commands(name),
        }

    def _processes(self) -> list[Stat]:
        """The service's own, then its logger's."""
        logger = self.life.logger
        return [*self.life.family.quickly(), *(logger.kin.quickly() if logger else ())]

    def _waiting_for(self) -> str:
        life, kind = self.life, self._service.type
        if life.state in ("active", *_DOWN):
            return ""
        if life.state == "auto-restart":
            return "its restart"
        if life.control and life.control not in life.exits:
            return f"{_comm(life.control)}[{life.control}] to end"
        if life.state == "deactivating":
            left = family.listed(self._processes())
            return left and f"{left} to end"
        if kind == "forking":
            return f"the PID file {self._service.pid_path}"
        if kind == "oneshot":
            return f"{_comm(life.main)}[{life.main}] to end" if life.main else ""
        return "READY=1" if kind.startswith("notify") else "its program"

    def log_path(self, name: str, stream: str) -> str:
        """The file that the output goes to."""
        return logs.path_of(self._service, stream)

    def older_logs(self, name: str, stream: str) -> list[str]:
        """Those that have been rotated away from it."""
        return logs.older(self._service, stream)

    def reopen_logs(self, name: str) -> None:
        """SIGHUP to initkit's own logger."""
        if not self._service.log_file:
            raise Fault("NoLog", name=name)
        if self._logger():
            self.kill(name, _SIGHUP, "logger")  # one that is to be started opens its file then

    def clear_logs(self, name: str) -> None:
        """Empty the files that output is appended to."""
        paths = logs.appended(self._service)
        if not paths:
            raise Fault("NoLog", name=name)
        for path in paths:
            logs.clear(path)

    def commands(self, name: str) -> list[str]:
        """Those that the service's own process has last told of."""
        return list(self._known)

    def refresh(self, name: str, done: Callable[[], None]) -> None:
        """Ask the service's own process which commands it answers, where it answers any."""
        self._ask(done, _GLANCE)

    def _ask(self, done: Callable[[], None], seconds: float) -> None:
        if self.life.state not in _UP:
            done()
            return
        from initkit.run import relay

        def told(found: list[str] | None) -> None:
            if found is not None and found != self._known and self.life.state in _UP:
                self._known = found
                self._tell()
            done()

        relay.known(self.life.loop, self._service, told, seconds)

    def call(self, name: str, command: str, arguments: list[str], done: Answered) -> None:
        """Ask the service's own process, where it answers."""
        from initkit.run import relay

        relay.call(self.life.loop, self._service, command, arguments, done)


def _nothing() -> None:
    """Nobody waits."""


def _comm(pid: int) -> str:
    return identity.read(f"/proc/{pid}/comm").strip() or "?"
