"""A Python program that runs already becomes a daemon, by the steps of daemon(7), and its caller hears how that went.

The steps that close descriptors and reset signals come after the forks: the caller goes on when one fails.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import sys

from initkit.errors import AlreadyRunning, InitkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, Protocol

    from initkit.plan.step import Process, Step
    from initkit.settings.service import Service

    class Telling(Protocol):
        status: int
        said: str

        def wait(self, process: Process, close: tuple[int, ...]) -> None: ...
        def make_heir(self) -> None: ...
        def leave_heir(self) -> None: ...
        def end_heir(self) -> None: ...


class Start:
    """One start: what both sides of it share.

    `listen` is handed a descriptor: the start is over when a newline is written to it. Without one it is over when
    `run` returns.
    """

    def __init__(
        self, service: Service, pid_file: str, keep: tuple[int, ...], listen: Callable[[int], None] | None
    ) -> None:
        self.service, self.pid_file, self.keep, self.listen = service, pid_file, keep, listen
        self.told = self.lock = self.emptied = -1
        self.dispositions: dict[int, Any] = {}
        self.mask: set[int] = set()  # of signals, in the daemon

    def run(self) -> None:
        """Perform the steps. Returns in the daemon, raises in the launcher.

        Raises:
            AlreadyRunning, InitkitError: it cannot be done, or the daemon has ended before it was ready.
        """
        from initkit.plan import kernel
        from initkit.plan.daemonize import INTERRUPTS
        from initkit.plan.step import LAUNCHER, Process
        from initkit.run.descriptors import open_standard_streams
        from initkit.run.perform import perform

        open_standard_streams()
        steps = tuple(self._steps())  # what cannot be meant is said before anything is done
        handlers = dict(_handlers())
        self.dispositions = {number: _signal.getsignal(number) for number in INTERRUPTS}
        process = Process(self.service)
        process.role = LAUNCHER
        process.environment = {name: value for name, value in os.environ.items() if name not in _CALLERS}
        process.fds = tuple({*self.keep, *_own_descriptors()})
        _flush()
        opened = self._open()
        try:
            kernel.become_subreaper()  # the daemon becomes our child, not init's, until we exit: so we hear how it ends
            launcher = _launcher(self.service, (self.pid_file,) if self.pid_file else (), *opened[:2])
            process.private_fds = tuple(fd for fd in (self.lock, self.told, *opened) if fd >= 0)
            process.hooks = {
                "fork": launcher.make_heir,
                "pid_file": lambda: self._write_pid_file(process, opened, launcher),
                "ready": lambda: self._begin(process.environment, handlers),
                "wait": lambda: launcher.wait(process, close=(self.told, opened[2])),
            }
            try:
                perform(steps, process)
            except BaseException as fault:
                if process.role == LAUNCHER:
                    launcher.end_heir()
                    raise
                self._fail(fault)
            if process.role == LAUNCHER:
                self._leave(launcher)
        finally:
            if process.role == LAUNCHER:
                _close(*opened[:2], self.lock)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)

    def _steps(self) -> Iterator[Step]:
        """daemon(7)'s steps; the first four come after the forks, for the caller goes on if one fails."""
        from initkit import plan
        from initkit.plan import daemonize as sysv

        yield from (sysv.Fork(), sysv.SetSid(), sysv.ForkAgain(), sysv.ExitFirstChild())
        yield from (sysv.NullStreams(), sysv.ClearUmask(), sysv.RootAsDirectory(), sysv.WritePidFile(self.pid_file))
        yield from plan.before_exec(self.service)
        yield from (sysv.NotifyLauncher(), sysv.ExitLauncher())

    def _open(self) -> tuple[int, int, int]:
        """Take the lock; the pipes between daemon and launcher: reports (to read), early output (to read, to write)."""
        if self.pid_file:
            self.lock = _locked(self.service, self.pid_file)
        reports, self.told = os.pipe2(os.O_CLOEXEC)
        return (reports, *os.pipe2(os.O_CLOEXEC))

    # --- the launcher -----------------------------------------------------------------------------------------------

    def _leave(self, launcher: Telling) -> NoReturn:
        if launcher.status == 0:
            os._exit(0)  # what the program has registered for its exit is the daemon's
        for number, disposition in self.dispositions.items():
            _signal.signal(number, disposition)
        if not launcher.said:
            os.kill(os.getpid(), launcher.status - 128)  # the signal that broke the start off
        raise InitkitError(launcher.said or "daemonize: broken off", status=launcher.status)

    # --- the daemon -------------------------------------------------------------------------------------------------

    def _write_pid_file(self, process: Process, opened: tuple[int, int, int], launcher: Telling) -> None:
        from initkit.run import pidfile

        os.close(opened[0])
        os.close(opened[1])
        launcher.leave_heir()
        if self.pid_file:
            pidfile.write(self.pid_file, os.getpid())
            os.close(self.lock)  # the launcher has it until the start is over
            if self.service.account:  # who may not remove it
                self.emptied = os.open(self.pid_file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.close(opened[2])
        process.private_fds = tuple(fd for fd in (self.told, self.emptied) if fd >= 0)
        self._tell(f"pid {os.getpid()}\n")

    def _begin(self, environment: dict[str, str], handlers: dict[int, Any]) -> None:
        """The start is over, for whoever waits: a signal that he sends now finds all settled."""
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        self._settle_in(environment, handlers)
        if self.listen:
            self._tell("ready")  # and the newline that makes it a report is to come
            self.listen(self.told)
        else:
            self._tell("ready\n")
            os.close(self.told)

    def _tell(self, text: str) -> None:
        try:
            os.write(self.told, text.encode("utf-8", "replace"))
        except OSError:
            pass  # the launcher has gone: nobody is there to be told

    def _fail(self, fault: BaseException) -> NoReturn:
        try:
            status = fault.status if isinstance(fault, InitkitError) else 1
            self._tell(f"failed {status} {' '.join(str(fault).split(chr(10)))}\n")
            self._remove_pid_file(os.getpid())
        finally:
            os._exit(1)

    def _settle_in(self, environment: dict[str, str], handlers: dict[int, Any]) -> None:
        import atexit

        os.environ.clear()
        os.environ.update(environment)
        pid = os.getpid()
        if self.pid_file:
            atexit.register(self._remove_pid_file, pid)
        for number, handler in {_signal.SIGTERM: _terminate, **handlers}.items():
            _signal.signal(number, handler)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True)  # a log is read while it grows

    def _remove_pid_file(self, pid: int) -> None:
        from initkit.run import pidfile

        if self.pid_file and os.getpid() == pid:
            pidfile.remove(self.pid_file, pid)
            if self.emptied >= 0:
                os.ftruncate(self.emptied, 0)


