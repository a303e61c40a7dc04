"""Opening what a service listens on, as systemd does: systemd.socket(5). Imported where a service has sockets only."""

from __future__ import annotations

import _socket
import os

from initkit.settings import addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from initkit.settings.addresses import Address
    from initkit.settings.companions import Listen, Socket
    from initkit.settings.service import Service

_TYPES = {
    "stream": _socket.SOCK_STREAM, "datagram": _socket.SOCK_DGRAM, "sequential packet": _socket.SOCK_SEQPACKET,
}  # fmt: skip
_PROTOCOLS = {"": 0, "sctp": 132, "udplite": 136, "mptcp": 262}  # <netinet/in.h>
_MOST_BACKLOG = 2**31 - 1  # listen(2) takes an int
_ANY_CID = 2**32 - 1  # vsock(7)
_IP_TRANSPARENT, _IPV6_TRANSPARENT, _IP_FREEBIND, _IPV6_FREEBIND, _IP_PKTINFO = 19, 75, 15, 78, 8  # <linux/in.h>
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE, _SO_PASSSEC, _SO_TIMESTAMP, _SO_TIMESTAMPNS = 33, 32, 34, 29, 35
_F_SETPIPE_SZ = 1031  # fcntl(2)


class Opened:
    """A descriptor that something is listened on with, and the settings that asked for it."""

    def __init__(self, fd: int, socket: Socket, listened: Listen) -> None:
        self.fd, self.socket, self.listened = fd, socket, listened


