"""The other end of a control socket: one call, or one stream, of Varlink."""

from __future__ import annotations

import _socket
import _struct
import time

from initkit.errors import InitkitError
from initkit.run.interface import NAME
from initkit.run.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_CHUNK = 64 * 1024
_MOMENT = 1.0  # seconds to see whether a manager that has hung up is there still
_SO_SNDTIMEO_NEW = 67  # <asm-generic/socket.h>: 32 bits wide systems with 64 bits of time


class NoManager(InitkitError):  # noqa: N818
    """Nobody listens at the socket: exit status 7 (LSB: program is not running)."""

    status = 7


class HungUp(InitkitError):  # noqa: N818
    """The manager is there, and has not listened to this client."""

    status = 4


class RemoteError(InitkitError):
    """The manager refused, or could not: `name` is the error's name in full, with its parameters."""

    def __init__(self, name: str, parameters: dict[str, Any]) -> None:
        said = ", ".join(f"{key}: {_shown(value)}" for key, value in parameters.items() if value not in ("", [], None))
        short = name.rpartition(".")[2]
        super().__init__(f"{short}: {said}" if said else short, status=4 if short == "PermissionDenied" else None)
        self.name, self.parameters = name, parameters


def call(
    path: str, method: str, parameters: dict[str, Any] | None = None, *, timeout: float | None = None
) -> dict[str, Any]:
    """Call a method of the manager at a socket; one without a dot is the manager interface's. Returns its reply.

    `timeout` is how many seconds the manager may take; without one, as long as the service's own timeouts allow.

    Raises:
        NoManager: when no manager is there, or it ends before it replies.
        HungUp: when it does not end, and does not reply: others have taken all the room it has.
        RemoteError: when it replies with an error.
        InitkitError: when this user may not connect (exit status 4), or it takes nobody in or does not reply in time.
    """
    for reply in _replies(path, method, parameters, more=False, timeout=timeout):
        return reply
    raise AssertionError("a call has a reply or an error")


def stream(path: str, method: str, parameters: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Call a method with `more`: its replies, as they come, until the manager has no more.

    Raises:
        As `call` does.
    """
    return _replies(path, method, parameters, more=True, timeout=None)


def _replies(
    path: str, method: str, parameters: dict[str, Any] | None, *, more: bool, timeout: float | None
) -> Iterator[dict[str, Any]]:
    request = {"method": method if "." in method else f"{NAME}.{method}", "parameters": parameters or {}}
    socket = _connect(path, timeout)
    try:
        _send(socket, dumps({**request, "more": True} if more else request) + b"\0")
        received = bytearray()
        while True:
            message = _receive(socket, received, path)
            if "error" in message:
                raise RemoteError(message["error"], message.get("parameters") or {})
            yield message.get("parameters") or {}
            if not message.get("continues"):
                return
    except TimeoutError:
        raise InitkitError(f"{path}: no reply within {timeout:g} s") from None
    finally:
        socket.close()


def _connect(path: str, timeout: float | None) -> _socket.socket:
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    deadline = timeout and time.monotonic() + timeout
    try:
        while not _connects(socket, path, deadline):
            pass
    except PermissionError:
        socket.close()
        raise InitkitError(f"{path}: this user may not talk to the manager", status=4) from None
    except BlockingIOError:
        socket.close()
        raise InitkitError(f"{path}: the manager has taken nobody in within {timeout:g} s") from None
    except OSError as fault:
        socket.close()
        raise NoManager(f"{path}: no manager is there: {fault.strerror or fault}") from None
    socket.settimeout(timeout)
    return socket


def _connects(socket: _socket.socket, path: str, deadline: float | None) -> bool:
    """connect(2), which waits for its turn in a blocking socket only; False where a signal has come first, which
    `socket` takes for a connection."""
    if deadline is not None:
        left = _timeval(max(deadline - time.monotonic(), 0.001))
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, left)
    socket.connect(path)
    try:
        socket.getpeername()
    except OSError:
        return False
    return True


def _timeval(seconds: float) -> bytes:
    width = "qq" if _socket.SO_SNDTIMEO == _SO_SNDTIMEO_NEW else "@ll"
    return _struct.pack(width, int(seconds), int(seconds % 1 * 1e6))


def _send(socket: _socket.socket, request: bytes) -> None:
    try:
        socket.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        pass  # what it said before it hung up is there to be read


def _receive(socket: _socket.socket, received: bytearray, path: str) -> dict[str, Any]:
    """The next message; what comes behind it stays in `received`."""
    searched = 0
    while (end := received.find(0, searched)) < 0:
        searched = len(received)
        try:
            data = socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            if not received:
                _demand_gone(socket, path)
            raise NoManager(f"{path}: the manager has gone without a reply")
        received += data
    try:
        message = loads(bytes(received[:end]))
    except ValueError as fault:
        raise InitkitError(f"{path}: not a manager: {fault}") from None
    del received[: end + 1]
    if not isinstance(message, dict):
        raise InitkitError(f"{path}: not a manager")
    return message


def _demand_gone(socket: _socket.socket, path: str) -> None:
    """Check that the manager which has hung up is not there any more.

    Raises:
        HungUp: it is.
    """
    again = _connect(path, _MOMENT)
    same = _listener(again) == _listener(socket)
    again.close()
    if same:
        raise HungUp(f"{path}: the manager has too many clients")


def _listener(socket: _socket.socket) -> bytes:
    """Who listens at the other end: unix(7), SO_PEERCRED."""
    return socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
