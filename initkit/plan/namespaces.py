"""The steps that give a program a network, IPC objects, a host name or users of its own: namespaces(7)."""

from __future__ import annotations

import _socket  # `socket` costs an `enum`
import fcntl
import os
import struct

from initkit.plan import libc, view
from initkit.plan.step import Process, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from initkit.settings.service import Service

# netdevice(7)
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1


_KINDS = {"net": libc.CLONE_NEWNET, "ipc": libc.CLONE_NEWIPC}  # by their names in /proc/PID/ns


def make(names: Iterable[str]) -> None:
    """Leave for new ones."""
    for name in names:
        libc.unshare(_KINDS[name])
        if name == "net":
            _raise_loopback()


def _enter(name: str, path: str, process: Process) -> None:
    """Go where the path leads, or where the service's other programs are, or into a new one."""
    if process.service.user and not process.owns_users:
        return  # a command with "+", which is spared the namespace of users that an ordinary user needs for it
    if path:
        libc.join_namespace(path, _KINDS[name])
    elif name in process.namespaces:
        libc.enter_namespace(process.namespaces[name], _KINDS[name])
    else:
        make((name,))


class OwnUsers(Step):
    """An ordinary user's service may have namespaces of its own only below one of users, in which it is who it is."""

    name = "own_users"
    manual = "systemd.exec(5) PrivateUsers="
    directives = ()
    status = 217

    @classmethod
    def of(cls, service: Service) -> Self | None:
        if not service.user:
            return None
        wanted = service.private_users or service.protect_hostname or service.private_network or service.private_ipc
        return cls() if wanted or view.is_needed(service) else None

    def apply(self, process: Process) -> None:
        _become_private(f"{os.geteuid()} {os.geteuid()} 1\n", f"{os.getegid()} {os.getegid()} 1\n")
        process.owns_users = True


class Network(Step):
    """PrivateNetwork=, NetworkNamespacePath=: network_namespaces(7); a private one has the loopback device, up."""

    name = "network"
    manual = "systemd.exec(5) PrivateNetwork=, NetworkNamespacePath="
    directives = ("NetworkNamespacePath", "PrivateNetwork")
    status = 225

    path: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        wanted = service.private_network or service.network_namespace_path
        return cls(service.network_namespace_path) if wanted else None

    def apply(self, process: Process) -> None:
        _enter("net", self.path, process)


class InterProcess(Step):
    """PrivateIPC=, IPCNamespacePath=: ipc_namespaces(7)."""

    name = "ipc"
    manual = "systemd.exec(5) PrivateIPC=, IPCNamespacePath="
    directives = ("IPCNamespacePath", "PrivateIPC")
    status = 226

    path: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        wanted = service.private_ipc or service.ipc_namespace_path
        return cls(service.ipc_namespace_path) if wanted else None

    def apply(self, process: Process) -> None:
        _enter("ipc", self.path, process)


class HostName(Step):
    """ProtectHostname=: uts_namespaces(7)."""

    name = "host_name"
    manual = "systemd.exec(5) ProtectHostname="
    directives = ("ProtectHostname",)
    status = 226

    host: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.protect_hostname.partition(":")[2]) if service.protect_hostname else None

    def apply(self, process: Process) -> None:
        libc.unshare(libc.CLONE_NEWUTS)
        if self.host:
            _socket.sethostname(self.host)


class Users(Step):
    """PrivateUsers=: user_namespaces(7). Root and the service's own user are there; all others are nobody."""

    name = "users"
    manual = "systemd.exec(5) PrivateUsers="
    directives = ("PrivateUsers",)
    status = 217

    how: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        # OwnUsers has done it for an ordinary user.
        return cls(service.private_users) if service.private_users and not service.user else None

    def apply(self, process: Process) -> None:
        uid = os.geteuid() if process.uid is None else process.uid
        _become_private(_map(self.how, uid), _map(self.how, os.getegid()))


def _map(how: str, own: int) -> str:
    """A map of user_namespaces(7): first inside, first outside, how many."""
    if how == "full":
        return "0 0 4294967295\n"
    if how == "identity":
        return "0 0 65536\n"
    return "0 0 1\n" + (f"{own} {own} 1\n" if own else "")


def _become_private(uids: str, gids: str) -> None:
    """unshare(2) CLONE_NEWUSER."""
    if os.geteuid():
        libc.unshare(libc.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", uids)
        _write("/proc/self/gid_map", gids)
        return
    # More than oneself only somebody outside may map: a child that stays there.
    us, (done, tell) = os.getpid(), os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(tell)
            if os.read(done, 1):
                _write(f"/proc/{us}/uid_map", uids)
                _write(f"/proc/{us}/gid_map", gids)
                status = 0
        finally:
            os._exit(status)
    os.close(done)
    try:
        libc.unshare(libc.CLONE_NEWUSER)
        os.write(tell, b"1")
    finally:
        os.close(tell)
        failed = os.waitpid(child, 0)[1]
    if failed:
        raise PermissionError(1, "the users of the new user namespace could not be mapped")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _raise_loopback() -> None:
    device = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(device.fileno(), _SIOCGIFFLAGS, request))
        fcntl.ioctl(device.fileno(), _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    finally:
        device.close()
