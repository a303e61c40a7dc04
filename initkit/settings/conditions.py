"""Condition…= and Assert…=: what has to hold before a service starts, as systemd.unit(5) reads it.

Imported for the services that set one; initkit.run.conditions knows whether they hold.
"""

from __future__ import annotations

from initkit.settings import values
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Entry, Service

CONDITION, ASSERT = "Condition", "Assert"


class Condition(Record):
    """One of them: `kind` is the directive without Condition or Assert ("PathExists"); `negated` with "!" before its
    parameter, `trigger` with "|": of these one that holds is enough."""

    kind: str
    parameter: str
    negated: bool
    trigger: bool
    entry: Entry


def of(service: Service, family: str) -> tuple[Condition, ...]:
    """The conditions ("Condition") or assertions ("Assert") of a service; an empty assignment drops those before it.

    Raises:
        SettingsError: for a parameter with a specifier that there is not.
    """
    found: list[Condition] = []
    for entry in service.entries:
        if entry.section != "Unit" or not entry.key.startswith(family):
            continue
        if not entry.value:
            found.clear()
            continue
        found.append(_condition(service, entry, family))
    return tuple(found)


def _condition(service: Service, entry: Entry, family: str) -> Condition:
    rest = entry.value
    trigger = rest.startswith("|")
    rest = rest.removeprefix("|").lstrip()
    negated = rest.startswith("!")
    try:
        parameter = service.expand(rest.removeprefix("!").lstrip())
        if entry.key.removeprefix(family).startswith("Path"):
            parameter = values.path(parameter)
    except ValueError as fault:
        raise entry.error(str(fault)) from None
    return Condition(entry.key.removeprefix(family), parameter, negated, trigger, entry)
