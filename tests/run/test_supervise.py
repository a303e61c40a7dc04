"""A service under supervision: systemd.service(5), and sd_notify(3) from the service manager's side."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .clients import Managed, at_rest
from .harness import CHECKOUT, PATIENCE, Services, alive, finish, lines, parent, until


def log_of(services: Services) -> Path:
    return services.out / "log"


def say(services: Services, word: str) -> str:
    """A command that adds a word to the log."""
    return f"/bin/sh -c 'echo {word} >> {log_of(services)}'"


def test_order_of_the_commands(services: Services) -> None:
    log = log_of(services)
    service = "\n".join(
        [
            f"ExecCondition={say(services, 'condition')}",
            f"ExecStartPre={say(services, 'pre1')}",
            f"ExecStartPre={say(services, 'pre2')}",
            f"ExecStart={services.script(f'echo main >> {log}; exec sleep 1000')}",
            f"ExecStartPost={say(services, 'post')}",
            f"ExecStop={say(services, 'stop')}",
            f"ExecStopPost={say(services, 'stoppost')}",
        ]
    )
    managed = Managed(services, service)
    managed.wait_for("active")
    until(lambda: "main" in lines(log))
    assert managed.end() == (0, "", "")
    found = lines(log)
    assert found[:3] == ["condition", "pre1", "pre2"]
    assert sorted(found[3:5]) == ["main", "post"]
    assert found[5:] == ["stop", "stoppost"]


@pytest.mark.parametrize(("status", "exits", "runs"), [(1, 0, False), (254, 0, False), (255, 255, False), (0, 0, True)])
def test_condition(services: Services, status: int, exits: int, runs: bool) -> None:
    service = f"ExecCondition=/bin/sh -c 'exit {status}'\nExecStart={say(services, 'main')}\n"
    finished = services.run(services.unit(f"{service}ExecStopPost={say(services, 'after')}"), "--foreground")
    assert finished.returncode == exits
    assert lines(log_of(services)) == (["main", "after"] if runs else ["after"])


@pytest.mark.parametrize(("prefix", "runs"), [("", False), ("-", True)])
def test_start_pre_that_fails(services: Services, prefix: str, runs: bool) -> None:
    service = f"ExecStartPre={prefix}/bin/sh -c 'exit 3'\nExecStart={say(services, 'main')}\n"
    finished = services.run(services.unit(service), "--foreground")
    assert finished.returncode == (0 if runs else 3)
    assert lines(log_of(services)) == (["main"] if runs else [])
    assert runs or "/bin/sh failed: exited with status 3" in finished.stderr


def test_start_post_that_fails_ends_the_service(services: Services) -> None:
    service = f"ExecStart=/bin/sleep 1000\nExecStartPost=/bin/false\nExecStop={say(services, 'stop')}"
    finished = services.run(services.unit(service), "--foreground")
    assert finished.returncode == 1
    assert lines(log_of(services)) == []
    assert not services.started()


def test_command_that_cannot_be_executed(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nExecStartPre=/no/such/program")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 203
    assert f'{unit}:5: ExecStartPre = "/no/such/program": /no/such/program: No such file' in finished.stderr


def test_variables_of_the_stop_commands(services: Services) -> None:
    log = log_of(services)
    told = f"/bin/sh -c 'echo %s main=$MAINPID $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {log}'"
    stop, post = told.replace("%s", "stop"), told.replace("%s", "post")
    unit = services.unit(
        f"ExecStart={services.script(f'echo $$ >> {log}; exec sleep 1000')}\nExecStop={stop}\nExecStopPost={post}"
    )
    running = services.foreground(unit)
    until(lambda: lines(log))
    services.active(unit)
    finish(running)
    main, *rest = lines(log)
    assert rest == [f"stop main={main} success", "post main= success killed TERM"]


@pytest.mark.parametrize(
    ("settings", "end", "told"),
    [
        ("", "exit 5", "exit-code exited 5"),
        ("", "kill -KILL $$", "signal killed KILL"),
        ("", "exit 0", "success exited 0"),
        ("RuntimeMaxSec=50ms", "exec sleep 1000", "timeout killed TERM"),
        ("WatchdogSec=50ms", "exec sleep 1000", "watchdog killed ABRT"),
        ("Type=notify", "exit 0", "protocol exited 0"),
        ("Type=notify\nTimeoutStartSec=50ms", "exec sleep 1000", "timeout killed TERM"),
    ],
)
def test_service_result(services: Services, settings: str, end: str, told: str) -> None:
    log = log_of(services)
    post = f"/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {log}'"
    unit = services.unit(f"ExecStart={services.script(end)}\nExecStopPost={post}\nLimitCORE=0\n{settings}")
    services.run(unit, "--foreground")
    assert lines(log) == [told]


def test_reload(services: Services) -> None:
    log = log_of(services)
    main = services.script(f"trap 'echo reloaded >> {log}' HUP; echo $$ >> {log}; while :; do sleep 0.01; done")
    unit = services.unit(
        f"ExecStart={main}\nExecReload=/bin/sh -c 'echo by $MAINPID >> {log}'\n"
        "ExecReload=/bin/kill -HUP $MAINPID\nRestart=always"
    )
    running = services.foreground(unit)
    until(lambda: lines(log))
    services.active(unit)
    for count in (1, 2):
        running.send_signal(signal.SIGHUP)
        until(lambda: lines(log).count("reloaded") == count)  # noqa: B023
    assert lines(log)[1] == f"by {lines(log)[0]}"
    assert finish(running)[0] == 0


def test_reload_that_fails_changes_nothing(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nExecReload=/bin/false\nRestart=always")
    running = services.foreground(unit)
    services.active(unit)
    running.send_signal(signal.SIGHUP)
    assert running.stderr and "the reload failed" in running.stderr.readline()
    assert len(services.started()) == 2
    assert finish(running)[0] == 0


def test_remain_after_exit(services: Services) -> None:
    unit = services.unit(
        f"ExecStart={say(services, 'main')}\nRemainAfterExit=yes\nExecStop={say(services, 'stop')}\nRestart=on-failure"
    )
    running = services.foreground(unit)
    until(lambda: lines(log_of(services)) == ["main"] and services.started() == [running.pid])
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.2)
    assert finish(running)[0] == 0
    assert lines(log_of(services)) == ["main", "stop"]


def test_remain_after_exit_of_a_simple_service(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true\nRemainAfterExit=yes\nX-Initkit-SettleSec=0")
    assert services.daemon(unit).returncode == 0
    services.active(unit)
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())


@pytest.mark.parametrize(("status", "seen"), [(3, 0), (4, 4)])
def test_success_exit_status_without_restart(services: Services, status: int, seen: int) -> None:
    unit = services.unit(f"ExecStart={services.script(f'exit {status}')}\nSuccessExitStatus=3")
    assert services.run(unit, "--foreground").returncode == seen


def test_main_pid_file(services: Services) -> None:
    path = services.folder / "app.pid"
    running = services.foreground(services.unit(f"ExecStart=/bin/sleep 1000\nRestart=always\nPIDFile={path}"))
    until(path.exists)
    assert parent(int(path.read_text().split()[0])) == running.pid
    finish(running)
    assert not path.exists()


def test_control_c(services: Services) -> None:
    """At a terminal the service is in a session of its own; Ctrl-C is for the supervisor, who stops it as it should."""
    pid, terminal = pty.fork()
    unit = services.unit(f"ExecStart={services.script('echo up; exec sleep 1000')}\nExecStop={say(services, 'stop')}")
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "initkit", "run", str(unit)], services.environment())
    seen = b""
    while b"up" not in seen:
        seen += os.read(terminal, 1000)
    services.active(unit)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert status == 0
    assert lines(log_of(services)) == ["stop"]
    assert not services.started()


def test_terminal_that_goes_away(services: Services) -> None:
    pid, terminal = pty.fork()
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nExecStop={say(services, 'stop')}")
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "initkit", "run", str(unit)], services.environment())
    services.active(unit)
    os.close(terminal)
    os.waitpid(pid, 0)
    until(lambda: not services.started())
    assert lines(log_of(services)) == ["stop"]


def test_signals_are_passed_on(services: Services) -> None:
    log = log_of(services)
    main = services.script(
        f"trap 'echo one >> {log}' USR1; trap 'echo two >> {log}' USR2; echo up >> {log}; while :; do sleep 0.01; done"
    )
    unit = services.unit(f"ExecStart={main}\nRestart=always")
    running = services.foreground(unit)
    until(lambda: lines(log))
    services.active(unit)
    running.send_signal(signal.SIGUSR1)
    until(lambda: "one" in lines(log))
    running.send_signal(signal.SIGUSR2)
    until(lambda: "two" in lines(log))
    assert finish(running)[0] == 0


def test_orphans_are_reaped(services: Services) -> None:
    log = log_of(services)
    main = services.script(f"for i in 1 2 3 4 5; do (sleep 0.01 & echo $! >> {log}); done; exec sleep 1000")
    running = services.foreground(services.unit(f"ExecStart={main}\nRestart=always"))
    until(lambda: len(lines(log)) == 5)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in lines(log)))
    assert finish(running)[0] == 0


def test_an_idle_supervisor_sleeps(services: Services, tmp_path: Path) -> None:
    """No call to the kernel while nothing happens."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always\nType=simple\nNotifyAccess=all")
    running = services.foreground(unit)
    services.active(unit)
    trace = tmp_path / "trace"
    strace = subprocess.Popen(["strace", "-o", trace, "-p", str(running.pid)], stderr=subprocess.PIPE, text=True)
    assert strace.stderr and "attached" in strace.stderr.readline()
    services.status(unit)
    until(lambda: at_rest(trace), "the end of that call")
    before = trace.read_text()
    time.sleep(3)
    assert trace.read_text() == before
    finish(running)
    strace.wait(PATIENCE)


