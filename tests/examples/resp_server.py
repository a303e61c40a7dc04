#!/usr/bin/env python3
"""A server of the Redis protocol (RESP2) with a dictionary behind it, as a service of one class.

It answers PING, ECHO, SET, GET, DEL, EXISTS, INCR, DBSIZE, FLUSHALL, CONFIG GET, COMMAND, CLIENT, SELECT and QUIT, also
as inline commands: enough for redis-cli and for redis-benchmark -t ping,set,get.

./resp_server.py start | stop | status | keys | run [--foreground]; $PORT is the port (6379), on the loopback.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Iterator

from initkit import Daemon, command, notify

MOST = 1024 * 1024  # bytes of an unfinished request
WORDS = 1024  # in one request
OK = b"+OK\r\n"


class Malformed(Exception):  # noqa: N818
    """A request that is none."""


def bulk(value: bytes | None) -> bytes:
    """A bulk string, or nil."""
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def integer(value: int) -> bytes:
    """An integer."""
    return b":%d\r\n" % value


def array(*items: bytes) -> bytes:
    """An array of items that are encoded already."""
    return b"*%d\r\n%s" % (len(items), b"".join(items))


class Requests:
    """Cuts a stream of bytes into requests."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """The requests that are complete with these bytes. Raises Malformed."""
        self._data += data
        while self._data:
            found = self._array() if self._data[0] == ord("*") else self._inline()
            if found is None:
                if len(self._data) > MOST:
                    raise Malformed("too big a request")
                return
            words, end = found
            del self._data[:end]
            if words:
                yield words

    def _inline(self) -> tuple[list[bytes], int] | None:
        end = self._data.find(b"\n")
        if end < 0:
            return None
        try:
            words = shlex.split(self._data[:end].decode("latin-1"))
        except ValueError:
            raise Malformed("unbalanced quotes in request") from None
        return [word.encode("latin-1") for word in words], end + 1

    def _array(self) -> tuple[list[bytes], int] | None:
        count, at = self._length(0)
        words: list[bytes] = []
        while at > 0 and len(words) < count:
            if at >= len(self._data):
                return None
            if self._data[at] != ord("$"):
                raise Malformed("expected '$'")
            size, start = self._length(at)
            if start == 0 or len(self._data) < start + size + 2:
                return None
            words.append(bytes(self._data[start : start + size]))
            at = start + size + 2
        return (words, at) if at > 0 else None

    def _length(self, at: int) -> tuple[int, int]:
        """The number in a line, and where the next line begins: 0 when this one has not ended."""
        end = self._data.find(b"\r\n", at)
        digits = bytes(self._data[at + 1 : end])
        if end < 0:
            return 0, 0
        if not digits.isdigit() or int(digits) > (WORDS if at == 0 else MOST):
            raise Malformed("invalid length")
        return int(digits), end + 2


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: RespServer) -> None:
        self._server, self._requests = server, Requests()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """It has asked: all answers go in one write."""
        answers = []
        try:
            for words in self._requests.feed(data):
                answers.append(self._server.answer(words))
                if words[0].upper() == b"QUIT":
                    self._transport.write(b"".join(answers))
                    self._transport.close()
                    return
        except Malformed as fault:
            answers.append(b"-ERR Protocol error: %s\r\n" % str(fault).encode())
            self._transport.write(b"".join(answers))
            self._transport.close()
            return
        self._transport.write(b"".join(answers))


class RespServer(Daemon):
    """A dictionary that redis-cli can talk to."""

    def run(self) -> None:
        """Serve until it is stopped."""
        self.data: dict[bytes, bytes] = {}
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Listen, tell so, and answer."""
        port = int(os.environ.get("PORT", "6379"))
        server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", port)
        notify.status(f"Listening on port {port}")
        self.ready()
        async with server:
            await server.serve_forever()

    @command
    def keys(self) -> list[str]:
        """The names of all keys."""
        return sorted(key.decode("utf-8", "replace") for key in list(self.data))

    def answer(self, words: list[bytes]) -> bytes:
        """The answer to one request."""
        name, arguments = words[0].upper(), words[1:]
        if name not in ANSWERS:
            return b"-ERR unknown command '%s'\r\n" % words[0][:64].replace(b"\r", b" ").replace(b"\n", b" ")
        (least, most), function = ANSWERS[name]
        if not least <= len(arguments) <= most:
            return b"-ERR wrong number of arguments for '%s' command\r\n" % name.lower()
        return function(self.data, *arguments)


def _set(data: dict[bytes, bytes], key: bytes, value: bytes) -> bytes:
    data[key] = value
    return OK


def _delete(data: dict[bytes, bytes], *keys: bytes) -> bytes:
    return integer(sum(data.pop(key, None) is not None for key in keys))


def _increment(data: dict[bytes, bytes], key: bytes) -> bytes:
    try:
        data[key] = b"%d" % (int(data.get(key, b"0")) + 1)
    except ValueError:
        return b"-ERR value is not an integer or out of range\r\n"
    return integer(int(data[key]))


def _flush(data: dict[bytes, bytes]) -> bytes:
    data.clear()
    return OK


def _config(data: dict[bytes, bytes], verb: bytes, *names: bytes) -> bytes:
    known = {b"save": b"", b"appendonly": b"no"}
    if verb.upper() != b"GET":
        return b"-ERR only CONFIG GET is known here\r\n"
    return array(*(bulk(each) for name in names if name in known for each in (name, known[name])))


#: Command -> ((fewest, most arguments), what it does).
ANSWERS: dict[bytes, tuple[tuple[int, int], Callable[..., bytes]]] = {
    b"PING": ((0, 1), lambda data, *text: bulk(text[0]) if text else b"+PONG\r\n"),
    b"ECHO": ((1, 1), lambda data, text: bulk(text)),
    b"SET": ((2, 2), _set),
    b"GET": ((1, 1), lambda data, key: bulk(data.get(key))),
    b"DEL": ((1, WORDS), _delete),
    b"EXISTS": ((1, WORDS), lambda data, *keys: integer(sum(key in data for key in keys))),
    b"INCR": ((1, 1), _increment),
    b"DBSIZE": ((0, 0), lambda data: integer(len(data))),
    b"FLUSHALL": ((0, 0), _flush),
    b"CONFIG": ((2, WORDS), _config),
    b"COMMAND": ((0, WORDS), lambda data, *words: array()),
    b"CLIENT": ((1, WORDS), lambda data, *words: OK),
    b"SELECT": ((1, 1), lambda data, number: OK),
    b"QUIT": ((0, 0), lambda data: OK),
}

if __name__ == "__main__":
    RespServer(
        name="resp-server", type="notify", restart="on-failure", pass_environment=["PORT"], limit_nofile=4096
    ).main()
