"""In which order several services start and stop, and which of them need which: systemd.unit(5)."""

from __future__ import annotations

from initkit.errors import SettingsError
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from initkit.settings.service import Service

    Edges = Mapping[str, frozenset[str]]

_SUFFIX = ".service"


class Order(Record):
    """By a service's name, names of others: those it starts `after` and those `before` it can stop; `needs` are those
    without which it does not start, `wants` those that start with it, `bound` those with which it ends; when one of
    `followed` is stopped or restarted on request, so is it."""

    after: Edges
    before: Edges
    needs: Edges
    wants: Edges
    bound: Edges
    followed: Edges

    def with_followers(self, name: str) -> list[str]:
        """A service, and those that stop or restart with it."""
        found = [name]
        for each in found:
            found += [other for other, leaders in self.followed.items() if each in leaders and other not in found]
        return found

    def with_needs(self, name: str) -> list[str]:
        """A service, and those that start with it."""
        found = [name]
        for each in found:
            found += sorted((self.needs[each] | self.wants[each]) - set(found))
        return found


def of(services: Iterable[Service]) -> Order:
    """The order among these services. What they say about other units than services has no meaning here.

    Raises:
        SettingsError: when the order is a cycle, or a service that is required is not among them.
    """
    by_name = {each.name: each for each in services}
    after: dict[str, set[str]] = {name: set() for name in by_name}
    for name, service in by_name.items():
        after[name] |= _among(by_name, name, service.after)
        for later in _among(by_name, name, service.before):
            after[later].add(name)
    _check_cycles(after)
    needs = {}
    for name, service in by_name.items():
        for key, words in (("Requires", service.requires), ("BindsTo", service.binds_to)):
            _check_presence(by_name, service, key, words)
        needs[name] = _among(by_name, name, (*service.requires, *service.binds_to))
    return Order(
        after=_frozen(after),
        before=_frozen({name: {each for each in after if name in after[each]} for name in after}),
        needs=_frozen(needs),
        wants=_frozen({name: _among(by_name, name, each.wants) for name, each in by_name.items()}),
        bound=_frozen({name: _among(by_name, name, each.binds_to) for name, each in by_name.items()}),
        followed=_frozen({name: needs[name] | _among(by_name, name, each.part_of) for name, each in by_name.items()}),
    )


def _frozen(edges: Mapping[str, set[str]]) -> Edges:
    return {name: frozenset(found) for name, found in edges.items()}


def _among(by_name: Mapping[str, Service], name: str, units: Iterable[str]) -> set[str]:
    """The services among these units; a relation to itself has no meaning."""
    names = {unit.removesuffix(_SUFFIX) for unit in units if unit.endswith(_SUFFIX)}
    return {each for each in names if each in by_name and each != name}


def _check_presence(by_name: Mapping[str, Service], service: Service, key: str, units: Iterable[str]) -> None:
    for unit in units:
        if unit.endswith(_SUFFIX) and unit.removesuffix(_SUFFIX) not in by_name:
            entry = next(each for each in reversed(service.assignments(key)) if each.value)
            raise entry.error(f"{unit} is not among the services", f"give its file as well, or use Wants={unit}")


def _check_cycles(after: Mapping[str, set[str]]) -> None:
    """A walk in depth, without recursion: chains may be long."""
    done: set[str] = set()
    for first in sorted(after):
        path: list[str] = []
        waiting = [] if first in done else [(first, iter(sorted(after[first])))]
        path += [first] * bool(waiting)
        while waiting:
            name, others = waiting[-1]
            other = next(others, None)
            if other is None:
                done.add(name)
                path.pop()
                waiting.pop()
            elif other in path:
                cycle = [*path[path.index(other) :], other]
                raise SettingsError(f"the order is a cycle: {' after '.join(cycle)}")
            elif other not in done:
                path.append(other)
                waiting.append((other, iter(sorted(after[other]))))