# --- sd_notify(3) -----------------------------------------------------------------------------------------------------


def test_who_may_notify(services: Services) -> None:
    """NotifyAccess=: a child's READY counts with "all" only."""
    program = services.python("if os.fork() == 0:\n    notify('READY=1')\n    os._exit(0)\nos.wait()\ntime.sleep(1000)")
    for access, ready in (("main", False), ("exec", False), ("all", True)):
        limit = 20 if ready else 0.4
        unit = services.unit(f"Type=notify\nNotifyAccess={access}\nExecStart={program}\nTimeoutStartSec={limit}")
        finished = services.daemon(unit)
        assert (finished.returncode == 0) == ready, access


def test_strangers_may_not_notify(services: Services) -> None:
    name, said = services.out / "name", services.out / "said"
    program = services.script(f"echo $NOTIFY_SOCKET > {name}.new; mv {name}.new {name}; exec sleep 1000")
    managed = Managed(services, f"Type=notify\nNotifyAccess=all\nExecStart={program}")
    until(name.exists)
    code = services.python(
        f"notify('READY=1', f'MAINPID={{os.getpid()}}')\nopen({str(said)!r}, 'w').close()\ntime.sleep(1000)"
    )
    other = subprocess.Popen([code], env={"NOTIFY_SOCKET": name.read_text().strip()})
    until(said.exists)
    first, second = managed.status(), managed.status()  # what was said before the first has been read by the second
    assert (second["state"], second["mainPid"]) == ("activating", first["mainPid"])
    assert second["mainPid"] != other.pid
    managed.end()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_commands_may_notify(services: Services) -> None:
    program = services.python("notify('STATUS=warm')")
    managed = Managed(services, f"NotifyAccess=exec\nExecStart=/bin/sleep 1000\nExecStartPost={program}")
    assert managed.wait_for("active")["statusText"] == "warm"
    managed.end()


