"""What an LSB header says of a service: LSB 5.0 "Comment Conventions for Init Scripts"; insserv(8)."""

from __future__ import annotations

from initkit.plan import order
from initkit.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from initkit.settings.service import Service

#: Keys of `[sysv]` that replace what is derived here; of the first ones several assignments add up.
LISTS = ("Provides", "RequiredStart", "RequiredStop", "ShouldStart", "ShouldStop", "DefaultStart", "DefaultStop",
         "StartBefore", "StopAfter")  # fmt: skip
OVERRIDES = (*LISTS, "ShortDescription", "Description")
TABLE = dict.fromkeys(OVERRIDES, "what the script's LSB header has in place of what the other settings say")

#: What Default-Start and Default-Stop may name.
RUNLEVELS = ("0", "1", "2", "3", "4", "5", "6", "S")

#: Units that LSB has a system facility for.
_FACILITIES = {
    "network.target": "$network", "network-online.target": "$network", "network-pre.target": "",
    "remote-fs.target": "$remote_fs", "local-fs.target": "$local_fs", "syslog.target": "$syslog",
    "syslog.service": "$syslog", "syslog.socket": "$syslog", "rsyslog.service": "$syslog",
    "time-sync.target": "$time", "nss-lookup.target": "$named", "rpcbind.target": "$portmap",
    "rpcbind.service": "$portmap",
}  # fmt: skip
_WANTED = {"display-manager": "graphical.target"}  # systemd.special(7)
_MOUNTS = (".mount", ".automount")
_SYSTEMDS = "systemd-"  # what its own units are called
#: What every boot comes to, and before it has everything: systemd.special(7).
BOOTED = (
    "multi-user.target", "graphical.target", "default.target", "sockets.target", "getty.target", "remote-fs.target",
)  # fmt: skip
EARLY = ("sysinit.target", "basic.target", "local-fs.target")
_RUNLEVELS = {
    **dict.fromkeys(BOOTED, "2 3 4 5"),
    **dict.fromkeys(EARLY, "S"),
    "rescue.target": "1",
}


def header(service: Service, own: Mapping[str, str]) -> list[tuple[str, str]]:
    """The header's fields and values, in the order that LSB gives them; `own` is the service's `[sysv]`."""
    levels = runlevels(service, own)
    start = " ".join(levels)
    required = " ".join(dict.fromkeys(_required(service, early="S" in levels)))
    should = " ".join(each for each in dict.fromkeys(_should(service)) if each not in required.split())
    before = " ".join(dict.fromkeys(_followers(service, early="S" in levels)))
    short = service.title
    found = [
        ("Provides", "Provides", " ".join([service.name, *_aliases(service)])),
        ("Required-Start", "RequiredStart", required),
        ("Required-Stop", "RequiredStop", own.get("RequiredStart", required)),
        ("Should-Start", "ShouldStart", should),
        ("Should-Stop", "ShouldStop", own.get("ShouldStart", should)),
        ("X-Start-Before", "StartBefore", before),
        ("X-Stop-After", "StopAfter", own.get("StartBefore", before)),
        ("Default-Start", "DefaultStart", start),
        ("Default-Stop", "DefaultStop", "0 6" if start == "S" else "0 1 6"),
        ("Short-Description", "ShortDescription", short),
        ("Description", "Description", short),
    ]
    fields = [(name, own.get(key, value)) for name, key, value in found]
    needed = ("Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop")
    return [(name, value) for name, value in fields if value or name in needed]


def runlevels(service: Service, own: Mapping[str, str]) -> list[str]:
    """Those that start it, as words of Default-Start. The network is up when the numbered ones begin."""
    told = own.get("DefaultStart")
    found = [_RUNLEVELS[unit] for unit in wanting(service) if unit in _RUNLEVELS]
    if found and _precedes_network(service) and {*_needed(service)} <= {"$local_fs"}:
        found = ["S"]
    return list(dict.fromkeys(" ".join(found).split())) if told is None else told.split()


