"""What runs of a service that no manager answers for, told from its PID files and /proc, in the interface's words."""

from __future__ import annotations

import os
import time

from initkit import plan
from initkit.run import identity, pidfile, usage
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from initkit.run.identity import Stat
    from initkit.settings.service import Service

_NOTHING = {"since": 0, "processes": [], "memory": 0, "cpu": 0}


class Found(Record):
    """A daemon that runs: its main process, or its supervisor where `supervised`; `own_session` when the session it is
    in was made for it."""

    process: Stat
    supervised: bool
    own_session: bool


def pid_files(service: Service) -> tuple[str, ...]:
    """The files that may name the service's process, initkit's own first: no program writes that one."""
    own = f"{service.runtime_root}/initkit/{service.name}.pid"
    return tuple(dict.fromkeys((own, plan.daemon_pid_path(service), service.pid_path)))


def find(service: Service) -> Found | None:
    """The service's daemon, if there is certainly one."""
    paths = pid_files(service)
    for path in paths:
        who = pidfile.running(path, service)
        process = identity.stat(who.pid) if who else None
        if who and process and process.start == who.start:
            supervised = path == paths[0] and plan.needs_parent(service)
            return Found(process, supervised, path == paths[0] or process.session == process.pid)
    return None


def main_pid(service: Service, found: Found) -> int:
    """The main process: a supervisor's is the one in PIDFile=, else its first child."""
    if not found.supervised:
        return found.process.pid
    below = list(identity.descendants(found.process.pid))
    named = pidfile.named(service.pid_path)
    if any(each.pid == named for each in below):
        return named
    return below[0].pid if below else 0


def describe(service: Service, found: Found | None) -> dict[str, Any]:
    """The service as the interface's type Service has it."""
    told = {"name": service.name, "description": service.description, "result": "", "restarts": 0, "commands": []}
    try:
        if found is not None:
            main = main_pid(service, found)
            return {**told, **_running(main or found.process.pid, found), "mainPid": main or None}
    except ProcessLookupError:
        pass  # it has ended this moment
    dead = any(os.path.lexists(path) for path in pid_files(service))
    return {**told, **_NOTHING, "state": "failed" if dead else "inactive"}


def recorded_service(root: str, name: str) -> dict[str, Any]:
    """A service of which only the name is known, and its PID file in the runtime folder `root`."""
    told = {"name": name, "description": "", "result": "", "restarts": 0, "commands": []}
    pid = recorded(f"{root}/initkit/{name}.pid")
    process = identity.stat(pid) if pid else None
    try:
        if process is not None:
            return {**told, **_running(pid, Found(process, False, True)), "mainPid": pid}
    except ProcessLookupError:
        pass
    return {**told, **_NOTHING, "state": "failed"}


def _running(main: int, found: Found) -> dict[str, Any]:
    since = int(identity.started_at(main) * 1e6)
    below = [each for each in identity.descendants(found.process.pid) if each.state not in "ZX"]
    members = below if found.supervised else [found.process, *below]
    return {"state": "active", "since": since, **account(members, main)}


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
    names = {file.removesuffix(suffix) for file in files for suffix in (".pid", ".sock") if file.endswith(suffix)}
    return sorted(name for name in names if not name.startswith("."))


def recorded(path: str) -> int:
    """The pid in a PID file of initkit's own when that process runs still, else 0: no settings are needed to tell."""
    lines = identity.read(path).splitlines()
    who = identity.of(int(lines[0])) if len(lines) > 1 and lines[0].isdigit() else None
    return who.pid if who and lines[1] == f"{who.start} {who.boot}" else 0


def now() -> int:
    """Microseconds since the epoch."""
    return int(time.time() * 1e6)
