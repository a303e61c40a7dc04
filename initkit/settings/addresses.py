"""Addresses to listen on: ListenStream=, ListenDatagram= and ListenSequentialPacket= of systemd.socket(5)."""

from __future__ import annotations

import _socket  # built in, unlike `socket`

from initkit.settings import values
from initkit.settings.record import Record

UNIX, IPV4, IPV6, VSOCK = "unix", "ipv4", "ipv6", "vsock"

_LONGEST = 107  # bytes of a socket's name: unix(7), sun_path without its final NUL
_VSOCK = ("vsock", "vsock-stream", "vsock-dgram", "vsock-seqpacket")
_PORTS = 65535
_NUMBERS = 2**32 - 1
_EXPECTED = "expected a /path, an @name, a port, IPv4:port, [IPv6]:port, [IPv6]:port%interface or vsock:CID:port"


class Address(Record):
    """Where to listen. `host` is a path or "@name" (`UNIX`), an IP address, or a CID ("" for any); an IPv6 `host` of ""
    is a port by itself: any address, IPv4's as well where there is no IPv6. `scope` is an interface's name or number,
    `kind` the word that a vsock address begins with."""

    family: str
    host: str
    port: int = 0
    scope: str = ""
    kind: str = ""


def parse(text: str) -> Address:
    """An address, whose specifiers are expanded.

    Raises:
        ValueError: when it is none.
    """
    if text.startswith(("/", "@")):
        return _unix(text)
    kind, colon, rest = text.partition(":")
    if colon and kind in _VSOCK:
        return _vsock(kind, rest)
    if text.isascii() and text.isdigit():
        return Address(IPV6, "", _port(text))
    where, _, scope = text.partition("%")
    host, _, port = where.rpartition(":")
    if "%" in text and not _is_interface(scope):
        raise ValueError(f"{_EXPECTED}; an interface stands after the port")
    if host.startswith("[") and host.endswith("]"):
        return Address(IPV6, _ip(_socket.AF_INET6, host[1:-1], text), _port(port), scope)
    return Address(IPV4, _ip(_socket.AF_INET, host, text), _port(port), scope)


def write(address: Address) -> str:
    """An address as `parse` reads it."""
    if address.family == UNIX:
        return address.host
    if address.family == VSOCK:
        return f"{address.kind}:{address.host}:{address.port}"
    scope = f"%{address.scope}" if address.scope else ""
    if address.family == IPV6:
        return f"[{address.host}]:{address.port}{scope}" if address.host else str(address.port)
    return f"{address.host}:{address.port}{scope}"


def _unix(text: str) -> Address:
    if len(text) < 2 or len(text.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise ValueError(f"expected a path or an @name of 1 to {_LONGEST - 1} bytes for a socket")
    return Address(UNIX, values.path(text) if text[0] == "/" else text)


def _vsock(kind: str, rest: str) -> Address:
    cid, colon, port = rest.partition(":")
    if not colon:
        raise ValueError(f"expected {kind}:CID:port, where the CID may be left out")
    if cid:
        values.integer(cid, 0, _NUMBERS, what="a CID")
    return Address(VSOCK, cid, values.integer(port, 0, _NUMBERS, what="a port"), kind=kind)


def _ip(family: int, text: str, whole: str) -> str:
    try:
        return _socket.inet_ntop(family, _socket.inet_pton(family, text))
    except (OSError, ValueError):
        raise ValueError(f"{_EXPECTED}, found {whole!r}") from None


def _port(text: str) -> int:
    return values.integer(text, 1, _PORTS, what="a port")


def _is_interface(text: str) -> bool:
    return 0 < len(text) < 128 and text not in (".", "..") and not set(text) & set(" :/%\t") and text.isprintable()
