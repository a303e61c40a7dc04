"""The steps that bind what a program may ask of the kernel: seccomp(2), by libseccomp.

They are the last ones before the exec, since what they forbid is forbidden to initkit as well. Each is a filter of its
own: the kernel takes the strictest answer of all.
"""

from __future__ import annotations

import os

from initkit.plan import libc
from initkit.plan.step import Process, Step
from initkit.settings import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar, Self

    from initkit.settings.service import Service

#: The other architectures that the machine's kernel may run programs of.
_COMPANIONS = {"x86_64": ("X86", "X32"), "aarch64": ("ARM",), "ppc64le": (), "s390x": ("S390",)}
#: systemd's names as libseccomp has them.
_ARCHITECTURES = {
    "x86": "X86", "x86-64": "X86_64", "x32": "X32", "arm": "ARM", "arm64": "AARCH64", "mips": "MIPS",
    "mips64": "MIPS64", "mips64-n32": "MIPS64N32", "mips-le": "MIPSEL", "mips64-le": "MIPSEL64",
    "mips64-le-n32": "MIPSEL64N32", "ppc": "PPC", "ppc64": "PPC64", "ppc64-le": "PPC64LE", "s390": "S390",
    "s390x": "S390X", "riscv64": "RISCV64", "parisc": "PARISC", "parisc64": "PARISC64", "loongarch64": "LOONGARCH64",
}  # fmt: skip
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_SET_IDS = (0o2000, 0o4000)
_REALTIME = (1, 2, 4, 6)  # sched(7): FIFO, RR, ISO, DEADLINE
_LAST_POLICY = 6


def library() -> Any:
    """libseccomp's own binding, or the one of PyPI.

    Raises:
        LookupError: when neither is installed.
    """
    for name in ("seccomp", "pyseccomp"):
        try:
            return __import__(name)
        except (ImportError, RuntimeError):
            pass
    raise LookupError(
        "needs libseccomp's Python binding (Debian's python3-seccomp, Fedora's python3-libseccomp, or pyseccomp)"
    )


class Filter(Step):
    """A filter that the kernel gets as initkit.plan.compiled has made it ready. Subclasses say what it has."""

    manual = "systemd.exec(5) SYSTEM CALL FILTERING"
    status = 228

    library: ClassVar[Any]

    def apply(self, process: Process) -> None:
        libc.gain_filters()
        libc.set_filter(process.filters[str(self)])

    def is_needed(self) -> bool:
        """Whether the kernel cannot do it without a filter."""
        return True

    def program(self) -> bytes:
        """The filter for the kernel: an array of seccomp(2)'s struct sock_filter."""
        type(self).library = library()
        with open(os.memfd_create("filter"), "w+b") as file:
            self.built().export_bpf(file)
            file.seek(0)
            return file.read()

    def built(self) -> Any:
        """The filter, in libseccomp's hands."""
        raise NotImplementedError

    def made(self, default: int | None = None, *, native: bool = False) -> Any:
        """A filter with nothing in it, for programs of all architectures."""
        lib = self.library
        found = lib.SyscallFilter(lib.ALLOW if default is None else default)
        found.set_attr(lib.Attr.CTL_NNP, 0)
        found.set_attr(lib.Attr.ACT_BADARCH, lib.ALLOW)
        for name in () if native else _COMPANIONS.get(os.uname().machine, ()):
            found.add_arch(getattr(lib.Arch, name))
        return found

    def action(self, error: int) -> Any:
        """What a call gets: an error, or death."""
        return self.library.KILL_PROCESS if error == filters.KILL else self.library.ERRNO(error)

    def denying(self, names: Iterable[str]) -> Any:
        """A filter that refuses these calls."""
        found = self.made()
        for name in names:
            _add(found, self.action(_EPERM), name)
        return found


def _add(found: Any, action: Any, name: str, *arguments: Any) -> None:
    try:
        found.add_rule(action, name, *arguments)
    except (OSError, RuntimeError, ValueError):
        if arguments:
            raise
        # a system call that this libseccomp, and so this machine, does not have, or that is the default anyway


class _Wanted(Filter):
    """A filter that a setting asks for by yes."""

    attribute: ClassVar[str] = ""

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls() if getattr(service, cls.attribute) else None


class _Denied(_Wanted):
    """A filter that refuses a group of calls for the sake of a setting."""

    group: ClassVar[str] = ""

    def built(self) -> Any:
        return self.denying(filters.members(self.group))