def test_main_pid(services: Services) -> None:
    """MAINPID=: another process is the main one from now on; its end is the service's, its pid $MAINPID."""
    log = log_of(services)
    program = services.python(
        "child = os.fork()\nif child == 0:\n    time.sleep(1000)\n"
        f"open({str(log)!r}, 'w').write(f'{{child}}\\n')\nnotify(f'MAINPID={{child}}', 'READY=1')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nExecStart={program}\nExecReload=/bin/sh -c 'echo $MAINPID >> {log}'")
    running = services.foreground(unit)
    until(lambda: lines(log))
    services.active(unit)
    running.send_signal(signal.SIGHUP)
    until(lambda: len(lines(log)) == 2)
    assert lines(log)[0] == lines(log)[1]
    os.kill(int(lines(log)[0]), signal.SIGKILL)
    running.wait(PATIENCE)
    assert not services.started()


@pytest.mark.parametrize("pid", ["1", "{os.getppid()}", "0", "-1", "x"])
def test_main_pid_of_a_stranger(services: Services, pid: str) -> None:
    program = services.python(f"notify(f'MAINPID={pid}', 'READY=1')\ntime.sleep(1000)")
    unit = services.unit(f"Type=notify\nExecStart={program}\nKillMode=process")
    assert services.daemon(unit).returncode == 0
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())


