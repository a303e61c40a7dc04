"""What a service's control group needs before anybody is in it: controllers, and who may change it."""

from __future__ import annotations

import os

from initkit.plan.resources import controllers, write
from initkit.run import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.plan.step import Process
    from initkit.settings.service import Service

_FILES = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group", "memory.reclaim")


def prepare(service: Service, home: str, top: str, path: str) -> None:
    """Hand the controllers that the service asks for down to its group, as far as they are there, and mark the group
    as handed over where Delegate= says so.

    What is missing in the end is for the step to tell that needs it.
    """

    wanted = controllers(service)
    if service.oom_policy != "continue":
        wanted = (*wanted, "memory")  # so that a kill for want of memory is told
    if wanted:
        _enable(dict.fromkeys(wanted), home, top, path)
    if service.delegate is not None:
        _mark(service, path)


def _enable(wanted: Iterable[str], home: str, top: str, path: str) -> None:
    """Have each group above the service's hand them on."""
    folder = home
    for part in ["", *os.path.relpath(path, home).split("/")[:-1]]:
        folder = f"{folder}/{part}" if part else folder
        there = identity.read(f"{folder}/cgroup.controllers").split()
        missing = [each for each in wanted if each in there and each not in _handed_on(folder)]
        if missing and (folder != home or _has_nobody(home, top)):
            for each in missing:
                _hand_on(folder, each)


def _handed_on(folder: str) -> list[str]:
    return identity.read(f"{folder}/cgroup.subtree_control").split()


def _hand_on(folder: str, controller: str) -> None:
    try:
        write(f"{folder}/cgroup.subtree_control", f"+{controller}")
    except OSError:
        pass  # the step that writes to its files will tell


def _has_nobody(home: str, top: str) -> bool:
    """cgroups(7), "no internal processes": a group that hands controllers on has nobody in it, but for the root (some
    controllers the kernel would let it hand on, and then run nothing below but threads). The manager goes into a group
    of its own where it is alone; others it lets stay where they are."""
    if not os.path.exists(f"{home}/cgroup.type"):
        return True
    inside = identity.read(f"{home}/cgroup.procs").split()
    if inside == [str(os.getpid())]:
        try:
            os.makedirs(f"{top}/manager", exist_ok=True)
            write(f"{top}/manager/cgroup.procs", "0")
        except OSError:
            return False
        return True
    return not inside


def _mark(service: Service, path: str) -> None:
    """systemd.resource-control(5), Delegate=: what is in the group is not to be meddled with."""
    if service.delegate_subgroup:
        os.makedirs(f"{path}/{service.delegate_subgroup}", exist_ok=True)
    for name in ("trusted.delegate", "user.delegate"):
        try:
            os.setxattr(path, name, b"1")
        except OSError:
            pass  # a kernel, or a container, without


def hand_over(process: Process) -> None:
    """Make the group User='s, before a program of the service begins in it.

    Raises:
        OSError: when it cannot be handed over.
    """
    service, path = process.service, process.group
    try:
        uid, gid = _owner(process)
    except LookupError:
        return  # the step that changes the user tells
    for folder in dict.fromkeys((path, f"{path}/{service.delegate_subgroup}".rstrip("/"))):
        os.chown(folder, uid, gid)
        for name in _FILES:
            if os.path.exists(f"{folder}/{name}"):
                os.chown(f"{folder}/{name}", uid, gid)


def _owner(process: Process) -> tuple[int, int]:
    from initkit.plan import identity as accounts

    if process.uid is not None:
        return process.uid, process.uid if process.gid is None else process.gid
    service = process.service
    entry = accounts.find_user(service.account) if service.account else None
    uid = entry.pw_uid if entry else int(service.account or os.geteuid())
    if service.group:
        return uid, accounts.find_group(service.group)
    return uid, entry.pw_gid if entry else uid