class DenySysctl(_Denied):
    """ProtectKernelTunables=."""

    name, directives = "deny_sysctl", ("ProtectKernelTunables",)
    attribute, group = "protect_kernel_tunables", "_sysctl"


class DenyModules(_Denied):
    """ProtectKernelModules=."""

    name, directives = "deny_modules", ("ProtectKernelModules",)
    attribute, group = "protect_kernel_modules", "@module"


class DenyLog(_Denied):
    """ProtectKernelLogs=."""

    name, directives = "deny_kernel_log", ("ProtectKernelLogs",)
    attribute, group = "protect_kernel_logs", "syslog"


class DenyClock(_Denied):
    """ProtectClock=."""

    name, directives = "deny_clock", ("ProtectClock",)
    attribute, group = "protect_clock", "@clock"


class DenyRawDevices(_Denied):
    """PrivateDevices=."""

    name, directives = "deny_raw_io", ("PrivateDevices",)
    attribute, group = "private_devices", "@raw-io"


class DenyHostName(_Denied):
    """ProtectHostname=."""

    name, directives = "deny_host_name", ("ProtectHostname",)
    attribute = "protect_hostname"

    def built(self) -> Any:
        return self.denying(("sethostname", "setdomainname"))


class AddressFamilies(Filter):
    """RestrictAddressFamilies=: socket(2) gives EAFNOSUPPORT for the others."""

    name, directives, status = "address_families", ("RestrictAddressFamilies",), 232

    allows: bool
    families: tuple[int, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        words = service.restrict_address_families
        return cls(*filters.merged_families(words)) if words else None

    def built(self) -> Any:
        lib, found = self.library, self.made(native=True)
        refused = lib.ERRNO(_EAFNOSUPPORT)
        if not self.allows:
            for family in self.families:
                found.add_rule(refused, "socket", lib.Arg(0, lib.EQ, family))
        elif not self.families:
            found.add_rule(refused, "socket")
        else:
            # One rule a gap would do, if a rule could compare one argument twice: so one a number, up to the last.
            found.add_rule(refused, "socket", lib.Arg(0, lib.GT, self.families[-1]))
            for family in range(self.families[-1]):
                if family not in self.families:
                    found.add_rule(refused, "socket", lib.Arg(0, lib.EQ, family))
        return found


class DenyWriteExecute(_Wanted):
    """MemoryDenyWriteExecute=: prctl(2) PR_SET_MDWE, a filter where the kernel has no such thing."""

    name, directives = "deny_write_execute", ("MemoryDenyWriteExecute",)
    attribute = "memory_deny_write_execute"

    def is_needed(self) -> bool:
        return not libc.can_refuse_exec_gain()

    def apply(self, process: Process) -> None:
        if self.is_needed():
            super().apply(process)
        else:
            libc.refuse_exec_gain()

    def built(self) -> Any:
        lib, found = self.library, self.made(native=True)
        refused, writable, executable = lib.ERRNO(_EPERM), 2, 4  # mmap(2)
        both = writable | executable
        found.add_rule(refused, "mmap", lib.Arg(2, lib.MASKED_EQ, both, both))
        for name in ("mprotect", "pkey_mprotect"):
            found.add_rule(refused, name, lib.Arg(2, lib.MASKED_EQ, executable, executable))
        found.add_rule(refused, "shmat", lib.Arg(2, lib.MASKED_EQ, 0o100000, 0o100000))  # shmop(2) SHM_EXEC
        return found


class RestrictRealtime(_Wanted):
    """RestrictRealtime=: sched(7)."""

    name, directives = "restrict_realtime", ("RestrictRealtime",)
    attribute = "restrict_realtime"

    def built(self) -> Any:
        lib, found = self.library, self.made()
        refused = lib.ERRNO(_EPERM)
        for policy in _REALTIME:
            found.add_rule(refused, "sched_setscheduler", lib.Arg(1, lib.EQ, policy))
        found.add_rule(refused, "sched_setscheduler", lib.Arg(1, lib.GT, _LAST_POLICY))
        return found


class RestrictSetuid(_Wanted):
    """RestrictSUIDSGID=: no file gets S_ISUID or S_ISGID."""

    name, directives = "restrict_suid_sgid", ("RestrictSUIDSGID",)
    attribute = "restrict_suid_sgid"

    #: Which argument is the mode.
    MODES: ClassVar[dict[str, int]] = {
        "chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2,
        "creat": 1,
    }  # fmt: skip
    #: Which arguments are the flags and the mode.
    OPENS: ClassVar[dict[str, tuple[int, int]]] = {"open": (1, 2), "openat": (2, 3)}

    def built(self) -> Any:
        lib, found = self.library, self.made()
        refused = lib.ERRNO(_EPERM)
        for bit in _SET_IDS:
            for name, mode in self.MODES.items():
                _add(found, refused, name, lib.Arg(mode, lib.MASKED_EQ, bit, bit))
            for name, (flags, mode) in self.OPENS.items():
                creates = lib.Arg(flags, lib.MASKED_EQ, os.O_CREAT, os.O_CREAT)
                _add(found, refused, name, creates, lib.Arg(mode, lib.MASKED_EQ, bit, bit))
        _add(found, lib.ERRNO(_ENOSYS), "openat2")  # whose mode is behind a pointer
        return found


class RestrictNamespaces(Filter):
    """RestrictNamespaces=: unshare(2), clone(2), setns(2)."""

    name, directives = "restrict_namespaces", ("RestrictNamespaces",)

    kept: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        kept = service.restrict_namespaces
        return None if kept in (None, filters.ALL_NAMESPACES) else cls(kept)

    def built(self) -> Any:
        lib, found = self.library, self.made()
        refused = lib.ERRNO(_EPERM)
        for flag in filters.NAMESPACES.values():
            if flag & self.kept:
                continue
            found.add_rule(refused, "unshare", lib.Arg(0, lib.MASKED_EQ, flag, flag))
            found.add_rule(refused, "clone", lib.Arg(0, lib.MASKED_EQ, flag, flag))
            found.add_rule(refused, "setns", lib.Arg(1, lib.MASKED_EQ, flag, flag))
        found.add_rule(refused, "setns", lib.Arg(1, lib.EQ, 0))  # any kind
        _add(found, lib.ERRNO(_ENOSYS), "clone3")  # whose flags are behind a pointer
        return found


class Architectures(Filter):
    """SystemCallArchitectures=: a call by another one's numbers ends the process."""

    name, directives = "architectures", ("SystemCallArchitectures",)

    names: tuple[str, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.system_call_architectures) if service.system_call_architectures else None

    def built(self) -> Any:
        lib = self.library
        found = lib.SyscallFilter(lib.ALLOW)
        found.set_attr(lib.Attr.CTL_NNP, 0)
        for name in self.names:
            arch = getattr(lib.Arch, _ARCHITECTURES.get(name, ""), None)
            if arch is not None and not found.exist_arch(arch):
                found.add_arch(arch)
        return found


class LockPersonality(_Wanted):
    """LockPersonality=: personality(2) stays what it is."""

    name, directives = "lock_personality", ("LockPersonality",)
    attribute = "lock_personality"

    def built(self) -> Any:
        lib, found = self.library, self.made()
        found.add_rule(lib.ERRNO(_EPERM), "personality", lib.Arg(0, lib.NE, libc.personality()))
        return found


class SystemCallLog(Filter):
    """SystemCallLog=: the kernel's log tells of these."""

    name, directives = "system_call_log", ("SystemCallLog",)

    words: tuple[filters.Call, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.system_call_log) if service.system_call_log else None

    def built(self) -> Any:
        lists, named = filters.merged(self.words)
        lib = self.library
        found = self.made(lib.ALLOW if lists else lib.LOG)
        for name in named:
            _add(found, lib.LOG if lists else lib.ALLOW, name)
        return found


class SystemCallFilter(Filter):
    """SystemCallFilter=, SystemCallErrorNumber=."""

    name, directives = "system_call_filter", ("SystemCallFilter", "SystemCallErrorNumber")

    words: tuple[filters.Call, ...]
    error: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.system_call_filter, service.system_call_error) if service.system_call_filter else None

    def built(self) -> Any:
        lib = self.library
        allows, named = filters.merged(self.words)
        refused = self.action(self.error)
        found = self.made(refused if allows else lib.ALLOW)
        for name, error in named.items():
            otherwise = lib.ALLOW if allows else refused
            _add(found, otherwise if error == filters.UNSAID else self.action(error), name)
        return found
