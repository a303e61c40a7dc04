"""The verbs where nobody else looks after the service: initkit does what they say itself."""

from __future__ import annotations

import os
import select
import sys

from initkit import plan
from initkit.cli import progress
from initkit.cli.control import NoWayToReload
from initkit.errors import InitkitError, NotPermitted, NotRunning
from initkit.run import claim, family, identity, stop, survey
from initkit.run.outcome import ended
from initkit.settings.values import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.cli.progress import Tell
    from initkit.plan.step import Step
    from initkit.run.survey import Found
    from initkit.settings.service import Service

_SIGHUP = 1


def start(service: Service) -> int:
    """Start it as a daemon, and return when it is ready."""
    return progress.shown(f"starting {service.name}", lambda tell: _start(service, tell))


def _start(service: Service, tell: Tell) -> int:
    from initkit.run import daemon

    tell("waits until it is ready", service.start_timeout)
    return daemon.start(service)


def stop_it(service: Service) -> int:
    """Stop it; whoever survives is named."""
    found = claim.find(service)
    if found is None:
        claim.forget(service)
        return 0
    return progress.shown(f"stopping {service.name}", lambda tell: _stop(service, found, tell))


def _stop(service: Service, found: Found, tell: Tell) -> int:
    if found.shared and found.known and found.known.manager:
        raise InitkitError(f"{service.name}: {survey.silent(found.known.manager.pid)}")
    survivors = claim.end(service, found, tell)
    if not survivors:
        claim.see_off(service, found.known)
    claim.forget(service)
    if survivors:
        why = "KillMode=none" if service.kill_mode == "none" else "stopped, yet not all of it"
        print(f"initkit: {service.name}: {why}: {stop.names(survivors)} still there", file=sys.stderr)
    return 1 if survivors else 0


def restart(service: Service) -> int:
    """Stop it, if it runs, and start it. What would be refused then is no reason to stop it."""
    plan.verify(service)
    return stop_it(service) or start(service)


def try_restart(service: Service) -> int:
    """Restart it if it runs."""
    return restart(service) if survey.find(service) else 0


def reload(service: Service) -> int:
    """ExecReload=, with the attributes of the service."""
    found = survey.find(service)
    if found is None:
        raise NotRunning(f"{service.name} is not running")
    if not service.exec_reload and service.type != "notify-reload":
        raise NoWayToReload(f"{service.name}: has no way to reload", hint="ExecReload= is not set")
    if found.supervised:
        _send(found.process, _SIGHUP)  # it does the rest
        return 0
    for command in service.exec_reload:
        status = _run(service, plan.program(service, command, main=False), found.process.pid)
        if status and not command.ignore_failure:
            what = ended(status) if status > 0 else "took too long (TimeoutStartSec=)"
            print(f"initkit: {service.name}: {command.path} {what}", file=sys.stderr)
            return 1
    return 0


def _run(service: Service, steps: tuple[Step, ...], main: int) -> int:
    """Run a command to its end: its wait status, -1 where it had to be killed."""
    from initkit.run.spawn import spawn

    pid, report = spawn(service, steps, {"MAINPID": str(main)})
    with open(report, "rb") as file:
        fault = file.read().decode("utf-8", "replace")
    if fault:
        print(f"initkit: {fault}", file=sys.stderr)
    late = not _ends(pid, service.start_timeout)
    if late:
        os.kill(pid, service.final_kill_signal)
    status = os.waitpid(pid, 0)[1]
    return -1 if late else status


def _ends(pid: int, seconds: float) -> bool:
    """Whether a child ends in time."""
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], None if seconds == INFINITY else seconds)[0])
    finally:
        os.close(pidfd)


def kill(service: Service, number: int, whom: stop.Whom) -> int:
    """Send a signal to the main process or to all."""
    found = survey.find(service)
    if found is None:
        raise NotRunning(f"{service.name} is not running")
    main = survey.main_pid(service, found)
    group = found.group()
    meant = [each for each in group.left() if each.pid == main or (whom == "all" and not _supervises(each, found))]
    for each in meant:
        _send(each, number)
    if not meant:
        raise NotRunning(f"{service.name} is not running")
    return 0


def _supervises(process: identity.Stat, found: Found) -> bool:
    return found.supervised and process == found.process


def _send(process: identity.Stat, number: int) -> None:
    try:
        family.send(process, (number,))
    except PermissionError:
        raise NotPermitted(f"{stop.label(process)} cannot be signalled: it is another user's") from None
