"""The steps that take capabilities away or leave some with an ordinary user: capabilities(7).

Their order is systemd's: first the bounding set, then the user with the capabilities kept across setuid(2), then the
ambient set, which a change of user would have cleared, at last the secure bits.
"""

from __future__ import annotations

from initkit.plan import FILTERED, kernel, libc
from initkit.plan.step import Process, Shell, Step
from initkit.settings.capabilities import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.settings.service import Service


#: What some protections take away as well: systemd.exec(5) says so of each.
_IMPLIED = {
    "PrivateDevices": ("private_devices", ("MKNOD", "SYS_RAWIO")),
    "ProtectKernelModules": ("protect_kernel_modules", ("SYS_MODULE",)),
    "ProtectKernelLogs": ("protect_kernel_logs", ("SYSLOG",)),
    "ProtectClock": ("protect_clock", ("SYS_TIME", "WAKE_ALARM")),
}
BOUNDING = ("CapabilityBoundingSet", *_IMPLIED)


class BoundingSet(Step):
    """CapabilityBoundingSet=, and what goes with other settings: prctl(2) PR_CAPBSET_DROP."""

    name = "bounding_set"
    manual = "systemd.exec(5) CapabilityBoundingSet="
    directives = BOUNDING
    status = 218

    kept: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        kept = -1 if service.capability_bounding_set is None else service.capability_bounding_set
        for attribute, names in _IMPLIED.values():
            for name in names if getattr(service, attribute) else ():
                kept &= ~(1 << NAMES.index(name))
        return cls(kept) if kept != -1 else None

    def shell(self) -> Shell:
        return Shell(prefix=f"setpriv --bounding-set={_words(self.kept)}")

    def apply(self, process: Process) -> None:
        libc.drop_bounding_set(self.kept)


class KeepCapabilities(Step):
    """What an ordinary user may keep, or what loading filters takes, has to live through setuid(2)."""

    name = "keep_capabilities"
    manual = "systemd.exec(5) AmbientCapabilities=, SecureBits="
    directives = ("AmbientCapabilities", "SecureBits")
    status = 218

    filtered: bool

    @classmethod
    def of(cls, service: Service) -> Self | None:
        filtered = any(service.has(each) for each in FILTERED)
        wanted = filtered or service.ambient_capabilities or service.secure_bits
        return cls(filtered) if service.account and wanted else None

    def shell(self) -> Shell:
        return Shell()  # setpriv(1) does this and the next in one

    def apply(self, process: Process) -> None:
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)
        if self.filtered:
            libc.drop_inheritable(NAMES.index("SETUID"))  # so does systemd, lest the user is changed again


class AmbientCapabilities(Step):
    """AmbientCapabilities=: prctl(2) PR_CAP_AMBIENT, of those that the bounding set has."""

    name = "ambient_capabilities"
    manual = "systemd.exec(5) AmbientCapabilities="
    directives = ("AmbientCapabilities",)
    status = 218

    raised: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.ambient_capabilities) if service.ambient_capabilities else None

    def apply(self, process: Process) -> None:
        libc.raise_ambient(self.raised)


class SecureBits(Step):
    """SecureBits=: prctl(2) PR_SET_SECUREBITS."""

    name = "secure_bits"
    manual = "systemd.exec(5) SecureBits="
    directives = ("SecureBits",)
    status = 213

    bits: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        bits = 0
        for each in service.secure_bits:
            bits |= each
        return cls(bits) if bits else None

    def apply(self, process: Process) -> None:
        libc.set_secure_bits(self.bits)


class NoNewPrivileges(Step):
    """NoNewPrivileges=: prctl(2) PR_SET_NO_NEW_PRIVS."""

    name = "no_new_privileges"
    manual = "systemd.exec(5) NoNewPrivileges="
    directives = ("NoNewPrivileges",)
    status = 227

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls() if service.no_new_privileges else None

    def shell(self) -> Shell:
        return Shell(prefix="setpriv --no-new-privs")

    def apply(self, process: Process) -> None:
        kernel.no_new_privileges()


def _words(kept: int) -> str:
    """A set for setpriv(1)."""
    named = [f"+{NAMES[number].lower()}" for number in range(len(NAMES)) if kept >> number & 1]
    return ",".join(("-all", *named))
