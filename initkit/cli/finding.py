"""What `initkit check` finds."""

from __future__ import annotations

from initkit.errors import InitkitError, SettingsError
from initkit.settings.record import Record
from initkit.settings.service import Entry, Service

ERROR, WARNING, NOTE = "error", "warning", "note"


class Finding(Record):
    """A line of the report. `where` is "file:line", `how` one of this module's words."""

    where: str
    how: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.how}: {self.text}"


def of_error(fault: InitkitError, how: str = ERROR, where: str = "") -> Finding:
    """An error as a finding."""
    place = (fault.where if isinstance(fault, SettingsError) else "") or where or "initkit"
    hint = f" ({fault.hint})" if fault.hint else ""
    return Finding(place, how, fault.message.removeprefix(f"{place}: ") + hint)


def about(entry: Entry, how: str, text: str, value: str = "") -> Finding:
    """A finding about an assignment, or about `value` in it."""
    shown = Entry("", "", value).shown if value else entry.shown
    return Finding(entry.where, how, f"{entry.spelled or entry.key} = {shown}: {text}")


def effective(service: Service, key: str) -> list[Entry]:
    """The assignments of a directive that count: those after the last empty one."""
    found = service.assignments(key)
    last = max((at for at, entry in enumerate(found) if not entry.value), default=-1)
    return found[last + 1 :]