#: What the caller was told, and its descriptors: sd_listen_fds(3), sd_watchdog_enabled(3).
_CALLERS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_PID", "WATCHDOG_USEC")


def _launcher(service: Service, pid_files: tuple[str, ...], reports: int, output: int) -> Telling:
    from initkit.run.launcher import Launcher
    from initkit.run.watch import Watch

    class Keeping(Launcher):
        """A launcher that keeps what went wrong, for an exception, instead of printing it."""

        said = ""

        def _complain(self, watch: Watch, text: str) -> None:
            last = [line.strip() for line in self.tail.read().decode("utf-8", "replace").splitlines() if line.strip()]
            self.said = f"{text}: {last[-1]}" if last and not watch.failed else text

    return Keeping(service, pid_files, reports, output)


def _locked(service: Service, path: str) -> int:
    """The lock of a start, once no daemon runs.

    Raises:
        AlreadyRunning, InitkitError
    """
    import fcntl

    from initkit.run import pidfile

    pidfile.check(path, pidfile.trusted_uids(service))
    try:
        pidfile.make_folder(os.path.dirname(path))
        fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as fault:
        status = 4 if isinstance(fault, PermissionError) else 1
        raise InitkitError(f"PID file {path}: {fault.strerror}", status=status) from None
    found = pidfile.running(path, service)
    if found:
        os.close(fd)
        raise AlreadyRunning(service.name, found.pid)
    return fd


def _handlers() -> Iterator[tuple[int, Callable[[int, Any], object]]]:
    """The program's own signal handlers."""
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if callable(handler):
            yield number, handler


def _own_descriptors() -> Iterator[int]:
    """What this program has opened: none of it is inheritable (PEP 446), as all that was passed to it is. Objects that
    would later close descriptors by these numbers are still there, so they cannot be closed under them."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and not os.get_inheritable(int(name)):
                yield int(name)
        except OSError:
            pass  # the listing's own


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(0)


def _flush() -> None:
    """What is buffered is written once, not by each process."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass
