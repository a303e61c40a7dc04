"""Whether a name on the message bus has an owner, told by the bus itself: the D-Bus Specification's
org.freedesktop.DBus.NameHasOwner and NameOwnerChanged, for Type=dbus of systemd.service(5)."""

from __future__ import annotations

import _socket
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    Order = Literal["little", "big"]

_BUS = "org.freedesktop.DBus"
_SYSTEM = "unix:path=/run/dbus/system_bus_socket"
_SIZE = 1 << 16
_MOST = 1 << 27  # bytes in a message
# Types of messages, and codes of header fields
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _REPLY, _DESTINATION, _SENDER, _SIGNATURE = 1, 2, 3, 5, 6, 7, 8
_HELLO, _MATCH, _ASK = 1, 2, 3  # serials of what is asked


class BusName:
    """A name, as long as this connection lasts. `owned` is true while somebody has it, `lost` when the bus tells no
    more, and why."""

    def __init__(self, name: str, *, user: bool) -> None:
        """Ask the system's bus, or the user's.

        Raises:
            OSError: there is none; the file name is the last one's that was tried.
        """
        self.name, self.owned, self.lost = name, False, ""
        self._rest, self._trusted = b"", False
        self._socket = _connected(user)
        match = f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{name}'"
        self._socket.sendall(
            b"\0AUTH EXTERNAL %s\r\nBEGIN\r\n" % str(os.geteuid()).encode().hex().encode()
            + _call(_HELLO, "Hello")
            + _call(_MATCH, "AddMatch", match)
            + _call(_ASK, "NameHasOwner", name)
        )
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take in what the bus has said."""
        try:
            data = self._socket.recv(_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as fault:
            data = b""
            self.lost = fault.strerror or str(fault)
        self._rest += data
        try:
            self._take()
        except (ValueError, IndexError, UnicodeDecodeError):
            self.lost = "not the D-Bus protocol"
        if not data:
            self.lost = self.lost or "the connection is closed"

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def _take(self) -> None:
        if not self._trusted:
            line, end, rest = self._rest.partition(b"\r\n")
            if not end:
                return
            if not line.startswith(b"OK "):
                self.lost = f"refused: {line.decode('ascii', 'replace')}"
                return
            self._rest, self._trusted = rest, True
        while (size := _size(self._rest)) and size <= len(self._rest):
            self._hear(self._rest[:size])
            self._rest = self._rest[size:]

    def _hear(self, message: bytes) -> None:
        kind, order = message[1], _order(message)
        fields, start = _fields(message, order)
        body = _Reader(message, start, order)
        if kind == _SIGNAL and fields.get(_MEMBER) == "NameOwnerChanged" and fields.get(_SENDER) == _BUS:
            name, _, owner = body.string(), body.string(), body.string()
            if name == self.name:
                self.owned = bool(owner)
        elif kind == _RETURN and fields.get(_REPLY) == _ASK:
            self.owned = bool(body.number())
        elif kind == _ERROR:
            self.lost = body.string() if str(fields.get(_SIGNATURE, "")).startswith("s") else "an error"


# --- where it is ------------------------------------------------------------------------------------------------------


def _connected(user: bool) -> _socket.socket:
    tried, fault = b"", OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for tried in _addresses(user):
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        connection.settimeout(5)
        try:
            connection.connect(tried)
            return connection
        except OSError as refused:
            connection.close()
            fault = refused
    raise OSError(fault.errno or errno.EIO, fault.strerror or str(fault), os.fsdecode(tried).replace("\0", "@") or None)


def _addresses(user: bool) -> Iterator[bytes]:
    """The sockets to try, of the D-Bus Specification's "Server Addresses"."""
    if user:
        text = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={os.environ.get('XDG_RUNTIME_DIR', '')}/bus"
    else:
        text = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM
    for address in text.split(";"):
        transport, _, rest = address.partition(":")
        found = dict(each.partition("=")[::2] for each in rest.split(","))
        for key, before in ("path", b""), ("abstract", b"\0"):
            if transport == "unix" and key in found:
                yield before + _unescaped(found[key])


def _unescaped(text: str) -> bytes:
    first, *parts = os.fsencode(text).split(b"%")
    return first + b"".join(_byte(part[:2]) + part[2:] for part in parts)


def _byte(digits: bytes) -> bytes:
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b"%" + digits


# --- how it is said ---------------------------------------------------------------------------------------------------


def _call(serial: int, member: str, *strings: str) -> bytes:
    """A method call of the bus itself, with strings for arguments."""
    body = b""
    for each in strings:
        body = _aligned(body, 4) + _string(each)
    said = {
        _PATH: ("o", "/org/freedesktop/DBus"),
        _INTERFACE: ("s", _BUS),
        _MEMBER: ("s", member),
        _DESTINATION: ("s", _BUS),
    }
    fields = b""
    for code, (signature, value) in said.items():
        fields = _aligned(fields, 8) + bytes((code, 1)) + signature.encode() + b"\0" + _string(value)
    if strings:
        fields = (
            _aligned(fields, 8) + bytes((_SIGNATURE, 1)) + b"g\0" + bytes((len(strings),)) + b"s" * len(strings) + b"\0"
        )
    head = bytes((ord("l"), _CALL, 0, 1)) + b"".join(_number(each) for each in (len(body), serial, len(fields)))
    return _aligned(head + fields, 8) + body


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _string(text: str) -> bytes:
    data = text.encode()
    return _number(len(data)) + data + b"\0"


def _aligned(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def _order(message: bytes) -> Order:
    return "little" if message[:1] == b"l" else "big"


def _size(data: bytes) -> int:
    """How long the message is that these are the first bytes of, 0 while that is not known."""
    if len(data) < 16:
        return 0
    order = _order(data)
    body, fields = (int.from_bytes(data[at : at + 4], order) for at in (4, 12))
    size = 16 + fields + -fields % 8 + body
    if data[:1] not in (b"l", b"B") or size > _MOST:
        raise ValueError("no message")
    return size


class _Reader:
    """Takes values out of a message."""

    def __init__(self, data: bytes, at: int, order: Order) -> None:
        self.data, self.at, self.order = data, at, order

    def align(self, to: int) -> None:
        self.at += -self.at % to

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        self.align(4)
        self.at += 4
        return int.from_bytes(self.data[self.at - 4 : self.at], self.order)

    def string(self) -> str:
        return self._text(self.number())

    def signature(self) -> str:
        return self._text(self.byte())

    def _text(self, length: int) -> str:
        self.at += length + 1
        return self.data[self.at - length - 1 : self.at - 1].decode()


def _fields(message: bytes, order: Order) -> tuple[dict[int, object], int]:
    """The header's fields by their codes, and where the body begins."""
    reader = _Reader(message, 12, order)
    end = reader.number() + 16
    found: dict[int, object] = {}
    while reader.at < end:
        reader.align(8)
        code, signature = reader.byte(), reader.signature()
        if signature in ("s", "o"):
            found[code] = reader.string()
        elif signature == "g":
            found[code] = reader.signature()
        elif signature == "u":
            found[code] = reader.number()
        else:
            raise ValueError(f"a header field of type {signature}")
    return found, end + -end % 8
