"""`initkit start`, `stop`, `restart`, `reload`, `kill` where no manager and no init looks after the service."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from run.harness import PATIENCE, Services, alive, command, lines, until

from .ways import NOBODY, as_nobody, at_terminal, initkit, needs_root, written

#: Says which signals it gets; "ignore" and names of signals among its words are passed over.
_LISTENER = r"""
name=$1 out=$2; shift 2
for each in HUP INT TERM USR1 USR2 QUIT; do
    case " $* " in
    *" $each "*) trap "echo $name $each >> $out" $each ;;
    *) trap "echo $name $each >> $out; exit" $each ;;
    esac
done
echo "$name $$" >> $out
while :; do sleep 1000 & wait $!; done
"""


class Listeners:
    """A service whose main process and child say which signals they get."""

    def __init__(self, services: Services, settings: str = "", *, ignored: str = "USR1 USR2", child: str = "") -> None:
        listener = services.script(_LISTENER)
        self.out = services.out / "heard"
        script = f"{child} {listener} child {self.out} {ignored} &\nexec {listener} main {self.out} {ignored}"
        self.services = services
        self.unit = services.unit(f"ExecStart={services.script(script)}\n{settings}")
        started = initkit(services, "start", self.unit)
        assert (started.returncode, started.stderr) == (0, "")
        self.pids = dict(line.split() for line in written(self.out, 2))
        self.main, self.child = int(self.pids["main"]), int(self.pids["child"])

    def do(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return initkit(self.services, argv[0], self.unit, *argv[1:])

    @property
    def heard(self) -> list[str]:
        """What came, beside the sleepers' ends."""
        return sorted(lines(self.out)[2:])


# --- start, stop, restart -------------------------------------------------------------------------------------------


def test_start_and_stop(services: Services) -> None:
    service = Listeners(services)
    assert services.pid(service.unit) == service.main
    again = service.do("start")
    assert (again.returncode, again.stderr.endswith(f"is already running, pid {service.main}\n")) == (0, True)
    stopped = service.do("stop")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")
    assert not alive(service.main) and not alive(service.child)
    assert not services.pid_file(service.unit).exists()
    until(lambda: not services.started())
    assert service.do("stop").returncode == 0


def test_a_reload_that_hangs(services: Services) -> None:
    """TimeoutStartSec= is its limit, also where nobody has stayed with the program; that goes on."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nExecReload=/bin/sleep 1001\nTimeoutStartSec=0.3")
    assert initkit(services, "start", unit).returncode == 0
    reloaded = initkit(services, "reload", unit)
    assert reloaded.returncode == 1
    assert reloaded.stderr == f"initkit: {unit.stem}: /bin/sleep took too long (TimeoutStartSec=)\n"
    running = set(map(command, services.started()))
    assert "/bin/sleep 1000" in running and "/bin/sleep 1001" not in running
    assert initkit(services, "stop", unit).returncode == 0


def test_settings_that_have_changed_meanwhile(services: Services) -> None:
    """A manager goes by what it has read at its start; who restarts a service to have other settings is told so."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    assert initkit(services, "start", unit).returncode == 0
    for verb in ("start", "restart", "status"):
        assert initkit(services, verb, unit).stderr == ""
    unit.write_text(unit.read_text().replace("1000", "1001"))
    said = f"initkit: {unit.stem}: {unit} has changed since its manager read it; stop and start it for the settings"
    for verb in ("start", "restart", "try-restart", "status"):
        done = initkit(services, verb, unit)
        assert (done.returncode, done.stderr.startswith(said)) == (0, True), done.stderr
    assert "1001" not in initkit(services, "status", unit).stdout
    assert initkit(services, "stop", unit).stderr == ""
    assert initkit(services, "start", unit).stderr == ""
    assert "sleep 1001" in initkit(services, "status", unit).stdout
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    (folder / "more.conf").write_text("[Service]\nNice=1\n")
    assert f"{folder}/more.conf has changed" in initkit(services, "restart", unit).stderr
    assert initkit(services, "stop", unit).returncode == 0


