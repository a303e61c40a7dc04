"""`initkit status`: for people, for programs, and again and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run.harness import PATIENCE, Services, alive, command, finish, lines, until

from .ways import at_terminal, initkit, needs_root, python, written

_FIELDS = {
    "name",
    "description",
    "state",
    "result",
    "since",
    "mainPid",
    "processes",
    "memory",
    "cpu",
    "restarts",
    "commands",
}
_SUPERVISED = "Restart=always\nRestartSec=0"


def told(services: Services, unit: Path) -> dict[str, object]:
    """As programs see it."""
    found: dict[str, object] = json.loads(initkit(services, "status", unit, "--json").stdout)
    return found


def test_for_people(services: Services) -> None:
    inner = services.script("exec sleep 1002")
    script = services.script(f"sh -c 'sleep 1001 & {inner} & wait' &\nexec sleep 1003")
    unit = services.unit(f"ExecStart={script}", unit="Description=Sleeps a lot")
    assert initkit(services, "start", unit).returncode == 0
    pid = services.pid(unit)
    until(lambda: {f"sleep {n}" for n in (1001, 1002, 1003)} <= set(map(command, services.started())))
    shown = initkit(services, "status", unit)
    text = shown.stdout
    assert (shown.returncode, shown.stderr) == (0, "")
    assert text.startswith(f"● {unit.stem} - Sleeps a lot\n      State: active since ") and " ago\n" in text
    assert f"   Main PID: {pid}\n" in text and "     Memory: " in text and "        CPU: " in text
    tree = text.partition("  Processes:\n")[2].splitlines()
    assert tree[0] == f"    └─{pid} sleep 1003"
    assert tree[1].startswith("      └─") and "sh -c sleep 1001 &" in tree[1]
    assert tree[2].startswith("        ├─") and tree[2].endswith(" sleep 1001")
    assert tree[3].startswith("        └─") and tree[3].endswith(" sleep 1002")
    assert "\x1b" not in text


def test_a_logger_is_not_its_service(services: Services) -> None:
    """It waits for the next life, and what it waits for does not run."""
    unit = services.unit(f"ExecStart=/bin/false\nRestart=always\nRestartSec=100\nX-Initkit-LogFile={services.out}/log")
    runner = services.foreground(unit)
    try:
        until(lambda: told(services, unit)["state"] == "auto-restart")
        assert told(services, unit)["processes"]
        assert initkit(services, "status", unit).returncode == 3
    finally:
        finish(runner)


def test_a_manager_that_is_stuck(services: Services) -> None:
    """Its register tells which of its children is the main process: the first is the logger."""
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nRestart=always\nX-Initkit-LogFile={services.out}/log")
    assert initkit(services, "start", unit).returncode == 0
    main = told(services, unit)["mainPid"]
    os.kill(services.pid(unit), signal.SIGSTOP)
    assert told(services, unit)["mainPid"] == main
    every = json.loads(initkit(services, "status", "--json").stdout)
    assert [each["mainPid"] for each in every if each["name"] == unit.stem] == [main]
    assert initkit(services, "stop", unit).returncode == 0
    until(lambda: not services.started())


@pytest.mark.parametrize("settings", ["", "ExecStopPost=/bin/true", "Restart=always\nRestartSec=0"])
def test_one_that_has_failed_since(services: Services, settings: str) -> None:
    """LSB's 1, whether somebody stayed with it or not; a stop settles it, and a start does."""
    failing = services.out / "failing"
    script = services.script(f"[ -e {failing} ] || exec sleep 1000\nexit 7")
    unit = services.unit(f"ExecStart={script}\n{settings}", unit="StartLimitBurst=3")
    for settle in ("stop", "start"):
        assert initkit(services, "start", unit).returncode == 0
        failing.touch()
        assert initkit(services, "kill", unit, "--signal=KILL", "--whom=main").returncode == 0
        until(lambda: told(services, unit)["state"] == "failed" and not services.started())
        assert initkit(services, "status", unit).returncode == 1
        failing.unlink()
        assert initkit(services, settle, unit).returncode == 0
        assert initkit(services, "status", unit).returncode == (3 if settle == "stop" else 0)
    assert initkit(services, "stop", unit).returncode == 0
    assert not services.pid_file(unit).exists()


@needs_root
@pytest.mark.parametrize("settings", ["", "Restart=always"])
def test_where_proc_has_processes_only(services: Services, settings: str) -> None:
    """As in a service with ProcSubset=pid: nobody tells when the system has booted, nor which boot it is."""
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{settings}")
    words = (python(), "-m", "initkit")
    each = "; ".join(f'"$@" {verb} {unit} || echo $?' for verb in ("status", "start", "status", "stop", "status"))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", f"mount -t proc -o subset=pid proc /proc; {each}", "sh", *words],
        env=services.environment(),
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )
    inactive = f"○ {unit.stem}\n      State: inactive\n3\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{inactive}● {unit.stem}\n      State: active since ")
    assert done.stdout.endswith(inactive)


