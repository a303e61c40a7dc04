"""When a service is started again: systemd.service(5), Restart= and its kin."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from initkit.run.outcome import restart_delay
from initkit.settings.service import Entry, Service

from .clients import Managed
from .harness import PATIENCE, Services, comm, finish, lines, until

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
    """Settings of a service whose first lives end as said, and the file that tells when each began, in seconds."""
    log = services.out / "lives"
    begins = f"read up rest < /proc/uptime; echo $up >> {log}"
    script = services.script(f"{begins}\n[ $(wc -l < {log}) -ge {count} ] && exec sleep 1000\n{end}")
    return f"ExecStart={script}\n{settings}", log


def sleeps(managed: Managed) -> bool:
    """Whether the program has become sleep(1)."""
    return comm(managed.status()["mainPid"] or 0) == "sleep"


def test_a_restart_finds_all_modules_loaded(services: Services) -> None:
    """What a child of the manager loads it loads again each time."""
    log = services.folder / "log"
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1ms\nLimitNOFILE=512\nUMask=077")
    with log.open("w") as out:
        running = services.foreground(unit, environment={"PYTHONVERBOSE": "1"}, stderr=out)
    pids: list[int] = []
    loaded: list[int] = []
    for _ in range(3):
        if pids:
            os.kill(pids[-1], signal.SIGKILL)
        services.active(unit)
        until(lambda: (pid := services.status(unit)["mainPid"]) and pid not in pids and comm(pid) == "sleep", "a life")
        pids.append(services.status(unit)["mainPid"])
        loaded.append(log.read_text().count("\nimport "))
    running.terminate()
    assert running.wait(PATIENCE) == 0
    assert loaded[0] > 0  # they are told of
    assert loaded[2] == loaded[1]  # the first restart has the manager load what it takes


@pytest.mark.parametrize("restart", TABLE)
@pytest.mark.parametrize("end", ENDS)
def test_table(services: Services, end: str, restart: str) -> None:
    more = {"timeout": "RuntimeMaxSec=50ms\n", "watchdog": "WatchdogSec=50ms\n"}.get(end, "RuntimeMaxSec=1h\n")
    body = "exec sleep 1000" if end in ("timeout", "watchdog") else end
    # A second life with a runtime or a watchdog would end, too: as often as it likes. A life is counted before its
    # time runs: a program may be killed before it has told of itself.
    log = services.out / "lives"
    program = services.script(f"[ $(wc -l < {log}) -ge 2 ] && exec sleep 1000\n{body}")
    counted = f"ExecStartPre=/bin/sh -c 'echo >> {log}'\nExecStart={program}"
    settings = f"{counted}\nRestart={restart}\nRestartSec=1ms\n{more}"
    running = services.foreground(services.unit(settings, unit="StartLimitIntervalSec=0"))
    if ENDS[end] in TABLE[restart]:
        until(lambda: len(lines(log)) >= 2)
        finish(running)
    else:
        status = running.wait(PATIENCE)
        assert len(lines(log)) == 1
        assert (status == 0) == (ENDS[end] == "clean")


def test_pause(services: Services) -> None:
    settings, log = lives(services, "Restart=always\nRestartSec=300ms")
    running = services.foreground(services.unit(settings))
    until(lambda: len(lines(log)) == 2)
    first, second = map(float, lines(log))
    assert second - first > 0.28  # the times have hundredths
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
        assert running.wait(PATIENCE) == status
        assert len(lines(log)) == 1


def test_stop_during_the_pause(services: Services) -> None:
    """What is preserved for a restart goes when there is none."""
    folder = services.runtime / services.prefix
    preserved = f"RuntimeDirectory={services.prefix}\nRuntimeDirectoryPreserve=restart"
    settings, log = lives(services, f"Restart=always\nRestartSec=1000\n{preserved}")
    running = services.foreground(services.unit(settings))
    until(lambda: lines(log) and "restarted in" in (running.stderr.readline() if running.stderr else ""))
    assert folder.exists()
    status, _, _ = finish(running)
    assert status == 0
    assert len(lines(log)) == 1
    assert not folder.exists()


def test_a_stop_is_no_failure_to_restart_after(services: Services) -> None:
    script = services.script(f"trap 'exit 9' TERM; echo x >> {services.out}/lives; while :; do sleep 0.01; done")
    unit = services.unit(f"ExecStart={script}\nRestart=always\nRestartSec=1ms\nKillMode=mixed")
    running = services.foreground(unit)
    until(lambda: lines(services.out / "lives"))
    services.active(unit)
    assert finish(running, signal.SIGTERM)[0] == 9  # it said so itself
    assert len(lines(services.out / "lives")) == 1


@pytest.mark.parametrize(
    ("settings", "delays"),
    [
        # systemd.service(5): the delay grows by the same factor in each of the steps.
        ({"RestartSec": "1", "RestartSteps": "4", "RestartMaxDelaySec": "16"}, [1, 2, 4, 8, 16, 16, 16]),
        ({"RestartSec": "100ms", "RestartSteps": "3", "RestartMaxDelaySec": "2min 5s"}, [0.1, 1.077, 11.604, 125, 125]),
        ({"RestartSec": "1", "RestartSteps": "1", "RestartMaxDelaySec": "9"}, [1, 9, 9]),
        # One without the other means nothing, nor does growing from nothing.
        ({"RestartSec": "2", "RestartSteps": "4"}, [2, 2, 2]),
        ({"RestartSec": "2", "RestartMaxDelaySec": "16"}, [2, 2, 2]),
        ({"RestartSec": "0", "RestartSteps": "4", "RestartMaxDelaySec": "16"}, [0, 0, 0]),
        # The longest is the longest.
        ({"RestartSec": "20", "RestartSteps": "4", "RestartMaxDelaySec": "16"}, [16, 16]),
    ],
)
def test_growing_delay(settings: dict[str, str], delays: list[float]) -> None:
    entries = tuple(Entry("Service", key, value) for key, value in settings.items())
    service = Service("a", "/a.service", entries)
    assert [round(restart_delay(service, restarts), 3) for restarts in range(len(delays))] == delays


def test_steps(services: Services) -> None:
    """Each restart waits longer than the one before; a start that is asked for begins anew."""
    settings, log = lives(
        services, "Restart=always\nRestartSec=50ms\nRestartSteps=3\nRestartMaxDelaySec=400ms", count=5
    )
    managed = Managed(services, settings, unit="StartLimitIntervalSec=0")
    until(lambda: len(lines(log)) == 5)
    first, *_, last = map(float, lines(log))
    assert last - first > 0.7
    managed.call("Restart")
    until(lambda: len(lines(log)) == 6 and sleeps(managed))  # which has counted the lives
    log.write_text("")
    managed.call("Kill", signal="SIGKILL", whom="main")
    until(lambda: len(lines(log)) == 5)
    _, _, err = managed.end()
    told = [line.rpartition("restarted in ")[2] for line in err.splitlines() if "restarted in" in line]
    assert told == [*["0.05 s", "0.1 s", "0.2 s", "0.4 s"], *["0.05 s", "0.1 s", "0.2 s", "0.4 s", "0.4 s"]]


def test_restarts_in_debug_mode(services: Services) -> None:
    """RestartMode=debug: a service that is restarted is told so, one that is started is not."""
    log = services.out / "log"
    script = services.script(
        f"echo ${{DEBUG_INVOCATION:-0}} >> {log}\n[ $(wc -l < {log}) = 3 ] && exec sleep 1000\nexit 1"
    )
    managed = Managed(services, f"ExecStart={script}\nRestart=on-failure\nRestartSec=1ms\nRestartMode=debug")
    until(lambda: lines(log) == ["0", "1", "1"] and sleeps(managed))  # which has counted the lines
    log.write_text("\n\n")
    managed.call("Restart")
    until(lambda: lines(log)[-1:] == ["0"])
    managed.end()


@pytest.mark.parametrize(
    ("settings", "end", "status", "told"),
    [
        ("FailureAction=exit\nFailureActionExitStatus=9", "exit 3", 9, ""),
        ("FailureAction=exit", "exit 3", 3, ""),
        ("SuccessAction=exit\nSuccessActionExitStatus=9", "exit 0", 9, ""),
        ("SuccessAction=exit\nSuccessActionExitStatus=9", "exit 3", 3, ""),
        ("FailureAction=reboot", "exit 3", 3, "FailureAction=reboot is not for initkit to do"),
        (
            "StartLimitAction=poweroff\nStartLimitBurst=1",
            "exit 3",
            3,
            "StartLimitAction=poweroff is not for initkit to do",
        ),
    ],
)
def test_actions(services: Services, settings: str, end: str, status: int, told: str) -> None:
    restart = "on-failure" if "StartLimit" in settings else "no"
    unit = services.unit(f"ExecStart={services.script(end)}\nExecStopPost=/bin/true\nRestart={restart}", unit=settings)
    finished = services.run(unit, "--foreground")
    assert finished.returncode == status
    assert told in finished.stderr


@pytest.mark.parametrize(("mode", "count"), [("normal", 1), ("direct", 2)])
def test_action_of_a_service_that_is_restarted(services: Services, mode: str, count: int) -> None:
    """RestartMode=direct: between two lives it has not failed."""
    settings, log = lives(services, f"Restart=on-failure\nRestartSec=1ms\nRestartMode={mode}", "exit 3", count=9)
    finished = services.run(services.unit(settings, unit="FailureAction=exit\nStartLimitBurst=2"), "--foreground")
    assert finished.returncode == 3
    assert len(lines(log)) == count


@pytest.mark.parametrize("setting", ["RestartForceExitStatus=7", "SuccessExitStatus=9\nRestartForceExitStatus=7"])
def test_a_forced_restart_needs_nothing_else(services: Services, setting: str) -> None:
    settings, log = lives(services, f"{setting}\nRestartSec=1ms", "exit 7")
    running = services.foreground(services.unit(settings))
    until(lambda: len(lines(log)) == 2)
    assert finish(running)[0] == 0
