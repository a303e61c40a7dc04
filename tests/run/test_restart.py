"""When a service is started again: systemd.service(5), Restart= and its kin."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .harness import Services, finish, lines, until

#: An end of the main process, and the results that systemd.service(5)'s table tells apart.
ENDS = {
    "exit 0": "clean",
    "exit 1": "exit code",
    "kill -TERM $$": "clean",
    "kill -HUP $$": "clean",
    "kill -SEGV $$": "signal",
    "kill -KILL $$": "signal",
    "timeout": "timeout",
    "watchdog": "watchdog",
}
TABLE = {
    "no": (),
    "always": ("clean", "exit code", "signal", "timeout", "watchdog"),
    "on-success": ("clean",),
    "on-failure": ("exit code", "signal", "timeout", "watchdog"),
    "on-abnormal": ("signal", "timeout", "watchdog"),
    "on-abort": ("signal",),
    "on-watchdog": ("watchdog",),
}


def lives(services: Services, settings: str, end: str = "exit 0", count: int = 2) -> tuple[str, Path]:
    """Settings of a service whose first lives end as said, and the file that tells of them."""
    log = services.out / "lives"
    script = services.script(f"echo $$ >> {log}\n[ $(wc -l < {log}) -ge {count} ] && exec sleep 1000\n{end}")
    return f"ExecStart={script}\n{settings}", log


@pytest.mark.parametrize("restart", TABLE)
@pytest.mark.parametrize("end", ENDS)
def test_table(services: Services, end: str, restart: str) -> None:
    more = {"timeout": "RuntimeMaxSec=50ms\n", "watchdog": "WatchdogSec=50ms\n"}.get(end, "RuntimeMaxSec=1h\n")
    body = "exec sleep 1000" if end in ("timeout", "watchdog") else end
    # A second life with a runtime or a watchdog would end, too: as often as it likes.
    settings, log = lives(services, f"Restart={restart}\nRestartSec=1ms\n{more}", body)
    running = services.foreground(services.unit(settings, unit="StartLimitIntervalSec=0"))
    if ENDS[end] in TABLE[restart]:
        until(lambda: len(lines(log)) >= 2)
        finish(running)
    else:
        status = running.wait(10)
        assert len(lines(log)) == 1
        assert (status == 0) == (ENDS[end] == "clean")


def test_pause(services: Services) -> None:
    settings, log = lives(services, "Restart=always\nRestartSec=300ms")
    running = services.foreground(services.unit(settings))
    until(lambda: len(lines(log)) == 1)
    before = time.monotonic()
    until(lambda: len(lines(log)) == 2)
    assert time.monotonic() - before > 0.2
    finish(running)


def test_start_limit(services: Services) -> None:
    settings, log = lives(services, "Restart=on-failure\nRestartSec=1ms", "exit 7", count=99)
    finished = services.run(services.unit(settings, unit="StartLimitBurst=3\nStartLimitIntervalSec=60"), "--foreground")
    assert finished.returncode == 7
    assert len(lines(log)) == 3
    assert "not restarted: 3 starts within 60 s" in finished.stderr


def test_start_limit_looks_at_the_interval(services: Services) -> None:
    settings, log = lives(services, "Restart=on-failure\nRestartSec=60ms", "exit 7", count=6)
    unit = services.unit(settings, unit="StartLimitBurst=2\nStartLimitIntervalSec=50ms")
    running = services.foreground(unit)
    until(lambda: len(lines(log)) == 6)
    finish(running)


@pytest.mark.parametrize(
    ("settings", "end", "again", "status"),
    [
        ("Restart=on-failure\nSuccessExitStatus=7 SIGUSR1", "exit 7", False, 0),
        ("Restart=on-failure\nSuccessExitStatus=7 SIGUSR1", "kill -USR1 $$", False, 0),
        ("Restart=on-failure\nSuccessExitStatus=TEMPFAIL", "exit 75", False, 0),
        ("Restart=on-success\nSuccessExitStatus=7", "exit 7", True, 0),
        ("Restart=always\nRestartPreventExitStatus=7 SIGKILL", "exit 7", False, 7),
        ("Restart=always\nRestartPreventExitStatus=7 SIGKILL", "kill -KILL $$", False, 137),
        ("Restart=always\nRestartPreventExitStatus=7", "exit 8", True, 8),
        ("Restart=no\nRestartForceExitStatus=7", "exit 7", True, 7),
        ("Restart=on-abort\nRestartForceExitStatus=SIGTERM", "kill -TERM $$", True, 0),
    ],
)
def test_exit_status_lists(services: Services, settings: str, end: str, again: bool, status: int) -> None:
    settings, log = lives(services, f"{settings}\nRestartSec=1ms\nExecStopPost=-/bin/true", end)
    running = services.foreground(services.unit(settings))
    if again:
        until(lambda: len(lines(log)) == 2)
        finish(running)
    else:
        assert running.wait(10) == status
        assert len(lines(log)) == 1


def test_stop_during_the_pause(services: Services) -> None:
    settings, log = lives(services, "Restart=always\nRestartSec=1000")
    running = services.foreground(services.unit(settings))
    until(lambda: lines(log) and "restarted in" in (running.stderr.readline() if running.stderr else ""))
    status, _, _ = finish(running)
    assert status == 0
    assert len(lines(log)) == 1


def test_a_stop_is_no_failure_to_restart_after(services: Services) -> None:
    script = services.script(f"trap 'exit 9' TERM; echo x >> {services.out}/lives; while :; do sleep 0.01; done")
    running = services.foreground(services.unit(f"ExecStart={script}\nRestart=always\nRestartSec=1ms\nKillMode=mixed"))
    until(lambda: lines(services.out / "lives"))
    time.sleep(0.05)
    assert finish(running, signal.SIGTERM)[0] == 9  # it said so itself
    assert len(lines(services.out / "lives")) == 1