def test_exit_statuses(services: Services) -> None:
    """LSB: 0 running, 1 dead while the PID file is there, 3 stopped, 4 unknown."""
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    assert initkit(services, "status", unit).returncode == 3
    assert initkit(services, "start", unit).returncode == 0
    assert initkit(services, "status", unit).returncode == 0
    pid = services.pid(unit)
    os.kill(pid, 9)
    until(lambda: not alive(pid))
    dead = initkit(services, "status", unit)
    assert dead.returncode == 1 and "State: failed" in dead.stdout
    assert initkit(services, "stop", unit).returncode == 0
    assert initkit(services, "status", unit).returncode == 3
    unknown = initkit(services, "status", "./nowhere.toml")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (4, 1)


@pytest.mark.parametrize("settings", ["", _SUPERVISED])
def test_for_programs(services: Services, settings: str) -> None:
    unit = services.unit(f"ExecStart={services.script('sleep 1000 & wait')}\n{settings}", unit="Description=Sleeps")
    before = told(services, unit)
    assert (before["state"], before["processes"], before["memory"]) == ("inactive", [], 0)
    assert initkit(services, "start", unit).returncode == 0
    until(lambda: "sleep 1000" in map(command, services.started()))
    during = told(services, unit)
    assert set(during) >= _FIELDS
    assert (during["name"], during["description"], during["state"]) == (unit.stem, "Sleeps", "active")
    main, child = during["processes"]  # type: ignore[misc]
    assert main["pid"] == during["mainPid"] and main["parent"] == 0 and child["parent"] == main["pid"]
    assert child["command"] == "sleep 1000"
    pages = [Path(f"/proc/{each['pid']}/statm").read_text for each in (main, child)]
    size = os.sysconf("SC_PAGE_SIZE")
    until(lambda: told(services, unit)["memory"] == sum(int(read().split()[1]) for read in pages) * size, "resident")
    initkit(services, "stop", unit)


def test_what_a_manager_knows(services: Services) -> None:
    out = services.out / "pids"
    program = services.python(
        f"""
open({str(out)!r}, "a").write(f"{{os.getpid()}}\\n")
notify("READY=1", "STATUS=Serving \\x1b[31mred\\x1b[0m")
time.sleep(1000)
"""
    )
    unit = services.unit(f"ExecStart={program}\nType=notify\n{_SUPERVISED}")
    assert initkit(services, "start", unit).returncode == 0
    os.kill(int(written(out)[0]), 9)
    written(out, 2)
    until(lambda: told(services, unit)["state"] == "active")
    shown = initkit(services, "status", unit)
    assert shown.returncode == 0
    assert "   Restarts: 1\n" in shown.stdout
    assert "     Status: Serving �[31mred�[0m\n" in shown.stdout
    assert "  Last exit: killed, KILL\n" in shown.stdout
    assert initkit(services, "stop", unit).returncode == 0


def test_a_manager_that_was_killed(services: Services) -> None:
    """The truth is told of what it has left, which goes when it is stopped."""
    out = services.out / "pid"
    pid_file = services.folder / "main.pid"
    script = services.script(f"echo $$ >> {out}; exec sleep 1000")
    unit = services.unit(f"ExecStart={script}\n{_SUPERVISED}\nPIDFile={pid_file}")
    assert initkit(services, "start", unit).returncode == 0
    main, manager = int(written(out)[0]), services.pid(unit)
    os.kill(manager, 9)
    until(lambda: not alive(manager))
    shown = initkit(services, "status", unit)
    assert (shown.returncode, f"Main PID: {main}" in shown.stdout) == (0, True)
    assert initkit(services, "stop", unit).returncode == 0
    assert not alive(main)
    assert initkit(services, "status", unit).returncode == 3


def test_all_of_them(services: Services) -> None:
    script = services.script("exec sleep 1000")
    units = [
        services.unit(f"ExecStart={script}\n{settings}", name=name)
        for name, settings in (("a", ""), ("b", _SUPERVISED))
    ]
    for unit in units:
        assert initkit(services, "start", unit).returncode == 0
    os.kill(services.pid(units[0]), 9)
    until(lambda: not alive(services.pid(units[0])))
    shown = initkit(services, "status")
    found = {line.split()[0]: line.split()[1] for line in shown.stdout.splitlines()}
    assert shown.returncode == 0 and found.pop("SERVICE") == "STATE"
    assert {name: state for name, state in found.items() if name.startswith(services.prefix)} == {
        units[0].stem: "failed",
        units[1].stem: "active",
    }
    listed = {each["name"]: each for each in json.loads(initkit(services, "status", "--json").stdout)}
    assert listed[units[1].stem]["state"] == "active"
    for unit in units:
        assert initkit(services, "stop", unit).returncode == 0
    assert services.prefix not in initkit(services, "status").stdout