class Listening:
    """All that a service listens on. `note` is told what could not be had but is not vital."""

    def __init__(self, service: Service, note: Callable[[str], None]) -> None:
        self.opened: list[Opened] = []
        try:
            for socket in service.sockets:
                for listened in socket.listens:
                    self.opened.append(Opened(_open(socket, listened, note), socket, listened))
                _link(socket, note)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close everything; RemoveOnStop= names go as well."""
        for each in self.opened:
            os.close(each.fd)
        for socket in dict.fromkeys(each.socket for each in self.opened if each.socket.remove_on_stop):
            paths = [each.listened.path for each in self.opened if each.socket is socket and _is_ours(each.listened)]
            for path in (*socket.symlinks, *paths):
                _unlink(path)
        self.opened = []


def _open(socket: Socket, listened: Listen, note: Callable[[str], None]) -> int:
    """A descriptor.

    Raises:
        OSError: naming the address.
    """
    try:
        if listened.kind == "fifo":
            return _fifo(socket, listened.path)
        if listened.address is None:
            return _special(socket, listened.path)
        return _bound(socket, listened.kind, listened.address, note)
    except OSError as fault:
        shown = addresses.write(listened.address) if listened.address else listened.path
        raise OSError(fault.errno, fault.strerror or str(fault), shown) from None


# --- sockets --------------------------------------------------------------------------------------------------------


def _bound(socket: Socket, kind: str, address: Address, note: Callable[[str], None]) -> int:
    family, where = _where(address)
    made = _socket.socket(family, _TYPES[kind] | _socket.SOCK_CLOEXEC, _PROTOCOLS[socket.protocol])
    try:
        for level, option, value in _before(socket, family):
            made.setsockopt(level, option, value)
        if address.family == addresses.UNIX:
            _bind_unix(made, socket, address.host)
        else:
            made.bind(where)
        for name, level, option, setting in _options(socket, family, kind):
            try:
                made.setsockopt(level, option, setting)
            except OSError as fault:  # as systemd has it: not vital
                note(f"{socket.unit}: {name}=: {fault.strerror}")
        if kind != "datagram":
            made.listen(min(socket.backlog, _MOST_BACKLOG))
        return int(made.detach())
    except BaseException:
        made.close()
        raise


def _where(address: Address) -> tuple[int, Any]:
    """The family of an address, and the address itself, as bind(2) takes them."""
    if address.family == addresses.VSOCK:
        return _socket.AF_VSOCK, (int(address.host, 0) if address.host else _ANY_CID, address.port)
    if address.family == addresses.IPV4:
        return _socket.AF_INET, (address.host, address.port)
    if address.family == addresses.UNIX:
        return _socket.AF_UNIX, address.host
    if not address.host and not os.path.exists("/proc/net/if_inet6"):
        return _socket.AF_INET, ("0.0.0.0", address.port)
    return _socket.AF_INET6, (address.host or "::", address.port, 0, _scope(address.scope))


def _scope(name: str) -> int:
    return int(name) if name.isdigit() else int(_socket.if_nametoindex(name)) if name else 0


def _before(socket: Socket, family: int) -> Iterator[tuple[int, int, int | bytes]]:
    """Options that decide whether it can be bound."""
    if family == _socket.AF_INET6 and socket.bind_ipv6_only != "default":
        yield _socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, int(socket.bind_ipv6_only == "ipv6-only")
    if family in (_socket.AF_INET, _socket.AF_INET6):
        if socket.bind_to_device:
            yield _socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, socket.bind_to_device.encode() + b"\0"
        if socket.reuse_port:
            yield _socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1
        yield from _of_ip(family, _IP_FREEBIND, _IPV6_FREEBIND, socket.free_bind)
        yield from _of_ip(family, _IP_TRANSPARENT, _IPV6_TRANSPARENT, socket.transparent)
    yield _socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1


def _of_ip(family: int, option: int, option6: int, wanted: int | None) -> Iterator[tuple[int, int, int]]:
    """An option of IPv4 or IPv6."""
    if wanted and family == _socket.AF_INET6:
        yield _socket.IPPROTO_IPV6, option6, int(wanted)
    elif wanted:
        yield _socket.IPPROTO_IP, option, int(wanted)


def _options(socket: Socket, family: int, kind: str) -> Iterator[tuple[str, int, int, int | bytes]]:
    """What else is set, in the order of systemd: (directive, level, option, value)."""
    whole = _socket.SOL_SOCKET
    stamps = _SO_TIMESTAMPNS if socket.timestamping[0] == "n" else _SO_TIMESTAMP
    for name, option, value in (
        ("KeepAlive", _socket.SO_KEEPALIVE, socket.keep_alive),
        ("Broadcast", _socket.SO_BROADCAST, socket.broadcast),
        ("PassCredentials", _socket.SO_PASSCRED, socket.pass_credentials),
        ("PassSecurity", _SO_PASSSEC, socket.pass_security),
        ("Timestamping", stamps, socket.timestamping != "off"),
        ("Priority", _socket.SO_PRIORITY, socket.priority),
        ("Mark", _socket.SO_MARK, socket.mark),
    ):  # fmt: skip
        if value:
            yield name, whole, option, int(value)
    for name, force, option, size in (
        ("ReceiveBuffer", _SO_RCVBUFFORCE, _socket.SO_RCVBUF, socket.receive_buffer),
        ("SendBuffer", _SO_SNDBUFFORCE, _socket.SO_SNDBUF, socket.send_buffer),
    ):
        if size:
            yield name, whole, force if os.geteuid() == 0 else option, size
    if family not in (_socket.AF_INET, _socket.AF_INET6):
        return
    for name, option, option6, value in (
        ("PassPacketInfo", _IP_PKTINFO, _socket.IPV6_RECVPKTINFO, socket.pass_packet_info),
        ("IPTOS", _socket.IP_TOS, _socket.IPV6_TCLASS, socket.ip_tos),
        ("IPTTL", _socket.IP_TTL, _socket.IPV6_UNICAST_HOPS, socket.ip_ttl),
    ):
        yield from ((name, *each) for each in _of_ip(family, option, option6, value))
    if kind == "stream":
        yield from _of_tcp(socket)


def _of_tcp(socket: Socket) -> Iterator[tuple[str, int, int, int | bytes]]:
    for name, option, value in (
        ("KeepAliveTimeSec", _socket.TCP_KEEPIDLE, socket.keep_alive_time),
        ("KeepAliveIntervalSec", _socket.TCP_KEEPINTVL, socket.keep_alive_interval),
        ("KeepAliveProbes", _socket.TCP_KEEPCNT, socket.keep_alive_probes),
        ("DeferAcceptSec", _socket.TCP_DEFER_ACCEPT, socket.defer_accept),
        ("NoDelay", _socket.TCP_NODELAY, socket.no_delay),
    ):
        if value:
            yield name, _socket.IPPROTO_TCP, option, max(1, int(value))
    if socket.tcp_congestion:
        yield "TCPCongestion", _socket.IPPROTO_TCP, _socket.TCP_CONGESTION, socket.tcp_congestion.encode()


# --- names in the file system ---------------------------------------------------------------------------------------


def _bind_unix(made: _socket.socket, socket: Socket, host: str) -> None:
    name = host.encode("utf-8", "surrogateescape")
    if host.startswith("@"):
        made.bind(b"\0" + name[1:])
        return
    _make_parents(host, socket.directory_mode)
    before = os.umask(~socket.mode & 0o777)
    try:
        try:
            made.bind(name)
        except OSError:
            if not _is_stale(host):
                raise
            os.unlink(host)
            made.bind(name)
    finally:
        os.umask(before)
    _own(socket, host)


def _is_stale(path: str) -> bool:
    """Whether a socket's name is there without a socket. To connect would tell as well, and startle a server."""
    try:
        if os.lstat(path).st_mode & 0o170000 != 0o140000:  # S_IFSOCK
            return False
        with open("/proc/net/unix", "rb") as file:  # unix(7)
            return not any(line.endswith(b" " + os.fsencode(path) + b"\n") for line in file)
    except OSError:
        return False


