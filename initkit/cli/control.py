"""`initkit start`, `stop`, `restart`, `try-restart`, `reload` and `kill`: by whoever is in charge of the service."""

from __future__ import annotations

import os
import sys

from initkit.cli import charge as charges
from initkit.errors import InitkitError, NoSettings
from initkit.run.descriptors import open_standard_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import NoReturn

    from initkit.cli.charge import Charge
    from initkit.run.stop import Whom
    from initkit.settings.service import Service

_ABOUT = {
    "start": "Start a service; returns when it is ready.",
    "stop": "Stop a service; returns when nothing of it is left.",
    "restart": "Stop a service, if it runs, and start it.",
    "try-restart": "Restart a service if it runs.",
    "reload": "Have a service read its configuration anew.",
    "kill": "Send a signal to a service.",
}
#: These begin a new life, for which all the settings must be right; a broken file is no reason not to stop.
_NEED_ALL = ("start", "restart", "try-restart", "reload")
_WHOM = "the main process, the process that reads the output, or all but the latter's (all)"
_NOT_INSTALLED = 5  # LSB
_TRIES = 3  # with managers that end while they are spoken to


class NoWayToReload(InitkitError):  # noqa: N818
    """LSB's exit status 3: unimplemented feature."""

    status = 3


def main(verb: str, argv: list[str]) -> int:
    """Do it; returns LSB's exit status, or that of the init's program."""
    open_standard_streams()
    if len(argv) == 1 and not argv[0].startswith("-"):
        return _control(verb, argv[0], "SIGTERM", "all", False)
    parsed = parser(verb).parse_args(argv)
    if verb != "kill":
        return _control(verb, parsed.app, "SIGTERM", "all", parsed.verbose)
    return _control(verb, parsed.app, parsed.signal, parsed.whom, parsed.verbose)


def parser(verb: str) -> ArgumentParser:
    """The command line of a verb."""
    from initkit.cli.arguments import Parser

    made = Parser(prog=f"initkit {verb}", description=_ABOUT[verb])
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    made.add_argument("-v", "--verbose", action="store_true", help="say who is in charge of the service")
    if verb == "kill":
        made.add_argument("-s", "--signal", default="SIGTERM", help="its name or number (SIGTERM)")
        made.add_argument("--whom", choices=("main", "logger", "all"), default="all", help=_WHOM)
    return made


def load(app: str, *, checked: bool = False) -> Service:
    """The settings of a service; those that are only looked at one by one need not all be right. Where none are found,
    what answers by that name is enough to be spoken to."""
    from initkit.settings import load as settings

    user = os.geteuid() != 0
    try:
        return (settings.load if checked else settings.parse)(app, user=user)
    except NoSettings:
        known = charges.known(app, user=user)
        if known is None:
            raise
        return known


def find(service: Service, verb: str, verbose: bool) -> Charge:
    """Who is in charge; says so when asked to."""
    charge = charges.find(service)
    if verbose:
        words = " ".join(charge.argv(verb, signal="SIGNAL"))
        print(f"initkit: {service.name}: {charge}{words and f' ({words})'}", file=sys.stderr)
    return charge


def _control(verb: str, app: str, signal: str, whom: Whom, verbose: bool) -> int:
    from initkit.settings.values import signal as number_of
    from initkit.settings.values import write_signal

    try:
        number = number_of(signal)
    except ValueError as fault:
        from initkit.errors import UsageError

        raise UsageError(f"--signal {fault}") from None
    service = load(app, checked=verb in _NEED_ALL)
    service.demand_instance()
    for more in range(_TRIES - 1, -1, -1):
        charge = find(service, verb, verbose)
        if not charge.socket:
            break
        from initkit.cli import managed
        from initkit.run import client

        try:
            return managed.kill(charge, write_signal(number), whom) if verb == "kill" else managed.change(charge, verb)
        except client.NoManager:  # somebody else's stop has ended it meanwhile
            if not more:
                raise
    if whom == "logger":
        raise InitkitError(f"{charge.service.name}: no manager of initkit's that has its logger")
    if charge.init:
        return _by_init(charge, verb, number, whom)
    if not charge.service.path:
        _demand_record(charge.service, verb)
    return _alone(charge.service, verb, number, whom)


def _demand_record(service: Service, verb: str) -> None:
    """Check that a service without settings and manager can be dealt with by what it has left, and say how.

    Raises:
        NoSettings: when not.
    """
    if verb not in ("stop", "kill") or not charges.recorded(service):
        hint = (
            f"{verb} it by the path of its settings" if charges.recorded(service) else f"its own program can {verb} it"
        )
        raise NoSettings(f"{service.name}: no settings of it are here, and no manager", hint=hint)
    if verb == "stop":
        how = "KillMode=control-group, KillSignal=SIGTERM, TimeoutStopSec=90s"  # `Service`'s defaults
        print(f"initkit: {service.name}: no settings of it are here: stopped by the defaults, {how}", file=sys.stderr)


def _alone(service: Service, verb: str, number: int, whom: Whom) -> int:
    from initkit.cli import alone

    if verb == "kill":
        return alone.kill(service, number, whom)
    acts = {"start": alone.start, "stop": alone.stop_it, "restart": alone.restart, "try-restart": alone.try_restart}
    return acts.get(verb, alone.reload)(service)


def _by_init(charge: Charge, verb: str, number: int, whom: Whom) -> int:
    """What the init has words for is done by them; what it has not, from what it has, or by initkit."""
    from initkit.settings.values import write_signal

    charge.demand_script()
    if verb == "try-restart" and not charge.argv(verb):
        return by_words(charge.argv("restart")) if charge.ask()[0] == 0 else 0
    word = write_signal(number).removeprefix("SIG")
    translated = charge.init.signals if charge.init else {}
    argv = charge.argv(verb, signal=translated.get(word, word), whom=whom)
    if not argv or (translated and verb == "kill" and word not in translated):
        return _alone(charge.service, verb, number, whom)
    return by_words(argv)


def by_words(argv: tuple[str, ...]) -> NoReturn:
    """Become the init's own program: its output and its exit status are the answer.

    Raises:
        InitkitError: when it is not installed (exit status 5).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(argv[0], argv)
    except OSError as fault:
        raise InitkitError(f"{argv[0]}: {fault.strerror}", status=_NOT_INSTALLED) from None
