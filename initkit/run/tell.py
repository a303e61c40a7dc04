"""Lines for people, and output that somebody may read: a manager waits for no reader, and outlives each."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

_DONTWAIT = 0x40  # send(2), MSG_DONTWAIT
_FIFO, _CHARACTERS, _SOCKET = 0o010000, 0o020000, 0o140000  # inode(7)


class Sink:
    """A descriptor to write to without waiting, whatever it is. The flag O_NONBLOCK of the given one is left as it is,
    for it is others', too. `fd` is what is to be polled for room.

    Raises:
        OSError: when the descriptor is closed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = self._given = fd
        self._socket: socket | None = None
        kind = os.fstat(fd).st_mode & 0o170000
        if kind in (_FIFO, _CHARACTERS):
            self.fd = _own_description(fd)
        elif kind == _SOCKET:
            import _socket

            self._socket = _socket.socket(fileno=os.dup(fd))
        self._asks = kind in (_FIFO, _CHARACTERS) and self.fd == fd

    def write(self, data: bytes | bytearray) -> int:
        """Write up to PIPE_BUF bytes; returns how many.

        Raises:
            BlockingIOError: there is no room; OSError: nobody reads it any more.
        """
        data = data[: select.PIPE_BUF]
        if self._socket:
            return self._socket.send(data, _DONTWAIT)
        if self._asks and not _has_room(self.fd):
            raise BlockingIOError
        return os.write(self.fd, data)

    def close(self) -> None:
        """Let go of it; the given descriptor stays open."""
        if self._socket:
            self._socket.close()
        if self.fd != self._given:
            os.close(self.fd)


def spoken(word: str, text: str) -> str:
    """What of a report of a life's is for people: see `initkit.run.life.Life`."""
    return text.partition(" ")[2] if word in ("failed", "restarting") else text


def tell(text: str, fd: int = 2) -> None:
    """A line of initkit's own, if there is room for it now. Without a reader, or with one who does not read, it is
    lost."""
    data = f"initkit: {text}".encode("utf-8", "replace")[: select.PIPE_BUF - 1] + b"\n"
    try:
        sink = Sink(fd)
        try:
            sink.write(data)
        finally:
            sink.close()
    except OSError:
        pass


def _own_description(fd: int) -> int:
    """A descriptor of the same pipe or terminal that does not block; the given one where there can be none."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return fd  # another user's


def _has_room(fd: int) -> bool:
    room = select.poll()
    room.register(fd, select.POLLOUT)
    return bool(room.poll(0))
