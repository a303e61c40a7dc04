"""A timer where the init keeps no clock: cron(8), by a file in /etc/cron.d.

Only what crontab(5) says with the same meaning; everything else is a loss, for which `refusal` has the reason.
"""

from __future__ import annotations

import math

from initkit.inits import File
from initkit.inits.kinds import source
from initkit.plan.step import quote
from initkit.settings import calendar, values
from initkit.settings.record import Record
from initkit.settings.unit import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import Options
    from initkit.settings.calendar import Calendar, Item
    from initkit.settings.companions import Timer
    from initkit.settings.service import Entry, Service

_ANY = (calendar.Item(0),)
#: What says the same under cron, which starts jobs at the full minute and never wakes a machine.
_KEPT = frozenset(
    ("AccuracySec", "RemainAfterElapse", "Unit", "Description", "Documentation", "WantedBy", "RequiredBy")
)
_NO = ("no", "false", "off", "0", "n", "f")
_BOOLEANS = {
    "Persistent": "cron makes up for nothing that was missed while the machine was off",
    "WakeSystem": "cron wakes no machine",
    "OnClockChange": "cron does not look at the clock's changes",
    "OnTimezoneChange": "cron does not look at the time zone's changes",
    "FixedRandomDelay": "cron delays nothing at random",
    "DeferReactivation": "cron starts at its times only",
}
_OTHERS = {
    "RandomizedDelaySec": "cron delays nothing at random",
    "RandomizedOffsetSec": "cron delays nothing at random",
    "OnActiveSec": "cron counts from nothing but the machine's start",
    "OnUnitActiveSec": "cron counts from nothing but the machine's start",
    "OnUnitInactiveSec": "cron counts from nothing but the machine's start",
}
_BOOTS = ("OnBootSec", "OnStartupSec")


class Job(Record):
    """A line of crontab(5): `when` is its first five fields, or "@reboot" with the seconds of uptime to wait for."""

    when: str
    uptime: int = 0


def refusal(timer: Timer, entry: Entry) -> str:
    """Why cron cannot keep an assignment of a timer; "" when it can."""
    key, value = entry.key, timer.expand(entry.value)
    if not value or key in _KEPT or key in _BOOTS or entry.section.startswith("X-") or key.startswith("X-"):
        return ""
    if key == "OnCalendar":
        return _inexact(parsed(entry, lambda text: calendar.parse(timer.expand(text))))
    if key in _BOOLEANS:
        return "" if value.lower() in _NO else _BOOLEANS[key]
    if key in _OTHERS:
        return _OTHERS[key] if key.startswith("On") or values.time_span(value) else ""
    return "systemd only"


def _inexact(event: Calendar) -> str:
    """What of a calendar event crontab(5) has no field for."""
    if event.zone:
        return "cron knows the local time only"
    if event.year:
        return "cron knows no years"
    if event.second != _ANY:
        return "cron starts at full minutes only"
    if event.from_end:
        return "cron does not count days from the month's end"
    if _weekdays(event) and event.day:
        return "cron takes a day of the month and a day of the week for either of them"
    return ""


def _weekdays(event: Calendar) -> tuple[int, ...]:
    return event.weekdays if len(event.weekdays) < 7 else ()


def jobs(timer: Timer) -> Iterator[Job]:
    """The lines for what elapses, all of which cron can keep."""
    for entry in timer.elapses:
        value = timer.expand(entry.value)
        if entry.key == "OnCalendar":
            yield Job(_fields(calendar.parse(value)))
        else:
            yield Job("@reboot", math.ceil(values.time_span(value)))


def _fields(event: Calendar) -> str:
    weekdays = ",".join(str((day + 1) % 7) for day in _weekdays(event)) or "*"  # cron's week begins on Sunday
    ranges = ((event.minute, 59), (event.hour, 23), (event.day, 31), (event.month, 12))
    return " ".join([*(",".join(_item(each, last) for each in items) or "*" for items, last in ranges), weekdays])


def _item(item: Item, last: int) -> str:
    start, stop = int(item.start), last if item.stop is None else int(item.stop)
    if not item.step:
        return str(start)
    return f"{start}-{stop}/{int(item.step)}" if item.step != 1 else f"{start}-{stop}"


def files(service: Service, options: Options, init: str, start: str) -> Iterator[File]:
    """/etc/cron.d/NAME for a service with a timer; `start` is what starts the service under the init, in sh."""
    from initkit.inits.render import render

    found = list(jobs(service.timer)) if service.timer else []
    if found and not service.user:
        # What still runs when its time comes again is left alone, and none is queued behind it: systemd.timer(5).
        alone = f"flock -n {quote(f'{service.runtime_root}/{service.name}.cron')} " if service.runs_once else ""
        view = {"source": source(service), "jobs": found, "command": alone + start}
        # cron(8) passes over files whose names have other characters in them.
        name = "".join(char if char.isalnum() else "-" for char in service.name)
        yield File(
            f"/etc/cron.d/{name}", render("kinds/cron", service, options.template_dir, **view), kind="cron", init=init
        )
