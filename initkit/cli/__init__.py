"""The command line: finds the verb and imports its module and no other; nothing else prints errors and exits."""

from __future__ import annotations

import os
import sys

from initkit.errors import EX_IOERR, EX_USAGE, InitkitError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Any

#: verb -> (module in this package, one line of help)
VERBS = {
    "run": ("run", "run a service: in the foreground, or as a daemon"),
    "up": ("up", "run several services in the foreground, in their order"),
    "start": ("control", "start a service; returns when it is ready"),
    "stop": ("control", "stop a service; returns when nothing of it is left"),
    "restart": ("control", "stop a service and start it"),
    "try-restart": ("control", "restart a service if it runs"),
    "reload": ("control", "have a service read its configuration anew"),
    "kill": ("control", "send a signal to a service"),
    "status": ("status", "show a service's state and processes, or one line for every service"),
    "logs": ("logs", "show what a service has written"),
    "call": ("call", "run a command that a service has registered"),
    "new": ("new", "write a commented settings file, and a small service to go with it"),
    "check": ("check", "judge settings and the files generated from them"),
    "explain": ("explain", "show what becomes of every setting on every init"),
    "gen": ("gen", "write all the files that an init needs"),
    "gen-unit": ("gen", "write a systemd unit to standard output"),
    "gen-init": ("gen", "write a SysV init script to standard output"),
    "schema": ("schema", "write the JSON Schema of the settings"),
}

_PRINTING = ("gen", "explain", "schema", "check", "status", "logs")


def main(argv: list[str]) -> int:
    """Run one verb with its arguments; returns the exit status."""
    try:
        status = _dispatch(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except InitkitError as error:
        _complain(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _forget(1)
        return 141
    except OSError as error:
        if argv[:1] == ["run"] and "--dry-run" not in argv:
            raise  # a callable's own
        _complain(_told(error))
        _forget(1)
        return EX_IOERR


def _complain(text: str) -> None:
    """On standard error; whether or not anybody has it, the exit status tells as well."""
    try:
        if sys.stderr is not None:  # print() would take standard output for it
            print(f"initkit: {_line(text)}", file=sys.stderr, flush=True)
    except OSError:
        _forget(2)


def _told(error: OSError) -> str:
    """What has failed, and why: without a name it is standard output, for files that verbs write are named."""
    import errno

    place = error.filename
    if place is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        place = "standard output"
    why = error.strerror or str(error)
    return why if place is None else f"{os.fsdecode(place)}: {why}"


def _line(text: str) -> str:
    """An error's text on one line, without control characters that settings may have brought into it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _forget(fd: int) -> None:
    """Nobody reads it; else Python complains once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def _dispatch(argv: list[str]) -> int:
    verb = argv[0] if argv else "--help"
    if verb in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else EX_USAGE
    if verb in ("-V", "--version"):
        from initkit import __version__

        print(f"initkit {__version__}")
        return 0
    if verb not in VERBS:
        from initkit.settings.directives import nearest

        near = nearest(verb, iter(VERBS))
        hint = f"did you mean `initkit {near}`?" if near else "see `initkit --help`"
        raise UsageError(f"unknown command {verb!r}", hint=hint)
    if sys.stdout is None and verb.startswith(_PRINTING):
        raise InitkitError("standard output is closed", status=EX_IOERR)
    status: int = _module(verb).main(verb, argv[1:])
    return status


def _module(verb: str) -> Any:
    return __import__(f"initkit.cli.{VERBS[verb][0]}", fromlist=["main"])


def parsers_of(verb: str) -> tuple[ArgumentParser, ...]:
    """The command lines of a verb, the usual form first: what manual pages and completions are made from."""
    module = _module(verb)
    others = getattr(module, "other_parsers", lambda _: ())  # of the few verbs that have other forms
    return (module.parser(verb), *others(verb))


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {about}" for verb, (_, about) in VERBS.items()]
    return "\n".join(
        ["usage: initkit COMMAND [ARGUMENT…]", "", *lines, "", "`initkit COMMAND --help` tells more of each."]
    )