@pytest.mark.parametrize("settings", ["", "Restart=always"])
@pytest.mark.parametrize(("kind", "status"), [("Condition", 0), ("Assert", 1)])
def test_conditions_are_looked_at_before_a_start(services: Services, kind: str, status: int, settings: str) -> None:
    """Whether somebody is to stay with the program or not."""
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{settings}", unit=f"{kind}PathExists=/no/such")
    for verb in ("start", "restart"):
        done = initkit(services, verb, unit)
        assert (done.returncode, f'{kind}PathExists = "/no/such" does not hold' in done.stderr) == (status, True)
        assert "/bin/sleep 1000" not in map(command, services.started())
        assert initkit(services, "status", unit).returncode == 3


def test_a_restart_that_would_be_refused_stops_nothing(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000")
    assert initkit(services, "start", unit).returncode == 0
    unit.write_text(f"{unit.read_text()}\nPAMName=login\n")
    refused = initkit(services, "restart", unit)
    assert (refused.returncode, "cannot be kept without systemd" in refused.stderr) == (78, True)
    assert initkit(services, "status", unit).returncode == 0
    assert initkit(services, "stop", unit).returncode == 0


def test_another_service_of_the_same_name(services: Services) -> None:
    """It is not started, and not called running without a word: it is said which one runs."""
    first = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    second = services.out / first.name
    second.write_text(first.read_text().replace("1000", "1001"))
    assert initkit(services, "start", first).returncode == 0
    said = f"initkit: {first.stem}: runs by {first}, not by {second}; stop it to start this one\n"
    for verb in ("start", "restart", "status"):
        assert initkit(services, verb, second).stderr == said
        assert initkit(services, verb, first).stderr == ""
    assert initkit(services, "stop", second).returncode == 0


def test_what_dies_at_once_is_not_started(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('echo no such table >&2; exit 9')}")
    begun = time.monotonic()
    started = initkit(services, "start", unit)
    assert started.returncode == 9
    assert "exited with status 9 right after its start" in started.stderr and "no such table" in started.stderr
    assert time.monotonic() - begun < PATIENCE / 2
    assert initkit(services, "status", unit).returncode == 3


@pytest.mark.parametrize("how", ["setsid", "nohup"])
def test_a_grandchild_in_another_session_is_gone_after_stop(services: Services, how: str) -> None:
    service = Listeners(services, child=how)
    assert service.do("stop").returncode == 0
    assert service.heard == ["child TERM", "main TERM"]
    until(lambda: not services.started())


def test_a_grandchild_whose_parent_is_gone_is_found_by_its_session(services: Services) -> None:
    out = services.out / "pid"
    script = services.script(f"(sh -c 'echo $$ > {out}; exec sleep 1000' &)\nexec sleep 1000")
    unit = services.unit(f"ExecStart={script}")
    assert initkit(services, "start", unit).returncode == 0
    orphan = int(written(out)[0])
    assert initkit(services, "stop", unit).returncode == 0
    assert not alive(orphan)


def _recycled(services: Services, unit: Path, text: str) -> subprocess.Popen[bytes]:
    """A process that has the pid in the service's PID file, and nothing else to do with it."""
    bystander = subprocess.Popen(["sleep", "1000"])
    path = services.pid_file(unit)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(pid=bystander.pid))
    return bystander