def wanting(service: Service) -> list[str]:
    """What wants it at boot: also what wants its sockets, for the service opens them, or a name that it has."""
    of_sockets = (socket.assignments(key) for socket in service.sockets for key in ("WantedBy", "RequiredBy"))
    return [
        *service.wanted_by,
        *service.required_by,
        *(word for found in of_sockets for entry in found for word in entry.value.split()),
        *(_WANTED[alias] for alias in _aliases(service) if alias in _WANTED),
    ]


def comes_late(service: Service, own: Mapping[str, str]) -> bool:
    """Whether Before= asks for a start before the network's, which the header does not give."""
    asks = _precedes_network(service) and "StartBefore" not in own
    return asks and any(each != "S" for each in runlevels(service, own))


def _precedes_network(service: Service) -> bool:
    """What only wants network.target as well is what brings the network up: systemd.special(7)."""
    brings_up = "network.target" in service.wants
    return "network-pre.target" in service.before or ("network.target" in service.before and not brings_up)


def _aliases(service: Service) -> Iterator[str]:
    for entry in service.assignments("Alias"):
        yield from (word.removesuffix(".service") for word in entry.value.split())


def _required(service: Service, *, early: bool) -> Iterator[str]:
    # Whatever is started late may use /usr and the log; Debian policy 9.3.
    said = [each.value for each in service.assignments("DefaultDependencies") if each.value]
    early = early or (bool(said) and not values.boolean(said[-1]))
    provided = {*_provided(service)}
    for each in (*(("$local_fs",) if early else ("$remote_fs", "$syslog")), *_needed(service)):
        if each not in provided:
            yield each


def _provided(service: Service) -> Iterator[str]:
    """The facilities that it is, or is a part of: a passive unit is pulled in by what has to be up before it."""
    names = [service.unit, *(f"{alias}.service" for alias in _aliases(service))]
    for unit in (*names, *(each for each in service.wants if each in service.before)):
        if _FACILITIES.get(unit):
            yield _FACILITIES[unit]


def _needed(service: Service) -> Iterator[str]:
    """What this service needs more than others do."""
    for unit in (*service.after, *service.requires, *service.wants):
        if _FACILITIES.get(unit) and unit not in service.before:
            yield _FACILITIES[unit]
    if needs_mounts(service):
        yield "$remote_fs"
    yield from _services(service, (*order.implied(service), *service.requires))


def _should(service: Service) -> Iterator[str]:
    yield from _services(service, (*service.after, *service.wants))


def _services(service: Service, units: tuple[str, ...]) -> Iterator[str]:
    """What is ordered before it, of what comes along only: Before= wins."""
    for unit in units:
        name = script_of(service, unit)
        if name and unit not in _FACILITIES and unit not in service.before:
            yield name


def _followers(service: Service, *, early: bool) -> Iterator[str]:
    """What X-Start-Before names."""
    if early and _precedes_network(service):
        yield "$network"
    yield from filter(None, (script_of(service, unit) for unit in service.before))


def script_of(service: Service, unit: str) -> str:
    """The script that stands for another unit, "" where none does: a service's opens its sockets as well."""
    name, _, kind = unit.rpartition(".")
    other = (
        kind in ("service", "socket") and name != service.name and unit not in (each.unit for each in service.sockets)
    )
    return name if other and not name.startswith(_SYSTEMDS) else ""


def needs_mounts(service: Service) -> bool:
    """Whether it needs more file systems than every service does."""
    asks = service.has("RequiresMountsFor") or service.has("WantsMountsFor")
    return asks or any(unit.endswith(_MOUNTS) for unit in (*service.after, *service.requires, *service.wants))


def unheard_of(service: Service) -> str:
    """What it requires and no script stands for, such as a device; "" for nothing."""
    stood_for = (".service", ".socket", ".target", *_MOUNTS)
    found = (unit for unit in service.requires if not unit.endswith(stood_for) or unit.startswith(_SYSTEMDS))
    return next(found, "")
