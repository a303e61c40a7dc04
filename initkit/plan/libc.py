"""System calls that Python has no function for, by ctypes; imported only by what needs one."""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

# prctl(2)
_PR_SET_NAME = 15
# ioprio_set(2)
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
_IOPRIO_SET = {
    "x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "i386": 289, "i686": 289, "armv7l": 314,
    "ppc64le": 273, "s390x": 282,
}  # fmt: skip


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def set_io_priority(io_class: int, priority: int) -> None:
    """ioprio_set(2) for this process: class 0 none, 1 realtime, 2 best-effort, 3 idle; priority 0 (high) to 7."""
    machine = os.uname().machine
    if machine not in _IOPRIO_SET:
        raise OSError(errno.ENOSYS, f"ioprio_set is not known for {machine}")
    _checked(_libc.syscall(_IOPRIO_SET[machine], _IOPRIO_WHO_PROCESS, 0, io_class << _IOPRIO_CLASS_SHIFT | priority))


def tee(source: int, sink: int, most: int) -> int:
    """tee(2): copy what is in one pipe to another, and leave it where it is; how many bytes that were."""
    return _checked(_libc.tee(source, sink, ctypes.c_size_t(most), 0))


def set_title(title: str) -> None:
    """What ps(1) shows of this process, as far as there is room; where /proc does not tell, it stays as it is."""
    _libc.prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, from field 3 on
    if 0 < start < end:
        text = title.encode("utf-8", "surrogateescape")[: end - start - 1]
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
