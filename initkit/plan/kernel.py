"""The calls that many a start needs and Python has no function for, cheaply. All others are in `initkit.plan.libc`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import errno
import os
import sys

# prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
# clone(2)
_CLONE3 = 435  # on every machine
_CLONE_INTO_CGROUP = 0x200000000


def call(name: str, *arguments: int | bytes) -> int:
    """A function of the C library's, by the C part of `ctypes`: every daemon's start needs this, and the other part
    takes twice as long to load."""
    import _ctypes

    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]  # None is what is loaded
    return int(_ctypes.call_function(function, arguments))


def _prctl(option: int, value: int) -> None:
    if call("prctl", option, value, 0, 0, 0) < 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # the only one that these options know


def no_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: from now on execve(2) grants nothing."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def become_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: orphans below this process become its children, not init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def fork_into(group: int) -> int:
    """fork(2), the child in a control group, an open folder of version 2, from its birth: it takes a grace period of
    the kernel's less than a move there.

    Nothing in C hears of it as of a fork: for a process with one thread, whose child is to execute something. In a
    group to which `cgroup.kill` was ever written the child may be killed at its birth (since Linux 6.14, which compares
    the group's count of kills with that of its parent's group).

    Raises:
        OSError: the kernel, or who filters its calls, does not allow it.
    """
    # flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    numbers = (_CLONE_INTO_CGROUP, 0, 0, 0, _signal.SIGCHLD, 0, 0, 0, 0, 0, group)
    arguments = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)
    pid = call("syscall", _CLONE3, arguments, len(arguments))
    if pid < 0:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))  # it could be others: a fork will tell
    return pid
