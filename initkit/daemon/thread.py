"""The thread in which a daemon answers its commands: a loop over the clients of one socket, asleep while there are
none."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

from initkit.run.control import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.api import Manager

_INFINITY = float("inf")
_LONGEST = 2**31 - 1  # milliseconds: poll(2) takes an int
_END = 2.0  # seconds that a command may go on when the daemon ends


class ClientLoop:
    """As much of `initkit.run.loop.Loop` as a control socket needs: descriptors and deadlines, no signals and no
    children, which are the main thread's."""

    def __init__(self) -> None:
        self._readers: dict[int, Callable[[], Iterable[object]]] = {}
        self._deadlines: dict[Callable[[], Iterable[object]], float] = {}
        self._poll = select.poll()
        self._end, self._ending = os.pipe2(os.O_CLOEXEC)
        self._poll.register(self._end, select.POLLIN)

    def watch(self, fd: int, read: Callable[[], Iterable[object]]) -> None:
        """Call `read` whenever `fd` can be read."""
        self._readers[fd] = read
        self._poll.register(fd, select.POLLIN)

    def interest(self, fd: int, events: int) -> None:
        """Wait for other events of `fd`: poll(2)'s."""
        self._poll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`, which stays open."""
        del self._readers[fd]
        self._poll.unregister(fd)

    def at(self, due: Callable[[], Iterable[object]], when: float) -> None:
        """Call `due` at a time (`time.monotonic`), once; infinity: not at all."""
        self._deadlines[due] = when

    def run(self) -> None:
        """Go on until `end`."""
        while True:
            deadline = min(self._deadlines.values(), default=_INFINITY)
            pause = None if deadline == _INFINITY else max(0, int((deadline - time.monotonic()) * 1000) + 1)
            for fd, _ in self._poll.poll(pause if pause is None else min(pause, _LONGEST)):
                if fd == self._end:
                    return
                if fd in self._readers:
                    tuple(self._readers[fd]())
            now = time.monotonic()
            for due in [due for due, when in self._deadlines.items() if when <= now]:
                self._deadlines[due] = _INFINITY
                tuple(due())

    def end(self) -> None:
        """Let `run` return; from any thread."""
        os.close(self._ending)


class Listener:
    """Serves `manager` at `path` in a thread.

    Raises:
        OSError: when it cannot listen there; BlockingIOError when another process does.
    """

    def __init__(self, path: str, manager: Manager) -> None:
        self._loop = ClientLoop()
        self._server = Server(path, self._loop, lambda: manager)  # type: ignore[arg-type]  # as much of it as it needs
        self._thread = threading.Thread(target=self._run, name="initkit-commands", daemon=True)
        # Signals are the main thread's: one that came here would not wake it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _run(self) -> None:
        self._loop.run()
        self._server.withdraw()
        self._server.close()

    def close(self) -> None:
        """Answer what has been asked, and listen no more."""
        self._loop.end()
        self._thread.join(_END)
