"""The steps for what hardly any program needs: personality, timer slack, core dumps, memory policy, keyring."""

from __future__ import annotations

import errno
import os

from initkit.plan import libc
from initkit.plan.step import Process, Shell, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.settings.service import Service

#: personality(2), <linux/personality.h>: by machine the personas that it can show its programs.
_LINUX, _LINUX32 = 0, 8
_PERSONAS = {
    "x86_64": {"x86-64": _LINUX, "x86": _LINUX32},
    "aarch64": {"arm64": _LINUX, "arm": _LINUX32},
    "ppc64": {"ppc64": _LINUX, "ppc": _LINUX32},
    "ppc64le": {"ppc64-le": _LINUX, "ppc-le": _LINUX32},
    "s390x": {"s390x": _LINUX, "s390": _LINUX32},
    "riscv64": {"riscv64": _LINUX, "riscv32": _LINUX32},
    "loongarch64": {"loongarch64": _LINUX},
    "i686": {"x86": _LINUX},
}
_POSSIBLE_NODES = "/sys/devices/system/node/possible"


class CoredumpFilter(Step):
    """CoredumpFilter=: core(5), /proc/PID/coredump_filter."""

    name = "coredump_filter"
    manual = "systemd.exec(5) CoredumpFilter="
    directives = ("CoredumpFilter",)
    status = 205

    mask: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return None if service.coredump_filter is None else cls(service.coredump_filter)

    def shell(self) -> Shell:
        return Shell(f"echo {self.mask:#x} >/proc/self/coredump_filter || exit {self.status}")

    def apply(self, process: Process) -> None:
        with open("/proc/self/coredump_filter", "w", encoding="ascii") as file:
            file.write(f"{self.mask:#x}")


class TimerSlack(Step):
    """TimerSlackNSec=: prctl(2) PR_SET_TIMERSLACK."""

    name = "timer_slack"
    manual = "systemd.exec(5) TimerSlackNSec="
    directives = ("TimerSlackNSec",)
    status = 212

    nanoseconds: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return None if service.timer_slack is None else cls(service.timer_slack)

    def apply(self, process: Process) -> None:
        libc.prctl(libc.PR_SET_TIMERSLACK, self.nanoseconds)


class Personality(Step):
    """Personality=: personality(2)."""

    name = "personality"
    manual = "systemd.exec(5) Personality="
    directives = ("Personality",)
    status = 230

    architecture: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.personality) if service.personality else None

    def shell(self) -> Shell:
        return Shell(prefix=f"setarch {self.architecture.replace('-', '_')}")

    def apply(self, process: Process) -> None:
        persona = _PERSONAS.get(os.uname().machine, {}).get(self.architecture)
        if persona is None:
            raise ValueError(f"this machine runs no programs for {self.architecture}")
        libc.set_personality(persona)


class MemoryPolicy(Step):
    """NUMAPolicy=, NUMAMask=: set_mempolicy(2)."""

    name = "memory_policy"
    manual = "systemd.exec(5) NUMAPolicy=, NUMAMask="
    directives = ("NUMAPolicy", "NUMAMask")
    status = 242

    policy: int
    nodes: tuple[int, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return None if service.numa_policy is None else cls(service.numa_policy, service.numa_mask)

    def apply(self, process: Process) -> None:
        nodes = self.nodes
        if nodes == (-1,):
            from initkit.settings.values import cpu_set

            with open(_POSSIBLE_NODES, encoding="ascii") as file:
                nodes = tuple(cpu_set(file.read().strip()))
        libc.set_memory_policy(self.policy, nodes)


class Keyring(Step):
    """KeyringMode=: a session keyring of the program's own, keyrings(7)."""

    name = "keyring"
    manual = "systemd.exec(5) KeyringMode="
    directives = ("KeyringMode",)
    status = 237

    shared: bool

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.keyring_mode == "shared") if service.keyring_mode in ("private", "shared") else None

    def apply(self, process: Process) -> None:
        try:
            libc.new_session_keyring(shared=self.shared, uid=process.uid)
        except OSError as fault:
            # Where a container's filter forbids keyctl(2), or the kernel has none, no program can reach a keyring.
            if fault.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
                raise
