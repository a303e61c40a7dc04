"""s6's way to be told that a program works: a newline on a descriptor that it inherits. It comes from a program with
`[initkit] notification_fd`, and goes to whoever runs initkit and waits for one."""

from __future__ import annotations

import os

from initkit.run import detect
from initkit.run.loop import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.detect import Surroundings
    from initkit.run.loop import Loop


class Newline:
    """A pipe that one life of a service says that it works by. `sink` is the program's end."""

    def __init__(self, loop: Loop, said: Callable[[], tuple[Event, ...]]) -> None:
        self._loop, self._said = loop, said
        self._source, self.sink = os.pipe2(os.O_CLOEXEC)
        loop.watch(self._source, self._read, first=True)

    def given(self) -> None:
        """The program has its end: ours is closed, so that we hear when there is none any more."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def _read(self) -> tuple[Event, ...]:
        data = os.read(self._source, 4096)
        if data and b"\n" not in data:
            return ()
        self.close()
        return self._said() if data else ()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._source >= 0:
            self._loop.unwatch(self._source)
            os.close(self._source)
            self._source = -1
        self.given()


class Herald:
    """Tells whoever has started this process that its service works, once: a newline to s6 and dinit, READY=1 to what
    speaks sd_notify(3)."""

    def __init__(self, caller: Surroundings) -> None:
        listens = caller.who in (detect.SUPERVISOR, detect.PID1, detect.SYSTEMD)
        self._address = os.environ.get("NOTIFY_SOCKET", "") if listens else ""
        self._fd = detect.notification_fd(caller)
        if self._fd >= 0:
            os.set_inheritable(self._fd, False)  # it is ours: no program of the service's is to hold it open

    def ready(self) -> None:
        """The service works."""
        if self._fd >= 0:
            try:
                os.write(self._fd, b"\n")
            except OSError:
                pass  # nobody waits any more
            os.close(self._fd)
            self._fd = -1
        if self._address:
            send_ready(self._address)
            self._address = ""


def send_ready(address: str) -> None:
    """READY=1 to a $NOTIFY_SOCKET: sd_notify(3). Who does not listen has no harm of it."""
    import _socket

    name = address.encode("utf-8", "surrogateescape")
    try:
        made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    except OSError:
        return
    try:
        made.sendto(b"READY=1", b"\0" + name[1:] if name.startswith(b"@") else name)
    except OSError:
        pass
    finally:
        made.close()


def bridge(number: int) -> int:
    """Wait in a process apart for the program's newline, and pass it on to $NOTIFY_SOCKET: for a program that takes
    this process's place. Returns the descriptor that it is to write to."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.close(source)
        os.waitpid(child, 0)
        if sink != number:
            os.dup2(sink, number)
            os.close(sink)
        else:
            os.set_inheritable(number, True)
        return number
    try:
        if os.fork() == 0:  # the program has no child that it does not know of
            os.close(sink)
            data = b"-"
            while data and b"\n" not in data:
                data = os.read(source, 4096)
            if data:
                send_ready(os.environ.get("NOTIFY_SOCKET", ""))
    finally:
        os._exit(0)
