"""Calendar events of OnCalendar=: systemd.time(7), "CALENDAR EVENTS"."""

from __future__ import annotations

import os

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTHANDS = {
    "minutely": "*-*-* *:*:00", "hourly": "*-*-* *:00:00", "daily": "*-*-* 00:00:00", "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00", "yearly": "*-01-01 00:00:00", "annually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00", "semiannually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
}  # fmt: skip
_ZONES = "/usr/share/zoneinfo"
_EXPECTED = 'expected a calendar event such as "daily" or "Mon..Fri *-*-1,15 03:00"'


class Item(Record):
    """Values from `start` to `stop`, `step` apart: a single one where `stop` is None and `step` is 0, all from `start`
    on where only `stop` is None. Seconds may have a fraction."""

    start: float
    stop: float | None = None
    step: float = 0


class Calendar(Record):
    """A calendar event. Every part is a tuple of items, empty for any value; `weekdays` are 0 (Monday) to 6.

    `from_end` says that days count back from the month's last, which is 1; `zone` is a time zone, "" for the local one.
    """

    weekdays: tuple[int, ...] = ()
    year: tuple[Item, ...] = ()
    month: tuple[Item, ...] = ()
    day: tuple[Item, ...] = ()
    from_end: bool = False
    hour: tuple[Item, ...] = (Item(0),)
    minute: tuple[Item, ...] = (Item(0),)
    second: tuple[Item, ...] = (Item(0),)
    zone: str = ""


def parse(text: str) -> Calendar:
    """A calendar event.

    Raises:
        ValueError: when it is none.
    """
    words = text.split()
    zone = words.pop() if len(words) > 1 and _is_zone(words[-1]) else ""
    if len(words) == 1:
        words = _SHORTHANDS.get(words[0].lower(), words[0]).split()
    try:
        return _event(words, zone)
    except ValueError:
        raise ValueError(f"{_EXPECTED}, found {text!r}") from None


def _event(words: list[str], zone: str) -> Calendar:
    weekdays: tuple[int, ...] = ()
    if words and words[0][0].isalpha():
        weekdays = tuple(sorted(set(_weekdays(words.pop(0)))))
    if len(words) > 2 or not (words or weekdays):
        raise ValueError(words)
    date: dict[str, Any] = {} if not words or ":" in words[0] else _date(words.pop(0))
    time: dict[str, Any] = _time(words.pop(0)) if words else {}
    if words:
        raise ValueError(words)
    return Calendar(weekdays=weekdays, zone=zone, **date, **time)


def _is_zone(word: str) -> bool:
    if word == "UTC":
        return True
    plain = word.replace("_", "").replace("-", "").replace("+", "").replace("/", "").isalnum()
    return plain and word[0].isalpha() and os.path.isfile(os.path.join(_ZONES, word))


def _weekdays(text: str) -> Iterator[int]:
    for part in text.removesuffix(",").split(","):
        first, dots, last = part.partition("..") if ".." in part else part.partition("-")
        start = _weekday(first)
        end = _weekday(last) if dots else start
        if end < start:
            raise ValueError(part)
        yield from range(start, end + 1)


def _weekday(text: str) -> int:
    low = text.lower()
    return (*_DAYS, *(each[:3] for each in _DAYS)).index(low) % 7


def _date(text: str) -> dict[str, Any]:
    rest, tilde, last = text.partition("~")
    parts = [*rest.split("-"), last] if tilde else rest.split("-")
    if not 2 <= len(parts) <= 3:
        raise ValueError(text)
    year = _items(parts[0], 0, 2199, century=True) if len(parts) == 3 else ()
    return {"year": year, "month": _items(parts[-2], 1, 12), "day": _items(parts[-1], 1, 31), "from_end": bool(tilde)}


def _time(text: str) -> dict[str, Any]:
    hour, minute, *second = text.split(":")
    if len(second) > 1:
        raise ValueError(text)
    found = {"hour": _items(hour, 0, 23), "minute": _items(minute, 0, 59)}
    if second:
        found["second"] = _items(second[0], 0, 60, fraction=True)
    return found


def _century(year: float) -> float:
    """systemd.time(7): "Year numbers […] may be abbreviated (omitting the century)"."""
    full = year + 2000 if year < 70 else year + 1900 if year < 100 else year
    if full < 1970:
        raise ValueError(year)
    return full


def _items(text: str, lowest: int, highest: int, *, century: bool = False, fraction: bool = False) -> tuple[Item, ...]:
    if text == "*":
        return (Item(0, None, 1),) if fraction else ()
    return tuple(_item(part, lowest, highest, century, fraction) for part in text.split(","))


def _item(text: str, lowest: int, highest: int, century: bool, fraction: bool) -> Item:
    span, slash, step = text.partition("/")
    first, dots, last = span.partition("..")
    values = [_number(each, fraction) for each in ((first, last) if dots else (first,))]
    if century:
        values = list(map(_century, values))
    if not all(lowest <= value <= highest for value in values) or values != sorted(values):
        raise ValueError(text)
    repeat = _number(step, fraction) if slash else 0
    if slash and not repeat > 0:
        raise ValueError(text)
    return Item(values[0], values[1] if dots else None, repeat or (1 if dots else 0))


def _number(text: str, fraction: bool) -> float:
    whole, point, part = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (point and not (fraction and part.isascii() and part.isdigit())):
        raise ValueError(text)
    return round(float(text), 6) if point else int(whole)
