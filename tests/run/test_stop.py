"""How a service is stopped: systemd.kill(5)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from .harness import PATIENCE, Services, alive, command, finish, leave, lines, until


def family(services: Services, child: str, main: str = "exec sleep 1000", before: str = "") -> tuple[str, Path]:
    """A program with a child in a session of its own, twice removed; and the file that names it."""
    path = services.out / "child"
    inner = services.script(f"{child}\necho $$ > {path}.new; mv {path}.new {path}\nwhile :; do sleep 0.02; done")
    return services.script(f"{before}\n(setsid {inner} &)\n{main}"), path


def pid_in(path: Path) -> int:
    until(path.exists)
    return int(path.read_text())


@pytest.mark.parametrize("child", ["", "trap '' TERM HUP INT"])
@pytest.mark.parametrize("mode", ["control-group", "mixed"])
def test_grandchildren_go_too(services: Services, mode: str, child: str) -> None:
    program, path = family(services, child)
    unit = services.unit(f"ExecStart={program}\nRestart=always\nKillMode={mode}\nTimeoutStopSec=0.3")
    running = services.foreground(unit)
    pid = pid_in(path)
    _, _, err = finish(running)
    assert not alive(pid)
    assert not services.started()
    if child and mode == "control-group":
        assert "still there after 0.3 s: killed" in err


@pytest.mark.parametrize("mode", ["process", "none"])
def test_grandchildren_that_are_to_stay(services: Services, mode: str) -> None:
    program, path = family(services, "")
    running = services.foreground(services.unit(f"ExecStart={program}\nRestart=always\nKillMode={mode}"))
    pid = pid_in(path)
    until(lambda: "sleep 1000" in map(command, services.started()))
    main = next(each for each in services.started() if command(each) == "sleep 1000")
    leave(running)
    assert alive(pid)
    assert alive(main) == (mode == "none")


def test_grandchildren_go_when_the_program_dies(services: Services) -> None:
    program, path = family(services, "", main=f"while ! [ -e {services.out}/child ]; do sleep 0.01; done; exit 3")
    finished = services.run(services.unit(f"ExecStart={program}\nRestart=on-success"), "--foreground")
    assert finished.returncode == 3
    assert not alive(pid_in(path))


def test_who_hears_the_kill_signal(services: Services) -> None:
    """KillMode=mixed: the main process alone; then SIGKILL for the others."""
    said = services.out / "said"
    for mode, heard in (("mixed", ["main"]), ("control-group", ["child", "main"])):
        (services.out / "child").unlink(missing_ok=True)
        said.write_text("")
        program, path = family(
            services,
            f"trap 'echo child >> {said}; exit 0' TERM",
            before=f"trap 'sleep 0.2; echo main >> {said}; exit 0' TERM",
            main="while :; do sleep 0.02; done",
        )
        unit = services.unit(f"ExecStart={program}\nRestart=always\nKillMode={mode}")
        running = services.foreground(unit)
        pid_in(path)
        services.active(unit)
        assert finish(running)[0] == 0
        assert sorted(lines(said)) == heard


def traps(services: Services, *names: str) -> tuple[str, Path]:
    """A program that notes the signals of these names, ends at TERM, USR1 and QUIT, and its notes."""
    said = services.out / "said"
    ends = {"TERM", "USR1", "QUIT"}
    trapped = [f"trap 'echo {name} >> {said}{'; exit 0' if name in ends else ''}' {name}" for name in names]
    return services.script("\n".join([*trapped, f"echo up >> {said}", "while :; do sleep 0.02; done"])), said


def test_kill_signal(services: Services) -> None:
    program, said = traps(services, "TERM", "USR1")
    running = services.foreground(
        services.unit(f"ExecStart={program}\nRestart=always\nKillSignal=SIGUSR1\nKillMode=mixed")
    )
    until(lambda: lines(said))
    assert finish(running)[0] == 0
    assert lines(said) == ["up", "USR1"]


def test_send_sighup(services: Services) -> None:
    said = services.out / "said"
    program = services.script(
        f"trap 'echo HUP >> {said}; exit 0' HUP; trap '' TERM; echo up >> {said}; while :; do sleep 0.02; done"
    )
    running = services.foreground(services.unit(f"ExecStart={program}\nRestart=always\nSendSIGHUP=yes"))
    until(lambda: lines(said))
    assert finish(running)[0] == 0
    assert lines(said) == ["up", "HUP"]


def test_program_that_ignores_sigterm(services: Services) -> None:
    program = services.script(f"trap '' TERM; echo up >> {services.out}/said; while :; do sleep 0.02; done")
    running = services.foreground(services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=300ms"))
    until(lambda: lines(services.out / "said"))
    before = time.monotonic()
    status, _, err = finish(running)
    assert status == 128 + signal.SIGKILL
    assert time.monotonic() - before > 0.25
    assert "still there after 0.3 s: killed" in err
    assert not services.started()


def test_without_sigkill(services: Services) -> None:
    program = services.script(f"trap '' TERM; echo up >> {services.out}/said; while :; do sleep 0.02; done")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=200ms\nSendSIGKILL=no")
    running = services.foreground(unit)
    until(lambda: lines(services.out / "said"))
    leave(running)
    assert running.stderr and "left running" in running.stderr.readline()
    assert services.started()


def test_final_kill_signal(services: Services) -> None:
    program, said = traps(services, "QUIT")
    program = services.script(f"trap '' TERM\n. {program}")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=200ms\nFinalKillSignal=SIGQUIT")
    running = services.foreground(unit)
    until(lambda: lines(said))
    finish(running)
    assert lines(said)[-1] == "QUIT"


@pytest.mark.parametrize("mode", ["control-group", "mixed", "process"])
def test_program_that_is_stopped(services: Services, mode: str) -> None:
    running = services.foreground(services.unit(f"ExecStart=/bin/sleep 1000\nRestart=always\nKillMode={mode}"))
    until(lambda: len(services.started()) == 2)
    main = next(pid for pid in services.started() if pid != running.pid)
    until(lambda: Path(f"/proc/{main}/comm").read_text() == "sleep\n")
    os.kill(main, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert finish(running)[0] == 0


@pytest.mark.parametrize("setting", ["ExecCondition", "ExecStartPre", "ExecStartPost"])
def test_stop_during_a_command(services: Services, setting: str) -> None:
    said = services.out / "said"
    slow = services.script(f"echo up >> {said}; exec sleep 1000")
    unit = services.unit(f"ExecStart=/bin/sleep 999\n{setting}={slow}\nExecStop=/bin/sh -c 'echo no >> {said}'")
    running = services.foreground(unit)
    until(lambda: lines(said))
    status, _, err = finish(running)
    assert status == 0
    assert "stopped before it was ready" in err
    assert lines(said) == ["up"]
    assert not services.started()


@pytest.mark.parametrize("setting", ["ExecStartPre", "ExecStop", "ExecStopPost"])
def test_command_that_takes_too_long(services: Services, setting: str) -> None:
    unit = services.unit(f"ExecStart=/bin/sleep 999\n{setting}=/bin/sleep 1000\nTimeoutSec=200ms")
    running = services.foreground(unit)
    if setting == "ExecStartPre":
        _, err = running.communicate(timeout=PATIENCE)
    else:
        services.active(unit)
        _, _, err = finish(running)
    assert running.returncode != 0
    assert "took too long" in err
    assert not services.started()


def test_signals_during_the_stop_do_not_hurt(services: Services) -> None:
    program, said = traps(services, "TERM")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nExecStop=/bin/sleep 0.3\nExecStopPost=/bin/sleep 0.1")
    running = services.foreground(unit)
    until(lambda: lines(said))
    services.active(unit)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        running.send_signal(number)
        time.sleep(0.02)
    assert running.wait(PATIENCE) == 0
    assert lines(said) == ["up", "TERM"]


def test_a_bomb_is_defused(services: Services) -> None:
    """Processes that fork faster than one can look are reached all the same."""
    bomb = services.python(
        f"""
end = time.monotonic() + 60  # whatever becomes of the test
for n in range(8):
    if os.fork() == 0:
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.001)
        os._exit(0)
open({str(services.out / "up")!r}, "w").close()
import _signal
_signal.pause()"""
    )
    unit = services.unit(f"ExecStart={bomb}\nRestart=always\nTimeoutStopSec=5\nKillSignal=SIGKILL")
    running = services.foreground(unit)
    until((services.out / "up").exists)
    finish(running)
    assert not services.started()


def test_stop_takes_no_time_of_its_own(services: Services) -> None:
    times = []
    for _ in range(5):
        running = services.foreground(services.unit("ExecStart=/bin/sleep 1000\nRestart=always"))
        until(lambda: len(services.started()) == 2)
        main = next(pid for pid in services.started() if pid != running.pid)
        until(lambda: Path(f"/proc/{main}/comm").read_text() == "sleep\n")  # noqa: B023
        before = time.monotonic()
        assert finish(running)[0] == 0
        times.append(time.monotonic() - before)
    assert min(times) < 0.3, times  # an interpreter's end, and no poll interval
