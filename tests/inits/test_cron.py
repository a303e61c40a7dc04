"""A timer where the init keeps no clock: what cron is told, and when it would start the service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from initkit.errors import SettingsError
from initkit.inits import NONE, SCRIPT, Options, render, systemd, sysv
from initkit.inits.kinds import cron
from initkit.settings import calendar
from initkit.settings.load import load
from initkit.settings.service import Service

Golden = Callable[[str, str], None]


def service(tmp_path: Path, timer: str, name: str = "app") -> Service:
    path = tmp_path / f"{name}.toml"
    path.write_text(f'exec_start = ["/usr/bin/tidy"]\ntype = "oneshot"\n[timer]\n{timer}\n')
    return load(str(path))


def jobs(tmp_path: Path, timer: str) -> list[str]:
    found = service(tmp_path, timer).timer
    assert found is not None
    return [f"{job.when} {job.uptime}" if job.uptime else job.when for job in cron.jobs(found)]


def test_files(tmp_path: Path, golden: Golden) -> None:
    made = service(tmp_path, 'on_calendar = ["daily", "Mon..Fri *:0/15"]\non_boot_sec = "90.5s"\naccuracy_sec = "1us"')
    script, table = sysv.files(made, Options())
    assert (table.path, table.mode, table.kind) == ("/etc/cron.d/app", 0o644, "cron")
    golden("kinds/timer.cron", table.text)
    unit, timer = systemd.files(made, Options())
    assert (timer.path, timer.kind) == ("/etc/systemd/system/app.timer", "timer")
    golden("systemd/words.timer", timer.text)
    assert [script.kind, unit.kind] == ["script", "unit"]


@pytest.mark.parametrize(
    ("timer", "expected"),
    [
        ('on_calendar = "minutely"', ["* * * * *"]),
        ('on_calendar = "hourly"', ["0 * * * *"]),
        ('on_calendar = "weekly"', ["0 0 * * 1"]),
        ('on_calendar = "quarterly"', ["0 0 1 1,4,7,10 *"]),
        ('on_calendar = "Sun 04:00"', ["0 4 * * 0"]),
        ('on_calendar = "Mon..Sun *-*-5 04:00"', ["0 4 5 * *"]),
        ('on_calendar = "*-*-10..20/3 1,2..4:7/20"', ["7-59/20 1,2-4 10-20/3 * *"]),
        ('on_boot_sec = "2min"\non_startup_sec = 0', ["@reboot 120", "@reboot"]),
        ('on_calendar = ["daily", "", "hourly"]', ["0 * * * *"]),
    ],
)
def test_when(timer: str, expected: list[str], tmp_path: Path) -> None:
    assert jobs(tmp_path, timer) == expected


@pytest.mark.parametrize(
    ("line", "label", "reason"),
    [
        ('on_calendar = "*:*:30"', "OnCalendar", "cron starts at full minutes only"),
        ('on_calendar = "*:*:0/5"', "OnCalendar", "cron starts at full minutes only"),
        ('on_calendar = "daily UTC"', "OnCalendar", "cron knows the local time only"),
        ('on_calendar = "2030-*-* 00:00"', "OnCalendar", "cron knows no years"),
        ('on_calendar = "*-02~01"', "OnCalendar", "cron does not count days from the month's end"),
        ('on_calendar = "Fri *-*-13"', "OnCalendar", "cron takes a day of the month and a day of the week"),
        ('on_calendar = ["*:*:30", "daily"]', "OnCalendar", "cron starts at full minutes only"),
        ('on_unit_active_sec = "1h"', "OnUnitActiveSec", "cron counts from nothing but the machine's start"),
        ("persistent = true", "Persistent", "cron makes up for nothing"),
        ('randomized_delay_sec = "1h"', "RandomizedDelaySec", "cron delays nothing at random"),
        ("wake_system = true", "WakeSystem", "cron wakes no machine"),
    ],
)
def test_what_cron_cannot_keep(line: str, label: str, reason: str, tmp_path: Path) -> None:
    made = service(tmp_path, line if line.startswith("on_") else f'on_calendar = "daily"\n{line}')
    support = sysv.support(made)[f"Timer.{label}"]
    assert support.how == NONE and support.reason.startswith(reason)
    with pytest.raises(SettingsError, match=rf"cannot keep {label}=|Timer.{label}= \({re.escape(reason)}"):
        list(sysv.files(made, Options()))
    found = list(sysv.files(made, Options(allow_loss=frozenset({f"Timer.{label}"}))))
    assert len(found) == (1 if line.startswith("on_") else 2)  # nothing is left to start it


@pytest.mark.parametrize("line", ["persistent = false", "randomized_delay_sec = 0", 'unit = "app.service"'])
def test_what_asks_for_nothing(line: str, tmp_path: Path) -> None:
    found = sysv.support(service(tmp_path, f'on_calendar = "daily"\n{line}'))
    assert {label: each.how for label, each in found.items() if label.startswith("Timer.")} == dict.fromkeys(
        (label for label in found if label.startswith("Timer.")), SCRIPT
    )


def test_names_that_cron_would_pass_over(tmp_path: Path) -> None:
    *_, table = sysv.files(service(tmp_path, 'on_calendar = "daily"', "a.b@c:d_e"), Options())
    assert table.path == "/etc/cron.d/a-b-c-d-e"
    assert "service a.b@c:d_e start" in table.text


def unescaped(line: str) -> tuple[str, bool]:
    """The command that cron takes from a line, as cron.c reads it, and whether it ended at a %."""
    command, escaped = "", False
    for char in line:
        if escaped:
            command, escaped = (command[:-1] if char == "%" else command) + char, False
        elif char == "%":
            return command, True
        else:
            command, escaped = command + char, char == "\\"
    return command, False


@given(st.text("ab%\\ $'\"", max_size=10))
def test_a_percent_sign_is_no_new_line(text: str) -> None:
    if "\\%" in text:
        with pytest.raises(ValueError, match="cannot have a backslash before"):
            render.cron(text)
    else:
        assert unescaped(render.cron(text)) == (text, False)


# --- against systemd's own clock ------------------------------------------------------------------------------------

BASE = datetime(2027, 2, 26, 22, 57)


def field(text: str, lowest: int, highest: int) -> set[int]:
    """A field of crontab(5), read independently of what wrote it."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, dash, last = str(lowest), "-", str(highest)
        found |= set(range(int(first), int(last if dash else first) + 1, int(step or 1)))
    assert found <= set(range(lowest, highest + 1)), text
    return found


