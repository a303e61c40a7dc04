"""A manager's control socket: who may connect, and whose turn it is. What is spoken there is read elsewhere, and loaded
when the first client comes."""

from __future__ import annotations

import _socket
import fcntl
import os
import sys
import time

from initkit.run import pidfile
from initkit.run.api import EVERYTHING, NOTHING, READ
from initkit.run.loop import INFINITY, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.api import Manager
    from initkit.run.connection import Connection
    from initkit.run.loop import Loop
    from initkit.settings.service import Service

CLIENTS = 64
_READERS = 32  # those without the right to change something have a share of their own: they cannot lock others out
_REFUSED = 16  # of either, clients beyond these are told that they are too many
_BACKLOG = 128
_FAREWELL = 1.0  # seconds for the last replies
_SO_PEERGROUPS = 59  # <asm-generic/socket.h>


def path_of(service: Service) -> str:
    """Where a service's manager listens."""
    return f"{service.runtime_root}/initkit/{service.name}.sock"


class Server:
    """Listens at `path`; asks `manage` for the manager when the first client comes.

    The socket is the owner's, and `group`'s where one is named: its members may look.

    Raises:
        OSError: BlockingIOError when another manager listens there, or why it cannot be made.
        LookupError: when there is no such group.
    """

    def __init__(self, path: str, loop: Loop, manage: Callable[[], Manager], group: str = "") -> None:
        self.path, self.loop, self._manage = path, loop, manage
        self._owners: list[Connection] = []
        self._readers: list[Connection] = []
        self._gid = _group(group) if group else -1
        self._manager: Manager | None = None
        self._hungry: list[Connection] = []  # those that wait for their next turn
        self._resting = INFINITY  # until when no client is taken in, because the system has no room
        pidfile.make_folder(os.path.dirname(path))
        self._lock = lock(f"{path}.lock")
        try:
            self._socket = _listen(path, self._gid)
        except BaseException:
            os.close(self._lock)
            raise
        self._listening = False
        self._listen()

    # --- clients --------------------------------------------------------------------------------------------------

    def _accept(self) -> Iterable[Event]:
        from initkit.run.connection import Connection

        try:
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]  # what `socket.accept` calls
        except (BlockingIOError, ConnectionError):
            return ()
        except OSError:  # no descriptor, or no memory, is left
            self._resting = time.monotonic() + 1
            self.settle()
            return ()
        socket = _socket.socket(fileno=fd)
        socket.setblocking(False)
        rights = self._rights(socket)
        if rights != EVERYTHING and len(self._readers) >= _READERS + _REFUSED:
            socket.close()  # left to wait they would fill the queue, where nobody can be told from the owner
            return ()
        connection = Connection(socket, self, rights)
        self._peers(connection).append(connection)
        self.loop.watch(fd, connection.turn)
        self.settle()
        return ()

    def _rights(self, socket: _socket.socket) -> int:
        """What the process at the other end may do: unix(7), SO_PEERCRED."""
        found = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        uid, gid = (int.from_bytes(found[at : at + 4], sys.byteorder) for at in (4, 8))
        if uid in (0, os.geteuid()):
            return EVERYTHING
        return READ if self._gid >= 0 and (gid == self._gid or self._gid in _groups(socket, uid, gid)) else NOTHING

    @property
    def manager(self) -> Manager:
        """The manager that clients ask."""
        if self._manager is None:
            self._manager = self._manage()
        return self._manager

    @property
    def connections(self) -> list[Connection]:
        """All clients."""
        return self._owners + self._readers

    def _peers(self, connection: Connection) -> list[Connection]:
        return self._owners if connection.rights == EVERYTHING else self._readers

    def _share(self, connection: Connection) -> int:
        return CLIENTS if connection.rights == EVERYTHING else _READERS

    def crowded(self, connection: Connection) -> bool:
        """Whether some client of its kind cannot be served at present."""
        return len(self._peers(connection)) > self._share(connection)

    def full(self, connection: Connection) -> bool:
        """Whether so many others of its kind were there before that this client cannot be served."""
        return self._peers(connection).index(connection) >= self._share(connection)

    def forget(self, connection: Connection) -> None:
        """A client has gone."""
        self._peers(connection).remove(connection)
        if connection in self._hungry:
            self._hungry.remove(connection)
        self.loop.unwatch(connection.fileno())

    def again(self, connection: Connection) -> None:
        """Give a client another turn when all others have had theirs."""
        if connection not in self._hungry:
            self._hungry.append(connection)

    def settle(self) -> None:
        """After anything has happened: when to wake up next, if at all."""
        self._listen()
        self.loop.at(self._resume, 0.0 if self._hungry else INFINITY)
        self.loop.at(self._expire, min([self._resting, *(each.deadline for each in self.connections)]))

    def _listen(self) -> None:
        wanted = len(self._owners) < CLIENTS + _REFUSED and self._resting == INFINITY
        if wanted and not self._listening:
            self.loop.watch(self._socket.fileno(), self._accept)
        elif self._listening and not wanted:
            self.loop.unwatch(self._socket.fileno())
        self._listening = wanted

    def _resume(self) -> Iterable[Event]:
        hungry, self._hungry = self._hungry, []
        for each in hungry:
            yield from each.turn()
        self.settle()

    def _expire(self) -> Iterable[Event]:
        now = time.monotonic()
        if now >= self._resting:
            self._resting = INFINITY
        for each in [each for each in self.connections if now >= each.deadline]:
            each.close()
        self.settle()
        return ()

    # --- the end --------------------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """Leave the place to another manager. Clients that are connected stay."""
        self._resting = 0.0
        self._listen()
        self._socket.close()
        try:
            os.unlink(self.path)
        except OSError:
            pass
        os.close(self._lock)

    def close(self) -> None:
        """Bring the last replies out, and end all connections."""
        for each in self.connections:
            tuple(each.turn())  # what has been asked meanwhile
        for each in self.connections:
            each.finish()
        deadline = time.monotonic() + _FAREWELL
        for each in self.connections:
            each.drain(deadline)
            each.close()
        self.settle()


def _group(name: str) -> int:
    from initkit.plan.identity import find_group

    return find_group(name)


def _groups(socket: _socket.socket, uid: int, gid: int) -> list[int]:
    """The supplementary groups of the process at the other end."""
    try:
        found = socket.getsockopt(_socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError:  # more than fit, or not this system's number: those that the user has by the book
        from initkit.plan.identity import find_user

        entry = find_user(str(uid))
        return os.getgrouplist(entry.pw_name, gid) if entry else []
    return [int.from_bytes(found[at : at + 4], sys.byteorder) for at in range(0, len(found), 4)]


def lock(path: str) -> int:
    """The lock that says that a manager is there: it goes with the process, however that ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _listen(path: str, gid: int) -> _socket.socket:
    """A listening socket at `path`, in place of a dead manager's."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    draft = f"{path}.new"
    before = os.umask(0o177)
    try:
        unlink(draft)
        made.bind(draft)
        if gid >= 0:
            os.chown(draft, -1, gid)
            os.chmod(draft, 0o660)
        made.listen(_BACKLOG)
        os.rename(draft, path)
    except BaseException:
        made.close()
        unlink(draft)
        raise
    finally:
        os.umask(before)
    return made


def unlink(path: str) -> None:
    """Remove a file, if it is there and may be removed."""
    try:
        os.unlink(path)
    except OSError:
        pass
