"""`initkit call APP COMMAND [ARG…]`: a command that the service has registered, over its control socket."""

from __future__ import annotations

import sys

from initkit.cli import charge as charges
from initkit.cli.control import load
from initkit.errors import CommandFailed, NoSuchCommand, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from initkit.settings.service import Service

_USAGE = "initkit call APP COMMAND [ARG…]"


def main(verb: str, argv: list[str]) -> int:
    """Run it and print its result: 0; 1 when it fails, 7 when the service is not running."""
    if argv[:1] in (["-h"], ["--help"]):
        parser(verb).print_help()
        return 0
    if len(argv) < 2 or argv[0].startswith("-"):
        raise UsageError("a service and a command are needed", hint=f"expected {_USAGE}")
    app, command, *arguments = argv  # the command's own options are its own
    service = load(app)
    charge = charges.manager(service)
    _print(_by_manager(charge, command, arguments) if charge else _by_itself(service, command, arguments))
    return 0


def parser(verb: str) -> ArgumentParser:
    """The command line. It is read by hand in `main`: the options behind the command are the command's own."""
    from initkit.cli.arguments import Parser

    about = "Run a command that the service has registered, and print its result."
    made = Parser(prog=f"initkit {verb}", usage=_USAGE, description=about)
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    made.add_argument("command", metavar="COMMAND", help="what to run")
    made.add_argument("arguments", metavar="ARG", nargs="*", help="the command's own")
    return made


def _by_manager(charge: charges.Charge, command: str, arguments: list[str]) -> str:
    from initkit.run import client

    parameters = {"name": charge.service.name, "command": command, "arguments": arguments}
    try:
        return str(client.call(charge.socket, "Call", parameters).get("result") or "")
    except client.RemoteError as fault:
        if fault.name.endswith(".NoSuchCommand"):
            raise NoSuchCommand(command, tuple(fault.parameters.get("known", ()))) from None
        if fault.name.endswith(".CommandFailed"):
            raise CommandFailed(command, fault.parameters.get("reason", "")) from None
        from initkit.cli import managed

        raise managed.meant(fault, charge.service.name) from None


def _by_itself(service: Service, command: str, arguments: list[str]) -> str:
    """Without a manager: the process of a service that answers commands is asked."""
    from initkit.run import commands

    return commands.call(service, command, tuple(arguments))


def _print(result: str) -> None:
    if result:
        sys.stdout.write(result if result.endswith("\n") else result + "\n")
