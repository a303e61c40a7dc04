"""XML-RPC over HTTP/1.1, for Python's `xmlrpc.client` and for Supervisor's clients."""

from __future__ import annotations

from initkit.run import supervisor, xmlvalues
from initkit.run.api import EVERYTHING, NOTHING, Fault, Violation, one_of, refreshed
from initkit.run.connection import REQUEST
from initkit.run.supervisor import Answer, CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from initkit.run.connection import Connection
    from initkit.run.logtail import Tail

_REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 413: "Content Too Large", 417: "Expectation Failed", 503: "Service Unavailable",
}  # fmt: skip
_METHODS = ("ping", "reload", "restart", "start", "status", "stop")
_SYSTEM = ("system.listMethods", "system.methodHelp", "system.methodSignature")
_READING = ("ping", "status", *_SYSTEM)
_LOG_TAIL = "/logtail/"  # Supervisor's, behind `supervisorctl tail -f`


class _Request:
    """The head of an HTTP request; `length` is that of its body, -1 where it is not told."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise Violation("not HTTP/1.1")
        self.method, self.target, version = words
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or not name.replace("-", "").replace("_", "").isalnum() or name in headers:
                raise Violation("not a header")
            headers[name] = value.strip()
        told = headers.get("content-length", "")
        self.length = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else -1
        self.odd = "transfer-encoding" in headers or "expect" in headers
        wish = headers.get("connection", "").lower()
        self.keep = wish == "keep-alive" if version == "HTTP/1.0" else wish != "close"


class Conversation:
    """What is said on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._searched = 0  # bytes that hold no end of the head
        self._head_end = 0
        self._request: _Request | None = None
        self._follow: Tail | None = None

    def complete(self, inbox: bytearray) -> int:
        """The length of the first request, or 0. One that will not be read to its end is complete with its head."""
        if self._request is None:
            end = inbox.find(b"\r\n\r\n", max(0, self._searched - 3))
            self._searched = len(inbox)
            if end < 0:
                return 0
            self._head_end = end + 4
            self._request = _Request(bytes(inbox[:end]))
        whole = self._head_end + max(self._request.length, 0)
        if whole > REQUEST or self._request.odd:
            return self._head_end
        return whole if len(inbox) >= whole else 0

    def handle(self, request: bytes) -> None:
        """Answer a request, or see to it that it will be."""
        found, body = self._request, request[self._head_end :]
        assert found is not None  # it was complete
        status = self._problem(found, body)
        if status:
            self._respond(status, f"{status} {_REASONS[status]}\n".encode(), keep=False)
        elif found.method == "GET":
            self._tail(found.target)
        else:
            self._call(body, keep=found.keep)

    def _problem(self, request: _Request, body: bytes) -> int:
        if self._connection.rights == NOTHING:
            return 403
        if request.method == "GET":
            return 0 if request.target.startswith(_LOG_TAIL) else 404
        if request.method != "POST":
            return 405
        if request.target not in ("/", "/RPC2"):
            return 404
        if request.odd:
            return 417
        return 411 if request.length < 0 else 413 if len(body) < request.length else 0

    def refuse(self, reason: str) -> None:
        """There are too many clients."""
        self._respond(503, f"{reason}\n".encode(), keep=False)

    def finish(self) -> None:
        """The manager ends: so do the streams."""
        if self._follow is not None:
            self._connection.send(b"0\r\n\r\n")
            self._connection.end()

    def cancel(self) -> None:
        """The client has gone."""
        if self._follow is not None:
            self._follow.close()
            self._follow = None

    # --- HTTP -----------------------------------------------------------------------------------------------------

    def _respond(self, status: int, body: bytes, *, keep: bool) -> None:
        self._request, self._searched = None, 0
        kind = "text/xml" if status == 200 else "text/plain"
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._connection.send(f"{head}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + body)
        if keep:
            self._connection.answered()
        else:
            self._connection.end()

    def _tail(self, target: str) -> None:
        name, _, stream = target.removeprefix(_LOG_TAIL).partition("/")
        from initkit.run.logtail import Tail

        server = self._connection.server
        try:
            self._follow = Tail(server.loop, server.manager, name, stream or "stdout", self._chunk)
        except (CallError, OSError):
            self._respond(404, b"no such log\n", keep=False)
            return
        self._connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._connection.streaming = True
        self._follow.begin()

    def _chunk(self, data: bytes) -> None:
        if data:
            self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    # --- XML-RPC --------------------------------------------------------------------------------------------------

    def _call(self, body: bytes, *, keep: bool) -> None:
        try:
            method, arguments = xmlvalues.read(body)
        except ValueError:
            self._respond(400, b"400 expected XML-RPC\n", keep=False)
            return
        if self._connection.rights != EVERYTHING and not _reads(method):
            self._respond(403, b"403 only the owner may change something\n", keep=keep)
            return

        def answer(result: object) -> None:
            self._respond(200, _written(result), keep=keep)

        try:
            self._dispatch(method, arguments, answer)
        except (Fault, CallError, NotImplementedError) as fault:
            answer(fault)

    def _dispatch(self, method: str, arguments: tuple[Any, ...], answer: Answer) -> None:
        manager = self._connection.server.manager
        if method.startswith("supervisor."):
            supervisor.call(manager, method.removeprefix("supervisor."), arguments, answer)
        elif method in _SYSTEM:
            refreshed(manager, manager.names(), lambda: answer(self._about(method, arguments)))
        elif method in _METHODS:
            self._own(method, arguments, answer)
        else:
            name, _, command = method.rpartition(".")
            if name and name not in manager.names():
                raise CallError("UNKNOWN_METHOD", method)
            manager.call(one_of(manager, name), command, list(map(str, arguments)), answer)

    def _own(self, method: str, arguments: tuple[Any, ...], answer: Answer) -> None:
        manager = self._connection.server.manager
        if len(arguments) > 1 or not all(isinstance(each, str) for each in arguments):
            raise CallError("INCORRECT_PARAMETERS", method)
        if method == "ping":
            answer(True)
            return
        name = one_of(manager, *arguments) if arguments else one_of(manager, None)
        if method == "status":
            refreshed(manager, [name], lambda: answer(manager.status(name)))
        else:
            act = {"start": manager.start, "stop": manager.stop, "restart": manager.restart, "reload": manager.reload}
            act[method](name, lambda fault: answer(True if fault is None else fault))

    def _about(self, method: str, arguments: tuple[Any, ...]) -> object:
        manager = self._connection.server.manager
        if method == "system.methodSignature":
            return "undef"
        if method == "system.methodHelp":
            return supervisor.HELP.get(str(arguments[0]).removeprefix("supervisor."), "") if arguments else ""
        names = manager.names()
        found = {*_METHODS, *_SYSTEM, *(f"supervisor.{each}" for each in supervisor.HELP)}
        for name in names:
            found |= {each if len(names) == 1 else f"{name}.{each}" for each in manager.commands(name)}
        return sorted(found)


def _reads(method: str) -> bool:
    space, _, name = method.rpartition(".")
    return method in _READING or (space == "supervisor" and supervisor.reads(name))


def _written(result: object) -> bytes:
    return xmlvalues.fault(*supervisor.code_of(result)) if isinstance(result, Exception) else xmlvalues.response(result)
