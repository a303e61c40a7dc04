"""The command line of a `Daemon`: start, stop, restart, reload, status, run, and the commands of its class."""

from __future__ import annotations

import os
import sys

from initkit.daemon import serving
from initkit.daemon.control import Control, Status
from initkit.errors import InitkitError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import NoReturn

    from initkit.daemon import Daemon

_HELP = {
    "start": "start as a daemon; returns when it is ready",
    "stop": "stop it and everything it has started",
    "restart": "stop it where it runs, and start it",
    "reload": "have it read its settings anew",
    "status": "tell whether it runs: exit status 0 running, 1 dead with a PID file, 3 stopped",
    "run": "run here, as whoever starts it makes right",
}


def main(daemon: Daemon, argv: list[str]) -> int:
    """Do what the words of a command line say; returns the exit status."""
    try:
        return _dispatch(daemon, argv)
    except InitkitError as fault:
        print(f"{_program()}: {fault}", file=sys.stderr)
        return fault.status
    except KeyboardInterrupt:
        return 130


def _dispatch(daemon: Daemon, argv: list[str]) -> int:
    control = Control(daemon)
    name = argv[0].replace("_", "-") if argv else ""
    if name in daemon.commands and not {"-h", "--help"} & set(argv[1:2]):
        result = control.call(name, *argv[2:] if argv[1:2] == ["--"] else argv[1:])
        if result:
            print(result)
        return 0
    if argv == ["start"]:  # without the modules that a parser takes: what is loaded here stays with a supervisor
        return control.launch()
    given = _parser(daemon).parse_args(argv)
    if given.verb == "status":
        return _status(daemon, control.status(), as_json=given.json)
    if given.verb == "run":
        return _run(daemon, control, given.mode)
    if given.verb in ("stop", "restart") and not control.stop() and given.verb == "stop":
        print(f"{daemon.service.name}: was not running", file=sys.stderr)
    if given.verb == "reload":
        control.reload()
    return control.launch() if given.verb in ("start", "restart") else 0


def _run(daemon: Daemon, control: Control, mode: str) -> int:
    from initkit.run import descriptors, detect, launch

    serving.daemon = daemon
    control.prepare()
    if mode == launch.FOREGROUND and "NOTIFY_SOCKET" in os.environ:
        # Whoever listens there looks after the service by these very settings: one such parent is enough.
        descriptors.open_standard_streams()
        launch.become(daemon.service, detect.Surroundings(detect.SUPERVISOR, "NOTIFY_SOCKET is set"))
    return launch.run(daemon.service, mode)


def _status(daemon: Daemon, status: Status, *, as_json: bool) -> int:
    name = daemon.service.name
    if as_json:
        import json

        print(json.dumps({"name": name, **status.__dict__}))
    elif status.pid:
        import time

        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.since))
        where = " in the foreground" if status.foreground else ""
        under = f" under {status.supervisor}" if status.supervisor else ""
        print(f"{name}: running{where}, pid {status.pid}{under}, since {since}")
    else:
        print(f"{name}: {'dead, but its PID file is there' if status.exit_status == 1 else 'stopped'}")
    return status.exit_status


def _program() -> str:
    return os.path.basename(sys.argv[0])


def _parser(daemon: Daemon) -> ArgumentParser:
    from argparse import ArgumentParser

    class Parser(ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError(message, hint=f"see `{self.prog} --help`")

    about = (type(daemon).__doc__ or "").strip()
    made = Parser(prog=_program(), description=about or None)
    verbs = made.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for verb, text in _HELP.items():
        parser = verbs.add_parser(verb, help=text, description=text)
        if verb == "status":
            parser.add_argument("--json", action="store_true", help="for programs")
        if verb == "run":
            mode = parser.add_mutually_exclusive_group()
            for word, meaning in (("foreground", "do not fork"), ("daemon", "as `start`")):
                mode.add_argument(f"--{word}", dest="mode", action="store_const", const=word, default="", help=meaning)
    for name, method in sorted(daemon.commands.items()):
        from initkit.daemon.commands import usage

        text = (method.__doc__ or "").strip().partition("\n")[0]
        verbs.add_parser(name, help=text or None, description=text or None, usage=f"{made.prog} {usage(name, method)}")
    return made
