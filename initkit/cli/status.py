"""`initkit status`: from the manager, from the init that has the service, or from the PID file and /proc."""

from __future__ import annotations

import os
import sys

from initkit.cli import charge as charges
from initkit.cli.control import by_words, find, load
from initkit.errors import InitkitError, SettingsError, UsageError
from initkit.run import identity, survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator
    from typing import Any

    from initkit.cli.charge import Charge
    from initkit.settings.service import Service

# LSB, "Init Script Actions", status
_RUNNING, _DEAD, _STOPPED, _UNKNOWN = 0, 1, 3, 4


def main(verb: str, argv: list[str]) -> int:
    """Show it; returns LSB's exit status: 0 running, 1 dead while its PID file is there, 3 stopped, 4 unknown."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # names and commands may be anybody's
    if not argv:
        return _overview(as_json=False)
    if len(argv) == 1 and not argv[0].startswith("-"):
        return _one(argv[0])
    parsed = parser(verb).parse_args(argv)
    if parsed.app:
        return _one(parsed.app, parsed.json, parsed.watch, parsed.verbose)
    if parsed.watch:
        raise UsageError("--watch needs a service", hint="expected initkit status APP --watch")
    return _overview(parsed.json)


def parser(verb: str) -> ArgumentParser:
    """The command line."""
    from initkit.cli.arguments import Parser

    made = Parser(prog=f"initkit {verb}", description="Show a service's state, or one line for each that is known.")
    made.add_argument("app", nargs="?", help="a settings file, or the name of one in the load path")
    made.add_argument("--json", action="store_true", help="for programs: the fields of io.initkit.Manager's Service")
    made.add_argument("-w", "--watch", action="store_true", help="show every change, until Ctrl-C")
    made.add_argument("-v", "--verbose", action="store_true", help="say who is in charge of the service")
    return made


def _one(app: str, as_json: bool = False, watch: bool = False, verbose: bool = False) -> int:
    try:
        charge = find(load(app), "status", verbose)
    except SettingsError as fault:
        raise InitkitError(str(fault), status=_UNKNOWN) from None
    if watch:
        from initkit.cli import status_watch

        return status_watch.watch(charge, as_json)
    if charge.init and not as_json:
        return _by_init(charge)
    told = state(charge)
    if as_json:
        print(text_of(told))
    else:
        from initkit.cli import status_text

        print("\n".join(status_text.block(told, colours(), progress=sys.stdout.isatty())))
        _tell_outdated(charge)
    return status_of(told, charge)


def _tell_outdated(charge: Charge) -> None:
    if charge.socket:
        from initkit.cli import managed

        managed.tell_outdated(charge)


def _by_init(charge: Charge) -> int:
    charge.demand_script()
    if charge.init and not charge.init.stopped:
        by_words(charge.argv("status"))
    status, text = charge.ask()
    print(text, end="")
    return status


def state(charge: Charge) -> dict[str, Any]:
    """The service as the interface's type Service has it."""
    if charge.socket:
        from initkit.cli import managed

        return managed.status(charge)
    told = survey.describe(charge.service, survey.find(charge.service) or _answering(charge.service))
    if charge.init:  # of its processes nothing is known here but what a PID file names
        told["state"] = "active" if charge.ask()[0] == 0 else "inactive"
    return told


def _answering(service: Service) -> survey.Found | None:
    """The service's process when it runs in somebody's foreground, and answers commands there."""
    from initkit.run import commands

    pid = commands.ping(service) if os.path.exists(commands.path_of(service)) else 0
    process = identity.stat(pid) if pid else None
    return survey.Found(process, supervised=False, own_session=False) if process else None


def status_of(told: dict[str, Any], charge: Charge) -> int:
    """LSB's exit status for a state. A logger that waits for the next life is not the service."""
    own = [each for each in told["processes"] if told.get("loggerPid") not in (each["pid"], each["parent"])]
    if own or told["state"] in ("active", "reloading"):
        return _RUNNING
    if not charge.socket and told.get("statusText"):
        return _UNKNOWN  # its manager does not answer
    return _DEAD if told["state"] == "failed" and not charge.socket else _STOPPED


def colours() -> bool:
    """Whether standard output is a terminal, and nobody has asked for none: https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def text_of(told: Any) -> str:
    """JSON, for people where they look at it."""
    import json

    return json.dumps(told, indent=2 if sys.stdout.isatty() else None)


# --- all of them ----------------------------------------------------------------------------------------------------


def _overview(as_json: bool) -> int:
    from initkit.settings.service import Service

    root = Service("all", "", (), user=os.geteuid() != 0).runtime_root
    listed: dict[str, list[dict[str, Any]] | None] = {}
    found = [told for name in survey.overview(root) for told in _known(root, name, listed)]
    if as_json:
        print(text_of(found))
    else:
        from initkit.cli import status_text

        for line in status_text.overview(found, colours()):
            print(line)
    return 0


def _known(root: str, name: str, listed: dict[str, list[dict[str, Any]] | None]) -> Iterator[dict[str, Any]]:
    """What there is to know of a service by its name alone; several for a manager that has several. By all their names
    it is asked once: what each socket has said is `listed`."""
    path = f"{root}/initkit/{name}.sock"
    own = os.path.lexists(path)
    socket = os.path.realpath(path) if own else survey.managers_socket(root, name)
    if socket not in listed:
        listed[socket] = _list(socket)
    told = listed[socket]
    if told is None:
        found = survey.recorded_service(root, name)
        # Else it may be the socket of a manager that has several, and is stuck or dead.
        if found["state"] != "inactive" or found.get("statusText"):
            yield found
    elif own and not os.path.islink(path):
        yield from told


def _list(socket: str) -> list[dict[str, Any]] | None:
    """The services of the manager at a socket, None where none answers."""
    from initkit.run import client

    try:
        found: list[dict[str, Any]] = client.call(socket, "List")["services"] if charges.answers(socket) else []
    except InitkitError:
        return None  # not for this user, or it has just ended
    return found or None
