"""The output of several services as one: whole lines, each behind its service's name."""

from __future__ import annotations

import os
import select
import time

from initkit.run.tell import Sink, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.run.loop import Event, Loop

LINE = 16 * 1024  # bytes of a line; what is longer becomes several
_PENDING = 256 * 1024  # bytes that wait for whoever reads; with more, services wait, too
_FAREWELL = 1.0  # seconds for the last of them
_COLOURS = (36, 33, 32, 35, 34, 31)  # ECMA-48, SGR


class Output:
    """Standard output, shared by many: never blocks, whoever reads it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._sink = Sink(1)
        self._pending = bytearray()
        self._sources: list[Source] = []
        self._held: list[Source] = []  # those that are not read from until there is room
        self._waiting = False
        self._same = _is_same_file(1, 2)

    def source(self, label: str) -> Source:
        """A service's part of it."""
        made = Source(self, label.encode())
        self._sources.append(made)
        self._loop.watch(made.fd, made.read)
        return made

    def holds(self, source: Source) -> bool:
        """Whether there is no room for what a service writes, which it is asked for again when there is."""
        if self._waiting:
            self._loop.unwatch(source.fd)
            self._held.append(source)
        return self._waiting

    def say(self, line: str) -> None:
        """A line of initkit's own, on standard error; where that is the same file it does not break others' lines."""
        if self._same:
            self.put(f"initkit: {line}\n".encode("utf-8", "replace"))
        else:
            tell(line)

    def put(self, data: bytes) -> None:
        """Write whole lines, now or as soon as there is room."""
        self._pending += data
        if not self._waiting:
            self._write()
            if self._pending:
                self._wait()

    def _write(self) -> None:
        while self._pending:
            try:
                del self._pending[: self._sink.write(self._pending)]
            except BlockingIOError:
                return
            except OSError:  # nobody reads it any more, which is no fault of the services
                self._pending.clear()

    def _wait(self) -> None:
        self._waiting = True
        self._loop.watch(self._sink.fd, self._room)
        self._loop.interest(self._sink.fd, select.POLLOUT)

    def _room(self) -> Iterable[Event]:
        self._write()
        if not self._pending:
            self._waiting = False
            self._loop.unwatch(self._sink.fd)
            held, self._held = self._held, []
            for each in held:
                self._loop.watch(each.fd, each.read)
        return ()

    def close(self) -> None:
        """Bring out what there is, if somebody reads it in time."""
        for each in self._sources:
            each.finish()
        deadline = time.monotonic() + _FAREWELL
        room = select.poll()
        room.register(self._sink.fd, select.POLLOUT)
        while self._pending and time.monotonic() < deadline:
            if room.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self._write()


class Source:
    """A pipe that a service writes to: `sink` is its end of it."""

    def __init__(self, output: Output, prefix: bytes) -> None:
        self._output, self._prefix = output, prefix
        self.fd, self.sink = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self._line = b""

    def read(self) -> Iterable[Event]:
        """Take in what there is, and put out the lines that are complete."""
        if not self._output.holds(self):
            self._take()
        return ()

    def _take(self) -> bool:
        try:
            data = os.read(self.fd, LINE)
        except BlockingIOError:
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        while len(self._line) >= LINE:
            lines.append(self._line[:LINE])
            self._line = self._line[LINE:]
        self._output.put(b"".join(b"%b%b\n" % (self._prefix, line) for line in lines))
        return bool(data)

    def finish(self) -> None:
        """A life is over, or the manager's: put out all that is left, also a line without an end."""
        for _ in range(_PENDING // LINE):  # who writes still is not waited for
            if not self._take():
                break
        if self._line:
            self._output.put(b"%b%b\n" % (self._prefix, self._line))
            self._line = b""


def labels(names: list[str]) -> dict[str, str]:
    """What stands before each service's lines: padded, coloured on a terminal."""
    width = max(map(len, names), default=0)
    coloured = os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    found = {}
    for index, name in enumerate(names):
        text = f"{name:<{width}} | "
        found[name] = f"\033[{_COLOURS[index % len(_COLOURS)]}m{text}\033[0m" if coloured else text
    return found


def _is_same_file(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino, first.st_rdev) == (second.st_dev, second.st_ino, second.st_rdev)