# --- at a terminal ---------------------------------------------------------------------------------------------------


def test_colours(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    assert initkit(services, "start", unit).returncode == 0
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        for argv in (["status", unit], ["status"]):
            terminal = at_terminal(services, *argv, **environment)
            try:
                assert terminal.wait() == 0
                assert ("\x1b[32mactive\x1b[0m" in terminal.text) == coloured, terminal.text
                assert ("\x1b" in terminal.text) == coloured
            finally:
                terminal.close()
    assert initkit(services, "stop", unit).returncode == 0


def test_watch_redraws_at_a_terminal(services: Services) -> None:
    out = services.out / "ready"
    slow = services.script(f"trap 'sleep 1.5; exit' TERM; echo >> {out}; while :; do sleep 1000 & wait; done")
    unit = services.unit(f"ExecStart={slow}\n{_SUPERVISED}\nKillMode=mixed\nTimeoutStopSec=1min")
    assert initkit(services, "start", unit).returncode == 0
    written(out)
    terminal = at_terminal(services, "status", unit, "--watch")
    try:
        terminal.read("active")
        assert initkit(services, "stop", unit).returncode == 0
        assert "deactivating" in terminal.read("inactive")
        assert (
            "Waiting for: " in terminal.text
            and "5" in terminal.text.partition("Waiting for: ")[2].partition(" left")[0]
        )
        assert terminal.text.count("\x1b[H\x1b[2J") >= 3
        terminal.type("\x03")
        assert terminal.wait() == 3
    finally:
        terminal.close()


def test_what_it_waits_for_is_told_at_a_terminal_alone(services: Services) -> None:
    unit = services.unit(f"ExecStartPre={services.script('exec sleep 1000')}\nExecStart=/bin/true\n{_SUPERVISED}")
    running = services.foreground(unit)
    until(lambda: json.loads(initkit(services, "status", unit, "--json").stdout).get("waitingFor"))
    shown = initkit(services, "status", unit).stdout
    assert "State: activating since" in shown and "Waiting for" not in shown
    terminal = at_terminal(services, "status", unit)
    try:
        assert terminal.wait() == 0
        assert "State: " in terminal.text and "Waiting for: " in terminal.text
    finally:
        terminal.close()
    finish(running)


@pytest.mark.parametrize("settings", ["", _SUPERVISED])
def test_watch_in_a_pipe(services: Services, settings: str) -> None:
    """A line for every change, and nothing of the time that passes."""
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}\n{settings}")
    path = services.out / "watched"
    with path.open("w") as file:
        words = [sys.executable, "-m", "initkit", "status", str(unit), "--watch", "--json"]
        watch = subprocess.Popen(words, env=services.environment(), stdout=file)

    def states() -> list[str]:
        found = [json.loads(line)["state"] for line in lines(path) if line.endswith("}")]
        return [state for at, state in enumerate(found) if at == 0 or found[at - 1] != state]

    try:
        until(lambda: states() == ["inactive"])
        assert initkit(services, "start", unit).returncode == 0
        until(lambda: states()[-1] == "active")
        assert initkit(services, "stop", unit).returncode == 0
        until(lambda: states()[-1] == "inactive" and len(states()) >= 3)
        assert len(lines(path)) < 15
    finally:
        watch.terminate()
        watch.wait(PATIENCE)


def test_status_is_light(services: Services) -> None:
    """`initkit status APP` loads nothing that costs more than it gives, with a manager and without."""
    heavy = {
        "re",
        "json",
        "socket",
        "subprocess",
        "argparse",
        "typing",
        "dataclasses",
        "enum",
        "logging",
        "ctypes",
        "threading",
    }
    for settings in ("", _SUPERVISED):
        unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}\n{settings}")
        assert initkit(services, "start", unit).returncode == 0
        code = f"import sys; sys.path[:0] = [{services.environment()['PYTHONPATH']!r}]\nfrom initkit.cli import main\n"
        code += "main(sys.argv[1:])\nprint('loaded', *sys.modules)"
        done = subprocess.run(
            [sys.executable, "-IS", "-c", code, "status", str(unit)],
            env=services.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "State: active" in done.stdout
        assert not heavy & set(done.stdout.rpartition("loaded")[2].split())
        assert initkit(services, "stop", unit).returncode == 0