def starts(fields: str) -> Iterator[datetime]:
    """When cron would start it, from BASE on."""
    minute, hour, day, month, weekday = fields.split()
    minutes, hours = field(minute, 0, 59), field(hour, 0, 23)
    days, months, weekdays = field(day, 1, 31), field(month, 1, 12), field(weekday, 0, 6)
    date = BASE.date()
    while date.year < BASE.year + 9:
        in_days, in_week = date.day in days, date.isoweekday() % 7 in weekdays
        either = day != "*" and weekday != "*"
        if date.month in months and (in_days or in_week if either else in_days and in_week):
            for at in (datetime(date.year, date.month, date.day, h, m) for h in sorted(hours) for m in sorted(minutes)):
                if at > BASE:
                    yield at
        date += timedelta(days=1)


def elapses(event: str, count: int) -> list[datetime]:
    """When systemd would."""
    argv = ["systemd-analyze", "calendar", f"--base-time={BASE:%Y-%m-%d %H:%M:%S} UTC", f"--iterations={count}", event]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    assume(done.returncode == 0)  # it refuses a step that leads nowhere
    found = re.findall(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w{3} (\S+ \S+) UTC", done.stdout)
    return [datetime.fromisoformat(each) for each in found]


def parts(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """A part of an event. Steps without an end meet the first value again: where one leads beyond the last value of an
    hour, a day or a month, systemd passes over what comes first in the next, unlike systemd.time(7)."""
    number = st.integers(lowest, highest)
    count = highest - lowest + 1
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}..{max(pair)}")
    even = st.sampled_from(
        [step for step in range(1, count + 1) if count % step == 0] if count in (60, 24, 12) else [1]
    )
    step = st.tuples(number, even) | st.tuples(span, st.integers(1, 20))
    steps = step.map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.just("*") | st.lists(number.map(str) | span | steps, min_size=1, max_size=3).map(",".join)


WEEK = st.lists(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon..Wed", "Fri..Sun"]), max_size=3)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@settings(max_examples=60, deadline=None, database=None)
@given(WEEK, parts(1, 12), parts(1, 28), parts(0, 23), parts(0, 59))
def test_cron_and_systemd_mean_the_same(week: list[str], month: str, day: str, hour: str, minute: str) -> None:
    event = f"{','.join(week)} *-{month}-{day} {hour}:{minute}".strip()
    parsed = calendar.parse(event)
    assume(not cron._inexact(parsed))
    expected = elapses(event, 6)
    assert list(islice(starts(cron._fields(parsed)), len(expected))) == expected
