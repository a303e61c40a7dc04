"""Staying as the service's parent."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`

from initkit.errors import InitkitError
from initkit.run import cgroup, claim, control, detect
from initkit.run.hearing import STOP
from initkit.run.life import Life, kind_of
from initkit.run.loop import Loop
from initkit.run.newline import Herald
from initkit.run.perform import listen_names
from initkit.run.quickspawn import keep_private
from initkit.run.tell import spoken, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.api import Manager
    from initkit.run.control import Server
    from initkit.run.kin import Kin
    from initkit.run.register import Register
    from initkit.settings.service import Service


def foreground(service: Service, caller: detect.Surroundings) -> int:
    """Supervise in the foreground; returns the exit status of the service's last life."""
    # A terminal that goes takes the service with it; a supervisor or a container means the program.
    hangup = "forward" if caller.who in (detect.SUPERVISOR, detect.PID1) else "stop"
    passed = listen_names()
    herald = Herald(caller)

    def report(word: str, text: str) -> None:
        if word in ("ready", "skipped"):
            herald.ready()
        _complain(word, text)

    register = claim.take(service, control.path_of(service), tell)
    ended = (lambda failed: register.remove()) if register else None
    return supervise(service, report, passed=passed, hangup=hangup, ended=ended, register=register)


def supervise(
    service: Service,
    report: Callable[[str, str], None],
    *,
    output: int | None = None,
    passed: tuple[tuple[int, str], ...] = (),
    hangup: str = "ignore",
    ended: Callable[[bool], None] | None = None,
    register: Register | None = None,
) -> int:
    """Look after one service until its last life is over: see `Life`. `ended` is called when nothing is left of it,
    with whether it has failed by itself. Then those who asked over the control socket are told. What is started is
    taken down in the `register`.

    Raises:
        InitkitError: when it cannot be done here.
    """
    from initkit.plan import kernel

    try:
        kernel.become_subreaper()
        keep_private()
        kin = _kin(service)
        signals = (*STOP, _signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGQUIT)
        loop = Loop(signals, kin.roll.strike if kin else None)
        life = kind_of(service)(
            service, loop, report, output=output, passed=passed, hangup=hangup, kin=kin, home=cgroup.own()
        )
        life.register = register
        loop.rescue = life.give_up
        server = _listen(life)
        over = False
        try:
            status = life.supervise()
            over = True
            return status
        finally:
            if server:
                server.withdraw()
            if ended and over and not life.survivors():  # else the register is left, by which they are found
                ended(not life.stopping and not life.outcome.clean)
            if server:
                life.rest()
                server.close()
    except OSError as fault:
        about = f"{fault.filename}: " if fault.filename else ""
        raise InitkitError(f"{service.name}: {about}{fault.strerror}") from None


def _kin(service: Service) -> Kin | None:
    """Which descendants are the service's: all of them, unless there is a logger."""
    if not service.has_logger:
        return None
    from initkit.run import logged

    return logged.kin()


def _listen(life: Life) -> Server | None:
    """The control socket. A service that cannot have one runs all the same."""

    def manage() -> Manager:
        from initkit.run.manager import LifeManager

        return LifeManager(life)

    service = life.service
    path = control.path_of(service)
    try:
        return control.Server(path, life.loop, manage, service.control_group)
    except BlockingIOError:
        said = "another manager listens there"
    except (OSError, LookupError) as fault:
        said = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
    life.report("note", f"{service.name}: no control socket {path}: {said}")
    return None


def _complain(word: str, text: str) -> None:
    line = spoken(word, text)
    if line:
        tell(line)
