"""What a service may ask of the kernel: systemd.exec(5), "SYSTEM CALL FILTERING".

Imported for services that restrict it."""

from __future__ import annotations

import errno

from initkit.settings import syntax, values
from initkit.settings.attributes import ARCHITECTURES
from initkit.settings.record import Record
from initkit.settings.syscalls import GROUPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Instead of an error number: the process is killed, or the directive has not said.
KILL, UNSAID = 0, -1

#: <sys/socket.h>, address_families(7)
FAMILIES = {
    "UNSPEC": 0, "UNIX": 1, "LOCAL": 1, "FILE": 1, "INET": 2, "AX25": 3, "IPX": 4, "APPLETALK": 5, "NETROM": 6,
    "BRIDGE": 7, "ATMPVC": 8, "X25": 9, "INET6": 10, "ROSE": 11, "DECnet": 12, "NETBEUI": 13, "SECURITY": 14,
    "KEY": 15, "NETLINK": 16, "ROUTE": 16, "PACKET": 17, "ASH": 18, "ECONET": 19, "ATMSVC": 20, "RDS": 21, "SNA": 22,
    "IRDA": 23, "PPPOX": 24, "WANPIPE": 25, "LLC": 26, "IB": 27, "MPLS": 28, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31,
    "IUCV": 32, "RXRPC": 33, "ISDN": 34, "PHONET": 35, "IEEE802154": 36, "CAIF": 37, "ALG": 38, "NFC": 39,
    "VSOCK": 40, "KCM": 41, "QIPCRTR": 42, "SMC": 43, "XDP": 44, "MCTP": 45,
}  # fmt: skip
#: clone(2)'s flags
NAMESPACES = {
    "time": 0x80, "mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
ALL_NAMESPACES = sum(NAMESPACES.values())


class Call(Record):
    """A word of SystemCallFilter=: a system call or a group, taken away by "~", with the error that it is to give."""

    name: str
    inverted: bool = False
    error: int = UNSAID

    def __str__(self) -> str:
        """As the settings spell it."""
        told = "" if self.error == UNSAID else ":kill" if self.error == KILL else f":{_error_name(self.error)}"
        return f"{'~' if self.inverted else ''}{self.name}{told}"


class Family(Record):
    """A word of RestrictAddressFamilies=."""

    number: int
    inverted: bool = False


def calls(text: str, _: Callable[[str], str]) -> Iterator[Call]:
    """Words, each NAME[:ERROR]; "~" at the start is for all.

    Raises:
        ValueError: for a system call that nobody knows, or an error that is none.
    """
    for word in syntax.split(text.removeprefix("~")):
        name, colon, error = word.partition(":")
        if name not in GROUPS and name not in GROUPS["@known"].split():
            raise ValueError(f"expected system calls or groups such as @system-service, found {name!r}{_near(name)}")
        yield Call(name, text.startswith("~"), error_number(error) if colon else UNSAID)


def _near(name: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, (*GROUPS, *GROUPS["@known"].split()), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def members(name: str) -> set[str]:
    """The system calls of a group, or the one of that name."""
    if not name.startswith("@"):
        return {name}
    return {call for each in GROUPS[name].split() for call in members(each)}


def merged(words: tuple[Call, ...]) -> tuple[bool, dict[str, int]]:
    """What several assignments come to: whether only these are allowed, else all but these, and the error of each.

    The first word decides: systemd.exec(5), "the first encountered will take precedence".
    """
    if not words:
        return False, {}
    allows = not words[0].inverted
    found = dict.fromkeys(members("@default"), UNSAID) if allows else {}
    for word in words:
        for call in members(word.name):
            if allows and word.error != UNSAID and not word.inverted:
                found.pop(call, None)  # an error is what a call gets that is not allowed: as systemd reads it
            elif word.inverted == (not allows):
                found[call] = word.error
            else:
                found.pop(call, None)
    return allows, found


def _error_name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def error_number(text: str) -> int:
    """ "kill" (0), a name of errno(3), or its number.

    Raises:
        ValueError: for another word.
    """
    if text == "kill":
        return KILL
    if text.startswith("E") and isinstance(getattr(errno, text, None), int):
        return int(getattr(errno, text))
    try:
        return values.integer(text, 0, 4095)
    except ValueError:
        raise ValueError(f"expected kill, an error such as EPERM, or its number, found {text!r}") from None


def architectures(text: str, _: Callable[[str], str]) -> Iterator[str]:
    """Words, each of systemd's names for an architecture, or "native".

    Raises:
        ValueError: for another word.
    """
    for word in syntax.split(text):
        if word not in ("native", *ARCHITECTURES):
            raise ValueError(f"expected architectures (native, {', '.join(ARCHITECTURES)}), found {word!r}")
        yield word


def families(text: str, _: Callable[[str], str]) -> Iterator[Family]:
    """Words, each AF_NAME; "none" is a list of none, "~" at the start is for all.

    Raises:
        ValueError: for another word.
    """
    if text == "none":
        yield Family(-1)
        return
    for word in syntax.split(text.removeprefix("~")):
        if not word.startswith("AF_") or word[3:] not in FAMILIES:
            raise ValueError(f"expected none or an address family such as AF_INET, found {word!r}")
        yield Family(FAMILIES[word[3:]], text.startswith("~"))


def merged_families(words: tuple[Family, ...]) -> tuple[bool, tuple[int, ...]]:
    """Whether only these are allowed (else they are what is not), and which."""
    if not words:
        return False, ()
    allows = not words[0].inverted
    found: set[int] = set()
    for word in words:
        if word.inverted == (not allows):
            found.add(word.number)
        else:
            found.discard(word.number)
    return allows, tuple(sorted(found - {-1}))


def namespaces(so_far: int | None, text: str) -> int:
    """The namespaces that may be made, after one more assignment of RestrictNamespaces=.

    Raises:
        ValueError: for another word.
    """
    try:
        return 0 if values.boolean(text) else ALL_NAMESPACES
    except ValueError:
        pass
    named = 0
    for word in syntax.split(text.removeprefix("~")):
        if word not in NAMESPACES:
            raise ValueError(f"expected yes, no or namespaces ({', '.join(NAMESPACES)}), found {word!r}")
        named |= NAMESPACES[word]
    if text.startswith("~"):
        return (ALL_NAMESPACES if so_far is None else so_far) & ~named
    return named | (so_far or 0)
