"""One client of a control socket: its buffers, its deadlines, its language. Nothing here ever blocks."""

from __future__ import annotations

import _socket
import select
import time

from initkit.run.api import Violation
from initkit.run.loop import INFINITY, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from initkit.run.control import Server

    class Language(Protocol):
        """How requests and replies are written."""

        def complete(self, inbox: bytearray) -> int:
            """The length of the first request, 0 when it has not come to its end; raises Violation."""

        def handle(self, request: bytes) -> None:
            """Answer one request, or see to it that it will be; raises Violation."""

        def refuse(self, reason: str) -> None:
            """Answer that there are too many clients."""

        def finish(self) -> None:
            """The manager ends: bring streams to their end."""

        def cancel(self) -> None:
            """The client has gone."""


REQUEST = 64 * 1024  # bytes
_OUTPUT = 1024 * 1024  # bytes that wait for a client to read them
_INCOMPLETE = 5.0  # seconds from a request's first byte to its last
_IDLE = 60.0  # seconds without a request, or without reading
_HANDLED = (Event("control"),)


class Connection:
    """A client; `rights` are of `initkit.run.api`."""

    def __init__(self, socket: _socket.socket, server: Server, rights: int) -> None:
        self.server, self.rights = server, rights
        self.pending = False  # whether a request is being answered
        self.streaming = False  # whether that answer has no end of its own
        self._socket = socket
        self._served = False  # whether there has been a request
        self._inbox, self._outbox = bytearray(), bytearray()
        self._language: Language | None = None
        self._interest = select.POLLIN
        self._ended = self._closing = self._closed = False
        self._begun = self._active = time.monotonic()

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    @property
    def deadline(self) -> float:
        """When the client has had time enough (`time.monotonic`)."""
        if self._closed:
            return INFINITY
        if self._outbox:
            return self._active + _IDLE
        if self.pending:
            return INFINITY
        hurry = bool(self._inbox) or (not self._served and self.server.crowded(self))
        return self._begun + _INCOMPLETE if hurry else self._active + _IDLE

    # --- a turn ---------------------------------------------------------------------------------------------------

    def turn(self) -> Iterable[Event]:
        """Send and receive what can be, and serve at most one request."""
        if self._closed:
            return ()
        gone = not self._interest  # then poll(2) tells of hang-ups only
        try:
            self._flush()
            self._receive()
            served = self._serve()
        except Exception:  # hung up, broke the protocol, or found a fault of ours: the service goes on
            self.close()
            served = False
        if gone and not served:
            self.close()
        self._settle()
        return _HANDLED if served else ()

    def _receive(self) -> None:
        room = REQUEST - len(self._inbox)
        if self._ended or self._closing or room <= 0:
            return
        try:
            data = self._socket.recv(room)
        except BlockingIOError:
            return
        if not self._inbox:
            self._begun = time.monotonic()
        self._inbox += data
        self._ended = not data

    def _serve(self) -> bool:
        """Whether there was a request to serve. One at a time, and the next only when its reply is on the way."""
        if self.pending or self._outbox or self._closing or not self._inbox:
            return False
        if self._language is None:
            self._language = self._choose(self._inbox[0])
        length = self._language.complete(self._inbox)
        if length == 0:
            if len(self._inbox) >= REQUEST:
                raise Violation("the request is too long")
            return False
        request = bytes(self._inbox[:length])
        del self._inbox[:length]
        self._begun = self._active = time.monotonic()
        if not self._served and self.server.full(self):
            self._language.refuse(f"{len(self.server.connections)} clients are connected")
            self.end()
            return True
        self._served = self.pending = True
        self._language.handle(request)
        return True

    def _choose(self, first: int) -> Language:
        if first == ord("{"):
            from initkit.run import varlink

            return varlink.Conversation(self)
        if chr(first).isascii() and chr(first).isupper():
            from initkit.run import xmlrpc

            return xmlrpc.Conversation(self)
        raise Violation("neither Varlink nor HTTP")

    def _settle(self) -> None:
        """Decide what to wait for."""
        if self._closed:
            self.server.settle()
            return
        waiting = bool(self._inbox) and not self.pending and not self._outbox and not self._closing
        more = waiting and self._complete()
        done = self._closing or (self._ended and (self.streaming or not (self.pending or more)))
        if done and not self._outbox:
            self.close()
        else:
            if more:
                self.server.again(self)
            reading = not (self._ended or self._closing) and len(self._inbox) < REQUEST
            interest = (select.POLLIN if reading else 0) | (select.POLLOUT if self._outbox else 0)
            if interest != self._interest:
                self._interest = interest
                self.server.loop.interest(self.fileno(), interest)
        self.server.settle()

    def _complete(self) -> bool:
        try:
            return self._language is not None and self._language.complete(self._inbox) > 0
        except Violation:
            return True  # which its turn will show

    # --- for the languages ----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send, now or when the client reads; one that does not is dropped."""
        if self._closed:
            return
        if not self._outbox:
            self._active = time.monotonic()
        self._outbox += data
        try:
            self._flush()
        except OSError:
            self.close()
        if len(self._outbox) > _OUTPUT:
            self.close()

    def answered(self) -> None:
        """The reply to the request is complete."""
        self.pending = self.streaming = False
        self._begun = self._active = time.monotonic()
        self._settle()

    def end(self) -> None:
        """Nothing more is to be said: close when all is sent."""
        self.pending, self._closing = False, True
        self._inbox.clear()
        self._settle()

    def _flush(self) -> None:
        while self._outbox:
            try:
                sent = self._socket.send(self._outbox, _socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            del self._outbox[:sent]
            self._active = time.monotonic()

    # --- the end --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The manager ends."""
        if self._language is not None and self.pending:
            self._language.finish()

    def drain(self, deadline: float) -> None:
        """Send what is left, until the deadline."""
        room = select.poll()
        try:
            while self._outbox and (left := deadline - time.monotonic()) > 0:
                room.register(self.fileno(), select.POLLOUT)
                room.poll(left * 1000)
                self._flush()
        except OSError:
            pass

    def close(self) -> None:
        """Let the client go."""
        if self._closed:
            return
        self._closed = True
        self._outbox.clear()
        if self._language is not None:
            self._language.cancel()
        self.server.forget(self)
        self._socket.close()
