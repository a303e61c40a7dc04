"""What depend() of a script for OpenRC says, and its runlevel: openrc-run(8), rc-update(8)."""

from __future__ import annotations

from initkit.plan import order
from initkit.plan.lsb import BOOTED, EARLY, needs_mounts, script_of, wanting
from initkit.plan.step import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.settings.service import Service

#: The words of depend(), as they are in `[openrc]`.
WORDS = ("Need", "Use", "Want", "After", "Before", "Provide", "Keyword")
TABLE = {
    **dict.fromkeys(WORDS, "what depend() says, openrc-run(8), in place of what the other settings say"),
    "Runlevel": "the runlevel that the service is added to",
}

#: Units that OpenRC has a virtual service or a customary name for, and how it is asked for. Nothing is needed that a
#: machine may do without; "-": there is nothing to ask for.
_FACILITIES = {
    "network.target": "after net", "network-pre.target": "- net", "network-online.target": "use net",
    "local-fs.target": "after localmount", "remote-fs.target": "after netmount", "syslog.target": "use logger",
    "syslog.service": "use logger", "syslog.socket": "use logger", "rsyslog.service": "use logger",
    "time-sync.target": "after ntp-client", "nss-lookup.target": "use dns", "rpcbind.target": "use rpcbind",
}  # fmt: skip
#: Of these, passive units that services are a part of: systemd.special(7).
_VIRTUAL = ("network.target", "nss-lookup.target", "time-sync.target", "rpcbind.target")
_RUNLEVELS = {
    **dict.fromkeys(EARLY, "boot"),
    **dict.fromkeys(BOOTED, "default"),
}


def lines(service: Service) -> Iterator[tuple[str, str]]:
    """The lines: (word, names). Those in `[openrc]` replace what is derived here."""
    found: dict[str, list[str]] = {}
    needed, after = (*service.requires, *order.implied(service)), (*service.after, *_mounts(service))
    for word, units in (("need", needed), ("want", service.wants), ("after", after),
                        ("before", service.before), ("provide", _names(service))):  # fmt: skip
        for unit in units:
            said = _said(service, word, unit)
            if said:
                found.setdefault(said[0], []).append(said[1])
    provided = found.get("provide", [])
    found = {
        word: [name for name in names if word == "provide" or name not in provided] for word, names in found.items()
    }
    own: dict[str, list[str]] = {}
    for entry in service.tables("openrc"):
        if entry.key in WORDS:
            own.setdefault(entry.key.lower(), []).extend(entry.value.split())
    for word in map(str.lower, WORDS):
        names = dict.fromkeys(own.get(word) or found.get(word, []))
        if names:
            yield word, " ".join(map(quote, names))


def _said(service: Service, word: str, unit: str) -> tuple[str, str] | None:
    """A word of depend() and a name, for a unit in a directive that `word` is the same as."""
    if word in ("need", "want", "after") and unit in service.before:
        return None  # which says more: what pulls in a unit and is ordered before it is what that is made of
    if unit not in _FACILITIES:
        name = script_of(service, unit)
        return (word, name) if name else None
    asked, name = _FACILITIES[unit].split()
    if word in ("before", "provide"):
        return "provide" if unit in _VIRTUAL and unit in service.wants else word, name
    return None if asked == "-" else (asked, name)


def _mounts(service: Service) -> tuple[str, ...]:
    return ("local-fs.target", "remote-fs.target") if needs_mounts(service) else ()


def _names(service: Service) -> tuple[str, ...]:
    """Its other names, also those that OpenRC has for what it is."""
    aliases = [word for entry in service.assignments("Alias") for word in entry.value.split()]
    return (*(name for name in (service.unit,) if name in _FACILITIES), *aliases)


def runlevel(service: Service) -> str:
    """The one that starts it, "" for none. What is ordered before the network comes with it."""
    told = [entry.value for entry in service.tables("openrc") if entry.key == "Runlevel"]
    found = [_RUNLEVELS[unit] for unit in wanting(service) if unit in _RUNLEVELS]
    early = "boot" in found or ("before", "net") in (_said(service, "before", unit) for unit in service.before)
    return told[-1] if told else "boot" if found and early else next(iter(found), "")
