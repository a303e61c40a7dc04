"""What runs of a service that no manager answers for, told from its PID files, its register and /proc, in the
interface's words."""

from __future__ import annotations

import os
import time

from initkit import plan
from initkit.run import identity, pidfile, register, usage
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from initkit.run.identity import Identity, Stat
    from initkit.run.register import Known
    from initkit.run.stop import Group
    from initkit.settings.service import Service

_NOTHING = {"since": 0, "processes": [], "memory": 0, "cpu": 0}


class Found(Record):
    """A daemon that runs: its main process, or its supervisor where `supervised`; `own_session` when the session it is
    in was made for it; `known` is what its register tells.

    What is left of a service whose manager was killed, or whose main process has ended, lacks that: `missing` says
    which, and `process` is not the main one where there is none any more (`headless`).
    """

    process: Stat
    supervised: bool
    own_session: bool
    known: Known | None = None
    missing: str = ""
    headless: bool = False

    @property
    def shared(self) -> bool:
        """Whether a manager looks after it that has other services, too."""
        return self.known is not None and self.known.managed() and not self.supervised

    def group(self) -> Group:
        """All processes of it."""
        main = () if self.headless else (self.process,)
        return _group(self.known, main, own_session=self.own_session, started=not self.supervised)


def _group(known: Known | None, main: tuple[Stat, ...], *, own_session: bool = False, started: bool = True) -> Group:
    """The processes that are known by these main ones, and by the register; what that says was `started` is as much
    of a main process where nobody else looks after it."""
    from initkit.run.stop import Group

    sessions = [each.session for each in main] if own_session else []
    since = min((each.start for each in main), default=0)
    if known is None:
        return Group(main, sessions=sessions, since=since)
    running = _alive(known)
    more = tuple(each for each in running if started and all(each.pid != other.pid for other in main))
    sessions += [each.session for each in running]
    return Group((*main, *more), sessions=sessions, invocations=known.invocations, since=known.since or since)


def _alive(known: Known) -> list[Stat]:
    """Those that run of the programs that a register tells of, the last one first; main programs before others."""
    return _running_of((*known.main[::-1], *known.control[::-1]))


def loggers(known: Known | None) -> list[Stat]:
    """The loggers of a service, which end when nobody writes any more."""
    return _running_of(known.logger) if known else []


def _running_of(started: tuple[Identity, ...]) -> list[Stat]:
    found = [identity.stat(each.pid) for each in started if each.alive()]
    return [each for each in found if each is not None]


def pid_files(service: Service) -> tuple[str, ...]:
    """The files that may name the service's process, initkit's own first: no program writes that one."""
    own = f"{service.runtime_root}/initkit/{service.name}.pid"
    return tuple(dict.fromkeys((own, plan.daemon_pid_path(service), service.pid_path)))


def find(service: Service) -> Found | None:
    """The service's daemon, if there is certainly one, or what is left of it."""
    known = register.read(register.path_of(service))
    own, *others = pid_files(service)
    named = _named(own, service)
    if named:
        manager = known is not None and known.manager is not None and known.manager.pid == named.pid
        return Found(named, manager, known is not None or named.session == named.pid, known)
    if known and known.managed():
        return _managed(known, f"{service.runtime_root}/initkit/{service.name}.sock")
    for path in others:
        named = _named(path, service)
        if named:
            left = _left(known) if known else None
            missing = left.missing if left and named in left.group().left() else ""
            return Found(named, False, named.session == named.pid, known, missing)
    return _left(known) if known else None


def _named(path: str, service: Service) -> Stat | None:
    """The process that a PID file names."""
    who = pidfile.running(path, service)
    process = identity.stat(who.pid) if who else None
    return process if who and process and process.start == who.start else None


def _managed(known: Known, socket: str) -> Found | None:
    """What runs under a manager that is there: of one that has other services, too, only what is this one's."""
    manager = identity.stat(known.manager.pid) if known.manager else None
    if manager is None or known.socket != socket:
        return _left(known, missing="")
    return Found(manager, True, False, known)


def _left(known: Known, missing: str | None = None) -> Found | None:
    """What runs by the register alone."""
    if missing is None:
        missing = "manager" if known.manager else "main process"
    for process in _group(known, ()).left() or loggers(known):
        headless = not any(each.pid == process.pid for each in known.main)
        return Found(process, False, False, known, missing, headless)
    return None


def main_pid(service: Service, found: Found) -> int:
    """The main process: a supervisor's is the one in PIDFile=, else in its register, else its first child."""
    return _main(found, pidfile.named(service.pid_path) if found.supervised else 0)


