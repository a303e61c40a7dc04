"""What the process of a service that answers commands itself (`initkit.run.commands`) is asked by its manager."""

from __future__ import annotations

import _socket
import time

from initkit.run import commands, interface
from initkit.run.api import Fault
from initkit.run.jsontext import dumps, loads
from initkit.run.loop import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from initkit.run.api import Answered
    from initkit.run.loop import Event, Loop
    from initkit.settings.service import Service

    #: Called once with the reply, or with why there is none: "" where nobody listens.
    Replied = Callable[["dict[str, Any] | str"], None]

_PATIENCE = 60.0  # seconds for a command
_REPLY = 512 * 1024  # bytes: it becomes part of a reply that must fit into a client's buffer
_COMMANDS = 256  # that are listed
_NAME = 64  # characters of a command's name


def call(loop: Loop, service: Service, command: str, arguments: list[str], done: Answered) -> None:
    """Pass a command on."""

    def replied(reply: dict[str, Any] | str) -> None:
        done(_result(command, reply))

    given = {"name": service.name, "command": command, "arguments": arguments}
    _Question(loop, service, "Call", given, replied, _PATIENCE)


def known(loop: Loop, service: Service, done: Callable[[list[str] | None], None], seconds: float) -> None:
    """Ask which commands there are; `done` is told None where the service does not say within so many seconds."""

    def replied(reply: dict[str, Any] | str) -> None:
        done(_names(reply))

    _Question(loop, service, "Status", {"name": service.name}, replied, seconds)


def _result(command: str, reply: dict[str, Any] | str) -> str | Exception:
    if not reply:
        return Fault("NoSuchCommand", command=command, known=[])
    if isinstance(reply, str):
        return Fault("CommandFailed", command=command, reason=reply)
    try:
        parameters = reply.get("parameters") or {}
        if "error" not in reply:
            return str(parameters["result"])
        name = str(reply["error"]).rpartition(".")[2]
        if name == "NoSuchCommand":
            return Fault(name, command=command, known=[str(each) for each in parameters.get("known", ())])
        return Fault("CommandFailed", command=command, reason=str(parameters.get("reason") or name))
    except (KeyError, TypeError, AttributeError):
        return Fault("CommandFailed", command=command, reason="the service gave no proper answer")


def _names(reply: dict[str, Any] | str) -> list[str] | None:
    if isinstance(reply, str):
        return [] if not reply else None
    try:
        found = reply["parameters"]["service"]["commands"]
        return [each[:_NAME] for each in found[:_COMMANDS] if isinstance(each, str)]
    except (KeyError, TypeError):
        return None


class _Question:
    """One request: hands the reply to `replied` within so many seconds, without ever waiting."""

    def __init__(
        self, loop: Loop, service: Service, method: str, given: dict[str, Any], replied: Replied, seconds: float
    ) -> None:
        self._loop, self._replied, self._seconds = loop, replied, seconds
        self._received = bytearray()
        request = dumps({"method": f"{interface.NAME}.{method}", "parameters": given}) + b"\0"
        self._socket = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        try:
            self._socket.connect(commands.path_of(service))
            sent = self._socket.send(request, _socket.MSG_NOSIGNAL)
        except (FileNotFoundError, ConnectionRefusedError):
            self._socket.close()
            replied("")
            return
        except OSError:
            sent = 0
        if sent < len(request):  # a request of 64 KiB fits into the buffer of a socket that is not used yet
            self._socket.close()
            replied("the service does not listen")
            return
        loop.watch(self._socket.fileno(), self._read)
        loop.at(self._late, time.monotonic() + seconds)

    def _read(self) -> Iterable[Event]:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return ()
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > _REPLY:
            self._end("the service gave no answer")
        elif data.endswith(b"\0"):
            self._end(self._parsed())
        return ()

    def _parsed(self) -> dict[str, Any] | str:
        try:
            reply = loads(bytes(self._received[:-1]))
        except ValueError:
            reply = None
        return reply if isinstance(reply, dict) and reply else "the service gave no proper answer"

    def _late(self) -> Iterable[Event]:
        self._end(f"no answer within {self._seconds:g} s")
        return ()

    def _end(self, reply: dict[str, Any] | str) -> None:
        self._loop.at(self._late, INFINITY)
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._replied(reply)
