"""`initkit run`: becomes the program, stays as its parent, or makes a daemon of it."""

from __future__ import annotations

import os

from initkit import plan
from initkit.plan.process import base_environment
from initkit.plan.step import Process
from initkit.run import detect, preflight
from initkit.run.descriptors import open_standard_streams
from initkit.run.perform import listen_fds, perform
from initkit.run.tell import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from initkit.settings.service import Service

FOREGROUND = "foreground"
DAEMON = "daemon"

#: How the program's own manager is reached, for a program that takes initkit's place.
_PASSED = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def run(service: Service, how: str = "", *, sandboxed: bool = False) -> int:
    """Run the service as `how` says ("foreground", "daemon"), or as whoever started initkit makes right; `sandboxed`
    where that has applied the settings of systemd.exec(5) itself.

    Returns the exit status; does not return where the program takes this process's place.
    """
    open_standard_streams()
    caller = detect.surroundings()
    if how == DAEMON or (not how and caller.forks):
        from initkit.run import daemon

        return daemon.start(service)
    status = preflight.check(service) if caller.who != detect.SYSTEMD else None
    if status is not None:
        return status
    # Where systemd is the parent, it looks after the service itself; PID 1 has orphans to look after.
    if caller.who == detect.PID1 or (caller.who != detect.SYSTEMD and plan.needs_parent(service)):
        from initkit.run import supervise

        return supervise.foreground(service, caller)
    if caller.who != detect.SYSTEMD:
        _replace(service)
    return become(service, caller, sandboxed=sandboxed)


def _replace(service: Service) -> None:
    """End what a manager has left that was killed, when the settings asked for one."""
    from initkit.run import register

    if not os.path.lexists(register.path_of(service)):
        return
    from initkit.run import claim

    held = claim.lock(service)
    try:
        claim.clear(service, tell)
    finally:
        os.close(held)


def become(service: Service, caller: detect.Surroundings, *, sandboxed: bool = False) -> NoReturn:
    """Become the program: after the exec nothing of initkit is left."""
    process = Process(service)
    process.environment = dict(os.environ) if caller.who == detect.SYSTEMD else base_environment(service)
    if caller.who == detect.SUPERVISOR:
        process.environment.update({name: os.environ[name] for name in _PASSED if name in os.environ})
    if caller.who == detect.TERMINAL and "TERM" in os.environ:
        process.environment["TERM"] = os.environ["TERM"]
    process.fds = listen_fds(process.environment)
    if caller.who == detect.SUPERVISOR:
        process.fds = tuple(dict.fromkeys((*process.fds, *_notification_fd(caller, process.environment))))
    if service.notification_fd:  # only systemd has us become a program that has to tell
        from initkit.run.newline import bridge

        process.fds = (*process.fds, bridge(service.notification_fd))
    if service.has_logger:
        from initkit.run import keeper

        process.default_output = keeper.start(service)
        process.private_fds = (process.default_output,)
    perform(plan.main_program(service, sandboxed=sandboxed), process)
    raise AssertionError("the plan ends in an exec")


def _notification_fd(caller: detect.Surroundings, environment: dict[str, str]) -> tuple[int, ...]:
    """The descriptor that a supervisor waits at for a newline: see `initkit.notify`. The program is to have it."""
    fd = detect.notification_fd(caller)
    if fd < 0:
        return ()
    os.set_inheritable(fd, True)
    environment["NOTIFY_FD"] = str(fd)
    return (fd,)