@pytest.mark.parametrize("text", ["{pid}\n", "{pid}\n1 00000000-0000-0000-0000-000000000000\n"])
@pytest.mark.parametrize("settings", ["", "Restart=always"])
def test_a_recycled_pid_is_never_signalled(services: Services, text: str, settings: str) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 2000')}\nExecReload=/bin/kill $MAINPID\n{settings}")
    bystander = _recycled(services, unit, text)
    try:
        assert initkit(services, "status", unit).returncode == 1
        assert initkit(services, "reload", unit).returncode == 7
        assert initkit(services, "kill", unit).returncode == 7
        assert initkit(services, "try-restart", unit).returncode == 0
        assert initkit(services, "stop", unit).returncode == 0
        assert bystander.poll() is None
        assert initkit(services, "restart", unit).returncode == 0
        assert initkit(services, "status", unit).returncode == 0
        assert initkit(services, "stop", unit).returncode == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_restart_and_try_restart(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    assert initkit(services, "try-restart", unit).returncode == 0
    assert services.pid(unit) == 0
    assert initkit(services, "restart", unit).returncode == 0
    first = services.pid(unit)
    assert initkit(services, "try-restart", unit).returncode == 0
    second = services.pid(unit)
    assert alive(second) and not alive(first)
    assert initkit(services, "stop", unit).returncode == 0


@pytest.mark.parametrize("settings", ["Restart=always", "ExecStop=/bin/true", "RuntimeDirectory={name}\nType=simple"])
def test_a_supervised_daemon(services: Services, settings: str) -> None:
    out = services.out / "pids"
    script = services.script(f"echo $$ >> {out}\nsetsid sleep 1000 &\nexec sleep 1000")
    unit = services.unit(
        f"ExecStart={script}\nExecReload=/bin/sh -c 'echo reloaded >> {out}'\n" + settings.format(name=services.prefix)
    )
    assert initkit(services, "start", unit).returncode == 0
    main = int(written(out)[0])
    assert f'"mainPid": {main}' in initkit(services, "status", unit, "--json").stdout
    assert initkit(services, "reload", unit).returncode == 0
    assert written(out, 2)[1:] == ["reloaded"]
    assert initkit(services, "restart", unit).returncode == 0
    assert not alive(main) and written(out, 3)
    assert initkit(services, "stop", unit).returncode == 0
    until(lambda: not services.started())
    assert initkit(services, "status", unit).returncode == 3


def test_settings_that_broke_do_not_keep_it_from_being_stopped(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    assert initkit(services, "start", unit).returncode == 0
    unit.write_text(unit.read_text() + "Nice=pleasant\n")
    assert initkit(services, "status", unit).returncode == 0
    assert initkit(services, "restart", unit).returncode == 78
    assert alive(services.pid(unit))
    assert initkit(services, "stop", unit).returncode == 0
    until(lambda: not services.started())


# --- systemd.kill(5) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "heard", "status", "child_lives"),
    [
        ("", ["child TERM", "main TERM"], 0, False),
        ("KillSignal=SIGUSR1", ["child USR1", "main USR1"], 0, False),
        ("KillMode=mixed", ["main TERM"], 0, False),
        ("KillMode=process", ["main TERM"], 0, True),
        ("KillMode=mixed\nSendSIGKILL=no", ["main TERM"], 1, True),
        ("KillMode=process\nSendSIGHUP=yes\nKillSignal=USR2\nTimeoutStopSec=1", ["main HUP", "main USR2"], 0, True),
    ],
)
def test_kill_mode(services: Services, settings: str, heard: list[str], status: int, child_lives: bool) -> None:
    service = Listeners(services, settings, ignored="HUP USR2")
    stopped = service.do("stop")
    assert stopped.returncode == status
    assert service.heard == heard
    assert alive(service.child) == child_lives
    assert not alive(service.main) and not services.pid_file(service.unit).exists()


def test_kill_mode_none_leaves_all_and_says_so(services: Services) -> None:
    service = Listeners(services, "KillMode=none")
    stopped = service.do("stop")
    assert stopped.returncode == 1
    assert f"[{service.main}]" in stopped.stderr and f"[{service.child}]" in stopped.stderr
    assert service.heard == [] and services.pid(service.unit) == service.main


def test_sigkill_after_the_timeout(services: Services) -> None:
    service = Listeners(services, "TimeoutStopSec=1", ignored="TERM")
    begun = time.monotonic()
    assert service.do("stop").returncode == 0
    assert time.monotonic() - begun >= 1
    until(lambda: not services.started())
    assert service.heard == ["child TERM", "main TERM"]


def test_survivors_are_named(services: Services) -> None:
    service = Listeners(services, "TimeoutStopSec=200ms\nSendSIGKILL=no", ignored="TERM")
    stopped = service.do("stop")
    assert stopped.returncode == 1
    assert f"[{service.main}]" in stopped.stderr and f"[{service.child}]" in stopped.stderr
    assert services.pid(service.unit) == service.main


@pytest.mark.parametrize(("mode", "who"), [("control-group", {"main", "child"}), ("process", {"main"})])
def test_survivors_of_a_managers_stop_stay_known(services: Services, mode: str, who: set[str]) -> None:
    """The manager ends with its service, whose survivors are found all the same: no second copy is started."""
    service = Listeners(
        services, f"TimeoutStopSec=200ms\nSendSIGKILL=no\nRestart=always\nKillMode={mode}", ignored="TERM"
    )
    for _ in range(2):
        stopped = service.do("stop")
        assert stopped.returncode == 1
        assert {each for each in service.pids if f"[{service.pids[each]}]" in stopped.stderr} == who
        told = service.do("status", "--json")
        assert (told.returncode, json.loads(told.stdout)["mainPid"]) == (0, service.main)
    for _ in range(2):
        again = service.do("start")
        assert again.returncode == 1
        assert "not started: " in again.stderr and f"[{service.main}]" in again.stderr
    os.kill(service.main, signal.SIGKILL)
    os.kill(service.child, signal.SIGKILL)
    assert service.do("start").returncode == 0
    assert service.do("status").returncode == 0


@pytest.mark.parametrize("mode", ["process", "none"])
def test_what_a_manager_leaves_on_purpose_is_no_service(services: Services, mode: str) -> None:
    service = Listeners(services, f"KillMode={mode}\nRestart=always")
    assert service.do("stop").returncode == 0
    assert alive(service.child) and alive(service.main) == (mode == "none")
    assert service.do("status").returncode == 3
    assert service.do("start").returncode == 0


def test_a_stopped_process_hears_of_it(services: Services) -> None:
    service = Listeners(services)
    for pid in (service.main, service.child):
        os.kill(pid, signal.SIGSTOP)
    assert service.do("stop").returncode == 0
    assert service.heard == ["child TERM", "main TERM"]


def test_nothing_is_polled(services: Services) -> None:
    """While it waits, a stop does nothing: no kill(pid, 0), no sleep, no wake-up."""
    service = Listeners(services, "TimeoutStopSec=1s", ignored="TERM")
    log = services.folder / "strace"
    calls = "poll,kill,clock_nanosleep,select,pselect6"
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace does not work here")
    traced = ["strace", "-f", "-o", str(log), "-e", f"trace={calls}"]
    words = [*traced, sys.executable, "-m", "initkit", "stop", str(service.unit)]
    subprocess.run(words, env=services.environment(), check=True, timeout=PATIENCE * 2)
    text = log.read_text()
    made = re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE)
    assert 0 < made.count("poll") <= 12 and set(made) == {"poll"}
    # Each call but these ended with a process; the time that a stop may take ends once, before SIGKILL.
    assert text.count("(Timeout)") <= 2, text


