"""A command with an init's duties around it and no settings: a container's entry point, as tini and dumb-init are.

The command gets the environment, the folder and the descriptors of the caller, and a process group of its own: the
foreground one where the caller's was. Every signal that arrives here is handed on. When the command has ended, what it
has left behind is ended, too.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import errno
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_GRACE = 5.0  # seconds that what is left has, between SIGTERM and SIGKILL: half of what `docker stop` gives to all
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # POSIX: exit status of utilities that run others
_OWN = (_signal.SIGCHLD, _signal.SIGKILL, _signal.SIGSTOP)  # never handed on
_TERMINAL_STOPS = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)


def run(words: list[str], *, group: bool = False) -> int:
    """Run a command to its end; returns its exit status as a shell tells it: 128+N after signal N.

    Signals go to the command itself, with `group` to its whole process group.
    """
    if os.getpid() != 1:
        from initkit.plan import kernel

        kernel.become_subreaper()
    return _Entry(group).run(words)


class _Entry:
    """One command, and the signals to it."""

    def __init__(self, group: bool) -> None:
        self.group = group
        self.terminal = _foreground_terminal()
        self.child = 0

    def run(self, words: list[str]) -> int:
        # Blocked signals wait, also those that nobody handles, also for PID 1: sigwaitinfo(2) takes them one by one.
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        children = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # if it is ignored nobody can be waited for
        self.child = os.fork()
        if self.child == 0:
            _signal.signal(_signal.SIGCHLD, children)
            self._become(words, before)
        _own_group(self.child)  # whoever is first, the child or we: signals can follow at once
        status = self._serve()
        _end_the_rest()
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def _become(self, words: list[str], mask: set[int]) -> NoReturn:
        status = _NOT_EXECUTABLE
        try:
            _own_group(0)
            self._give_terminal(os.getpid())
            for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
                _signal.signal(number, _signal.SIG_DFL)  # Python had them ignored
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
            fault = _execute(words)
            status = _NOT_FOUND if isinstance(fault, (FileNotFoundError, NotADirectoryError)) else _NOT_EXECUTABLE
            print(f"initkit: {words[0]}: {fault.strerror}{_remark(fault)}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def _serve(self) -> int:
        """Hand on signals and reap until the command has ended: its wait status."""
        everything = _signal.valid_signals()
        while True:
            number = _signal.sigwaitinfo(everything).si_signo
            if number == _signal.SIGCHLD:
                status = self._reap()
                if status is not None:
                    self._give_terminal(os.getpgrp())
                    return status
            elif number not in _OWN:
                if number == _signal.SIGCONT:
                    self._give_terminal(self.child)  # a shell's `fg`
                self._send(number)

    def _reap(self) -> int | None:
        """Take in what has become of children: the command's wait status when it has ended."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return None
            if pid == self.child and not os.WIFSTOPPED(status):
                return status
            if pid == self.child and os.WSTOPSIG(status) in _TERMINAL_STOPS:
                self._suspend()

    def _suspend(self) -> None:
        """Ctrl-Z has stopped the command: stop as well, so that the shell that waits for us hears of it."""
        if self.terminal >= 0 and os.getpid() != 1:
            os.kill(os.getpid(), _signal.SIGSTOP)

    def _send(self, number: int) -> None:
        try:
            os.kill(-self.child if self.group else self.child, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended and is not reaped yet; or it is another user's now, and his to signal

    def _give_terminal(self, group: int) -> None:
        if self.terminal < 0:
            return
        try:
            os.tcsetpgrp(self.terminal, group)
        except OSError:
            pass  # hung up


def _foreground_terminal() -> int:
    """The controlling terminal when this process has its foreground, else -1."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1
    if os.tcgetpgrp(fd) == os.getpgrp():
        return fd
    os.close(fd)
    return -1


def _own_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # it has been executed already, and did so itself


def _remark(fault: OSError) -> str:
    if not isinstance(fault, FileNotFoundError) or not fault.filename:
        return ""
    from initkit.run import interpreter

    return interpreter.remark(fault.filename)


def _execute(words: list[str]) -> OSError:
    """execvp(3). Returns only the reason why there was no exec."""
    environment = _environment()
    path = environment.get(b"PATH", os.fsencode(os.defpath))
    folders = [b""] if "/" in words[0] else [folder or b"." for folder in path.split(b":")]
    fault: OSError = FileNotFoundError(errno.ENOENT, "command not found")
    for folder in folders if words[0] else ():
        file = os.path.join(folder, os.fsencode(words[0]))
        try:
            try:
                os.execve(file, words, environment)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                os.execve("/bin/sh", ["sh", os.fsdecode(file), *words[1:]], environment)
        except OSError as error:
            if folder == b"" or error.errno not in (errno.ENOENT, errno.ENOTDIR) or os.path.isfile(file):
                fault = error
    return fault


def _environment() -> dict[bytes, bytes]:
    """The caller's variables as they were: Python may have added LC_CTYPE (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb", buffering=0) as file:
            lines = file.readall().split(b"\0")
    except OSError:
        return dict(os.environb)
    return {name: value for name, equals, value in (line.partition(b"=") for line in lines) if equals}


def _end_the_rest() -> None:
    """SIGTERM to all that is left, SIGKILL after a grace period or when another signal shows impatience."""
    if _childless():
        return
    for number in (_signal.SIGTERM, _signal.SIGKILL):
        deadline = time.monotonic() + _GRACE
        _signal_descendants(number)
        while not _childless() and time.monotonic() < deadline:
            heard = _signal.sigtimedwait(_signal.valid_signals(), max(0.0, deadline - time.monotonic()))
            if heard is not None and heard.si_signo in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT):
                break
            if number == _signal.SIGKILL:
                _signal_descendants(number)  # what was forked meanwhile


def _childless() -> bool:
    """Reap what is dead; whether nothing is left then."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _signal_descendants(number: int) -> None:
    from initkit.run import family, identity

    for each in identity.descendants(os.getpid()):
        try:
            family.send(each, family.with_continue(number))
        except PermissionError:
            pass  # another user's
