"""`initkit run`."""

from __future__ import annotations

import os

from initkit.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import NoReturn

#: The options, which `main` reads and `parser` describes.
_OPTIONS = {
    "--foreground": "do not fork",
    "--daemon": "fork twice, and return when it is ready",
    "--dry-run": "print the plan, step by step, and run nothing",
    "--sandboxed": "in a systemd unit, which has applied the settings of systemd.exec(5) already",
    "--group": "before -- COMMAND: signals go to its whole process group",
}
_MODES = {"--foreground": "foreground", "--daemon": "daemon"}
_COMMAND_USAGE = "initkit run [--group] -- COMMAND [ARG…]"


def main(verb: str, argv: list[str]) -> int:
    """Run a service, or a command. The usual forms of the command line are read here; argparse costs as much as the
    whole start."""
    if "--" in argv:
        _command(argv)
    apps = [word for word in argv if not word.startswith("-")]
    options = [word for word in argv if word.startswith("-")]
    if len(apps) != 1 or len(options) > 1 or not set(options) <= {*_MODES, "--dry-run"}:
        parsed = parser(verb).parse_args(argv)
        if parsed.group:
            raise UsageError("--group is for a command", hint=f"expected {_COMMAND_USAGE}")
        return _run(parsed.app, parsed.mode, parsed.dry_run, parsed.sandboxed)
    return _run(apps[0], _MODES.get("".join(options), ""), options == ["--dry-run"])


def _command(argv: list[str]) -> NoReturn:
    """`initkit run [--group] -- COMMAND [ARG…]`: without settings, a container's entry point."""
    at = argv.index("--")
    options, words = argv[:at], argv[at + 1 :]
    if not words or not set(options) <= {"--group"}:
        wrong = f"{options[0]!r} before --" if words else "no command after --"
        raise UsageError(wrong, hint=f"expected {_COMMAND_USAGE}")
    from initkit.run import entry

    os._exit(entry.run(words, group=bool(options)))  # nothing of Python's is left to be put in order


def _run(app: str, mode: str, dry_run: bool, sandboxed: bool = False) -> int:
    from initkit.settings.load import load

    service = load(app, user=is_users_own())
    service.demand_instance()
    if dry_run:
        from initkit.cli import dry_run as printer

        return printer.show(service, mode)
    from initkit.run.launch import run

    return run(service, mode, sandboxed=sandboxed)


def is_users_own() -> bool:
    """Whether the service is one of an ordinary user's: not the system's, to which systemd has given User= already."""
    if os.geteuid() == 0:
        return False
    from initkit.run import detect

    # systemd.exec(5): MANAGERPID is there for what a user's manager starts.
    return "MANAGERPID" in os.environ or detect.surroundings().who != detect.SYSTEMD


def parser(verb: str) -> ArgumentParser:
    """The command line: for help, for mistakes, for manual pages and completions."""
    from initkit.cli.arguments import Parser

    made = Parser(
        prog=f"initkit {verb}",
        usage=f"initkit run APP [--foreground | --daemon] [--dry-run] [--sandboxed]\n       {_COMMAND_USAGE}",
        description="Run a service as its settings say; or any command, as a container's entry point: signals are"
        " handed on to it, with --group to its process group, and what it leaves behind is ended.",
    )
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    modes = made.add_mutually_exclusive_group()
    for option, about in _OPTIONS.items():
        if option in _MODES:
            modes.add_argument(option, dest="mode", action="store_const", const=_MODES[option], default="", help=about)
        else:
            made.add_argument(option, action="store_true", help=about)
    return made
