"""In which order several services start and stop, and which of them need which: systemd.unit(5)."""

from __future__ import annotations

from initkit import plan
from initkit.errors import SettingsError
from initkit.settings.record import Record
from initkit.settings.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Edges = Mapping[str, frozenset[str]]

_SUFFIX = ".service"
_NO = ("no", "false", "off", "0", "n", "f")  # systemd.syntax(7)

_IMPLIED = "Type"  # the directive that says without a word more what a service requires and starts after

#: Relation of a service to others -> the directives that say so, and those by which the others say it. Nobody follows
#: what it requires by implication: that is dbus.socket, which is there without the bus.
_DIRECTIVES = {
    "after": (("After", _IMPLIED), ("Before",)),
    "before": (("Before",), ("After", _IMPLIED)),
    "needs": (("Requires", "BindsTo", "Requisite", _IMPLIED), ()),
    "present": (("BindsTo", "Requisite"), ()),
    "starts": (("Requires", "BindsTo", "Wants", "Upholds", _IMPLIED), ()),
    "bound_by": ((), ("BindsTo",)),
    "followers": ((), ("Requires", "BindsTo", "Requisite", "PartOf")),
    "stops": (("PropagatesStopTo",), ("StopPropagatedFrom",)),
    "reloads": (("PropagatesReloadTo",), ("ReloadPropagatedFrom",)),
    "conflicts": (("Conflicts",), ("Conflicts",)),
    "upholds": (("Upholds",), ()),
    "upheld_by": ((), ("Upholds",)),
    "on_success": (("OnSuccess",), ()),
    "on_failure": (("OnFailure",), ()),
}
_REQUIRING = ("Requires", "BindsTo", "Requisite")
#: Those by which something would be done with another unit.
_ACTING = (*_REQUIRING, "Wants", "Upholds", "Conflicts", "OnSuccess", "OnFailure", "PropagatesReloadTo",
           "PropagatesStopTo")  # fmt: skip
_TRIGGERS = ("OnSuccess", "OnFailure")
#: Of these units nothing happens here; what they stand for is there, or is not asked for.
_PASSED_OVER = (".target", ".slice")
#: What systemd does with these is not done here.
_WITHOUT_MEANING = ("RefuseManualStart", "RefuseManualStop", "StopWhenUnneeded")


class Order(Record):
    """By a service's name, names of others.

    Those that it starts `after`, and those `before` which it does; those that it `needs` to be started, of them the
    ones that have to be `present` when it starts; those that it `starts` with it; those that end with it (`bound_by`),
    are stopped and restarted when it is (`followers`), only stopped (`stops`), reloaded (`reloads`); those that it
    `conflicts` with, says it or the other; those that it `upholds`, and is `upheld_by`; those to start `on_success` and
    `on_failure`. `yields`: who of all does not start with the others, because it conflicts with which; `waits`: who
    does not, because it is there for the success or the failure of another.
    """

    after: Edges
    before: Edges
    needs: Edges
    present: Edges
    starts: Edges
    bound_by: Edges
    followers: Edges
    stops: Edges
    reloads: Edges
    conflicts: Edges
    upholds: Edges
    upheld_by: Edges
    on_success: Edges
    on_failure: Edges
    yields: Mapping[str, str]
    waits: frozenset[str]

    def with_followers(self, name: str, *, stop: bool = False) -> list[str]:
        """A service, and those that restart with it, or `stop`."""
        return _reached(name, lambda each: self.followers[each] | self.stops[each] if stop else self.followers[each])

    def with_needs(self, name: str) -> list[str]:
        """A service, and those that start with it: none that conflicts with one before it."""
        return _reached(name, lambda each: self.starts[each], self.conflicts)

    def with_reloads(self, name: str) -> list[str]:
        """A service, and those that reload with it."""
        return _reached(name, lambda each: self.reloads[each])


def _reached(name: str, others: Callable[[str], frozenset[str]], conflicts: Edges | None = None) -> list[str]:
    """A service and all that one comes to from it, but those that conflict with one before."""
    found, known = [name], {name}
    for each in found:
        for other in sorted(others(each) - known):
            if not (conflicts and conflicts[other] & known):
                known.add(other)
                found.append(other)
    return found


