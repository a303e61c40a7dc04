"""An event loop for a process that must stay small: epoll(7) over its descriptors, one deadline, no wake-up without
cause. What an event costs does not grow with the tasks and descriptors that it does not concern."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import select
import time

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    #: What a task yields is when it wants to be woken at the latest (`time.monotonic`, inf: never); what it gets is an
    #: event, None when that time has come.
    Task = Generator["float", "Event | None", int]

INFINITY = float("inf")
_LONGEST = 2e6  # seconds: epoll_wait(2) takes an int of milliseconds


class Event(Record):
    """Something that happened: "exit" (pid, wait status), "signal" (number), "notify", "exec" (pid), "control",
    "wake", "oom".

    It is for the task that is called `to`, for all of them where that is None.
    """

    kind: str
    number: int = 0
    status: int = 0
    to: object = None


class _ReaderError(Exception):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Loop:
    """Runs tasks: feeds them events from signals, dying children and descriptors until they return.

    `whose` tells which task is to hear of a child's death, by pid; where it says None, all are. `dead` are the children
    that have been reaped, of whose deaths nobody has heard yet. `listener` is the task that is to hear of signals, None
    for all of them. `rescue` is told of the first exception out of a descriptor's function, which is called no more;
    without it, and of a task's own, the run ends.
    """

    listener: object = None
    rescue: Callable[[Exception], None] | None = None

    def __init__(self, signals: Iterable[int], whose: Callable[[int], object] | None = None) -> None:
        self.whose = whose or _nobodys
        self.dead: set[int] = set()
        self._tasks: dict[object, Task] = {}
        self._deadlines: dict[Task, float] = {}  # of those that do not wait for ever
        self._woken: dict[object, None] = {}  # in the order of waking
        self._readers: dict[int, Callable[[], Iterable[Event]]] = {}
        self._due: dict[Callable[[], Iterable[Event]], float] = {}
        self._first: set[int] = set()  # descriptors that are read before signals
        self._ready: dict[int, int] = {}  # those of this turn that are still to be read
        self._received: set[int] = set()  # signals that nobody has been told of yet
        self._poll = select.epoll()
        self._wakeup, self._woken_by = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._wakeup, select.POLLIN)
        _signal.set_wakeup_fd(self._woken_by, warn_on_full_buffer=False)
        for number in {*signals, _signal.SIGCHLD}:
            _signal.signal(number, _nothing)
            _signal.siginterrupt(number, False)

    def watch(self, fd: int, read: Callable[[], Iterable[Event]], *, first: bool = False) -> None:
        """Call `read` for events whenever `fd` can be read; `first` where what it told before a signal came, or a child
        died, is to be heard before that.

        Raises:
            PermissionError: it is a regular file's, or another's that one does not wait for.
        """
        self._poll.register(fd, select.POLLIN)
        self._readers[fd] = read
        if first:
            self._first.add(fd)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`, which stays open."""
        if self._readers.pop(fd, None):  # else its function has failed
            self._poll.unregister(fd)
            self._first.discard(fd)
        self._ready.pop(fd, None)  # its number may be another's before this turn is over

    def interest(self, fd: int, events: int) -> None:
        """Wake up for these events of `fd` instead (`select.POLLIN`, `select.POLLOUT`); hang-ups are always told."""
        self._poll.modify(fd, events)

    def at(self, due: Callable[[], Iterable[Event]], when: float) -> None:
        """Call `due` for events once that time has come (`time.monotonic`); inf: never."""
        if when == INFINITY:
            self._due.pop(due, None)
        else:
            self._due[due] = when

    def add(self, name: object, task: Task) -> None:
        """Drive another task as well, while `run` goes on; events reach it by this name."""
        self._tasks[name] = task
        self._resume(task)

    def wake(self, name: object) -> None:
        """Let a task look at what has been changed for it, as soon as those that run have come to rest."""
        self._woken[name] = None

    def run(self, task: Task, name: object = None) -> int:
        """Drive the task to its end, and the others as long; returns what it returns."""
        try:
            self.add(name, task)
            while True:
                try:
                    self._turn()
                except _ReaderError as fault:
                    self._rescued(fault.cause)
        except StopIteration as end:
            return int(end.value)
        finally:
            self._tasks.clear()
            self._deadlines.clear()

    def _turn(self) -> None:
        self._send_wakes()
        for event in self._wait(min(self._deadlines.values(), default=INFINITY)):
            self._send(event)
            self._send_wakes()
        self._send_late()

    def _rescued(self, fault: Exception) -> None:
        rescue, self.rescue = self.rescue, None
        if rescue is None:
            raise fault
        rescue(fault)

    def _send(self, event: Event) -> None:
        for task in self._tasks.values() if event.to is None else filter(None, (self._tasks.get(event.to),)):
            self._resume(task, event)

    def _resume(self, task: Task, event: Event | None = None) -> None:
        deadline = task.send(event)
        if deadline == INFINITY:
            self._deadlines.pop(task, None)
        else:
            self._deadlines[task] = deadline

    def _send_wakes(self) -> None:
        while self._woken:
            name = next(iter(self._woken))
            del self._woken[name]
            self._send(Event("wake", to=name))

    def _send_late(self) -> None:
        """To those whose time has come, however much else there was."""
        if self._deadlines:
            now = time.monotonic()
            for task in [task for task, deadline in self._deadlines.items() if deadline <= now]:
                if self._deadlines.get(task, INFINITY) <= now:
                    self._resume(task)
                    self._send_wakes()

    def _wait(self, deadline: float) -> Iterable[Event]:
        timeout = None
        first = min(deadline, *self._due.values()) if self._due else deadline
        if self._received:
            timeout = 0.0  # a reader has failed
        elif first != INFINITY:
            timeout = min(_LONGEST, max(0.0, first - time.monotonic()))
        self._ready = dict(self._poll.poll(timeout))
        if self._wakeup in self._ready:
            self._received.update(os.read(self._wakeup, 4096))
            self._ready.update(self._poll.poll(0))  # what was there before the signals were
            self._ready.pop(self._wakeup, None)
        yield from self._read_all(fd for fd in tuple(self._ready) if fd in self._first)
        yield from self._signals()
        yield from self._read_all(tuple(self._ready))
        if self._due:
            yield from self._overdue()

    def _read_all(self, fds: Iterable[int]) -> Iterable[Event]:
        for fd in fds:
            if self._ready.pop(fd, None) is not None:
                yield from self._read(fd)

    def _read(self, fd: int) -> Iterable[Event]:
        try:
            return self._readers[fd]()
        except Exception as fault:
            self.unwatch(fd)
            raise _ReaderError(fault) from None

    def _overdue(self) -> Iterable[Event]:
        now = time.monotonic()
        for due in [due for due, when in self._due.items() if when <= now]:
            if self._due.pop(due, None) is not None:
                yield from due()

    def _signals(self) -> Iterable[Event]:
        received, self._received = self._received, set()
        # Deaths first: a stop that arrives with the death of the program finds it dead.
        if _signal.SIGCHLD in received:
            # All of them before anybody hears of one: who has a look then sees what all of them have left.
            deaths = list(reap(self.whose))
            self.dead = {each.number for each in deaths}
            for each in deaths:
                self.dead.discard(each.number)
                yield each
        for number in sorted(received - {_signal.SIGCHLD}):
            yield Event("signal", number, to=self.listener)


def reap(whose: Callable[[int], object]) -> Iterable[Event]:
    """An event for every child that has died, of one's own or adopted, to the one `whose` it was."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield Event("exit", pid, status, whose(pid))


def _nobodys(pid: int) -> None:
    """There is nobody among whom to choose."""


def _nothing(number: int, frame: object) -> None:
    """The wake-up descriptor tells."""
