"""daemon(7), "SysV Daemons": its fifteen steps, each by its name."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan import process
from initkit.plan.process import base_environment
from initkit.plan.step import CHILD, DAEMON, LAUNCHER, Process, Step

#: What breaks a start off, as far as its launcher is asked.
INTERRUPTS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


class CloseDescriptors(process.CloseDescriptors):
    """Nothing of the caller's stays open."""

    role = LAUNCHER


class ResetSignals(process.ResetSignals):
    """No handler of the caller's, and none of Python's."""

    role = LAUNCHER


class ResetSignalMask(process.ResetSignalMask):
    """No signal blocked by the caller."""

    role = LAUNCHER


class SanitizeEnvironment(Step):
    """Nothing of the caller's environment; the service's own is made later."""

    name = "sanitize_environment"
    manual = "daemon(7) step 4"
    role = LAUNCHER

    def apply(self, process: Process) -> None:
        process.environment = base_environment(process.service)


class Fork(Step):
    """Leave the caller's process group: the launcher goes on to wait, its child to become the daemon."""

    name = "fork"
    manual = "daemon(7) step 5"
    role = LAUNCHER

    def apply(self, process: Process) -> None:
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, INTERRUPTS)  # the launcher hears them where it waits
        process.held = set(INTERRUPTS) - before
        process.hooks["fork"]()
        process.child = os.fork()
        if process.child == 0:
            process.role = CHILD
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, process.held)


class SetSid(Step):
    """A session of its own, without a terminal: setsid(2)."""

    name = "setsid"
    manual = "daemon(7) step 6"
    status = 220
    role = CHILD

    def apply(self, process: Process) -> None:
        os.setsid()


class ForkAgain(Step):
    """The daemon is no session leader, and so can never get a terminal back."""

    name = "fork_again"
    manual = "daemon(7) step 7"
    role = CHILD

    def apply(self, process: Process) -> None:
        if os.fork() == 0:
            process.role = DAEMON


class ExitFirstChild(Step):
    """The daemon becomes init's child."""

    name = "exit_first_child"
    manual = "daemon(7) step 8"
    role = CHILD

    def apply(self, process: Process) -> None:
        os._exit(0)


class NullStreams(Step):
    """Standard input, output and error to /dev/null, until the service's own streams are opened."""

    name = "null_streams"
    manual = "daemon(7) step 9"
    status = 208

    def apply(self, process: Process) -> None:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in range(3):
            os.dup2(null, fd)
        if null > 2:
            os.close(null)


class ClearUmask(Step):
    """umask 0, so that modes are what is asked for; UMask= follows for the program."""

    name = "clear_umask"
    manual = "daemon(7) step 10"

    def apply(self, process: Process) -> None:
        os.umask(0)


class RootAsDirectory(Step):
    """No mount point is kept busy."""

    name = "chdir_root"
    manual = "daemon(7) step 11"
    status = 200

    def apply(self, process: Process) -> None:
        os.chdir("/")


class WritePidFile(Step):
    """The PID file, under the lock that the launcher holds."""

    name = "pid_file"
    manual = "daemon(7) step 12"
    directives = ("PIDFile",)

    path: str

    def apply(self, process: Process) -> None:
        process.hooks["pid_file"]()


class NotifyLauncher(Step):
    """Tell the launcher that only the program's own start is left: an exec closes the pipe, a supervisor says more."""

    name = "notify_launcher"
    manual = "daemon(7) step 14"

    def apply(self, process: Process) -> None:
        process.hooks["ready"]()


class Supervise(Step):
    """Stay as the program's parent."""

    name = "supervise"
    manual = "systemd.service(5)"

    def apply(self, process: Process) -> None:
        process.hooks["supervise"]()


class ExitLauncher(Step):
    """Exit with the truth about the start."""

    name = "exit_launcher"
    manual = "daemon(7) step 15"
    role = LAUNCHER

    def apply(self, process: Process) -> None:
        process.hooks["wait"]()