def of(services: Iterable[Service]) -> Order:
    """The order among these services. What they say about other units than services has no meaning here: `notes`.

    Raises:
        SettingsError: when the order is a cycle, a service that is required is not among them, or conflicts.
    """
    by_name = {each.name: each for each in services}
    found = {relation: _edges(by_name, *directives) for relation, directives in _DIRECTIVES.items()}
    _check_cycles(found["after"])
    for service in by_name.values():
        _check_presence(by_name, service)
        _check_conflicts(service, found)
    waits = _all(found["on_success"], found["on_failure"]) - _all(found["starts"])
    return Order(**found, yields=_yielding(_edges(by_name, ("Conflicts",), ()), waits), waits=waits)


def notes(services: Iterable[Service]) -> Iterator[str]:
    """What the services ask for that cannot be had: of systemd, of a clock, of units that are not among them."""
    by_name = {each.name: each for each in services}
    for name, service in by_name.items():
        note = plan.unkept_note(service)
        if note:
            yield note
        if service.timer:
            yield f"{name}: its timer means nothing here: it is started with the others"
        for key in _WITHOUT_MEANING:
            if service.has(key) and service.assignments(key)[-1].value.lower() not in _NO:
                yield f"{name}: {key}= means nothing here"
        for key in _ACTING:
            for unit in _units(service, key):
                stem, dot, kind = unit.rpartition(".")
                known = stem in by_name if dot + kind == _SUFFIX else stem == name and kind == "socket"
                if not known and (key in _TRIGGERS or dot + kind not in _PASSED_OVER):
                    yield f"{name}: {key}={unit} is not among the services: nothing is done about it"


def implied(service: Service) -> tuple[str, ...]:
    """The services that one requires and starts after without saying so: of Type=dbus, systemd.service(5) "Implicit
    Dependencies", the bus."""
    return ("dbus.service",) if service.type == "dbus" else ()


def _units(service: Service, key: str) -> tuple[str, ...]:
    if key == _IMPLIED:
        return implied(service)
    found: tuple[str, ...] = getattr(service, Service.rows[key].attribute)
    return found


def _edges(by_name: Mapping[str, Service], own: Iterable[str], others: Iterable[str]) -> Edges:
    """Who is related to whom by its `own` directives, or by the `others`'; a relation to itself has no meaning."""
    found: dict[str, set[str]] = {name: set() for name in by_name}
    for name, service in by_name.items():
        for key in own:
            found[name] |= _among(by_name, name, _units(service, key))
        for key in others:
            for other in _among(by_name, name, _units(service, key)):
                found[other].add(name)
    return {name: frozenset(each) for name, each in found.items()}


def _among(by_name: Mapping[str, Service], name: str, units: Iterable[str]) -> set[str]:
    """The services among these units."""
    names = {unit.removesuffix(_SUFFIX) for unit in units if unit.endswith(_SUFFIX)}
    return {each for each in names if each in by_name and each != name}


def _all(*edges: Edges) -> frozenset[str]:
    return frozenset(name for each in edges for found in each.values() for name in found)


def _yielding(conflicts: Edges, waits: frozenset[str]) -> dict[str, str]:
    """Of two that conflict the one that says so starts, of two that both say so the first: systemd.unit(5)."""
    found: dict[str, str] = {}
    for name, others in conflicts.items():
        if name not in found and name not in waits:
            found.update({other: name for other in sorted(others) if other not in found and other not in waits})
    return found


def _check_presence(by_name: Mapping[str, Service], service: Service) -> None:
    for key in _REQUIRING:
        for unit in _units(service, key):
            if unit.endswith(_SUFFIX) and unit.removesuffix(_SUFFIX) not in by_name:
                entry = next(each for each in reversed(service.assignments(key)) if each.value)
                raise entry.error(f"{unit} is not among the services", f"give its file as well, or use Wants={unit}")


def _check_conflicts(service: Service, edges: Mapping[str, Edges]) -> None:
    name = service.name
    for other in sorted(edges["needs"][name]):
        if other in edges["conflicts"][name]:
            raise SettingsError(f"{name} needs {other}, and one of them conflicts with the other", where=service.path)


def _check_cycles(after: Edges) -> None:
    """A walk in depth, without recursion: chains may be long."""
    done: set[str] = set()
    for first in sorted(after):
        path = {} if first in done else {first: iter(sorted(after[first]))}
        while path:
            name, others = path.popitem()
            other = next(others, None)
            if other is None:
                done.add(name)
                continue
            path[name] = others
            if other in path:
                found = list(path)
                cycle = [*found[found.index(other) :], other]
                raise SettingsError(f"the order is a cycle: {' after '.join(cycle)}")
            if other not in done:
                path[other] = iter(sorted(after[other]))
