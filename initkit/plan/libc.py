"""System calls that Python has no function for, by ctypes; imported only by what needs one."""

from __future__ import annotations

import ctypes
import errno
import os

from initkit.plan import kernel

_libc = ctypes.CDLL(None, use_errno=True)

# kcmp(2)
_KCMP_FILE = 0
_KCMP = {
    "x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "i386": 349, "i686": 349, "armv7l": 378,
    "ppc64le": 354, "s390x": 343,
}  # fmt: skip

# prctl(2)
PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
PR_SET_TIMERSLACK = 29
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_SET_MDWE, _PR_GET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 66, 1
_IPC_RMID = 0
# inotify(7)
_IN_CLOSE = 0x8 | 0x10
# capget(2)
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = 64
_CAP_SETPCAP, _CAP_SYS_ADMIN = 1 << 8, 1 << 21
# keyctl(2)
_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL_LINK = 8
_SESSION_KEYRING, _USER_KEYRING = -3, -4
# ioprio_set(2)
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13

#: Numbers of the calls that libc has no functions for. Those that are younger than 2019 are the same everywhere.
_NUMBERS = {
    "x86_64": {"ioprio_set": 251, "keyctl": 250, "set_mempolicy": 238},
    "aarch64": {"ioprio_set": 30, "keyctl": 219, "set_mempolicy": 237},
    "riscv64": {"ioprio_set": 30, "keyctl": 219, "set_mempolicy": 237},
    "loongarch64": {"ioprio_set": 30, "keyctl": 219, "set_mempolicy": 237},
    "i386": {"ioprio_set": 289, "keyctl": 288, "set_mempolicy": 276},
    "i686": {"ioprio_set": 289, "keyctl": 288, "set_mempolicy": 276},
    "armv7l": {"ioprio_set": 314, "keyctl": 311, "set_mempolicy": 321},
    "ppc64le": {"ioprio_set": 273, "keyctl": 271, "set_mempolicy": 261},
    "s390x": {"ioprio_set": 282, "keyctl": 280, "set_mempolicy": 270},
}


def _checked(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _syscall(name: str, *arguments: object) -> int:
    machine = os.uname().machine
    number = _NUMBERS.get(machine, {}).get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name} is not known for {machine}")
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *values: int) -> int:
    """prctl(2)."""
    words = (ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4])
    return _checked(_libc.prctl(option, *words))


def set_io_priority(io_class: int, priority: int) -> None:
    """ioprio_set(2) for this process: class 0 none, 1 realtime, 2 best-effort, 3 idle; priority 0 (high) to 7."""
    _syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, io_class << _IOPRIO_CLASS_SHIFT | priority)


def personality() -> int:
    """personality(2): what it is."""
    return _checked(_libc.personality(ctypes.c_ulong(0xFFFFFFFF)))


def set_personality(persona: int) -> None:
    """personality(2)."""
    _checked(_libc.personality(ctypes.c_ulong(persona)))


def set_memory_policy(policy: int, nodes: tuple[int, ...]) -> None:
    """set_mempolicy(2), with the nodes as a mask."""
    if not nodes:
        _syscall("set_mempolicy", policy, None, ctypes.c_ulong(0))
        return
    size = max(nodes) // 64 + 1
    mask = (ctypes.c_uint64 * size)()
    for node in nodes:
        mask[node // 64] |= 1 << node % 64
    _syscall("set_mempolicy", policy, mask, ctypes.c_ulong(size * 64 + 1))


def new_session_keyring(*, shared: bool, uid: int | None) -> None:
    """keyctl(2): a session keyring of this process's own; `shared` with the user's keyring linked into it."""
    _syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0)
    if not shared:
        return
    before = os.geteuid()
    if uid is not None:
        os.seteuid(uid)  # whose user keyring is meant
    try:
        _syscall("keyctl", _KEYCTL_LINK, ctypes.c_long(_USER_KEYRING), ctypes.c_long(_SESSION_KEYRING), 0, 0)
    finally:
        os.seteuid(before)


def tee(source: int, sink: int, most: int) -> int:
    """tee(2): copy what is in one pipe to another, and leave it where it is; how many bytes that were."""
    return _checked(_libc.tee(source, sink, ctypes.c_size_t(most), 0))


def remove_ipc(kind: str, number: int) -> None:
    """msgctl(2), semctl(2), shmctl(2): IPC_RMID of "msg", "sem" or "shm"."""
    if kind == "sem":
        _checked(_libc.semctl(number, 0, _IPC_RMID))
    else:
        _checked(getattr(_libc, f"{kind}ctl")(number, _IPC_RMID, None))


def watch_closes(path: str) -> int:
    """inotify(7): a descriptor that tells when somebody closes the file; to be read without further settings."""
    fd = _checked(_libc.inotify_init1(ctypes.c_int(os.O_CLOEXEC)))
    _checked(_libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(_IN_CLOSE)), path)
    return fd


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


