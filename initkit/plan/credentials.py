"""The step that gives a program its credentials: systemd.exec(5), "CREDENTIALS". They are files in a file system of
their own, in memory, which only the service's user and root may read, and nobody may change."""

from __future__ import annotations

import errno
import os
import stat
import struct

from initkit.plan import libc
from initkit.plan.step import Process, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from initkit.settings.credentials import Import, Load, Set
    from initkit.settings.service import Service

DIRECTIVES = ("LoadCredential", "SetCredential", "ImportCredential")
#: Where the system keeps credentials: systemd.exec(5), ImportCredential=. What comes first counts.
_STORES = ("/run/credentials/@system", "/etc/credstore", "/run/credstore", "/usr/local/lib/credstore",
           "/usr/lib/credstore")  # fmt: skip
_ACL = "system.posix_acl_access"
_MOST = 1024 * 1024  # bytes of all credentials of a service
_OPTIONS = "mode=0700,nr_inodes=1024,size=2M"
_FLAGS = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
_UNPRIVILEGED = (errno.EPERM, errno.EACCES, errno.ENODEV)


class Credentials(Step):
    """Load the credentials, once in a life, and tell the program by $CREDENTIALS_DIRECTORY."""

    name = "credentials"
    manual = "systemd.exec(5) LoadCredential=, SetCredential=, ImportCredential="
    directives = DIRECTIVES
    status = 243

    path: str
    unit: str
    loads: tuple[Load, ...]
    imports: tuple[Import, ...]
    sets: tuple[Set, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        # Of several with one name the last counts.
        loads = tuple({each.name: each for each in service.load_credentials}.values())
        sets = tuple({each.name: each for each in service.set_credentials}.values())
        imports = service.import_credentials
        return cls(service.expand("%d"), service.unit, loads, imports, sets) if loads or imports or sets else None

    def apply(self, process: Process) -> None:
        if not is_made(self.path):
            found = self._found()
            if sum(map(len, found.values())) > _MOST:
                raise OSError(errno.E2BIG, "more than a megabyte of credentials")
            uid = os.geteuid() if process.uid is None else process.uid
            _make(self.path, found, uid)
        process.environment["CREDENTIALS_DIRECTORY"] = self.path

    def _found(self) -> dict[str, bytes]:
        """All credentials by their names: those that are loaded before others, those that are set last."""
        found: dict[str, bytes] = {}
        given = {each.name for each in self.sets}
        for load in self.loads:
            try:
                for name, data in self._load(load):
                    found.setdefault(name, data)
            except FileNotFoundError:
                if load.name not in given and load.source.startswith("/"):
                    raise
        for each in self.imports:
            for name, data in _import(each):
                found.setdefault(name, data)
        for one in self.sets:
            found.setdefault(one.name, one.data)
        return found

    def _load(self, load: Load) -> Iterator[tuple[str, bytes]]:
        if not load.source.startswith("/"):
            yield load.name, _stored(load.source)
            return
        kind = os.stat(load.source).st_mode
        if stat.S_ISDIR(kind):
            yield from _folder(load.name, load.source)
        elif stat.S_ISSOCK(kind):
            yield load.name, _told(load.source, f"{self.unit}/{load.name}")
        else:
            yield load.name, _read(load.source)


def is_made(path: str) -> bool:
    """Whether this life's are there."""
    try:
        return os.stat(path).st_mode & 0o777 in (0o500, 0o550)
    except FileNotFoundError:
        return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST + 1)


def _stored(name: str) -> bytes:
    for store in _STORES:
        try:
            return _read(f"{store}/{name}")
        except FileNotFoundError:
            pass
    raise FileNotFoundError(errno.ENOENT, "no credential store has it", name)


def _folder(name: str, path: str) -> Iterator[tuple[str, bytes]]:
    """All files below, named after their way there."""
    for entry in sorted(os.scandir(path), key=lambda each: each.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(f"{name}_{entry.name}", entry.path)
        elif entry.is_file():
            yield f"{name}_{entry.name}", _read(entry.path)


def _import(wanted: Import) -> Iterator[tuple[str, bytes]]:
    start = wanted.pattern.removesuffix("*")
    for store in _STORES:
        for name in sorted(os.listdir(store)) if os.path.isdir(store) else ():
            if name == wanted.pattern or (wanted.pattern.endswith("*") and name.startswith(start)):
                rest = name.removeprefix(start)
                yield name if wanted.renamed is None else wanted.renamed + rest, _read(f"{store}/{name}")


def _told(path: str, asking: str) -> bytes:
    """What a socket says. By its own address the caller says which credential it asks for, for which unit."""
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.bind(f"\0{os.urandom(8).hex()}/unit/{asking}")
        connection.connect(path)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
            if sum(map(len, pieces)) > _MOST:
                break
        return b"".join(pieces)
    finally:
        connection.close()


def _make(path: str, found: dict[str, bytes], uid: int) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        os.chmod(path, 0o700)
    try:
        libc.mount("tmpfs", path, "tmpfs", _FLAGS, _OPTIONS)
        mounted = True
    except OSError as fault:
        if fault.errno not in _UNPRIVILEGED:
            raise
        mounted = False  # as systemd does without privileges: a folder
    for name, data in found.items():
        fd = os.open(f"{path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
        with open(fd, "wb") as file:
            file.write(data)
            _permit(fd, uid, 4)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchmod(fd, 0o500)
        _permit(fd, uid, 5)
    finally:
        os.close(fd)
    if mounted:
        libc.mount("", path, flags=libc.MS_BIND | libc.MS_REMOUNT | libc.MS_RDONLY | _FLAGS)


def _permit(fd: int, uid: int, bits: int) -> None:
    """Let the user in beside root, who keeps it: acl(5). Where there are no such lists it becomes the user's."""
    if uid == os.geteuid():
        return
    nobody = 0xFFFFFFFF
    entries = ((1, bits, nobody), (2, bits, uid), (4, 0, nobody), (16, bits, nobody), (32, 0, nobody))
    try:
        os.setxattr(fd, _ACL, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries))
    except OSError:
        os.fchown(fd, uid, -1)


def remove(path: str) -> None:
    """A life is over: so are its credentials."""
    try:
        libc.unmount(path)
    except OSError:
        pass  # a folder, or gone
    try:
        for name in os.listdir(path):
            os.chmod(path, 0o700)
            os.unlink(f"{path}/{name}")
        os.rmdir(path)
    except OSError:
        pass
