"""A command passed on to the process of a service that answers commands itself (`initkit.run.commands`)."""

from __future__ import annotations

import _socket
import time

from initkit.run import commands, interface
from initkit.run.api import Fault
from initkit.run.jsontext import dumps, loads
from initkit.run.loop import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.run.api import Answered
    from initkit.run.loop import Event, Loop
    from initkit.settings.service import Service

_PATIENCE = 60.0  # seconds
_REPLY = 512 * 1024  # bytes: it becomes part of a reply that must fit into a client's buffer


class Relay:
    """One call: asks, and hands the answer to `done`, without ever waiting."""

    def __init__(self, loop: Loop, service: Service, command: str, arguments: list[str], done: Answered) -> None:
        self._loop, self._command, self._done = loop, command, done
        self._received = bytearray()
        given = {"name": service.name, "command": command, "arguments": arguments}
        request = dumps({"method": f"{interface.NAME}.Call", "parameters": given}) + b"\0"
        self._socket = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        try:
            self._socket.connect(commands.path_of(service))
            sent = self._socket.send(request, _socket.MSG_NOSIGNAL)
        except (FileNotFoundError, ConnectionRefusedError):
            self._socket.close()
            done(Fault("NoSuchCommand", command=command, known=[]))
            return
        except OSError:
            sent = 0
        if sent < len(request):  # a request of 64 KiB fits into the buffer of a socket that is not used yet
            self._socket.close()
            done(self._failed("the service does not listen"))
            return
        loop.watch(self._socket.fileno(), self._read)
        loop.at(self._late, time.monotonic() + _PATIENCE)

    def _failed(self, reason: str) -> Fault:
        return Fault("CommandFailed", command=self._command, reason=reason)

    def _read(self) -> Iterable[Event]:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return ()
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > _REPLY:
            self._end(self._failed("the service gave no answer"))
        elif data.endswith(b"\0"):
            self._end(self._answer(bytes(self._received[:-1])))
        return ()

    def _late(self) -> Iterable[Event]:
        self._end(self._failed(f"no answer within {_PATIENCE:g} s"))
        return ()

    def _answer(self, text: bytes) -> str | Exception:
        try:
            reply = loads(text)
            parameters = reply.get("parameters") or {}
            if "error" not in reply:
                return str(parameters["result"])
            name = str(reply["error"]).rpartition(".")[2]
            if name == "NoSuchCommand":
                return Fault(name, command=self._command, known=[str(each) for each in parameters.get("known", ())])
            return self._failed(str(parameters.get("reason") or name))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._failed("the service gave no proper answer")

    def _end(self, answer: str | Exception) -> None:
        self._loop.at(self._late, INFINITY)
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._done(answer)