# --- capabilities(7) ------------------------------------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _capget() -> list[int]:
    """The effective, the permitted and the inheritable set."""
    sets = (_Sets * 2)()
    _checked(_libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), sets))
    return [getattr(sets[0], name) | getattr(sets[1], name) << 32 for name, _ in _Sets._fields_]


def _capset(effective: int, permitted: int, inheritable: int) -> None:
    low, high = ([each >> shift & 0xFFFFFFFF for each in (effective, permitted, inheritable)] for shift in (0, 32))
    sets = (_Sets * 2)(_Sets(*low), _Sets(*high))
    _checked(_libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), sets))


def _bounding_set() -> int:
    found = 0
    for number in range(_CAPABILITIES):
        try:
            found |= prctl(_PR_CAPBSET_READ, number) << number
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
            break  # the kernel has no more
    return found


def gain_filters() -> None:
    """What seccomp(2) asks for: CAP_SYS_ADMIN where it is permitted, else no new privileges for ever."""
    effective, permitted, inheritable = _capget()
    if permitted & _CAP_SYS_ADMIN:
        _capset(effective | _CAP_SYS_ADMIN, permitted, inheritable)
    else:
        kernel.no_new_privileges()


def set_filter(program: bytes) -> None:
    """prctl(2) PR_SET_SECCOMP: bind this process, and what it becomes, by a filter: an array of struct sock_filter."""
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_Filter(len(program) // 8, program))))


def can_refuse_exec_gain() -> bool:
    """Whether the kernel has PR_SET_MDWE (Linux 6.3)."""
    try:
        prctl(_PR_GET_MDWE)
    except OSError as fault:
        if fault.errno == errno.EINVAL:
            return False
        raise
    return True


def refuse_exec_gain() -> None:
    """PR_SET_MDWE: no memory becomes executable any more."""
    prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN)


def drop_bounding_set(kept: int) -> None:
    """prctl(2) PR_CAPBSET_DROP for all others; they go from the inheritable set as well.

    The permitted set stays until the exec: setting up the rest may need it.
    """
    gone = _bounding_set() & ~kept
    for number in range(_CAPABILITIES):
        if gone >> number & 1:
            prctl(_PR_CAPBSET_DROP, number)
    effective, permitted, inheritable = _capget()
    _capset(effective, permitted, inheritable & kept)


def drop_inheritable(number: int) -> None:
    """capset(2): a capability that no program has by being executed."""
    effective, permitted, inheritable = _capget()
    _capset(effective, permitted, inheritable & ~(1 << number))


def set_secure_bits(bits: int) -> None:
    """prctl(2) PR_SET_SECUREBITS, by the capability that a change of user has left permitted."""
    effective, permitted, inheritable = _capget()
    _capset(effective | _CAP_SETPCAP & permitted, permitted, inheritable)
    prctl(_PR_SET_SECUREBITS, bits)


def raise_ambient(raised: int) -> None:
    """prctl(2) PR_CAP_AMBIENT_RAISE of what the bounding set has of it; the inheritable set is then the same."""
    effective, permitted, _ = _capget()
    raised &= permitted & _bounding_set()
    _capset(effective | raised, permitted, raised)
    for number in range(_CAPABILITIES):
        if raised >> number & 1:
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)


# --- namespaces(7), mount(2) ----------------------------------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x1000, 0x2000, 0x4000, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
_MNT_DETACH = 2
# Younger than 2019: the same number everywhere.
_OPEN_TREE, _MOVE_MOUNT = 428, 429
_OPEN_TREE_CLONE, _AT_RECURSIVE, _AT_FDCWD = 1, 0x8000, -100
_MOVE_MOUNT_F_EMPTY_PATH = 4


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def join_namespace(path: str, kind: int) -> None:
    """setns(2) of the namespace that is bound to a file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_namespace(fd, kind)
    finally:
        os.close(fd)


def enter_namespace(fd: int, kind: int) -> None:
    """setns(2)."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(options) or None), target)


def unmount(path: str) -> None:
    """umount2(2) MNT_DETACH."""
    _checked(_libc.umount2(os.fsencode(path), ctypes.c_int(_MNT_DETACH)), path)


def clone_tree(path: str, *, recursive: bool, folder: int = _AT_FDCWD) -> int:
    """open_tree(2): a copy of what is at a path (below `folder`), with what is mounted below it, as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    found = _libc.syscall(ctypes.c_long(_OPEN_TREE), folder, os.fsencode(path), ctypes.c_uint(flags))
    return _checked(found, path)


def move_tree(fd: int, target: str) -> None:
    """move_mount(2): mount such a copy."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _checked(_libc.syscall(ctypes.c_long(_MOVE_MOUNT), fd, b"", _AT_FDCWD, os.fsencode(target), flags), target)