# --- reload and kill ------------------------------------------------------------------------------------------------


def test_reload(services: Services) -> None:
    service = Listeners(
        services,
        "ExecReload=/bin/sh -c 'echo reload $MAINPID $GREETING >> $OUT'\nEnvironment=GREETING=hello OUT="
        + str(services.out / "reload"),
    )
    reloaded = service.do("reload")
    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    assert written(services.out / "reload") == [f"reload {service.main} hello"]
    service.do("stop")
    again = service.do("reload")
    assert (again.returncode, again.stderr) == (7, f"initkit: {service.unit.stem} is not running\n")


@needs_root
def test_reload_as_the_services_user(services: Services) -> None:
    out = services.out / "who"
    unit = services.unit(
        f"ExecStart={services.script('exec sleep 1000')}\nUser=nobody\nExecReload=/bin/sh -c 'id -u >> {out}'"
    )
    assert initkit(services, "start", unit).returncode == 0
    assert initkit(services, "reload", unit).returncode == 0
    assert written(out) == [str(NOBODY)]
    assert initkit(services, "stop", unit).returncode == 0


def test_reload_that_fails_or_is_not_there(services: Services) -> None:
    service = Listeners(services)
    reloaded = service.do("reload")
    assert (reloaded.returncode, reloaded.stderr.count("\n")) == (3, 1)
    assert "ExecReload=" in reloaded.stderr
    service.unit.write_text(service.unit.read_text() + "ExecReload=/bin/sh -c 'exit 5'\n")
    reloaded = service.do("reload")
    assert reloaded.returncode == 1 and "/bin/sh exited with status 5" in reloaded.stderr
    service.unit.write_text(service.unit.read_text() + "ExecReload=\nExecReload=-/bin/false\n")
    assert service.do("reload").returncode == 0
    assert alive(service.main)


def test_kill(services: Services) -> None:
    service = Listeners(services)
    assert service.do("kill", "--signal", "USR1").returncode == 0
    until(lambda: service.heard == ["child USR1", "main USR1"])
    assert service.do("kill", "-s", "SIGUSR2", "--whom=main").returncode == 0
    until(lambda: service.heard == ["child USR1", "main USR1", "main USR2"])
    wrong = service.do("kill", "--signal=SIGNONE")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (64, 1)
    assert service.do("kill").returncode == 0
    until(lambda: not alive(service.main) and not alive(service.child))
    assert service.do("kill").returncode == 7


