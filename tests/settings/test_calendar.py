"""Calendar events of systemd.time(7): how they are read, and whether systemd reads them too."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings.calendar import Calendar, Item, parse

ANY_SECOND = (Item(0, None, 1),)
GOOD = {
    "daily": Calendar(),
    "Hourly": Calendar(hour=()),
    "minutely": Calendar(hour=(), minute=()),
    "weekly": Calendar(weekdays=(0,)),
    "monthly": Calendar(day=(Item(1),)),
    "yearly": Calendar(month=(Item(1),), day=(Item(1),)),
    "daily UTC": Calendar(zone="UTC"),
    "Sat,Thu,Mon..Wed,Sat..Sun": Calendar(weekdays=(0, 1, 2, 3, 5, 6)),
    "Mon,Sun 12-*-* 2,1:23": Calendar(weekdays=(0, 6), year=(Item(2012),), hour=(Item(2), Item(1)), minute=(Item(23),)),
    "Wed *-1": Calendar(weekdays=(2,), day=(Item(1),)),
    "Wed, 17:48": Calendar(weekdays=(2,), hour=(Item(17),), minute=(Item(48),)),
    "monday *-12-* 17:00": Calendar(weekdays=(0,), month=(Item(12),), hour=(Item(17),)),
    "12..14:10,20,30": Calendar(hour=(Item(12, 14, 1),), minute=(Item(10), Item(20), Item(30))),
    "*:2/3": Calendar(hour=(), minute=(Item(2, None, 3),)),
    "*-*-* *:*:*": Calendar(hour=(), minute=(), second=ANY_SECOND),
    "05:40:23.4200004/3.1700006": Calendar(hour=(Item(5),), minute=(Item(40),), second=(Item(23.42, None, 3.170001),)),
    "2003-02..04-05": Calendar(year=(Item(2003),), month=(Item(2, 4, 1),), day=(Item(5),)),
    "*-02~03": Calendar(month=(Item(2),), day=(Item(3),), from_end=True),
    "Mon *-05~07/1": Calendar(weekdays=(0,), month=(Item(5),), day=(Item(7, None, 1),), from_end=True),
    "10-15": Calendar(month=(Item(10),), day=(Item(15),)),
    "70-1-1": Calendar(year=(Item(1970),), month=(Item(1),), day=(Item(1),)),
    "0..23/2:00": Calendar(hour=(Item(0, 23, 2),)),
}
BAD = [
    "", "sometimes", "dayly", "25:00", "12:60", "12:00:61", "13-1", "0-1", "*-32", "12", "12:00 daily", "Mon..",
    "Mon,,Tue", "Foo 12:00", "*-*-*-*", "1:2:3:4", "*/2:00", "*:5/0", "14..12:00", "Sun..Mon 12:00", "daily No/No",
    "1960-1-1", "2200-1-1", "12:0x:00", "12:00.5", "12:00:00.", "* * * * *",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_is_a_calendar_event(text: str) -> None:
    assert parse(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a calendar event"):
        parse(text)


@given(st.text("0123456789*,.:/-~ MonTueSdaily", max_size=20))
def test_any_text_is_one_or_refused(text: str) -> None:
    try:
        parse(text)
    except ValueError as fault:
        assert str(fault).startswith("expected a calendar event")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_says_the_same() -> None:
    def takes(text: str) -> bool:
        return (
            subprocess.run(["systemd-analyze", "calendar", "--", text], capture_output=True, check=False).returncode
            == 0
        )

    assert [text for text in GOOD if not takes(text)] == []
    assert [text for text in BAD if takes(text)] == []
