"""What the ends of a service's programs mean: systemd.service(5), by which program it was that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit.run import client, identity
from initkit.run.outcome import Outcome, will_restart
from initkit.settings.service import Entry, Service

from .clients import Managed
from .harness import Services, finish, lines, until

TELLS = "ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {}'\n"


def twice(services: Services, end: str) -> tuple[str, Path]:
    """A command that ends like this, and well when it is run again; and what tells of it."""
    log = services.out / "log"
    return services.script(f"echo run >> {log}\n[ $(wc -l < {log}) -gt 1 ] || {end}"), log


# --- commands beside the main program ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "PIPE"])
@pytest.mark.parametrize("setting", ["ExecCondition", "ExecStartPre", "ExecStartPost"])
def test_a_command_that_is_killed(services: Services, setting: str, name: str) -> None:
    """The signals that end a daemon well end no command well."""
    command, log = twice(services, f"kill -{name} $$")
    post = TELLS.format(services.out / "told")
    unit = services.unit(
        f"ExecStart=/bin/sleep 1000\n{setting}={command}\n{post}Restart=on-failure\nRestartSec=1ms\nIgnoreSIGPIPE=no"
    )
    running = services.foreground(unit)
    services.active(unit)
    assert lines(log) == ["run", "run"]
    of_main = " killed TERM" if setting == "ExecStartPost" else " "
    assert [line.rstrip() for line in lines(services.out / "told")] == [f"signal{of_main}".rstrip()]
    assert finish(running)[0] == 0


#: Takes away the file that all programs after it are to read.
TAKER = "os.remove(os.environ['FILE'])\nnotify('READY=1')\ntime.sleep(1000)"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("ExecStart=-/bin/sleep 1000", None),
        ("ExecStart=/bin/sleep 1000\nExecStartPre=-/bin/true", None),
        ("ExecStart=/bin/sleep 1000\nExecCondition=/bin/true", None),
        ("ExecStart=/bin/sleep 1000\nType=forking", None),
        ("ExecStart={taker}\nType=notify\nExecStartPost=-/bin/true", "killed"),
        ("ExecStart=/bin/sleep 1000\nX-Initkit-LogCommand=/bin/cat", None),
    ],
    ids=["program", "before", "condition", "first of several", "after", "logger"],
)
def test_an_environment_that_cannot_be_read(services: Services, settings: str, code: str | None) -> None:
    """That keeps a program from being started at all: "resources", whatever is said of exit statuses."""
    file = services.out / "environment"
    if "taker" in settings:
        file.touch()
    service = Managed(
        services,
        f"EnvironmentFile={file}\nEnvironment=FILE={file}\nEnvironmentFile=-/none\nSuccessExitStatus=78\n"
        f"Restart=on-abnormal\nRestartSec=1h\nRestartPreventExitStatus=78\n{settings.format(taker=services.python(TAKER))}",
    )
    found = service.wait_for("auto-restart")
    assert (found["result"], found["exitCode"]) == ("resources", code)
    status, _, said = service.end()
    assert status == 78
    assert f'{service.unit}:4: EnvironmentFile = "{file}": {file}: No such file or directory' in said


@pytest.mark.parametrize("setting", ["ExecStop", "ExecReload"])
def test_an_environment_that_is_gone(services: Services, setting: str) -> None:
    file = services.out / "environment"
    file.touch()
    service = Managed(
        services, f"ExecStart=/bin/sleep 1000\n{setting}=-/bin/true\nEnvironmentFile={file}\nRestart=on-failure"
    )
    service.wait_for("active")
    file.unlink()
    if setting == "ExecReload":
        with pytest.raises(client.RemoteError, match="/bin/true: the reload failed"):
            service.call("Reload")
    assert service.status()["state"] == "active"
    status, _, said = service.end()
    assert status == (78 if setting == "ExecStop" else 0)
    assert f'{service.unit}:6: EnvironmentFile = "{file}": {file}: No such file or directory' in said


def test_a_stop_command_that_is_killed(services: Services) -> None:
    unit = services.unit(
        f"ExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'kill -TERM $$$$'\n{TELLS.format(services.out / 'told')}"
    )
    running = services.foreground(unit)
    services.active(unit)
    status, _, err = finish(running)
    assert status == 128 + signal.SIGTERM
    assert "/bin/sh failed: killed by SIGTERM" in err
    assert lines(services.out / "told") == ["signal killed TERM"]


@pytest.mark.parametrize("end", ["exit 7", "kill -USR1 $$"])
@pytest.mark.parametrize("setting", ["ExecCondition", "ExecStartPre", "ExecStartPost"])
def test_a_command_whose_end_counts_as_success(services: Services, setting: str, end: str) -> None:
    command, log = twice(services, end)
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{setting}={command}\nSuccessExitStatus=7 SIGUSR1")
    running = services.foreground(unit)
    services.active(unit)
    assert lines(log) == ["run"]
    assert finish(running)[0] == 0


def test_a_condition_that_is_killed_is_no_skip(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nExecCondition=/bin/sh -c 'kill -TERM $$$$'")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 128 + signal.SIGTERM
    assert "skipped" not in finished.stderr


@pytest.mark.parametrize(
    ("settings", "again"),
    [
        ("Restart=on-failure\nRestartPreventExitStatus=7", True),
        ("Restart=no\nRestartForceExitStatus=7", False),
    ],
)
def test_exit_status_lists_judge_the_main_program(services: Services, settings: str, again: bool) -> None:
    command, log = twice(services, "exit 7")
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nExecStartPre={command}\n{settings}\nRestartSec=1ms")
    running = services.foreground(unit)
    if again:
        services.active(unit)
        finish(running)
        assert lines(log) == ["run", "run"]
    else:
        assert running.wait(20) == 7
        assert lines(log) == ["run"]


@pytest.mark.parametrize("kind", ["simple", "oneshot", "forking"])
def test_a_failure_of_the_program_that_does_not_count(services: Services, kind: str) -> None:
    after, gate = "exec /bin/true", services.out / "gate"
    forks = kind == "forking"
    stays = f"(sh -c 'until [ -e {gate} ]; do sleep 0.01; done' &)\n" if forks else ""
    found = f"ExecStartPost=/bin/touch {gate}\n" if forks else ""
    unit = services.unit(
        f"Type={kind}\nExecStart=-{services.script(f'{stays}exit 3')}\n{TELLS.format(services.out / 'told')}{found}"
        f"Restart=on-failure\nExecStop={services.script(after)}"
    )
    assert services.run(unit, "--foreground").returncode == 0
    assert lines(services.out / "told")[0].startswith("success")


@pytest.mark.parametrize("kind", ["simple", "oneshot"])
def test_a_program_that_is_not_there_and_does_not_count(services: Services, kind: str) -> None:
    unit = services.unit(f"Type={kind}\nExecStart=-/nowhere/program\nRestart=on-failure")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 0
    assert "/nowhere/program" in finished.stderr


# --- Type=oneshot -----------------------------------------------------------------------------------------------------


def test_a_oneshot_program_is_the_main_process(services: Services) -> None:
    """Each in its turn: NotifyAccess=main, `mainPid`, and more time for a long one."""
    gate = services.out / "gate"
    programs = [
        services.python(
            f"notify('STATUS=program {n}', 'EXTEND_TIMEOUT_USEC=60000000')\n"
            f"while not os.path.exists('{gate}{n}'):\n    time.sleep(0.01)"
        )
        for n in (1, 2)
    ]
    starts = "".join(f"ExecStart={each}\n" for each in programs)
    managed = Managed(services, f"Type=oneshot\nNotifyAccess=main\nTimeoutStartSec=6\n{starts}RemainAfterExit=yes")
    begun, pids = time.monotonic(), []
    for n in (1, 2):
        until(lambda: managed.status()["statusText"] == f"program {n}")  # noqa: B023
        status = managed.status()
        assert status["state"] == "activating"
        pids.append(status["mainPid"])
        assert programs[n - 1].encode() in Path(f"/proc/{pids[-1]}/cmdline").read_bytes()
        if n == 1:
            until(lambda: time.monotonic() - begun > 6.5)  # longer than it may take without a word
        Path(f"{gate}{n}").touch()
    status = managed.wait_for("active")
    assert status["mainPid"] is None
    assert len(set(pids)) == 2
    managed.end()


def test_a_oneshot_program_is_signalled_as_the_main_one(services: Services) -> None:
    said = services.out / "said"
    program = services.script(
        f"trap 'echo heard >> {said}; exit 0' USR1\necho up >> {said}\nwhile :; do sleep 0.02; done"
    )
    managed = Managed(services, f"Type=oneshot\nExecStart={program}\nRemainAfterExit=yes")
    until(lambda: lines(said) == ["up"])
    assert kill(managed, "USR1").returncode == 0
    until(lambda: lines(said) == ["up", "heard"])
    managed.wait_for("active")
    managed.end()


def test_a_oneshot_that_is_stopped_while_it_runs(services: Services) -> None:
    """What comes next is not begun; and the signal is no success of a program that was to come to its end."""
    told, log = services.out / "told", services.out / "log"
    first = services.script(f"echo first >> {log}\nexec sleep 1000")
    unit = services.unit(
        f"Type=oneshot\nExecStart={first}\nExecStart=/bin/sh -c 'echo second >> {log}'\n{TELLS.format(told)}"
    )
    running = services.foreground(unit)
    until(lambda: lines(log))
    assert finish(running)[0] == 128 + signal.SIGTERM
    assert lines(log) == ["first"]
    assert lines(told) == ["signal killed TERM"]


def kill(managed: Managed, name: str) -> subprocess.CompletedProcess[str]:
    """`initkit kill --whom main`."""
    words = [sys.executable, "-m", "initkit", "kill", "--whom", "main", "-s", name, str(managed.unit)]
    return subprocess.run(words, env=managed.services.environment(), capture_output=True, text=True, check=False)


def test_a_signal_while_there_is_no_main_process(services: Services) -> None:
    up = services.out / "up"
    managed = Managed(
        services, f"ExecStartPre={services.script(f'echo up >> {up}; exec sleep 1000')}\nExecStart=/bin/true"
    )
    until(lambda: lines(up))
    done = kill(managed, "USR1")
    assert (done.returncode, done.stderr) == (7, f"initkit: {managed.name} is not running\n")
    managed.end()


# --- a stop right after the start ------------------------------------------------------------------------------------


def after_that(running: subprocess.Popen[str], came: Callable[[], object], number: int) -> None:
    """Have a manager that is not let run find two things at once: what is waited for, and a signal that came later."""
    running.send_signal(signal.SIGSTOP)
    until(lambda: state(running.pid) == "T")
    until(came)
    running.send_signal(number)
    running.send_signal(signal.SIGCONT)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_stop_of_what_has_just_been_executed(services: Services) -> None:
    """It is up, so ExecStop= has its turn."""
    log, gate = services.out / "log", services.out / "gate"
    os.mkfifo(gate)
    program = services.script(f"echo up >> {log}; exec sleep 1000")
    unit = services.unit(f"ExecStart={program}\nStandardInput=file:{gate}\nExecStop=/bin/sh -c 'echo stop >> {log}'\n")
    running = services.foreground(unit)
    until(lambda: len(services.started()) == 2)  # the second one waits for the other end
    ends: list[int] = []

    def executed() -> bool:
        if not ends:
            ends.append(os.open(gate, os.O_RDWR))
        return lines(log) == ["up"]

    after_that(running, executed, signal.SIGTERM)
    _, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (0, "")
    os.close(*ends)
    assert lines(log) == ["up", "stop"]


@pytest.mark.parametrize(
    ("name", "then"), [("TERM", ["ready", "stop"]), ("HUP", ["ready", "reload", "stop"])], ids=["stop", "reload"]
)
def test_a_signal_after_ready(services: Services, name: str, then: list[str]) -> None:
    log, gate = services.out / "log", services.out / "gate"
    program = services.python(
        f"while not os.path.exists('{gate}'):\n    time.sleep(0.01)\n"
        f"notify('READY=1')\nopen('{log}', 'w').write('ready\\n')\ntime.sleep(1000)"
    )
    say = f"/bin/sh -c 'echo {{}} >> {log}'"
    unit = services.unit(
        f"Type=notify\nExecStart={program}\nExecStop={say.format('stop')}\nExecReload={say.format('reload')}"
    )
    running = services.foreground(unit)
    until(lambda: len(services.started()) == 2)

    def ready() -> bool:
        gate.touch()
        return lines(log) == ["ready"]

    after_that(running, ready, getattr(signal, f"SIG{name}"))
    if name == "HUP":
        until(lambda: lines(log) == ["ready", "reload"])
    assert finish(running)[::2] == (0, "")
    assert lines(log) == then


# --- READY=1, WATCHDOG=1 ----------------------------------------------------------------------------------------------


def test_ready_before_the_program_is_started(services: Services) -> None:
    gate = services.out / "gate"
    before = services.python("notify('READY=1')\nnotify('READY=1')\nnotify('STOPPING=1')")
    program = services.python(
        f"notify('STATUS=loading')\nwhile not os.path.exists('{gate}'):\n    time.sleep(0.01)\n"
        "notify('READY=1')\ntime.sleep(1000)"
    )
    managed = Managed(services, f"Type=notify\nNotifyAccess=all\nExecStartPre={before}\nExecStart={program}")
    until(lambda: managed.status()["statusText"] == "loading")
    assert managed.status()["state"] == "activating"
    gate.touch()
    managed.wait_for("active")
    assert managed.end()[0] == 0


def test_no_sign_of_life_during_a_reload(services: Services) -> None:
    log = services.out / "log"
    program = services.python(
        f"notify('READY=1')\nwhile not os.path.exists({str(log)!r}):\n    notify('WATCHDOG=1')\n    time.sleep(0.02)\n"
        "time.sleep(1000)"
    )
    managed = Managed(
        services,
        f"Type=notify\nExecStart={program}\nWatchdogSec=2\n"
        f"ExecReload=/bin/sh -c 'echo reload >> {log}; sleep 1000'\n"
        f"ExecReload=/bin/sh -c 'echo next >> {log}'\n{TELLS.format(log)}",
    )
    managed.wait_for("active")
    managed.process.send_signal(signal.SIGHUP)
    _, err = managed.process.communicate(timeout=20)
    assert "gave no sign of life in time" in err
    assert lines(log) == ["reload", "watchdog killed ABRT"]
    assert not services.started()


def test_no_sign_of_life_during_a_command_after(services: Services) -> None:
    log = services.out / "log"
    unit = services.unit(
        f"ExecStart=/bin/sleep 1000\nWatchdogSec=200ms\nExecStartPost=/bin/sleep 1000\n{TELLS.format(log)}"
    )
    assert services.run(unit, "--foreground").returncode == 128 + signal.SIGABRT
    assert lines(log) == ["watchdog killed ABRT"]


# --- many processes ---------------------------------------------------------------------------------------------------

_MANY = 500


@pytest.mark.parametrize("mode", ["mixed", "control-group"])
def test_the_end_of_many_processes(services: Services, mode: str) -> None:
    """It takes a manager a few looks at its processes, and not one for each that dies."""
    up = services.out / "up"
    program = services.script(
        f"trap '' TERM\nfor n in $(seq {_MANY}); do sleep 1000 & done\ntrap - TERM\necho >> {up}\nwait"
    )
    unit = services.unit(f"ExecStart={program}\nRestart=on-failure\nKillMode={mode}\nTimeoutStopSec=20")
    if mode == "control-group":
        unit.write_text(unit.read_text().replace("TimeoutStopSec=20", "TimeoutStopSec=2"))
    running = services.foreground(unit)
    until(up.exists)
    services.active(unit)
    look = time.process_time()
    assert sum(1 for _ in identity.descendants(running.pid)) > _MANY
    look = time.process_time() - look
    before = cpu(running.pid)
    running.send_signal(signal.SIGTERM)
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert cpu(running.pid) - before < 60 * look + 0.5
    running.communicate(timeout=20)
    assert not services.started()


def cpu(pid: int) -> float:
    """The seconds that a process itself has computed for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_each_hears_the_final_signal_once(services: Services) -> None:
    """Also where one dies after the other."""
    said = services.out / "said"
    program = services.python(
        "import _signal\n"
        "pids = []\n"
        "for n in range(6):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        count = []\n"
        "        def heard(*about):\n"
        "            count.append(about)\n"
        f"            os.write(os.open({str(said)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'heard %d\\n' % n)\n"
        "        _signal.signal(_signal.SIGUSR1, heard)\n"
        f"        os.write(os.open({str(said)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'up\\n')\n"
        "        while not count:\n            time.sleep(0.01)\n"
        "        time.sleep(0.15 * n)\n"
        "        os._exit(0)\n"
        "_signal.pause()"
    )
    unit = services.unit(f"ExecStart={program}\nRestart=on-failure\nKillMode=mixed\nFinalKillSignal=SIGUSR1")
    running = services.foreground(unit)
    until(lambda: lines(said) == ["up"] * 6)
    services.active(unit)
    assert finish(running)[0] == 0
    assert sorted(lines(said)[6:]) == [f"heard {n}" for n in range(6)]
    assert not services.started()


# --- Restart= ---------------------------------------------------------------------------------------------------------

#: $SERVICE_RESULT -> the values of Restart= that want another life after it, as systemd 257 has it.
RESTARTS = {
    "success": {"always", "on-success"},
    "exit-code": {"always", "on-failure"},
    "signal": {"always", "on-failure", "on-abnormal", "on-abort"},
    "core-dump": {"always", "on-failure", "on-abnormal", "on-abort"},
    "timeout": {"always", "on-failure", "on-abnormal"},
    "watchdog": {"always", "on-failure", "on-abnormal", "on-watchdog"},
    "protocol": {"always", "on-failure", "on-abnormal"},
    "resources": {"always", "on-failure", "on-abnormal"},
    "oom-kill": {"always", "on-failure", "on-abnormal"},
    "exec-condition": set(),
    "condition": set(),
    "assert": set(),
}
VALUES = ("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog")


@pytest.mark.parametrize("restart", VALUES)
@pytest.mark.parametrize("result", RESTARTS)
def test_results_and_restarts(result: str, restart: str) -> None:
    service = Service("a", "/a.service", (Entry("Service", "Restart", restart),))
    assert will_restart(service, Outcome(result)) == (restart in RESTARTS[result])
