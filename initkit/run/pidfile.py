"""PID files: written so that every reader understands them, and believed only as far as they can be.

The first line is the pid, as everywhere; a second one, "STARTTIME BOOTID" (proc(5) starttime, boot_id), tells the
process from a later one with its pid. A file without it is believed where a program writes it itself (Type=forking),
when the process runs the service's program and started before the file was last written.
"""

from __future__ import annotations

import errno
import os

from initkit.errors import InitkitError
from initkit.run import identity
from initkit.run.identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.settings.service import Service

_SLACK = 2.0  # seconds: the kernel tells the boot's time in whole ones
_MOST = 4096  # bytes
_INTERPRETERS = ("python", "perl", "ruby", "node", "php", "lua", "java", "sh", "bash", "dash", "mksh", "busybox")


class UnsafePidFile(InitkitError):  # noqa: N818
    """A PID file in a place where others may plant one: exit status 4 (LSB: insufficient privilege)."""

    status = 4


def check(path: str, trusted: tuple[int, ...]) -> None:
    """Refuse a PID file that somebody else may have put there: uids other than `trusted` and root's.

    Raises:
        UnsafePidFile: naming what is wrong with the path.
    """
    if os.path.islink(path):
        raise UnsafePidFile(f"PID file {path}: is a symbolic link", hint="remove it, or set pid_file to another path")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise UnsafePidFile(f"PID file {path}: is no regular file", hint="set pid_file to another path")
    folder = os.path.realpath(os.path.dirname(path))
    own = True
    while True:
        found = _stat(folder, path)
        shared = found is not None and found.st_mode & 0o022 and (own or not found.st_mode & 0o1000)
        if found is not None and (shared or found.st_uid not in (0, *trusted)):
            raise UnsafePidFile(
                f"PID file {path}: others may write to {folder}", hint="set pid_file to a path in a directory of root's"
            )
        own = own and found is None
        if folder == "/":
            return
        folder = os.path.dirname(folder)


def _stat(folder: str, path: str) -> os.stat_result | None:
    try:
        return os.stat(folder)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise UnsafePidFile(f"PID file {path}: {folder}: {fault.strerror}") from None


def trusted_uids(service: Service) -> tuple[int, ...]:
    """The uids whose PID files and processes are taken for the service's own: ours and User='s."""
    from initkit.plan.identity import find_user

    try:
        entry = find_user(service.account) if service.account else None
    except LookupError:
        entry = None  # the start itself will say so, with the right status
    return (os.geteuid(), entry.pw_uid) if entry else (os.geteuid(),)


def make_folder(path: str) -> None:
    """Make a folder and its parents, mode 0755 whatever the umask is.

    Raises:
        OSError: when it cannot be made.
    """
    old = os.umask(0o022)
    try:
        os.makedirs(path, exist_ok=True)
    finally:
        os.umask(old)


def write(path: str, pid: int) -> None:
    """Write the file in one step; its folder is made when it is missing.

    Raises:
        OSError: when it cannot be written.
    """
    who = identity.of(pid)
    if who is None:
        raise ProcessLookupError(3, "is gone", path)
    os.close(publish(path, f"{pid}\n{who.start} {who.boot}\n"))


def publish(path: str, text: str, prepare: Callable[[int], None] | None = None) -> int:
    """Put a file in its place at once, with all that is in it; its folder is made when it is missing. `prepare` has the
    descriptor before anybody else may read the file.

    Returns a descriptor to write more with.

    Raises:
        OSError: when it cannot be written.
    """
    folder, name = os.path.split(path)
    make_folder(folder)
    draft = f"{folder}/.{name}.{os.getpid()}"
    unlink(draft)  # of one with this pid that was killed here
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if prepare:
            prepare(fd)
        os.fchmod(fd, 0o644)  # whatever the umask
        data = text.encode()
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.rename(draft, path)
    except OSError:
        unlink(draft)
        os.close(fd)
        raise
    return fd


def unlink(path: str) -> None:
    """Remove a file, if it is there and may be."""
    try:
        os.unlink(path)
    except OSError:
        pass


def remove(path: str, pid: int) -> None:
    """Remove the file if it still names `pid`, or nobody."""
    if named(path) in (pid, 0):
        unlink(path)


def named(path: str) -> int:
    """The pid in the file; 0 when there is none in it, or no such file."""
    return _first_number(_read(path))


def running(path: str, service: Service) -> Identity | None:
    """The process that the file names, when it is certain to be the service's; else None."""
    text = _read(path)
    pid = _first_number(text)
    found = identity.of(pid) if pid > 0 else None
    if found is None:
        return None
    lines = text.splitlines()
    if len(lines) > 1:
        return found if lines[1] == f"{found.start} {found.boot}" else None
    if service.type != "forking" or not service.pid_file:
        return None  # initkit writes these, and always with the second line
    try:
        older = identity.started_at(pid) <= os.stat(path).st_mtime + _SLACK
    except OSError:
        return None
    believed = older and identity.owner(pid) in (0, *trusted_uids(service)) and _runs_program(pid, service)
    return found if believed else None


def _runs_program(pid: int, service: Service) -> bool:
    """Whether a process runs what ExecStart= names: as its executable, or as a script of an interpreter's."""
    executable = identity.executable(pid)
    words = identity.read(f"/proc/{pid}/cmdline").split("\0")
    for command in service.exec_start:
        path = command.program
        interpreter = os.path.basename(executable).startswith(_INTERPRETERS)
        if interpreter:  # many a stranger runs it, too: the script must be the same
            scripts = [word for word in (path, *command.words[1:]) if word.startswith("/") and word != executable]
            if any(word in words[1:] for word in scripts if os.path.realpath(word) != executable):
                return True
        elif executable and (os.path.realpath(path) == executable or path == os.path.basename(executable)):
            return True
    return False


def _read(path: str) -> str:
    try:
        # The service's user may have put anything there.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        return os.read(fd, _MOST).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _first_number(text: str) -> int:
    first = text.split(maxsplit=1)[:1]
    return int(first[0]) if first and first[0].isascii() and first[0].isdigit() and len(first[0]) < 10 else 0