def test_watchdog_that_is_kept(services: Services) -> None:
    log = log_of(services)
    program = services.python(
        "every = int(os.environ['WATCHDOG_USEC']) / 1e6 / 10\nassert os.environ['WATCHDOG_PID'] == str(os.getpid())\n"
        "notify('READY=1')\nfor n in range(12):\n    time.sleep(every)\n    notify('WATCHDOG=1')\n"
        f"open({str(log)!r}, 'w').write('x')"
    )
    unit = services.unit(f"Type=notify\nWatchdogSec=2s\nExecStart={program}")
    assert services.run(unit, "--foreground").returncode == 0
    assert lines(log)


@pytest.mark.parametrize("way", ["missed", "trigger"])
def test_watchdog_that_is_missed(services: Services, way: str) -> None:
    program = services.python(
        f"notify('READY=1', 'WATCHDOG=1')\nif {way!r} == 'trigger': notify('WATCHDOG=trigger')\ntime.sleep(1000)"
    )
    seconds = "200ms" if way == "missed" else "1h"
    unit = services.unit(f"Type=notify\nWatchdogSec={seconds}\nExecStart={program}\nLimitCORE=0")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 128 + signal.SIGABRT
    assert "no sign of life" in finished.stderr


@pytest.mark.parametrize("setting", ["WatchdogSec=1h", ""])
def test_a_watchdog_of_the_programs_own(services: Services, setting: str) -> None:
    """WATCHDOG_USEC=: another interval from now on, whether there was one or not; the next life has the settings'."""
    log = log_of(services)
    program = services.python(
        f"log = open({str(log)!r}, 'a')\nprint('life', file=log, flush=True)\nnotify('READY=1')\n"
        f"if open({str(log)!r}).read().count('life') == 1:\n    notify('WATCHDOG_USEC=500000')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nExecStart={program}\nLimitCORE=0\nRestart=on-watchdog\nRestartSec=0\n{setting}")
    running = services.foreground(unit)
    until(lambda: len(lines(log)) == 2)
    time.sleep(0.7)  # of the first life's interval nothing is left
    status, _, err = finish(running)
    assert (status, len(lines(log)), err.count("no sign of life")) == (0, 2, 1)


def test_a_watchdog_that_is_switched_off(services: Services) -> None:
    program = services.python("notify('READY=1')\nnotify('WATCHDOG_USEC=0')\ntime.sleep(1.5)")
    unit = services.unit(f"Type=notify\nExecStart={program}\nWatchdogSec=1")
    assert services.run(unit, "--foreground").returncode == 0


def test_stopping(services: Services) -> None:
    """STOPPING=1: the service is seen to end by itself; no ExecStop= is run, no signal sent before TimeoutStopSec=."""
    log, go = log_of(services), services.out / "go"
    program = services.python(
        f"import _signal\nlog = open({str(log)!r}, 'a')\n"
        "_signal.signal(15, lambda *about: print('TERM', file=log, flush=True))\n"
        "notify('READY=1', 'STATUS=works')\nnotify('STOPPING=1', 'STATUS=saves')\nnotify('READY=1')\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\nos._exit(3)"
    )
    managed = Managed(
        services, f"Type=notify\nExecStart={program}\nExecStop={say(services, 'stop')}\nRestart=on-success"
    )
    told = managed.wait_for("deactivating")
    assert told["statusText"] == "saves"
    assert 60 < told["deadline"] / 1e6 - time.time() < 91
    go.touch()
    assert managed.process.wait(PATIENCE) == 3
    assert lines(log) == []


def test_stopping_that_takes_too_long(services: Services) -> None:
    log = log_of(services)
    program = services.python("notify('READY=1')\nnotify('STOPPING=1')\ntime.sleep(1000)")
    post = f"/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> {log}'"
    unit = services.unit(f"Type=notify\nExecStart={program}\nTimeoutStopSec=1\nExecStopPost={post}")
    services.run(unit, "--foreground")
    assert lines(log) == ["timeout killed KILL"]


