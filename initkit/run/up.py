"""Several services under one manager in the foreground."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit import plan
from initkit.errors import InitkitError
from initkit.plan import order, streams
from initkit.run import cgroup, claim, control, descriptors, detect, family
from initkit.run.aliases import Aliases
from initkit.run.fleet import Fleet
from initkit.run.hearing import STOP
from initkit.run.kin import Kin, Roll
from initkit.run.life import kind_of
from initkit.run.loop import Loop
from initkit.run.prefix import Output, labels
from initkit.run.quickspawn import keep_private
from initkit.run.tell import spoken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from initkit.run.api import Manager
    from initkit.run.life import Life
    from initkit.settings.service import Service


_NAME = "up"
_OVER = ("inactive", "failed", "auto-restart")
#: Descriptors: two ends of a pipe, a socket, a report, and two files of a control group that tell of events for each
#: service; clients and what else there is.
_EACH, _ALL = 6, 160


def up(services: Sequence[Service], name: str = "") -> int:
    """Look after these services until none is left to look after; returns the first failure's exit status, else 0.

    `name` is the manager's, which the control socket is called by; without one it is called up, or, where another
    manager is, up-2 and so on.

    Raises:
        SettingsError: when their order is a cycle, or one that is required is missing.
        InitkitError: when it cannot be done here, or another manager is called so.
    """
    ordered = order.of(services)
    for service in services:
        plan.verify(service)
    descriptors.open_standard_streams()
    descriptors.make_room(sum(map(_descriptors, services)) + _ALL)
    from initkit.plan import kernel

    try:
        kernel.become_subreaper()
        keep_private()
        return _up(services, ordered, name)
    except OSError as fault:
        about = f"{fault.filename}: " if fault.filename else ""
        raise InitkitError(f"{about}{fault.strerror}") from None


def _descriptors(service: Service) -> int:
    """How many a service may take here: with a logger a pipe and a report more, with a bus's name a connection; a
    store takes no more than there is."""
    listened = sum(len(socket.listens) for socket in service.sockets)
    logger, name, newline = 3 * service.has_logger, service.type == "dbus", 2 * (service.notification_fd > 0)
    return _EACH + listened + logger + name + newline


def _up(services: Sequence[Service], ordered: order.Order, name: str) -> int:
    roll = Roll()
    loop = Loop((*STOP, _signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGQUIT), roll.strike)
    output = Output(loop)
    before = labels([each.name for each in services])
    report = _reporter(output.say)
    for each in order.notes(services):
        output.say(each)
    hangup = "stop" if detect.surroundings().who == detect.TERMINAL else "forward"
    # Every descriptor takes its time at each start of a program, which is to have none of them.
    speaking = [each.name for each in services if each.has_logger or streams.is_unsaid(each)]
    sources = {each: output.source(before[each]) for each in speaking}
    sinks = {name: source.sink for name, source in sources.items()}
    home = cgroup.own()
    lives = {
        each.name: kind_of(each)(
            each, loop, report, output=sinks.get(each.name), hangup="forward", kin=Kin(roll), home=home
        )
        for each in services
    }
    fleet = Fleet(list(lives.values()), ordered, loop, output.say, hangup)
    fleet.subscribe(lambda name: sources[name].finish() if name in sources and lives[name].state in _OVER else None)
    loop.rescue = fleet.give_up
    server, aliases = _listen(services, name, loop, fleet, output.say), None
    try:
        _take_down(services, lives, server.path if server else "", output.say)
        if server:
            aliases = Aliases(server.path, lives, output.say)
            if server.path != _socket(services, name or _NAME):
                output.say(f"another manager is called {_NAME}: this one listens at {server.path}")
        status = loop.run(fleet.run(), fleet)
        _end_strays(roll, output.say)
        if aliases:
            aliases.withdraw()
        for life in lives.values():  # else they are left, by which the services are found
            if life.register and not life.survivors():
                life.register.remove()
        return status
    finally:
        output.close()
        if aliases:
            aliases.withdraw()
        if server:
            server.withdraw()
            server.close()


def _take_down(services: Sequence[Service], lives: dict[str, Life], socket: str, say: Callable[[str], None]) -> None:
    """Take down what the services start, where that can be done.

    Raises:
        AlreadyRunning: one of them does; InitkitError: something is left of it that cannot be ended.
    """
    made = []
    try:
        for each in services:
            register = lives[each.name].register = claim.take(each, socket, say)
            if register:
                made.append(register)
    except InitkitError:
        for register in made:
            register.remove()
        raise


def _reporter(say: Callable[[str], None]) -> Callable[[str, str], None]:
    def report(word: str, text: str) -> None:
        line = spoken(word, text)
        if line:
            say(line)

    return report


def _listen(
    services: Sequence[Service], name: str, loop: Loop, manager: Manager, say: Callable[[str], None]
) -> control.Server | None:
    """The control socket. Services run all the same where there can be none.

    Raises:
        InitkitError: another manager listens at the one of this name.
    """
    group, path = _group(services, say), ""
    try:
        for each in (name,) if name else _names():
            path = _socket(services, each)
            try:
                return control.Server(path, loop, lambda: manager, group)
            except BlockingIOError:
                if name:
                    hint = "give this one another --name"
                    raise InitkitError(f"another manager listens at {path}", hint=hint) from None
    except (OSError, LookupError) as fault:
        said = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        say(f"no control socket {path}: {said}")
    return None


def _socket(services: Sequence[Service], name: str) -> str:
    return f"{services[0].runtime_root}/initkit/{name}.sock"


def _names() -> Iterator[str]:
    """What a manager may be called that has been given no name."""
    yield _NAME
    number = 2
    while True:
        yield f"{_NAME}-{number}"
        number += 1


def _group(services: Sequence[Service], say: Callable[[str], None]) -> str:
    """The group that may look: of all services or none, for there is one socket."""
    groups = {each.control_group for each in services}
    if len(groups) == 1:
        return groups.pop()
    say(f"control_group is not the same for all services ({', '.join(sorted(groups - {''}))}): no group may look")
    return ""


def _end_strays(roll: Roll, say: Callable[[str], None]) -> None:
    """End orphans that have left their service's session and environment: nothing outlives its manager unnamed."""
    strays = roll.strays()
    if not strays:
        return
    say(f"{family.listed(strays)} of no service known: killed")
    while strays:
        try:
            for each in strays:
                family.send(each, (_signal.SIGKILL,))
        except PermissionError:
            say("not all of them can be signalled: another user's")
            return
        for each in strays:
            if each.parent == os.getpid():
                os.waitpid(each.pid, 0)
                roll.strike(each.pid)
        strays = roll.strays()
