"""The register of a service: which processes were started for it, so that they are found when their manager is gone.

NAME.register lies beside initkit's PID file and is believed on the same terms. It is a line for each fact, each written
by one write(2):

    boot ID                      of what follows: random(4), boot_id
    manager PID START SOCKET     who looks after the service, and where it listens
    invocation ID                $INVOCATION_ID of what is started from now on: systemd.exec(5)
    main PID START               a main program, and
    control PID START            a command beside it, each in a session of its own
    logger PID START             [initkit] log_command's or log_file's process
    reader PID START             who reads the output that the settings send nowhere

A program's own process writes its line before it is executed. Until then it has the file open, as who starts it has for
as long, and with it a lock: where the manager is dead and that lock is gone, whatever was started can be found. Another
lock goes as soon as it says who the manager is: see `initkit.run.bytelocks`.

No service has its register open all the time: every exec closes what its manager has open, file by file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from initkit.run import bytelocks, identity, pidfile
from initkit.run.identity import Identity
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.run.family import Family
    from initkit.settings.service import Service

SUFFIX = ".register"
_MANY = 100  # lives after which it is written anew
_PATIENCE = 10.0  # seconds that the last child of a dead manager has to be executed, or to end
_MOST = 1024 * 1024  # bytes
_HEAD = 8192  # bytes in which it says who the manager is
_UNSAID, _UNBORN = 0, 1  # the bytes that are locked until the manager is known, and while anything may be started
_PROCESSES = ("main", "control", "logger", "reader")


def path_of(service: Service) -> str:
    """Where a service's register is."""
    return f"{service.runtime_root}/initkit/{service.name}{SUFFIX}"


