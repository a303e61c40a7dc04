"""What a `Daemon` answers: its commands, looked up by name, with their arguments converted from text."""

from __future__ import annotations

import json
import sys

from initkit.run import identity, survey
from initkit.run.api import Fault
from initkit.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from inspect import Parameter
    from typing import Any, NoReturn

    from initkit.daemon import Daemon
    from initkit.run.api import Answered, Done

_CONVERTERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": values.boolean, "str": str}


class Usage(ValueError):  # noqa: N818
    """Arguments that do not fit a command's parameters."""


def run(daemon: Daemon, command: str, arguments: Sequence[str]) -> str:
    """Run a command of the daemon's: its result as text.

    Raises:
        Fault: NoSuchCommand, or CommandFailed with what the command raised.
    """
    method = daemon.commands.get(command.replace("_", "-"))
    if method is None:
        raise Fault("NoSuchCommand", command=command, known=sorted(daemon.commands))
    try:
        return shown(method(daemon, *converted(method, arguments)))
    except Usage as fault:
        raise Fault("CommandFailed", command=command, reason=f"{fault}; usage: {usage(command, method)}") from None
    except (Exception, SystemExit) as fault:
        import traceback

        traceback.print_exception(fault)  # the whole of it is for the log
        raise Fault("CommandFailed", command=command, reason=str(fault) or type(fault).__name__) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def converted(method: Callable[..., Any], arguments: Sequence[str]) -> list[Any]:
    """The arguments, each as its parameter's annotation has it.

    Raises:
        Usage: when they do not fit.
    """
    expected = _parameters(method)
    several = bool(expected) and expected[-1].kind is expected[-1].VAR_POSITIONAL
    needed = sum(each.default is each.empty and each.kind is not each.VAR_POSITIONAL for each in expected)
    if len(arguments) < needed or (len(arguments) > len(expected) and not several):
        raise Usage(f"{len(arguments)} argument{'s' * (len(arguments) != 1)} given")
    found = []
    for at, text in enumerate(arguments):
        parameter = expected[min(at, len(expected) - 1)]
        kind = _kind(parameter)
        try:
            found.append(_CONVERTERS[kind](text))
        except ValueError:
            raise Usage(f"{parameter.name} = {text!r}: expected {kind}") from None
    return found


def usage(command: str, method: Callable[..., Any]) -> str:
    """The command line of a command: "set-rate RATE:int [UNTIL:float]"."""
    words = [command]
    for each in _parameters(method):
        word = each.name.upper() + ("" if _kind(each) == "str" else f":{_kind(each)}")
        optional = each.default is not each.empty
        words.append(f"[{word}]…" if each.kind is each.VAR_POSITIONAL else f"[{word}]" if optional else word)
    return " ".join(words)


def shown(result: object) -> str:
    """A result as text."""
    if result is None or isinstance(result, str):
        return result or ""
    return json.dumps(result, ensure_ascii=False, default=str)


def _parameters(method: Callable[..., Any]) -> list[Parameter]:
    from inspect import signature

    _, *found = signature(method).parameters.values()
    return [each for each in found if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)]


def _kind(parameter: Parameter) -> str:
    """Which of the types a parameter is annotated with, `str` when with none of them; "int | None" is an int."""
    said = parameter.annotation
    text = said if isinstance(said, str) else said.__name__ if isinstance(said, type) else str(said)
    words = [word.strip("'\" ") for word in text.removeprefix("typing.Optional[").removesuffix("]").split("|")]
    return next((word for word in words if word in _CONVERTERS), "str")


class Answering:
    """The daemon as the control socket sees it: a manager of one service, that can only tell and be asked, for it is
    that service itself."""

    def __init__(self, daemon: Daemon, pid: int) -> None:
        self.daemon, self.pid = daemon, pid

    def names(self) -> list[str]:
        """The one."""
        return [self.daemon.service.name]

    def status(self, name: str) -> dict[str, Any]:
        """The service's state."""
        process = identity.stat(self.pid)
        found = survey.Found(process, supervised=False, own_session=False) if process else None
        return {**survey.describe(self.daemon.service, found), "commands": self.commands(name)}

    def commands(self, name: str) -> list[str]:
        """The commands of the class."""
        return sorted(self.daemon.commands)

    def refresh(self, name: str, done: Callable[[], None]) -> None:
        """They are known."""
        done()

    def call(self, name: str, command: str, arguments: list[str], done: Answered) -> None:
        """Run one, here and now."""
        try:
            result: str | Exception = run(self.daemon, command, arguments)
        except Fault as fault:
            result = fault
        done(result)

    def log_path(self, name: str, stream: str) -> str:
        """Not known here."""
        return ""

    def older_logs(self, name: str, stream: str) -> list[str]:
        """Not known here."""
        return []

    def reopen_logs(self, name: str) -> None:
        """Not from here."""
        self._not_here()

    def clear_logs(self, name: str) -> None:
        """Not from here."""
        self._not_here()

    def start(self, name: str, done: Done) -> None:
        """Not from here."""
        self._not_here()

    def stop(self, name: str, done: Done, *, stay: bool = False) -> None:
        """Not from here."""
        self._not_here()

    def restart(self, name: str, done: Done) -> None:
        """Not from here."""
        self._not_here()

    def reload(self, name: str, done: Done) -> None:
        """Not from here."""
        self._not_here()

    def kill(self, name: str, signal: int, whom: str) -> None:
        """Not from here."""
        self._not_here()

    def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Not from here."""
        self._not_here()

    def quit(self) -> None:
        """Not from here."""
        self._not_here()

    def _not_here(self) -> NoReturn:
        raise NotImplementedError("only whoever has started the service can do that")
