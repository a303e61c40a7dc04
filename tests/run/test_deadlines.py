"""Time that runs out, and what then: systemd.service(5); more time, sd_notify(3); and what no time ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .clients import Managed, Wire
from .harness import Services, alive, finish, lines, until


def hears(services: Services, *, ends_by: str = "") -> tuple[str, Path]:
    """A program that notes the signals which come, and ends by the one that is named only; and its notes."""
    log = services.out / "heard"
    traps = "\n".join(
        f"trap 'echo {name} >> {log}{'; exit 0' if name == ends_by else ''}' {name}"
        for name in ("TERM", "ABRT", "QUIT")
    )
    return services.script(f"{traps}\necho up >> {log}\nwhile :; do sleep 0.02; done"), log


#: What has been asked for, the signal that ends the program, and those that it hears.
STOPS = {
    "terminate": ("TimeoutStopFailureMode=terminate", ["TERM"]),
    "abort": ("TimeoutStopFailureMode=abort\nTimeoutAbortSec=2", ["TERM", "ABRT"]),
    "kill": ("TimeoutStopFailureMode=kill", ["TERM"]),
    "another": ("TimeoutStopFailureMode=abort\nTimeoutAbortSec=20\nWatchdogSignal=SIGQUIT", ["TERM", "QUIT"]),
}


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_that_takes_too_long(services: Services, how: str) -> None:
    settings, heard = STOPS[how]
    program, log = hears(services, ends_by="QUIT" if how == "another" else "")
    post = f"/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {log}'"
    unit = services.unit(f"ExecStart={program}\nTimeoutStopSec=2\nExecStopPost={post}\nKillMode=mixed\n{settings}")
    running = services.foreground(unit)
    until(lambda: lines(log) == ["up"])
    status, _, err = finish(running)
    end = "exited 0" if how == "another" else "killed KILL"
    assert lines(log) == ["up", *heard, f"timeout {end}"]
    assert status != 0
    assert ("aborted" in err) == ("abort" in settings)


@pytest.mark.parametrize(
    ("mode", "heard", "end"),
    [("terminate", ["TERM"], "exited 0"), ("abort", ["ABRT"], "killed KILL"), ("kill", [], "killed KILL")],
)
def test_a_start_that_takes_too_long(services: Services, mode: str, heard: list[str], end: str) -> None:
    program, log = hears(services, ends_by="TERM")
    post = f"/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {log}'"
    unit = services.unit(
        f"Type=notify\nExecStart={program}\nTimeoutStartSec=1\nTimeoutAbortSec=1\nExecStopPost={post}\n"
        f"TimeoutStartFailureMode={mode}\nTimeoutStopSec=20\nKillMode=mixed"
    )
    services.run(unit, "--foreground")
    assert lines(log) == ["up", *heard, f"timeout {end}"]


@pytest.mark.parametrize("mode", ["terminate", "abort", "kill"])
def test_a_stop_command_that_takes_too_long(services: Services, mode: str) -> None:
    """The commands after it are skipped, and the service is ended as the mode says."""
    program, log = hears(services, ends_by="TERM")
    unit = services.unit(
        f"ExecStart={program}\nExecStop=/bin/sleep 1000\nExecStop=/bin/sh -c 'echo next >> {log}'\n"
        f"TimeoutStopSec=1\nTimeoutAbortSec=1\nTimeoutStopFailureMode={mode}\nKillMode=mixed"
    )
    running = services.foreground(unit)
    until(lambda: lines(log) == ["up"])
    finish(running)
    assert lines(log) == ["up", *{"terminate": ["TERM"], "abort": ["ABRT"], "kill": []}[mode]]
    assert not services.started()


def test_each_stop_command_has_the_whole_time(services: Services) -> None:
    """Five of them together may take longer than TimeoutStopSec=."""
    log = services.out / "log"
    stops = f"ExecStop=/bin/sh -c 'sleep 0.5; echo stop >> {log}'\n" * 5
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{stops}TimeoutStopSec=2")
    running = services.foreground(unit)
    services.active(unit)
    assert finish(running)[0] == 0
    assert lines(log) == ["stop"] * 5


def test_a_stop_command_that_fails_is_the_last(services: Services) -> None:
    log = services.out / "log"
    says = "ExecStop=/bin/sh -c 'echo {0} >> {1}; exit {2}'\n"
    stops = says.format("a", log, 0) + says.format("b", log, 3) + says.format("c", log, 0)
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{stops}")
    running = services.foreground(unit)
    services.active(unit)
    assert finish(running)[0] != 0
    assert lines(log) == ["a", "b"]


def test_stop_commands_at_the_end_of_the_running_time(services: Services) -> None:
    log = services.out / "log"
    unit = services.unit(
        f"ExecStart=/bin/sleep 1000\nRuntimeMaxSec=50ms\nExecStop=/bin/sh -c 'echo $SERVICE_RESULT > {log}'"
    )
    services.run(unit, "--foreground")
    assert lines(log) == ["timeout"]


def test_time_to_write_a_core(services: Services) -> None:
    """TimeoutAbortSec= after a missed watchdog, which may be longer than TimeoutStopSec=."""
    program = services.python(
        "import _signal\nlog = " + repr(str(services.out / "log")) + "\n"
        "def abort(*about):\n    time.sleep(1)\n    open(log, 'w').write('dumped')\n    os._exit(0)\n"
        "_signal.signal(_signal.SIGABRT, abort)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    unit = services.unit(
        f"Type=notify\nExecStart={program}\nWatchdogSec=100ms\nTimeoutStopSec=100ms\nTimeoutAbortSec=20"
    )
    services.run(unit, "--foreground")
    assert lines(services.out / "log") == ["dumped"]


# --- EXTEND_TIMEOUT_USEC= ---------------------------------------------------------------------------------------------


def test_a_stop_that_asks_for_more_time(services: Services) -> None:
    program = services.python(
        "import _signal\nlog = " + repr(str(services.out / "log")) + "\n"
        "def stop(*about):\n    notify('EXTEND_TIMEOUT_USEC=20000000')\n    time.sleep(1)\n"
        "    open(log, 'w').write('done')\n    os._exit(0)\n"
        "_signal.signal(_signal.SIGTERM, stop)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    managed = Managed(services, f"Type=notify\nExecStart={program}\nTimeoutStopSec=500ms")
    managed.wait_for("active")
    assert managed.end()[0] == 0
    assert lines(services.out / "log") == ["done"]


def test_a_run_that_asks_for_more_time(services: Services) -> None:
    """Not longer than it asks for, nor shorter than it may anyway."""
    program = services.python(
        "notify('READY=1')\nnotify('EXTEND_TIMEOUT_USEC=2000000')\nnotify('EXTEND_TIMEOUT_USEC=1')\n"
        "notify('EXTEND_TIMEOUT_USEC=' + '9' * 400)\nnotify('EXTEND_TIMEOUT_USEC=x')\ntime.sleep(1000)"
    )
    begun = time.monotonic()
    finished = services.run(services.unit(f"Type=notify\nExecStart={program}\nRuntimeMaxSec=1"), "--foreground")
    assert time.monotonic() - begun > 2
    assert "RuntimeMaxSec= is over: took too long" in finished.stderr


def test_a_watchdog_is_put_off(services: Services) -> None:
    program = services.python(
        "notify('READY=1')\nnotify('EXTEND_TIMEOUT_USEC=20000000')\ntime.sleep(1.5)\nnotify('WATCHDOG_USEC=0')"
    )
    unit = services.unit(f"Type=notify\nExecStart={program}\nWatchdogSec=1")
    assert services.run(unit, "--foreground").returncode == 0


def test_watchers_are_told_of_a_new_deadline(services: Services) -> None:
    program = services.python(
        f"while not os.path.exists({str(services.out / 'go')!r}):\n    time.sleep(0.01)\n"
        "notify('EXTEND_TIMEOUT_USEC=900000000')\ntime.sleep(1000)"
    )
    managed = Managed(services, f"Type=notify\nExecStart={program}\nTimeoutStartSec=1min\nTimeoutStopSec=20")
    with Wire(managed.path) as wire:
        wire.say("Status", more=True)
        before = heard(wire, lambda told: told["state"] == "activating" and told["deadline"])
        assert 0 < before["deadline"] / 1e6 - time.time() < 61
        (services.out / "go").touch()
        after = heard(wire, lambda told: told["deadline"] != before["deadline"])
        assert after["state"] == "activating"
        assert 800 < after["deadline"] / 1e6 - time.time() < 901
    managed.end()


def test_watchers_are_told_of_the_deadline_of_each_part(services: Services) -> None:
    """ExecStop= has a time of its own, and so has what follows."""
    program, log = hears(services)
    managed = Managed(services, f"ExecStart={program}\nExecStop=/bin/sleep 0.5\nTimeoutStopSec=2\nKillMode=mixed")
    until(lambda: lines(log) == ["up"])
    with Wire(managed.path) as wire:
        wire.say("Status", more=True)
        managed.process.send_signal(signal.SIGTERM)
        first = heard(wire, lambda told: told["state"] == "deactivating" and told["deadline"])
        second = heard(wire, lambda told: told["deadline"] and told["deadline"] - first["deadline"] > 300_000)
        assert second["state"] == "deactivating"
    managed.process.communicate(timeout=20)


def heard(wire: Wire, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The next status that is as wanted."""
    while True:
        message = wire.hear()
        assert message
        told: dict[str, Any] = message["parameters"]["service"]
        if wanted(told):
            return told


