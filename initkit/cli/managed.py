"""The verbs where a manager looks after the service: it is asked over its socket."""

from __future__ import annotations

import os
import select

from initkit.cli.control import NoWayToReload
from initkit.errors import InitkitError, NotPermitted, NotRunning
from initkit.run import claim, client, register, survey
from initkit.run.tell import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from initkit.cli.charge import Charge
    from initkit.cli.progress import Tell
    from initkit.run.stop import Whom

_DOING = {"start": "starting", "stop": "stopping", "restart": "restarting", "reload": "reloading"}
#: What a service that is not running is in.
_DOWN = ("inactive", "failed", "auto-restart")
_SUFFIXES = (".toml", ".service")  # a class of Python's may have none of these
_LAST_MOMENT = 5000  # milliseconds for a manager that has nothing more to do


def change(charge: Charge, verb: str) -> int:
    """start, stop, restart, try-restart or reload; returns when it is done."""
    if verb in ("try-restart", "reload") and status(charge)["state"] in _DOWN:
        if verb == "try-restart":
            return 0
        raise NotRunning(f"{charge.service.name} is not running")
    if verb == "reload" and charge.service.path and not _reloads(charge):
        raise NoWayToReload(f"{charge.service.name}: has no way to reload", hint="ExecReload= is not set")
    from initkit.cli import progress

    method = verb.removeprefix("try-")
    manager = int(client.call(charge.socket, "Ping")["pid"]) if verb == "stop" else 0
    known = register.read(register.path_of(charge.service))
    done = progress.shown(
        f"{_DOING[method]} {charge.service.name}",
        lambda tell: _ask(charge, method.capitalize(), manager),
        lambda tell: _tell(charge, tell),
    )
    if manager and not done:
        _see_off(charge, manager)
        claim.see_off(charge.service, known)
    if verb != "stop":
        tell_outdated(charge)
    return done


def tell_outdated(charge: Charge) -> None:
    """Say so when the manager goes by settings that are not those in the files: it reads them once, and those of
    another file may have the same name."""
    service = charge.service
    try:
        read = status(charge).get("settings") or ""
        since = os.stat(charge.socket).st_mtime_ns
        files = dict.fromkeys((service.path, *(entry.file for entry in service.entries)))
        changed = [path for path in files if path and os.stat(path).st_mtime_ns > since]
        other = service.path and read.endswith(_SUFFIXES) and not os.path.samefile(read, service.path)
    except (OSError, InitkitError):
        return  # one of them has just gone
    if other:
        tell(f"{service.name}: runs by {read}, not by {service.path}; stop it to start this one")
    elif changed:
        remedy = "end `initkit up` and begin it anew" if charge.shared else "stop and start it"
        said = f"has changed since its manager read it; {remedy} for the settings to be those"
        tell(f"{service.name}: {changed[0]} {said}")


def _reloads(charge: Charge) -> bool:
    return bool(charge.service.exec_reload) or charge.service.type == "notify-reload"


def _ask(charge: Charge, method: str, manager: int) -> int:
    try:
        client.call(charge.socket, method, {"name": charge.service.name})
    except client.RemoteError as fault:
        if manager and fault.name.endswith(".StopFailed"):  # it ends all the same
            _see_off(charge, manager)
        raise meant(fault, charge.service.name) from None
    except client.NoManager:
        if method != "Stop":
            raise  # with its only service the manager has ended, too
    return 0


def meant(fault: client.RemoteError, name: str) -> InitkitError:
    """The manager's error in a line for people, with the exit status that it deserves."""
    told, kind = fault.parameters, fault.name.rpartition(".")[2]
    if kind == "StartFailed":
        return InitkitError(told.get("reason") or f"{name}: could not be started", status=told.get("status") or 1)
    if kind == "StopFailed":
        return InitkitError(f"{name}: stopped, yet not all of it: {', '.join(told.get('survivors', ()))} still there")
    if kind == "ReloadFailed":
        return InitkitError(told.get("reason") or f"{name}: the reload failed")
    if kind == "NotPermitted":
        return NotPermitted(f"{', '.join(told.get('processes', ()))} cannot be signalled: another user's")
    if kind == "PermissionDenied":
        return NotPermitted(f"{name}: this user may not do that")
    if kind == "NotRunning":
        return NotRunning(f"{name} is not running")
    return fault


def _tell(charge: Charge, tell: Tell) -> int:
    """What the manager waits for, from its status."""
    for reply in client.stream(charge.socket, "Status", {"name": charge.service.name}):
        told = reply["service"]
        tell(waiting(told), remaining(told))
    return 0


def waiting(told: dict[str, Any]) -> str:
    """What a start or a stop waits for, "" when nothing is under way."""
    what = told.get("waitingFor") or ""
    return f"waits for {what}" if what else ""


def remaining(told: dict[str, Any]) -> float:
    """How many seconds that may still take."""
    deadline = told.get("deadline")
    return (deadline - survey.now()) / 1e6 if deadline else float("inf")


def _see_off(charge: Charge, manager: int) -> None:
    """A manager of one daemon ends with it: only then can the next start begin."""
    record = survey.pid_files(charge.service)[0]
    if survey.recorded(record) != manager:
        return
    try:
        pidfd = os.pidfd_open(manager)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(_LAST_MOMENT)
    os.close(pidfd)


def kill(charge: Charge, signal: str, whom: Whom) -> int:
    """Send a signal to the main process, to the logger, or to all but that."""
    if not status(charge)["processes"]:
        raise NotRunning(f"{charge.service.name} is not running")
    try:
        client.call(charge.socket, "Kill", {"name": charge.service.name, "signal": signal, "whom": whom})
    except client.RemoteError as fault:
        raise meant(fault, charge.service.name) from None
    return 0


def reopen_logs(charge: Charge) -> int:
    """Have initkit's own logger open its file anew."""
    try:
        client.call(charge.socket, "ReopenLogs", {"name": charge.service.name})
    except client.RemoteError as fault:
        raise meant(fault, charge.service.name) from None
    return 0


def status(charge: Charge) -> dict[str, Any]:
    """The service's state: the interface's type Service."""
    found: dict[str, Any] = client.call(charge.socket, "Status", {"name": charge.service.name})["service"]
    return found