def test_kill_of_a_supervised_daemon_spares_its_supervisor(services: Services) -> None:
    out = services.out / "pids"
    unit = services.unit(
        f"ExecStart={services.script(f'echo $$ >> {out}; exec sleep 1000')}\nRestart=always\nRestartSec=0"
    )
    assert initkit(services, "start", unit).returncode == 0
    first, supervisor = int(written(out)[0]), services.pid(unit)
    assert initkit(services, "kill", unit, "--signal=KILL").returncode == 0
    assert int(written(out, 2)[1]) != first
    assert services.pid(unit) == supervisor and alive(supervisor)
    assert initkit(services, "stop", unit).returncode == 0


# --- who may ---------------------------------------------------------------------------------------------------------


@needs_root
def test_a_user_controls_his_own(services: Services) -> None:
    nobody = as_nobody(services)
    unit = services.unit(f"ExecStart={services.script('sleep 1000 & setsid sleep 1000 & wait')}")
    runtime = services.folder / "nobody/initkit"
    assert initkit(services, "start", unit, **nobody).returncode == 0
    pid = int((runtime / f"{unit.stem}.pid").read_text().split()[0])
    assert os.stat(f"/proc/{pid}").st_uid == NOBODY
    assert initkit(services, "status", unit, **nobody).returncode == 0
    assert initkit(services, "restart", unit, **nobody).returncode == 0
    assert initkit(services, "stop", unit, **nobody).returncode == 0
    assert not alive(pid)
    until(lambda: not services.started())


@needs_root
def test_a_user_may_look_at_the_systems_and_not_touch_it(services: Services) -> None:
    nobody = as_nobody(services)
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}\nExecReload=/bin/true")
    assert initkit(services, "start", unit).returncode == 0
    pid = services.pid(unit)
    assert str(pid) in initkit(services, "status", unit, **nobody).stdout
    for verb in ("stop", "kill", "restart"):
        refused = initkit(services, verb, unit, **nobody)
        assert (refused.returncode, refused.stderr.count("\n")) == (4, 1), verb
    assert services.pid(unit) == pid and alive(pid)
    assert initkit(services, "stop", unit).returncode == 0


# --- at a terminal ---------------------------------------------------------------------------------------------------


def test_progress_is_shown_on_a_terminal_only(services: Services) -> None:
    slow = services.script("trap 'sleep 1.5; exit 0' TERM\nsleep 1000 & wait")
    unit = services.unit(f"ExecStart={slow}\nKillMode=process\nTimeoutStopSec=1min")
    for terminal in (at_terminal(services, verb, unit) for verb in ("start", "stop")):
        try:
            if terminal.read("left").startswith("\r\x1b[Kstarting"):
                assert "waits until it is ready, 1 min" in terminal.text
            else:
                assert re.search(r"stopping \w+: waits for program\d+\[\d+\] to end, 5\d s left", terminal.text)
            assert terminal.wait() == 0
            assert terminal.text.endswith("\r\x1b[K")  # nothing of it stays
        finally:
            terminal.close()
    started, stopped = initkit(services, "start", unit), initkit(services, "stop", unit)
    assert (started.stdout, started.stderr, stopped.stdout, stopped.stderr) == ("", "", "", "")


def test_progress_of_a_manager(services: Services) -> None:
    out = services.out / "ready"
    slow = services.script(f"trap 'sleep 1.5; exit 0' TERM\necho >> {out}\nsleep 1000 & wait")
    unit = services.unit(f"ExecStart={slow}\nKillMode=mixed\nTimeoutStopSec=1min\nRestart=always")
    assert initkit(services, "start", unit).returncode == 0
    written(out)
    for verb, doing in (("restart", "restarting"), ("stop", "stopping")):
        terminal = at_terminal(services, verb, unit)
        try:
            assert re.search(rf"{doing} \w+: waits for program.*, 5\d s left", terminal.read(" s left"))
            assert terminal.wait() == 0
            assert terminal.text.endswith("\r\x1b[K") and "initkit:" not in terminal.text
        finally:
            terminal.close()
    until(lambda: not services.started())