# --- another user's process -------------------------------------------------------------------------------------------

_NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a program of another user's")
def test_who_cannot_be_signalled_is_named(services: Services) -> None:
    """A process that has become root's is beyond its manager, which says so, and stays well."""
    note = services.out / "pid"
    become = services.folder / "become"
    become.write_bytes(Path("/usr/bin/setpriv").read_bytes())
    become.chmod(0o4755)
    runtime = services.folder / "nobody"
    runtime.mkdir(mode=0o700)
    os.chown(runtime, _NOBODY, _NOBODY)
    script = services.script(f"echo $$ > {note}.new; mv {note}.new {note}; exec sleep 1000")
    unit = services.unit(f"ExecStart={become} --reuid 0 --clear-groups {script}\nTimeoutStopSec=1\nRestart=on-success")
    running = services.foreground(
        unit,
        prefix=["setpriv", "--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"],
        environment={"XDG_RUNTIME_DIR": str(runtime), "HOME": "/"},
    )
    until(note.exists)
    pid = int(note.read_text())
    until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    with Wire(f"{runtime}/initkit/{unit.stem}.sock") as wire:
        for whom in ("main", "all"):
            refused = wire.ask("Kill", {"signal": "SIGUSR1", "whom": whom})
            assert refused and refused["error"] == "io.initkit.Manager.NotPermitted"
            assert refused["parameters"]["processes"] == [f"sleep[{pid}]"]
        running.send_signal(signal.SIGUSR1)  # which it would hand on
        stopped = wire.ask("Stop")
        assert stopped and stopped["error"] == "io.initkit.Manager.StopFailed"
        assert stopped["parameters"]["survivors"] == [f"sleep[{pid}]"]
    assert running.wait(20) != 0
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert running.stderr and "cannot be signalled: another user's" in running.stderr.read()


def test_each_command_of_a_start_has_the_whole_time(services: Services) -> None:
    pre = "ExecStartPre=/bin/sleep 1\n" * 3
    unit = services.unit(f"Type=oneshot\n{pre}ExecStart=/bin/true\nTimeoutStartSec=2.5")
    assert services.run(unit, "--foreground").returncode == 0
