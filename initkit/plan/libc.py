"""System calls that Python has no function for, by ctypes; imported only by what needs one."""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

# kcmp(2)
_KCMP_FILE = 0
_KCMP = {
    "x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "i386": 349, "i686": 349, "armv7l": 378,
    "ppc64le": 354, "s390x": 343,
}  # fmt: skip

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


def is_same_file(one: int, other: int) -> bool | None:
    """kcmp(2): whether two descriptors of this process are of one open file; None where the kernel does not tell."""
    number, own = _KCMP.get(os.uname().machine), os.getpid()
    if number is None:
        return None
    found = _libc.syscall(number, own, own, _KCMP_FILE, ctypes.c_ulong(one), ctypes.c_ulong(other))
    return None if found < 0 else bool(found == 0)