@pytest.mark.parametrize(("said", "told"), [("13", 13), ("EACCES", 13), ("0", None), ("x", None), ("-3", None)])
def test_errno(services: Services, said: str, told: int | None) -> None:
    program = services.python(f"notify('ERRNO={said}', 'BUSERROR=org.x.Y', 'STATUS=x', 'READY=1')\ntime.sleep(1000)")
    managed = Managed(services, f"Type=notify\nExecStart={program}")
    found = managed.wait_for("active")
    assert (found["errno"], found["statusText"]) == (told, "x")
    shown = subprocess.run(
        [sys.executable, "-m", "initkit", "status", managed.unit],
        env=services.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("Error: 13 (Permission denied)" in shown.stdout) == (told == 13)
    managed.end()


def test_access_that_the_program_widens(services: Services) -> None:
    """NOTIFYACCESS=: from then on its child may speak."""
    program = services.python(
        "notify('NOTIFYACCESS=all')\n"
        "if os.fork() == 0:\n    notify('READY=1')\n    os._exit(0)\nos.wait()\ntime.sleep(1000)"
    )
    assert services.daemon(services.unit(f"Type=notify\nExecStart={program}\nTimeoutStartSec=20")).returncode == 0


# --- ExitType=, GuessMainPID= -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["main", "cgroup"])
def test_exit_type(services: Services, kind: str) -> None:
    """ExitType=cgroup: the service runs as long as one of its processes does; how the main one ended counts."""
    log, go = log_of(services), services.out / "go"
    child = services.script(f"while ! [ -e {go} ]; do sleep 0.01; done; echo child >> {log}")
    main = services.script(f"setsid {child} & exit 3")
    unit = services.unit(f"ExecStart={main}\nExecStopPost=/bin/true\nExitType={kind}")
    running = services.foreground(unit)
    if kind == "main":
        assert running.wait(PATIENCE) == 3
        assert not services.started()
        return
    until(lambda: len(services.started()) >= 2 and running.poll() is None)
    time.sleep(0.2)
    assert running.poll() is None
    go.touch()
    assert running.wait(PATIENCE) == 3
    assert lines(log) == ["child"]


def test_exit_type_of_a_service_that_is_stopped(services: Services) -> None:
    main = services.script("setsid sleep 1000 & exit 0")
    running = services.foreground(services.unit(f"ExecStart={main}\nExitType=cgroup\nExecStartPost=/bin/true"))
    until(lambda: len(services.started()) == 2)
    assert finish(running)[0] == 0
    assert not services.started()


@pytest.mark.parametrize("guess", ["yes", "no"])
def test_guess_main_pid(services: Services, guess: str) -> None:
    """Type=forking without PIDFile=: GuessMainPID=no takes no process for the main one, and waits for the last."""
    log = log_of(services)
    log.touch()
    daemon = services.script(f"(sleep 1000 & echo $! >> {log}); echo $$ >> {log}; exec sleep 1000")
    start = services.script(f"setsid {daemon} & until [ $(wc -l < {log}) = 2 ]; do sleep 0.01; done")
    managed = Managed(services, f"Type=forking\nGuessMainPID={guess}\nExecStart={start}")
    told = managed.wait_for("active")
    helper, main = map(int, lines(log))
    if guess == "no":
        assert told["mainPid"] is None
        os.kill(main, signal.SIGKILL)
        until(lambda: not alive(main))
        assert managed.status()["state"] == "active"
        os.kill(helper, signal.SIGKILL)
    assert managed.process.wait(PATIENCE) == 0 if guess == "no" else managed.end()[0] == 0
    assert not services.started()


def test_start_that_asks_for_more_time(services: Services) -> None:
    program = services.python(
        "notify('EXTEND_TIMEOUT_USEC=60000000')\ntime.sleep(1.2)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nTimeoutStartSec=1\nExecStart={program}")  # from before Python is loaded
    assert services.daemon(unit).returncode == 0


def test_last_words_are_heard(services: Services) -> None:
    """READY=1 counts when its sender has ended by the time it is read."""
    for _ in range(5):
        program = services.python("notify('READY=1')\nos._exit(0)")
        assert services.run(services.unit(f"Type=notify\nExecStart={program}"), "--foreground").returncode == 0


def test_barrier(services: Services) -> None:
    """BARRIER=1: the descriptor that comes along is closed when all before it has been read."""
    program = services.python(
        "import select\nread, write = os.pipe()\nto = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)\n"
        "to.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\nimport array\n"
        "to.sendmsg([b'BARRIER=1'], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array('i', [write]))])\n"
        "os.close(write)\nassert os.read(read, 1) == b''\nnotify('READY=1')"
    )
    assert services.run(services.unit(f"Type=notify\nExecStart={program}"), "--foreground").returncode == 0


def test_python_programs_say_ready_by_sdnotify(services: Services) -> None:
    pytest.importorskip("sdnotify")
    program = services.folder / "ready.py"
    program.write_text(
        "import sdnotify, time\nsdnotify.SystemdNotifier(debug=True).notify('READY=1')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nExecStart={sys.executable} {program}")
    assert services.daemon(unit).returncode == 0
    assert CHECKOUT.is_dir() and alive(services.pid(unit))
