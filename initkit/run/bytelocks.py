"""Locks of single bytes of a file, which go with the last process that has it open: fcntl(2), "Open file description
locks". Only who may write to the file can have one."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import _struct
import fcntl
import os


def lock(fd: int, byte: int) -> None:
    """Have one.

    Raises:
        BlockingIOError: somebody else has it.
    """
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))


def unlock(fd: int, byte: int) -> None:
    """Give it back, for all that have the file open with this process."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))


def wait(fd: int, byte: int, seconds: float) -> None:
    """Wait until nobody has it. Who may read the file may wait.

    Raises:
        TimeoutError: somebody has it still after that time.
    """
    shared = _flock(fcntl.F_RDLCK, byte)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, shared)
    except BlockingIOError:
        _wait_in_child(fd, shared, seconds)


def _wait_in_child(fd: int, lock: bytes, seconds: float) -> None:
    """What ends a wait for a lock is a signal, and this process's may be its program's, in any of its threads."""
    pid = os.fork()
    if pid == 0:
        try:
            _wait_alone(fd, lock, seconds)
            os._exit(0)
        finally:
            os._exit(1)
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:  # the program reaps all children
        return
    except BaseException:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    if status:
        raise TimeoutError


def _wait_alone(fd: int, lock: bytes, seconds: float) -> None:
    """In a process that nothing but its time, and SIGKILL, ends."""
    from initkit.plan.process import close_all_but

    close_all_but((fd,))
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals() - {_signal.SIGALRM})
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.setitimer(_signal.ITIMER_REAL, max(seconds, 0.001))
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, lock)


def _flock(kind: int, byte: int) -> bytes:
    return _struct.pack("hhqqi", kind, os.SEEK_SET, byte, 1, 0)