def _main(found: Found, named: int = 0) -> int:
    if not found.supervised:
        return 0 if found.headless else found.process.pid
    below = [each.pid for each in identity.descendants(found.process.pid)]
    taken_down = reversed(found.known.main) if found.known else ()
    likely = (named, *(each.pid for each in taken_down), *below[:1])
    return next((pid for pid in likely if pid in below), 0)


def describe(service: Service, found: Found | None) -> dict[str, Any]:
    """The service as the interface's type Service has it."""
    told = {"name": service.name, "description": service.description, "result": "", "restarts": 0, "commands": []}
    try:
        if found is not None:
            return {**told, **_running(main_pid(service, found), found)}
    except ProcessLookupError:
        pass  # it has ended this moment
    known = register.read(register.path_of(service))
    if has_run(pid_files(service)[0]):
        return {**told, **_NOTHING, "state": "active"}
    return {**told, **_NOTHING, **_end_of(known, pid_files(service))}


def _end_of(known: Known | None, paths: Iterable[str]) -> dict[str, str]:
    """How a service has ended of which nothing runs: who stops it removes its PID file, and an init script leaves the
    register, which tells of a failure only where there was a manager that is gone."""
    if known and known.manager and known.managed():
        return {"state": "inactive", "statusText": silent(known.manager.pid)}
    if known and known.orphaned():
        return {"state": "failed", "missing": "manager"}
    return {"state": "failed" if any(os.path.lexists(path) for path in paths) else "inactive"}


def silent(manager: int) -> str:
    """What there is to be said of a service whose manager, which has others as well, cannot be asked."""
    return f"its manager, pid {manager}, which has others, too, does not answer"


def managers_socket(root: str, name: str) -> str:
    """Where the manager listens that has a service, by the register: it may be another name's. "" where none lives."""
    known = register.read(f"{root}/initkit/{name}{register.SUFFIX}")
    return known.socket if known and known.managed() else ""


def has_run(path: str) -> bool:
    """Whether an init script has noted in initkit's PID file that its commands have been run: RemainAfterExit=."""
    noted = identity.read(path).strip()
    return bool(noted) and noted == identity.boot_id()  # which is not to be seen everywhere


def recorded_service(root: str, name: str) -> dict[str, Any]:
    """A service of which only the name is known, and its files in the runtime folder `root`."""
    told = {"name": name, "description": "", "result": "", "restarts": 0, "commands": []}
    place = f"{root}/initkit/{name}"
    known = register.read(place + register.SUFFIX)
    process = identity.stat(recorded(f"{place}.pid"))
    found = Found(process, False, True, known) if process else None
    if known and known.managed():
        found = _managed(known, f"{place}.sock")
    elif known and not found:
        found = _left(known)
    try:
        if found is not None:
            return {**told, **_running(_main(found), found)}
    except ProcessLookupError:
        pass
    ended = {"state": "active"} if has_run(f"{place}.pid") else _end_of(known, (f"{place}.pid",))
    return {**told, **_NOTHING, **ended}


def _running(main: int, found: Found) -> dict[str, Any]:
    since = int(identity.started_at(main or found.process.pid) * 1e6)
    members = [each for each in found.group().left() if not found.supervised or each != found.process]
    members += [each for each in loggers(found.known) if each not in members]
    missing = {"missing": found.missing} if found.missing else {}
    return {"state": "active", "since": since, **account(members, main), **missing, "mainPid": main or None}


def account(members: Iterable[Stat], main: int) -> dict[str, Any]:
    """What processes there are, and what they use: resident memory in bytes, cpu in microseconds."""
    members = list(members)
    pids = {each.pid for each in members}
    processes = [
        {"pid": each.pid, "parent": each.parent if each.pid != main and each.parent in pids else 0,
         "command": usage.command(each.pid)}
        for each in members
    ]  # fmt: skip
    return {"processes": processes, "memory": sum(map(usage.memory, pids)), "cpu": sum(map(usage.cpu, pids))}


def overview(root: str) -> list[str]:
    """The names that have a PID file or a socket in the runtime folder `root`."""
    try:
        files = os.listdir(f"{root}/initkit")
    except OSError:
        return []
    suffixes = (".pid", ".sock", register.SUFFIX)
    names = {file.removesuffix(suffix) for file in files for suffix in suffixes if file.endswith(suffix)}
    return sorted(name for name in names if not name.startswith("."))


def recorded(path: str) -> int:
    """The pid in a PID file of initkit's own when that process runs still, else 0: no settings are needed to tell."""
    lines = identity.read(path).splitlines()
    who = identity.of(int(lines[0])) if len(lines) > 1 and lines[0].isdigit() else None
    return who.pid if who and lines[1] == f"{who.start} {who.boot}" else 0


def now() -> int:
    """Microseconds since the epoch."""
    return int(time.time() * 1e6)
