"""DynamicUser=: the step that makes the program the user that has been allocated for it: systemd.exec(5)."""

from __future__ import annotations

import os

from initkit.plan.step import Process, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.settings.service import Service

FIRST, LAST = 61184, 65519  # https://systemd.io/UIDS-GIDS
_START = "abcdefghijklmnopqrstuvwxyz_"
_LETTERS = frozenset(_START + "0123456789-")


class DynamicUser(Step):
    """Be somebody whom nobody else is. Without systemd's part of NSS there is no name for the number: see $USER."""

    name = "dynamic_user"
    manual = "systemd.exec(5) DynamicUser="
    directives = ("DynamicUser",)
    status = 217

    user: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(user_name(service)) if service.dynamic_user else None

    def apply(self, process: Process) -> None:
        uid = os.geteuid()
        if process.uid is None and not FIRST <= uid <= LAST:
            raise LookupError("no user could be allocated: see the messages before")
        if process.uid is None:  # systemd has done it
            process.uid, process.gid = uid, os.getegid()
        if process.service.set_login_environment is not False:
            process.environment.update(USER=self.user, LOGNAME=self.user)


def user_name(service: Service) -> str:
    """User=, else the unit's name, or what stands for it where no user can be called so."""
    name = str(service.account or service.name.partition("@")[0])
    if name[:1] in _START and _LETTERS.issuperset(name) and len(name) < 32:
        return name
    return f"_du{_hash(name):016x}"


def preferred(name: str) -> int:
    """The number that a name has, as long as nobody else has it."""
    return FIRST + _hash(name) % (LAST - FIRST + 1)


def _hash(text: str) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogateescape"):
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found
