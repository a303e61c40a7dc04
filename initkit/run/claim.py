"""One service, one manager: a start finds out whether it runs already, and what a manager that was killed has left.

What is left is ended before anything is started. It is not adopted: only its parent would learn how it ends.
"""

from __future__ import annotations

import fcntl
import os

from initkit import plan
from initkit.errors import AlreadyRunning, HasManager, InitkitError
from initkit.run import pidfile, register
from initkit.run.register import Register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.identity import Stat
    from initkit.run.register import Known
    from initkit.run.stop import Progress, Whom
    from initkit.run.survey import Found
    from initkit.settings.service import Service

    Say = Callable[[str], None]

_FAREWELL = 2.0  # seconds


def lock(service: Service) -> int:
    """The lock that a start holds until it is over; waits for another start's.

    Raises:
        InitkitError: when there can be none.
    """
    path = f"{service.runtime_root}/initkit/{service.name}.lock"
    try:
        pidfile.make_folder(os.path.dirname(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as fault:
        hint = _hint(service)
        raise InitkitError(
            f"{path}: {fault.strerror}", hint=hint, status=4 if isinstance(fault, PermissionError) else 1
        ) from None
    return fd


def _hint(service: Service) -> str:
    """What to do where an ordinary user has no place for what runs: pam_systemd(8) makes it at a login."""
    if not service.user or os.path.isdir(service.runtime_root):
        return ""
    return f"there is no {service.runtime_root}: set XDG_RUNTIME_DIR to a directory of your own"


def take(service: Service, socket: str, say: Say) -> Register | None:
    """Become the manager of a service that does not run; None where no register can be kept, which is no failure.

    Raises:
        AlreadyRunning, HasManager
        InitkitError: when something is left that cannot be ended.
    """
    path = register.path_of(service)
    try:
        pidfile.check(path, (os.geteuid(),))
        held = lock(service)
    except InitkitError as fault:
        say(f"{service.name}: nobody will find it if this manager is killed: {fault}")
        return None
    try:
        clear(service, say)
        return _registered(path, socket)
    except OSError as fault:
        say(f"{service.name}: nobody will find it if this manager is killed: {path}: {fault.strerror}")
        return None
    finally:
        os.close(held)


def _registered(path: str, socket: str) -> Register:
    made = Register(path)
    try:
        made.managed(socket)
    except OSError:
        made.remove()
        made.close()
        raise
    return made


def clear(service: Service, say: Say) -> None:
    """End what is left of a service, under the lock of its start, and remove what that has left.

    Raises:
        AlreadyRunning: nothing is left over: it runs.
        HasManager: it is down, and a manager has it.
        InitkitError: when something stays.
    """
    path = register.path_of(service)
    recorded = path.removesuffix(register.SUFFIX) + ".pid"  # an init script that stands alone has that only
    known = register.read(path) if plan.leaves_something(service) else None
    if os.path.lexists(path) or os.path.lexists(recorded):
        _clear(service, path, say)
        _bury_manager(service)
    if plan.leaves_something(service):
        from initkit.run import leftovers

        leftovers.sweep(service, known.invocations if known else ())


def _clear(service: Service, path: str, say: Say) -> None:
    from initkit.run import survey

    found = find(service)
    known = register.read(path)
    if found is None:
        if known and known.manager and known.managed():  # with others, and this one is down
            raise HasManager(service.name, known.manager.pid, known.socket)
        return
    if not found.missing:
        raise AlreadyRunning(service.name, found.process.pid)
    doomed = found.group().meant(_doomed(service)) or survey.loggers(found.known)
    if doomed:
        from initkit.run import stop

        say(f"{service.name}: its {found.missing} is gone; stopped before it is started anew: {stop.names(doomed)}")
        survivors = end(service, found)
        if survivors:
            raise InitkitError(f"{service.name}: not started: {stop.names(survivors)} still there")


def find(service: Service) -> Found | None:
    """As `survey.find`; where that finds nothing, not before the last process has been born."""
    from initkit.run import survey

    found = survey.find(service)
    if found is None and os.path.lexists(path := register.path_of(service)):
        known = register.read(path)
        if known is None or not known.managed():
            register.settle(path)
            found = survey.find(service)
    return found


def end(service: Service, found: Found, progress: Progress | None = None) -> list[Stat]:
    """Stop what runs; returns what has survived.

    Raises:
        NotPermitted: when it may not be done.
    """
    from initkit.run import stop, survey

    survivors = stop.stop(service, found.group(), supervised=found.supervised, progress=progress or _silent)
    if found.missing and not survivors:
        register.settle(register.path_of(service))  # what was born meanwhile
        more = survey.find(service)
        if more and more.missing:
            survivors = stop.stop(service, more.group(), supervised=False, progress=progress or _silent)
        _end_loggers(service, found.known)
    return survivors


def _end_loggers(service: Service, known: Known | None) -> None:
    """Let loggers read to the end; what has not come to it in time is killed."""
    from initkit.run import family, stop, survey

    if service.kill_mode in ("process", "none"):
        return  # which leave processes that may write still
    stop.wait(survey.loggers(known), service.stop_timeout)
    for each in survey.loggers(known) if service.send_sigkill else ():
        family.reaches(each, (service.final_kill_signal,))
    stop.wait(survey.loggers(known), _FAREWELL)


def abandon(service: Service, path: str) -> None:
    """End what is left of a start that has failed, by the one who holds its lock."""
    if not os.path.lexists(path):
        return
    found = find(service)
    if found and end(service, found) and service.kill_mode != "none":
        return  # what is left is to be found
    pidfile.unlink(path)


def _silent(what: str, seconds: float) -> None:
    """Nobody looks on."""


def _doomed(service: Service) -> Whom:
    """Those of a service that a stop ends."""
    return "main" if service.kill_mode == "process" else "all"


def see_off(service: Service, known: Known | None) -> None:
    """Wait for the end of who reads the output of a service that has been stopped: it ends with the last writer.

    One that somebody else lets wait is not waited for long.
    """
    from initkit.run import identity, stop

    found = [identity.stat(each.pid) for each in (known.reader if known else ()) if each.alive()]
    if found and service.kill_mode in ("control-group", "mixed"):
        stop.wait([each for each in found if each], _FAREWELL)


def forget(service: Service) -> None:
    """Remove the files of a service that does not run, as far as nobody starts it at this moment: a process whose
    number is in a PID file, whoever it is, keeps it."""
    from initkit.run import identity, survey

    folder = f"{service.runtime_root}/initkit/{service.name}"
    for path in survey.pid_files(service):
        if os.path.isfile(path) and identity.of(pidfile.named(path)) is None and not survey.has_run(path):
            pidfile.remove(path, pidfile.named(path))
    held: list[int] = []
    for path in (f"{folder}.lock", f"{folder}.sock.lock"):  # a start has the first while its manager takes the second
        if os.path.exists(path):
            held.append(_at_once(path))
            if held[-1] < 0:
                break
    else:
        found, known = survey.find(service), register.read(register.path_of(service))
        managed = known is not None and known.managed()  # with others, and this one is down
        if not managed and not (found and found.group().meant(_doomed(service))):
            _remove_leavings(service)
            _bury_manager(service)
            for path in (register.path_of(service), f"{folder}.sock", f"{folder}.notify"):
                pidfile.unlink(path)
            _bury_commands(service)
    for fd in reversed(held):
        if fd >= 0:
            os.close(fd)


def _bury_manager(service: Service) -> None:
    """Remove the socket of a manager that had others, too, and is dead; the service's name leads there: see
    `initkit.run.aliases`."""
    from initkit.run import control

    path = control.path_of(service)
    try:
        socket = f"{os.path.dirname(path)}/{os.path.basename(os.readlink(path))}"
    except OSError:
        return  # it had but one
    _bury(socket)


def _bury_commands(service: Service) -> None:
    """Remove the socket at which a program that was killed has answered."""
    if service.path and not service.callable:
        return
    from initkit.run import commands

    _bury(commands.path_of(service))


def _bury(socket: str) -> None:
    """Remove a control socket, unless somebody listens there."""
    held = _at_once(f"{socket}.lock")
    if held >= 0:
        pidfile.unlink(socket)
        os.close(held)


def _remove_leavings(service: Service) -> None:
    """What a killed manager has not come to remove."""
    known = register.read(register.path_of(service)) if plan.leaves_something(service) else None
    if known:
        from initkit.run import leftovers

        for life in known.invocations:
            leftovers.remove(service, life, 0, restarted=False)


def _at_once(path: str) -> int:
    """A lock that nobody has, -1 when somebody has it."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if fd >= 0:
            os.close(fd)
        return -1
    return fd