def test_starts_and_stops_follow_each_other_closely(services: Services) -> None:
    """Each finds the work of the one before done."""
    for settings in ("", "Restart=always\nSettleSec=0"):
        unit = services.unit(
            f"ExecStart={services.script('exec sleep 1000')}\n{settings}".replace("Settle", "X-Initkit-Settle")
        )
        for _ in range(8):
            assert initkit(services, "start", unit).returncode == 0
            assert initkit(services, "status", unit).returncode == 0
            assert initkit(services, "stop", unit).returncode == 0
            until(lambda: not services.started())
            assert initkit(services, "status", unit).returncode == 3


def test_restarts_and_stops_at_the_same_time(services: Services) -> None:
    """Whoever is ended while another asks it: a stop has its way, and there is never a second copy."""
    copies = services.out / "copies"
    unit = services.unit(f"ExecStart={services.script(f'echo $$ >> {copies}; exec sleep 1000')}\nRestart=always")
    assert initkit(services, "start", unit).returncode == 0
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(initkit, services, verb, unit) for verb in ("restart", "stop") * 5]
    told = [each.result() for each in asked]
    assert [each.returncode for each in told[1::2]] == [0] * 5, told
    said = "".join(each.stderr for each in told)
    assert "no manager is there" not in said and "without a reply" not in said and "control socket" not in said
    assert sum(alive(int(pid)) for pid in lines(copies)) <= 1
    assert initkit(services, "stop", unit).returncode == 0
    until(lambda: not services.started())


def test_errors_at_a_terminal_are_whole_lines(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('echo out of memory >&2; exit 9')}")
    terminal = at_terminal(services, "start", unit)
    try:
        assert terminal.wait() == 9
        shown = terminal.text.replace("\r\n", "\n").rpartition("\x1b[K")[2] or terminal.text
        assert "right after its start" in terminal.text and "    out of memory" in terminal.text
        assert not shown.strip().startswith("starting")
    finally:
        terminal.close()


def test_an_interrupt_breaks_a_start_off(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}\nType=notify\nTimeoutStartSec=1min")
    terminal = at_terminal(services, "start", unit)
    try:
        terminal.read("left")
        until(lambda: services.pid(unit))
        terminal.type("\x03")
        assert terminal.wait() == 130
    finally:
        terminal.close()
    assert services.pid(unit) == 0
    until(lambda: not services.started())


def test_usage(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true")
    for argv in (
        ["stop"],
        ["stop", unit, unit],
        ["stop", unit, "--force"],
        ["kill", unit, "--whom=none"],
        ["start", "a/b"],
    ):
        wrong = initkit(services, *argv)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (64, 1), argv
    assert "said" not in initkit(services, "stop", unit).stderr
    told = initkit(services, "stop", unit, "--verbose")
    assert told.stderr == f"initkit: {unit.stem}: nobody: initkit does it\n"


# --- without settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", ["", "PIDFile={folder}/own.pid", "Restart=always"])
def test_what_a_daemon_has_left_is_enough_to_stop_it(services: Services, settings: str) -> None:
    """From another directory, where its settings are not found."""
    program = services.script("sleep 1000 & wait")
    unit = services.unit(f"ExecStart={program}\n{settings.format(folder=services.folder)}")
    name, elsewhere = unit.stem, {"cwd": "/"}
    assert initkit(services, "start", unit).returncode == 0
    pids = services.started()
    shown = initkit(services, "status", name, **elsewhere)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"● {name}" in shown.stdout and "Main PID: " in shown.stdout and "gone" not in shown.stdout
    managed = "Restart" in settings
    if not managed:
        for verb in ("start", "restart", "reload", "logs"):
            refused = initkit(services, verb, name, **elsewhere)
            assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
            assert "no settings of it are here" in refused.stderr
        assert initkit(services, "kill", name, "-s", "CONT", **elsewhere).returncode == 0
    stopped = initkit(services, "stop", name, **elsewhere)
    assert stopped.returncode == 0
    assert ("stopped by the defaults, KillMode=control-group" in stopped.stderr) is not managed
    until(lambda: not any(map(alive, pids)), "the end of all its processes")
    gone = initkit(services, "status", name, **elsewhere)
    assert gone.returncode == 4 and "no settings found" in gone.stderr
