"""Locks of single bytes of a file, which go with the last process that has it open: fcntl(2), "Open file description
locks". Only who may write to the file can have one."""

from __future__ import annotations

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


def wait(fd: int, byte: int) -> None:
    """Wait until nobody has it. Who may read the file may wait."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _flock(fcntl.F_RDLCK, byte))


def _flock(kind: int, byte: int) -> bytes:
    return _struct.pack("hhqqi", kind, os.SEEK_SET, byte, 1, 0)
