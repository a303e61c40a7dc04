"""Allocating a user for a life of a service: DynamicUser=. A number is whose who holds the lock on its file, so that no
two services have one; the lock goes with the process that holds it, in whatever way that ends."""

from __future__ import annotations

import fcntl
import os

from initkit.plan import dynamic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.settings.service import Service

_FOLDER = "/run/initkit/dynamic-uid"
_SYSTEMDS = "/run/systemd/dynamic-uid"  # where there is a systemd beside us


class User:
    """An allocated user: `uid` and `gid` until `release`. One that exists by that name is taken as it is."""

    def __init__(self, uid: int, gid: int, lock: int = -1) -> None:
        self.uid, self.gid, self._lock = uid, gid, lock

    def release(self) -> None:
        """Nothing of the service's is left: the number may be somebody else's."""
        if self._lock >= 0:
            os.unlink(f"{_FOLDER}/{self.uid}")
            os.close(self._lock)
            self._lock = -1


def allocate(service: Service) -> User | None:
    """The service's user for a life; None when there is no number left, or no right to take one."""
    import pwd

    name = dynamic.user_name(service)
    try:
        entry = pwd.getpwnam(name)
        return User(entry.pw_uid, entry.pw_gid)
    except KeyError:
        pass
    for uid in _candidates(service, name):
        lock = _lock(uid, name)
        if lock >= 0:
            return User(uid, uid, lock)
    return None


def _candidates(service: Service, name: str) -> Iterator[int]:
    """Whose its directories are already, for then there is nothing to hand over; what the name stands for; all."""
    for letter, attribute in (("%S", "state_directory"), ("%C", "cache_directory"), ("%L", "logs_directory")):
        for each in getattr(service, attribute):
            try:
                uid = os.stat(f"{service.expand(letter)}/private/{each.path}").st_uid
            except OSError:
                continue
            if dynamic.FIRST <= uid <= dynamic.LAST:
                yield uid
    first = dynamic.preferred(name)
    yield from range(first, dynamic.LAST + 1)
    yield from range(dynamic.FIRST, first)


def _lock(uid: int, name: str) -> int:
    """A descriptor that holds the number's lock; -1 when it is somebody's."""
    if os.path.exists(f"{_SYSTEMDS}/{uid}") or _is_known(uid):
        return -1
    path = f"{_FOLDER}/{uid}"
    try:
        os.makedirs(_FOLDER, 0o755, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):  # else it was released, and removed, meanwhile
            os.truncate(fd, 0)
            os.write(fd, f"{name}\n".encode())
            return fd
    except OSError:
        pass  # it is locked, or removed
    os.close(fd)
    return -1


def _is_known(uid: int) -> bool:
    """Whether somebody is that user, or group, already."""
    import grp
    import pwd

    for find in (pwd.getpwuid, grp.getgrgid):
        try:
            find(uid)
            return True
        except KeyError:
            pass
    return False
