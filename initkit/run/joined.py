"""JoinsNamespaceOf=: a service that shares /tmp, /var/tmp, the network or message queues with another one.

The other one is found by its register. What is private to it is what its main process has and this one has not. The
folders of PrivateTmp= are kept by a lock for as long as somebody shares them.
"""

from __future__ import annotations

import fcntl
import os

from initkit.plan import view
from initkit.run import leftovers, register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service


class Joined:
    """Another service's life. `whose` are its folders (LIFE-UNIT), `namespaces` descriptors by their names in /proc."""

    def __init__(self, whose: str, namespaces: dict[str, int]) -> None:
        self.whose, self.namespaces = whose, namespaces
        self._folders = [view.private_folder(path, whose) for path in view.TEMPORARY] if whose else []
        self._held = [_held(folder) for folder in self._folders]

    def leave(self) -> None:
        """Share it no longer; the last one removes the folders."""
        for folder, fd in zip(self._folders, self._held, strict=True):
            os.close(fd)
            if leftovers.is_given_up(folder):
                leftovers.give_up(folder)


def _held(folder: str) -> int:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def find(service: Service) -> Joined | None:
    """The first of those that are named that runs, with what is private to both."""
    for unit in service.joins_namespace_of:
        known = register.read(f"{service.runtime_root}/initkit/{unit.removesuffix('.service')}{register.SUFFIX}")
        main = next((each.pid for each in known.main[::-1] if each.alive()), 0) if known else 0
        if known and main:
            try:
                return Joined(_whose(service, known.invocations, unit), _namespaces(service, main))
            except OSError:
                pass  # it ends just now
    return None


def _whose(service: Service, lives: frozenset[str], unit: str) -> str:
    if service.private_tmp != "yes":
        return ""
    there = (f"{life}-{unit}" for life in lives)
    return next((each for each in there if os.path.isdir(view.private_folder(view.TEMPORARY[0], each))), "")


def _namespaces(service: Service, pid: int) -> dict[str, int]:
    found = {}
    for name, wanted in (("net", service.private_network), ("ipc", service.private_ipc)):
        path = f"/proc/{pid}/ns/{name}"
        if wanted and not os.path.samefile(path, f"/proc/self/ns/{name}"):
            found[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return found
