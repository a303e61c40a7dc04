"""A service's sockets and its timer: systemd.socket(5), systemd.timer(5)."""

from __future__ import annotations

from initkit.errors import SettingsError
from initkit.settings import addresses, directives, syntax, values
from initkit.settings.choices import CHOICES
from initkit.settings.record import Record
from initkit.settings.rows import Many, One, Row
from initkit.settings.unit import Unit, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar

    from initkit.settings.addresses import Address
    from initkit.settings.service import Entry, Service

#: Directives of addresses -> the kind of what is listened on, in `Listen`'s words.
LISTENS = {
    "ListenStream": "stream", "ListenDatagram": "datagram", "ListenSequentialPacket": "sequential packet",
    "ListenFIFO": "fifo", "ListenSpecial": "special", "ListenNetlink": "netlink",
    "ListenMessageQueue": "message queue", "ListenUSBFunction": "usb function",
}  # fmt: skip
#: Directives of when a timer elapses.
ELAPSES = ("OnActiveSec", "OnBootSec", "OnCalendar", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec")


class Listen(Record):
    """One thing to listen on. `address` is there for sockets, `path` for what has a name in the file system; of a
    Netlink family or a message queue `path` is what the settings say."""

    kind: str
    path: str = ""
    address: Address | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is one of the sockets that have an address."""
        return self.address is not None


class Companion(Unit):
    """A unit beside a service, with what is in its file or in the service's table of its kind."""

    def __init__(self, service: Service, unit: str, entries: tuple[Entry, ...]) -> None:
        name = service.name if unit.startswith(".") else unit.removesuffix(self.suffix)
        path = next((each.file for each in entries if each.file), service.path)
        super().__init__(name, path, entries, user=service.user)
        self.__dict__["service"] = service

    if TYPE_CHECKING:
        service: Service

    def faults(self) -> Iterator[SettingsError]:
        """Everything that keeps it from being used: wrong values, then what does not make such a unit."""
        found = list(self.wrong_values())
        yield from found or self._contradictions()

    def _contradictions(self) -> Iterator[SettingsError]:
        raise NotImplementedError

    def _names_service(self, key: str) -> Iterator[SettingsError]:
        """What it starts can only be the service that it is written beside."""
        for entry in self.assignments(key):
            if entry.value and self.service.expand(entry.value) != self.service.unit:  # %i is the service's
                yield entry.error(f"expected {self.service.unit}, the service of these settings")


def _paths(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    return (values.path(expand(word)) for word in syntax.split(text))


def _fd_name(text: str) -> str:
    """systemd.socket(5): "any ASCII character, but must exclude control characters and \":\"", at most 255 of them."""
    if not text.isascii() or not text.isprintable() or ":" in text or len(text) > 255:
        raise ValueError("expected at most 255 printable ASCII characters without a colon")
    return text


def _type_of_service(text: str) -> int:
    named = {"low-delay": 0x10, "throughput": 0x08, "reliability": 0x04, "low-cost": 0x02}  # <netinet/ip.h>
    if text in named:
        return named[text]
    return values.integer(text, 0, 255, what=f"a number or one of {', '.join(named)}")


def _time_to_live(text: str) -> int:
    return values.integer(text, 0, 255)


def _choice(kind: str) -> Callable[[str], str]:
    return lambda text: directives.one_of(text, CHOICES[kind])


def _bytes(text: str) -> int:
    found = values.size(text)
    if not 0 < found < 2**31:
        raise ValueError("expected a size in bytes such as 64K")
    return found


def _count(text: str) -> int:
    return values.integer(text, 0, 2**32 - 1)


def _number(text: str) -> int:
    return values.integer(text, -(2**31), 2**31 - 1)


class Socket(Companion):
    """What a service is handed to listen on; the rows are what initkit acts on where systemd does not."""

    rows: ClassVar[dict[str, Row[Any]]] = {}
    suffix = ".socket"

    mode = One("SocketMode", values.mode, 0o666)
    directory_mode = One("DirectoryMode", values.mode, 0o755)
    account = One("SocketUser", values.user, "", expand=True)
    group = One("SocketGroup", values.user, "", expand=True)
    accept = One("Accept", values.boolean, False)
    backlog = One("Backlog", _count, 2**32 - 1)
    bind_ipv6_only = One("BindIPv6Only", _choice("SOCKETBIND"), "default")
    bind_to_device = One("BindToDevice", str, "")
    protocol = One("SocketProtocol", _choice("SocketProtocol"), "")
    fd_name = One("FileDescriptorName", _fd_name, "", expand=True)
    remove_on_stop = One("RemoveOnStop", values.boolean, False)
    symlinks = Many("Symlinks", _paths)
    writable = One("Writable", values.boolean, False)
    flush_pending = One("FlushPending", values.boolean, False)
    free_bind = One("FreeBind", values.boolean, False)
    transparent = One("Transparent", values.boolean, False)
    broadcast = One("Broadcast", values.boolean, False)
    reuse_port = One("ReusePort", values.boolean, False)
    keep_alive = One("KeepAlive", values.boolean, False)
    keep_alive_time = One("KeepAliveTimeSec", values.time_span, 0.0)
    keep_alive_interval = One("KeepAliveIntervalSec", values.time_span, 0.0)
    keep_alive_probes = One("KeepAliveProbes", _count, 0)
    no_delay = One("NoDelay", values.boolean, False)
    defer_accept = One("DeferAcceptSec", values.time_span, 0.0)
    pass_credentials = One("PassCredentials", values.boolean, False)
    pass_security = One("PassSecurity", values.boolean, False)
    pass_packet_info = One("PassPacketInfo", values.boolean, False)
    timestamping = One("Timestamping", _choice("Timestamping"), "off")
    tcp_congestion = One("TCPCongestion", str, "")
    priority = One[int | None]("Priority", _number, None)
    mark = One[int | None]("Mark", _number, None)
    ip_tos = One[int | None]("IPTOS", _type_of_service, None)
    ip_ttl = One[int | None]("IPTTL", _time_to_live, None)
    receive_buffer = One("ReceiveBuffer", _bytes, 0)
    send_buffer = One("SendBuffer", _bytes, 0)
    pipe_size = One("PipeSize", _bytes, 0)
    trigger_limit_interval = One("TriggerLimitIntervalSec", values.time_span, 2.0)
    trigger_limit_burst = One("TriggerLimitBurst", _count, 20)

    @property
    def unit(self) -> str:
        """The full unit name. One socket accepts for all instances of a template, and is none itself."""
        stem, at, _ = self.name.partition("@")
        return f"{stem}.socket" if at and self.accept else super().unit

    @property
    def descriptor_name(self) -> str:
        """FileDescriptorName=, with its default."""
        return self.fd_name or self.unit

    @property
    def listens(self) -> tuple[Listen, ...]:
        """What to listen on, in the order of the settings; an empty assignment of any kind resets all."""
        found: list[Listen] = []
        for entry in self.entries:
            if entry.section == "Socket" and entry.key in LISTENS:
                if entry.value:
                    found.append(parsed(entry, self._listen_of(LISTENS[entry.key])))
                else:
                    found.clear()
        return tuple(found)

    def _listen_of(self, kind: str) -> Callable[[str], Listen]:
        return lambda text: listen(kind, self.expand(text))

    def _verify_value(self, key: str) -> None:
        if key in LISTENS:
            for entry in self.assignments(key):
                if entry.value:
                    parsed(entry, self._listen_of(LISTENS[key]))
        else:
            super()._verify_value(key)

    def _contradictions(self) -> Iterator[SettingsError]:
        yield from self._names_service("Service")
        if not self.listens:
            hint = 'expected listen_stream = ["…"] (ListenStream=) or one of its kin'
            yield SettingsError(f"{self.unit}: nothing to listen on", where=self.path, hint=hint)
        if self.accept and "@" not in self.service.name:
            yield self.assignments("Accept")[-1].error(
                f"expected settings called {self.service.name}@: an instance of them is started for each connection"
            )
        if self.accept and self.has("Service"):
            yield self.assignments("Service")[-1].error("not allowed with accept (Accept=)")
        if self.symlinks and len([each for each in self.listens if _has_node(each)]) != 1:
            yield self.assignments("Symlinks")[-1].error("expected exactly one socket or FIFO in the file system")


def _has_node(listened: Listen) -> bool:
    return listened.kind == "fifo" or (listened.address is not None and listened.path != "")


def listen(kind: str, text: str) -> Listen:
    """One thing to listen on, from what its directive says, specifiers expanded.

    Raises:
        ValueError: when it cannot be listened on.
    """
    if kind == "netlink":
        words = syntax.split(text)
        if len(words) > 2 or not words[0].replace("-", "a").isalnum():
            raise ValueError('expected a Netlink family and perhaps a group, such as "kobject-uevent 1"')
        if len(words) == 2:
            values.integer(words[1], 0, 2**32 - 1, what="a Netlink group")
        return Listen(kind, text)
    if kind not in ("stream", "datagram", "sequential packet"):
        return Listen(kind, values.path(text))
    address = addresses.parse(text)
    if kind == "sequential packet" and address.family not in (addresses.UNIX, addresses.VSOCK):
        raise ValueError("expected a /path or an @name: only Unix sockets have sequential packets")
    return Listen(kind, address.host if address.host.startswith("/") else "", address)


class Timer(Companion):
    """When a service is started by the clock. initkit itself keeps no clock: inits do."""

    rows: ClassVar[dict[str, Row[Any]]] = {}
    suffix = ".timer"

    persistent = One("Persistent", values.boolean, False)
    accuracy = One("AccuracySec", values.time_span, 60.0)
    randomized_delay = One("RandomizedDelaySec", values.time_span, 0.0)

    @property
    def elapses(self) -> tuple[Entry, ...]:
        """The assignments that say when, in their order; an empty one of any kind resets all."""
        found: list[Entry] = []
        for entry in self.entries:
            if entry.section == "Timer" and entry.key in ELAPSES:
                if entry.value:
                    found.append(entry)
                else:
                    found.clear()
        return tuple(found)

    def _contradictions(self) -> Iterator[SettingsError]:
        yield from self._names_service("Unit")
        if not (self.elapses or any(_says_yes(self, key) for key in ("OnClockChange", "OnTimezoneChange"))):
            hint = 'expected on_calendar = "…" (OnCalendar=) or one of its kin'
            yield SettingsError(f"{self.unit}: it never elapses", where=self.path, hint=hint)


def _says_yes(unit: Unit, key: str) -> bool:
    return unit.has(key) and values.boolean(unit.assignments(key)[-1].value)


#: By the suffix without its dot, which is the name of TOML's table as well.
KINDS: dict[str, type[Socket] | type[Timer]] = {"socket": Socket, "timer": Timer}