def _fifo(socket: Socket, path: str) -> int:
    _make_parents(path, socket.directory_mode)
    before = os.umask(~socket.mode & 0o777)
    try:
        os.mkfifo(path, socket.mode)
        _own(socket, path)
    except FileExistsError:
        pass
    finally:
        os.umask(before)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o010000:  # S_IFIFO
            raise FileExistsError(17, "is there and no FIFO")
        if socket.pipe_size:
            import fcntl

            fcntl.fcntl(fd, _F_SETPIPE_SZ, socket.pipe_size)
        return fd
    except BaseException:
        os.close(fd)
        raise


def _special(socket: Socket, path: str) -> int:
    """ListenSpecial=: a device, or a file of /proc or /sys."""
    access = os.O_RDWR if socket.writable else os.O_RDONLY
    fd = os.open(path, access | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if os.fstat(fd).st_mode & 0o170000 not in (0o100000, 0o020000):  # S_IFREG, S_IFCHR
        os.close(fd)
        raise FileExistsError(17, "expected a device or a file")
    return fd


def _make_parents(path: str, mode: int) -> None:
    """DirectoryMode=: whatever the umask is."""
    folder = os.path.dirname(path)
    before = os.umask(~mode & 0o777)
    try:
        missing = []
        while folder != "/" and not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(missing):
            os.mkdir(each, mode)
    finally:
        os.umask(before)


def _own(socket: Socket, path: str) -> None:
    """SocketUser=, SocketGroup=; "if only a user is specified […], the group is derived from the user's default"."""
    if not (socket.account or socket.group):
        return
    import grp
    import pwd

    uid, gid = -1, -1
    try:
        if socket.account:
            entry = pwd.getpwuid(int(socket.account)) if socket.account.isdigit() else pwd.getpwnam(socket.account)
            uid, gid = entry.pw_uid, entry.pw_gid
        if socket.group:
            gid = int(socket.group) if socket.group.isdigit() else grp.getgrnam(socket.group).gr_gid
    except KeyError:
        name = socket.group if uid >= 0 or not socket.account else socket.account
        raise OSError(2, f"there is no user or group {name}") from None
    os.chown(path, uid, gid, follow_symlinks=False)


def _link(socket: Socket, note: Callable[[str], None]) -> None:
    """Symlinks=: one that cannot be made is not vital."""
    target = next((each.path for each in socket.listens if _is_ours(each)), "")
    for path in socket.symlinks:
        try:
            _make_parents(path, socket.directory_mode)
            if os.path.islink(path):
                os.unlink(path)
            os.symlink(target, path)
        except OSError as fault:
            note(f"{socket.unit}: Symlinks=: {path}: {fault.strerror}")


def _is_ours(listened: Listen) -> bool:
    """Whether there is a name in the file system that opening it has made."""
    return bool(listened.path) and (listened.kind == "fifo" or listened.address is not None)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # somebody has removed it already
