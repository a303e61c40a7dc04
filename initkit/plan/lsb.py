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
_RUNLEVELS = {
    **dict.fromkeys(("multi-user.target", "graphical.target", "default.target"), "2 3 4 5"),
    **dict.fromkeys(("sysinit.target", "basic.target", "local-fs.target"), "S"),
    "rescue.target": "1",
}


def header(service: Service, own: Mapping[str, str]) -> list[tuple[str, str]]:
    """The header's fields and values, in the order that LSB gives them; `own` is the service's `[sysv]`."""
    start = " ".join(dict.fromkeys(_runlevels(service)))
    required = " ".join(dict.fromkeys(_required(service)))
    should = " ".join(each for each in dict.fromkeys(_should(service)) if each not in required.split())
    before = " ".join(dict.fromkeys(_services(service.before)))
    short = service.description or service.name
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


def _aliases(service: Service) -> Iterator[str]:
    for entry in service.assignments("Alias"):
        yield from (word.removesuffix(".service") for word in entry.value.split())


def _runlevels(service: Service) -> Iterator[str]:
    for unit in (*service.wanted_by, *service.required_by):
        if unit in _RUNLEVELS:
            yield _RUNLEVELS[unit]


def _required(service: Service) -> Iterator[str]:
    # Whatever is started late may use /usr and the log; Debian policy 9.3.
    said = [each.value for each in service.assignments("DefaultDependencies") if each.value]
    early = bool(said) and not values.boolean(said[-1])
    yield from ("$local_fs",) if early or "S" in _runlevels(service) else ("$remote_fs", "$syslog")
    for unit in (*service.after, *service.requires, *service.wants):
        if _FACILITIES.get(unit):
            yield _FACILITIES[unit]
    yield from _services((*order.implied(service), *service.requires))


def _should(service: Service) -> Iterator[str]:
    yield from _services((*service.after, *service.wants))


def _services(units: tuple[str, ...]) -> Iterator[str]:
    for unit in units:
        if unit.endswith(".service") and unit not in _FACILITIES:
            yield unit.removesuffix(".service")
