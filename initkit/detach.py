"""`daemonize`: makes a daemon of the program that calls it, by the steps of daemon(7)."""

from __future__ import annotations

import os
import sys

from initkit import notify
from initkit.errors import InitkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.settings.service import Entry, Service

    Path = str | os.PathLike[str]


_FILES = ("append:", "truncate:", "file:")
_WORDS = ("null", "journal", "syslog", "inherit")


class Daemonized:
    """What `daemonize` returns in the daemon: its PID file ("" for none), and `ready` for `wait_ready=True`."""

    def __init__(self, pid_file: str) -> None:
        self.pid_file = pid_file

    def ready(self) -> bool:
        """Let the launcher exit 0, and tell a service manager as well: `notify.ready`."""
        return notify.ready()


def daemonize(
    *,
    pid_file: Path | None = None,
    stdin: Path | None = None,
    stdout: Path | None = None,
    stderr: Path | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
    umask: int = 0o022,
    chdir: Path = "/",
    keep_fds: Iterable[int] = (),
    wait_ready: bool = False,
) -> Daemonized:
    """Become a daemon: returns in the daemon only. The process that called exits with status 0 once the daemon stands.

    The daemon keeps the program's environment (but LISTEN_FDS and WATCHDOG_USEC, which were meant for the caller) and
    its Python signal handlers; all other signals have their defaults. Where the program has no handler for SIGTERM,
    that signal raises `SystemExit(0)`. Descriptors above 2 that were passed to the program are closed; what it has
    opened itself stays open. Call it before starting threads.

    Args:
        pid_file: an absolute path. It holds the pid, and in a second line what tells the process from a later one of
            that pid. It is removed at exit and on SIGTERM (emptied, where `user` may not remove it). While the process
            that it names runs, no second daemon starts; `PID_FILE.lock` keeps two starts apart.
        stdin: a file to read; nothing without one.
        stdout: a file to append to, or in the words of systemd.exec(5) "truncate:PATH", "journal", "syslog", "null",
            "inherit"; nothing without one.
        stderr: the same; without one it goes where stdout goes.
        user: name or number to become, with that user's groups, HOME, USER, LOGNAME and SHELL.
        group: name or number; the user's own without one.
        umask: for the files that the daemon makes.
        chdir: an absolute path, or "~".
        keep_fds: descriptors to keep open of those that were passed to the program, or that it made inheritable.
        wait_ready: the launcher exits only when `ready()` is called on the result (or `notify.ready()`).

    Raises (in the process that called, which goes on):
        AlreadyRunning: the PID file names a living daemon.
        InitkitError: it cannot be done; the message says what and why. With `wait_ready` also when the daemon ends
            before it is ready: `status` is its exit status (1 where that was 0).
    """
    import _thread

    if _thread._count():
        raise InitkitError("daemonize: other threads are running, and would be lost", hint="start them afterwards")
    path = os.path.abspath(os.fspath(pid_file)) if pid_file is not None else ""
    entries = (
        _entry("PIDFile", "pid_file", path),
        _entry("StandardInput", "stdin", f"file:{_absolute(stdin)}" if stdin is not None else "null"),
        _entry("StandardOutput", "stdout", _stream(stdout) if stdout is not None else "null"),
        _entry("StandardError", "stderr", _stream(stderr) if stderr is not None else "inherit"),
        _entry("User", "user", "" if user is None else str(user)),
        _entry("Group", "group", "" if group is None else str(group)),
        _entry("UMask", "umask", f"{umask:04o}"),
        _entry("WorkingDirectory", "chdir", os.fspath(chdir)),
        _entry("Type", "", "simple"),
        _entry("SettleSec", "", "0"),
    )
    from initkit.run.detach import Start

    Start(_service(entries), path, tuple(keep_fds), notify.listen_on if wait_ready else None).run()
    return Daemonized(path)


def _entry(key: str, argument: str, value: str) -> Entry:
    from initkit.settings.service import OWN, Entry

    return Entry(OWN if key == "SettleSec" else "Service", key, value.replace("%", "%%"), spelled=argument)


def _stream(where: Path) -> str:
    text = os.fspath(where)
    return text if text in _WORDS or text.startswith(_FILES) else f"append:{_absolute(text)}"


def _absolute(path: Path) -> str:
    return os.path.abspath(os.fspath(path))


def _service(entries: tuple[Entry, ...]) -> Service:
    from initkit.settings.service import Service

    name = os.path.basename(sys.argv[0] if sys.argv else "").removesuffix(".py") or "python"
    return Service(name, "daemonize", tuple(each for each in entries if each.value), user=os.geteuid() != 0)
