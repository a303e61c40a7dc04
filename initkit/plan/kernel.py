"""The two calls of prctl(2) that many a start needs, cheaply. All others are in `initkit.plan.libc`."""

from __future__ import annotations

import errno
import os

# prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def _prctl(option: int, value: int) -> None:
    """By the C part of `ctypes`: every daemon's start needs this, and the other part takes twice as long to load."""
    import _ctypes

    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None is what is loaded
    if _ctypes.call_function(function, (option, value, 0, 0, 0)) < 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # the only one that these options know


def no_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: from now on execve(2) grants nothing."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def become_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: orphans below this process become its children, not init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