class Register:
    """A register that is being written, in place of one that was there. It is open until it says who the manager is, or
    is closed.

    Raises:
        OSError: when it cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lives = 0
        self._torn = False  # whether it ends in a part of a line
        self._kept: list[str] = [f"boot {identity.boot_id()}\n"]  # what is true of all lives
        self._mark = ""  # the line that no other register has
        self.fd = self._publish()

    def _publish(self, more: str = "") -> int:
        fd = pidfile.publish(self.path, "".join(self._kept) + more, self._lock)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        return fd

    def _lock(self, fd: int) -> None:
        bytelocks.lock(fd, _UNBORN)
        if not self._mark:
            bytelocks.lock(fd, _UNSAID)

    def managed(self, socket: str) -> None:
        """This process looks after the service, and listens at `socket`."""
        line = _line("manager", os.getpid(), socket)
        self._write(line)
        self._mark = line
        self._kept.append(line)
        for byte in (_UNSAID, _UNBORN):  # the launcher has it open, too
            bytelocks.unlock(self.fd, byte)
        self.close()

    def open(self) -> None:
        """Have it open while something is started.

        Raises:
            OSError: when it cannot be had, or another one lies there.
        """
        if self.fd >= 0:
            return
        self.fd = self._opened()
        try:
            bytelocks.lock(self.fd, _UNBORN)
        except OSError:
            pass  # who may read it may hold it up so, and would see somebody a moment later than he could

    def _opened(self) -> int:
        """It by its path. What lies there may be another manager's by now, and have its number."""
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        if self._mark.encode() not in os.pread(fd, _HEAD, 0):
            os.close(fd)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), self.path)
        return fd

    def begin(self, invocation: str, family: Family | None = None) -> None:
        """A life begins. In the `family` is who is left of earlier ones.

        Raises:
            OSError: when it cannot be taken down, as in what follows.
        """
        self._lives += 1
        if family and self._lives % _MANY == 0:
            self._shorten(family)
        self._write(f"invocation {invocation}\n")

    def enrol(self, word: str, pid: int = 0) -> None:
        """Take down a process, without a pid this one."""
        line = _line(word, pid or os.getpid())
        self._write(line)
        self._mark = self._mark or line

    def _write(self, line: str) -> None:
        data = f"\n{line}".encode() if self._torn else line.encode()
        fd = self._opened() if self.fd < 0 else self.fd
        self._torn = True
        try:
            if os.write(fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        finally:
            if fd != self.fd:
                os.close(fd)
        self._torn = False

    def _shorten(self, family: Family) -> None:
        """Write it anew, without those that are gone and the lives of which nobody is left."""
        known = read(self.path)
        if known is None:
            return
        lines = [
            f"{word} {each.pid} {each.start}\n" for word in _PROCESSES for each in getattr(known, word) if each.alive()
        ]
        lives = {identity.invocation(each.pid) for each in family.members()}
        lines += [f"invocation {each}\n" for each in sorted(lives & known.invocations)]
        try:
            os.close(self._publish("".join(lines)))
        except OSError:
            return  # it stays as it is
        self._torn = False

    def close(self) -> None:
        """Nothing is started by this process at present."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def remove(self) -> None:
        """Remove the file, if it is this register's."""
        try:
            if self._mark:  # its descriptor may be closed, with all others of a program that is about to begin
                os.close(self._opened())
            elif not os.path.samestat(os.stat(self.path), os.fstat(self.fd)):
                return
            os.unlink(self.path)
        except OSError:
            pass


def settle(path: str) -> None:
    """Wait until it is known who the manager is, and where that is dead, until nothing can be started any more; not for
    ever."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return
    deadline = time.monotonic() + _PATIENCE
    try:
        bytelocks.wait(fd, _UNSAID, _PATIENCE)
        known = read(path)
        if known is None or not known.managed():
            bytelocks.wait(fd, _UNBORN, deadline - time.monotonic())
    except OSError:  # not in time, say
        pass
    finally:
        os.close(fd)


def _line(word: str, pid: int, *more: str) -> str:
    found = identity.stat(pid)
    return " ".join((word, str(pid), str(found.start if found else 0), *more)) + "\n"


class Known(Record):
    """What a register tells. `manager` is None where nobody was to stay with the program."""

    manager: Identity | None
    socket: str
    main: tuple[Identity, ...]
    control: tuple[Identity, ...]
    logger: tuple[Identity, ...]
    reader: tuple[Identity, ...]
    invocations: frozenset[str]

    def managed(self) -> bool:
        """Whether the manager runs still."""
        return self.manager is not None and self.manager.alive()

    def orphaned(self) -> bool:
        """Whether there was a manager that is gone."""
        return self.manager is not None and not self.manager.alive()

    @property
    def since(self) -> int:
        """When the first of all began: none of the service's processes is older."""
        return min((each.start for each in (*filter(None, (self.manager,)), *self.main, *self.control)), default=0)


def read(path: str) -> Known | None:
    """What the register at `path` tells of this boot; None when there is none that can be believed."""
    try:
        pidfile.check(path, (os.geteuid(),))
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, pidfile.UnsafePidFile):
        return None
    try:
        found = os.fstat(fd)
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            return None
        return _parsed(os.read(fd, _MOST).decode("utf-8", "replace"))
    except OSError:
        return None
    finally:
        os.close(fd)


def _parsed(text: str) -> Known | None:
    """Lines that say nothing are passed over."""
    boot = identity.boot_id()
    lines = [line.split(" ") for line in text.splitlines()]
    if lines[:1] != [["boot", boot]]:
        return None
    manager, socket = None, ""
    found: dict[str, list[Identity]] = {word: [] for word in _PROCESSES}
    invocations = set()
    for word, *values in lines[1:]:
        if word == "invocation" and len(values) == 1 and len(values[0]) == 32:
            invocations.add(values[0])
        elif len(values) >= 2 and all(map(_is_number, values[:2])):
            who = Identity(int(values[0]), int(values[1]), boot)
            if word == "manager":
                manager, socket = who, " ".join(values[2:])
            elif word in found:
                found[word].append(who)
    main, control, logger, reader = (tuple(found[word]) for word in _PROCESSES)
    return Known(manager, socket, main, control, logger, reader, frozenset(invocations))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text) > 0
