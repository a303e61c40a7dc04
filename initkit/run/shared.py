"""Namespaces that all programs of a service's life share: systemd.exec(5), PrivateNetwork=, PrivateIPC=.

A service's only program makes its own. Where there are more, each has to find what the one before has set up: then they
are made by a child, before the first one, and held by the manager.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from initkit.settings.service import Service


def make(service: Service) -> dict[str, int]:
    """New ones, as descriptors by their names in /proc.

    Raises:
        OSError: when there can be none, and the programs are to say so.
    """
    names = [name for name, wanted in (("net", service.private_network), ("ipc", service.private_ipc)) if wanted]
    (made, tell), (wait, let_go) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    child = os.fork()  # which also imports what the manager is to be spared
    if child == 0:
        try:
            os.close(let_go)
            from initkit.plan import namespaces

            namespaces.make(names)
            os.write(tell, b"1")
            os.read(wait, 1)
        finally:
            os._exit(0)
    os.close(tell)
    os.close(wait)
    try:
        return _held(child, names) if os.read(made, 1) else {}
    finally:
        os.close(made)
        os.close(let_go)
        os.waitpid(child, 0)


def _held(pid: int, names: list[str]) -> dict[str, int]:
    return {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names}


def release(held: Mapping[str, int]) -> None:
    """Let go of them: they end with their last process."""
    for fd in held.values():
        os.close(fd)
