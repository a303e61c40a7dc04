"""Several services under one manager: their order, their processes, their output."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit.run import client

from .clients import Wire, at_rest, waits
from .harness import PATIENCE, WITHOUT_GROUPS, Services, alive, finish, lines, until
from .ups import SLEEP, Up, logged


def test_start_in_order_and_stop_in_reverse_order(up: Up) -> None:
    up.add("c", logged(up, "c"), "After=@b@\nRequires=@b@")
    up.add("a", logged(up, "a"), "Before=@b@")
    up.add("b", logged(up, "b"))
    running = up.start()
    up.wait_for(a="active", b="active", c="active")
    assert lines(up.log) == ["+a", "+b", "+c"]
    assert finish(running) == (0, "", "")
    assert lines(up.log) == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert not up.services.started()


def test_a_notify_service_is_waited_for(up: Up) -> None:
    gate = up.services.out / "gate"
    program = up.services.python(
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    up.add("db", f"Type=notify\nExecStart={program}")
    up.add("web", SLEEP, "After=@db@")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(db="activating", web="inactive", other="active")
    gate.touch()
    up.wait_for(db="active", web="active")
    assert finish(running)[0] == 0


def test_start_in_parallel_what_may_be(up: Up) -> None:
    here, there = up.services.out / "here", up.services.out / "there"
    for name, mine, other in (("a", here, there), ("b", there, here)):
        meeting = up.services.script(f"touch {mine}; while ! [ -e {other} ]; do sleep 0.01; done")
        up.add(name, f"ExecStartPre={meeting}\n{SLEEP}", "Requires=@a@ @b@")
    running = up.start()
    up.wait_for(a="active", b="active")
    assert finish(running)[0] == 0


def test_an_idle_service_lets_all_others_go_first(up: Up) -> None:
    """Who starts after it is no reason to wait."""
    gate = up.services.out / "gate"
    up.add("idle", f"Type=idle\nExecStart={up.services.script(f'echo idle >> {up.log}; exec sleep 1000')}")
    up.add("behind", f"ExecStartPre={up.say('behind')}\n{SLEEP}", "After=@idle@")
    waiting = up.services.script(f"while ! [ -e {gate} ]; do sleep 0.01; done; echo slow >> {up.log}")
    up.add("slow", f"ExecStartPre={waiting}\n{SLEEP}")
    up.add("after", f"ExecStartPre={up.say('after')}\n{SLEEP}", "After=@slow@")
    running = up.start()
    up.wait_for(idle="activating", slow="activating", behind="inactive", after="inactive")
    gate.touch()
    up.wait_for(idle="active", slow="active", behind="active", after="active")
    assert lines(up.log) == ["slow", "after", "idle", "behind"]
    assert finish(running) == (0, "", "")


def test_an_idle_service_does_not_wait_for_ever(up: Up) -> None:
    up.add("idle", f"Type=idle\n{SLEEP}")
    up.add("slow", f"ExecStartPre=/bin/sleep 1000\n{SLEEP}")
    running = up.start()
    up.wait_for(idle="activating", slow="activating")
    up.wait_for(idle="active", slow="activating")
    up.call("Stop", name=f"{up.services.prefix}slow")
    up.call("Restart", name=f"{up.services.prefix}idle")
    assert finish(running)[0] == 0


def test_cycle(up: Up) -> None:
    a, b, c = (up.add(name, SLEEP, f"After=@{other}@") for name, other in ("ab", "bc", "ca"))
    up.add("d", SLEEP, "After=@a@")
    assert up.run() == (78, "", f"initkit: the order is a cycle: {a} after {b} after {c} after {a}\n")


def test_required_service_that_is_not_there(up: Up) -> None:
    up.add("web", SLEEP, "Requires=@db@")
    status, _, err = up.run()
    assert status == 78
    assert err.count("\n") == 1
    assert f"{up.services.prefix}db.service is not among the services" in err


def test_failed_requirement(up: Up) -> None:
    db = up.add("db", "Type=oneshot\nExecStart=/bin/sh -c 'exit 3'")
    web = up.add("web", logged(up, "web"), "After=@db@\nRequires=@db@")
    top = up.add("top", logged(up, "top"), "After=@web@\nRequires=@web@")
    up.add("wish", f"Type=oneshot\nExecStart={up.say('wish')}", "After=@db@\nWants=@db@")
    status, out, err = up.run()
    assert (status, out) == (3, "")
    assert sorted(err.splitlines()) == sorted(
        [
            f"initkit: {db}: /bin/sh failed: exited with status 3",
            f"initkit: {web}: not started: {db}.service, which it needs, has failed",
            f"initkit: {top}: not started: {web}.service, which it needs, has failed",
        ]
    )
    assert lines(up.log) == ["wish"]


@pytest.mark.parametrize(("how", "stays"), [("Requires", True), ("BindsTo", False)])
def test_failed_requirement_of_one_that_is_up(up: Up, how: str, stays: bool) -> None:
    """Without After= it need not have started; systemd.unit(5) has only BindsTo= end it then."""
    gate = up.services.out / "gate"
    failing = up.services.script(f"while ! [ -e {gate} ]; do sleep 0.01; done; exit 3")
    db = up.add("db", f"Type=oneshot\nExecStart={failing}")
    web = up.add("web", logged(up, "web"), f"{how}=@db@")
    running = up.start()
    up.wait_for(web="active")
    gate.touch()
    if stays:
        up.wait_for(db="failed", web="active")
        running.terminate()
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 3
    assert (f"initkit: {web}: stopped: {db}.service, which it needs, has failed\n" in err) != stays
    assert lines(up.log) == ["+web", "-web"]


def test_bound_service_ends_with_the_other(up: Up) -> None:
    up.add("db", SLEEP)
    up.add("bound", SLEEP, "After=@db@\nBindsTo=@db@")
    up.add("needs", SLEEP, "After=@db@\nRequires=@db@")
    running = up.start()
    up.wait_for(db="active", bound="active", needs="active")
    os.kill(up.pid("db"), signal.SIGKILL)
    up.wait_for(db="failed", bound="inactive", needs="active")
    status, _, err = finish(running)
    assert status == 128 + signal.SIGKILL
    assert f"bound: stopped: {up.services.prefix}db.service, which it needs, has failed\n" in err


def test_ends_when_nothing_is_left(up: Up) -> None:
    for name in "ab":
        up.add(name, f"Type=oneshot\nExecStart={up.say(name)}")
    assert up.run() == (0, "", "")
    assert sorted(lines(up.log)) == ["a", "b"]


def test_restart_after_a_crash(up: Up) -> None:
    up.add("a", f"{SLEEP}\nRestart=always\nRestartSec=0")
    up.add("b", SLEEP)
    running = up.start()
    up.wait_for(a="active", b="active")
    before, other = up.pid("a"), up.pid("b")
    os.kill(before, signal.SIGKILL)
    until(lambda: up.pid("a") not in (None, before) and up.states()["a"] == "active")
    assert up.pid("b") == other
    assert finish(running)[0] == 0


@pytest.mark.parametrize("mode", ["normal", "direct"])
def test_who_follows_a_service_that_is_restarted(up: Up, mode: str) -> None:
    """RestartMode=direct: nobody else hears of it."""
    up.add("db", f"{SLEEP}\nRestart=always\nRestartSec=0\nRestartMode={mode}")
    up.add("web", logged(up, "web"), "After=@db@\nRequires=@db@")
    up.add("part", logged(up, "part"), "After=@web@\nPartOf=@web@")
    up.add("other", SLEEP, "After=@db@\nWants=@db@")
    running = up.start()
    everything = {"db": "active", "web": "active", "part": "active", "other": "active"}
    up.wait_for(**everything)
    before = {name: up.pid(name) for name in everything}
    os.kill(before["db"], signal.SIGKILL)
    restarted = {"db", "web", "part"} if mode == "normal" else {"db"}
    # In this order: what is seen to be active first may be so still.
    until(lambda: all(up.pid(name) != before[name] for name in restarted) and up.states() == everything)
    assert {name for name in everything if up.pid(name) != before[name]} == restarted
    if mode == "normal":
        assert lines(up.log) == ["+web", "+part", "-part", "-web", "+web", "+part"]
    assert finish(running)[0] == 0


@pytest.mark.parametrize(("setting", "status"), [("", 7), ("FailureActionExitStatus=9", 9)])
def test_a_service_whose_failure_ends_all(up: Up, setting: str, status: int) -> None:
    """FailureAction=exit: as a container's main service, whatever others there are."""
    up.add("a", logged(up, "a"))
    up.add("b", f"ExecStart={up.services.script('exit 7')}", f"After=@a@\nFailureAction=exit\n{setting}")
    ended, _, err = up.run()
    assert ended == status
    assert lines(up.log) == ["+a", "-a"]
    assert f"{up.services.prefix}b: ends the manager\n" in err
    assert not up.services.started()


# --- processes --------------------------------------------------------------------------------------------------------


def orphan_of(services: Services, file: Path) -> str:
    """A program that leaves a process in another session, which nobody is the parent of and SIGTERM does not end."""
    deep = services.script(f"trap '' TERM; echo $$ > {file}; while :; do sleep 1000; done")
    return services.script(f"setsid sh -c '{deep} & exit 0'; exec sleep 1000")


def test_orphan_goes_with_its_own_service(up: Up) -> None:
    files = {name: up.services.out / name for name in "ab"}
    for name, file in files.items():
        up.add(name, f"ExecStart={orphan_of(up.services, file)}\nTimeoutStopSec=1")
    running = up.start()
    until(lambda: all(lines(file) for file in files.values()))
    deep = {name: int(lines(file)[0]) for name, file in files.items()}
    up.call("Stop", name=up.services.prefix + "a")
    assert not alive(deep["a"])
    assert alive(deep["b"])
    assert up.states() == {"a": "failed", "b": "active"}  # TimeoutStopSec= is over
    finish(running)
    assert not up.services.started()


def test_processes_of_each(up: Up) -> None:
    files = {name: up.services.out / name for name in "ab"}
    for name, file in files.items():
        up.add(name, f"ExecStart={orphan_of(up.services, file)}\nKillSignal=SIGKILL")
    running = up.start()
    until(lambda: all(lines(file) for file in files.values()))
    for name, file in files.items():
        shown = up.call("Status", name=up.services.prefix + name)["service"]["processes"]
        other = files["b" if name == "a" else "a"]
        pids = {each["pid"] for each in shown}
        assert int(lines(file)[0]) in pids
        assert int(lines(other)[0]) not in pids
    finish(running)


def test_orphan_that_is_there_before_another_service_starts(up: Up) -> None:
    """Neither the look before it came nor the program that came after it hides it."""
    go, file = up.services.out / "go", up.services.out / "pid"
    orphan = f"(setsid sleep 1000 & echo $! > {file}.new); mv {file}.new {file}"
    waiting = f"while ! [ -e {go} ]; do sleep 0.01; done; {orphan}; exec sleep 1000"
    up.add("a", f"ExecStart={up.services.script(waiting)}", "OnFailure=@later@")
    up.add("later", SLEEP)
    running = up.start(prefix=WITHOUT_GROUPS)  # which tell of everybody
    up.wait_for(a="active", later="inactive")
    up.pid("a")  # a look at all of its processes
    go.touch()
    until(file.exists)
    up.call("Start", name=f"{up.services.prefix}later")
    shown = up.call("Status", name=f"{up.services.prefix}a")["service"]["processes"]
    assert int(file.read_text()) in {each["pid"] for each in shown}
    up.call("Stop", name=f"{up.services.prefix}a")
    assert not alive(int(file.read_text()))
    finish(running)


def test_process_that_nobody_can_tell_the_service_of(up: Up) -> None:
    file = up.services.out / "pid"
    stray = up.services.script(f"echo $$ > {file}.new; mv {file}.new {file}; exec sleep 1000")
    leaving = f"setsid env -i sh -c '{stray} & exit 0'; exec sleep 1000"
    up.add("a", f"ExecStart={up.services.script(leaving)}")
    running = up.start(prefix=WITHOUT_GROUPS)  # which tell of everybody
    until(lambda: file.exists() and Path(f"/proc/{file.read_text().strip()}/comm").read_text() == "sleep\n")
    status, _, err = finish(running)
    assert status == 0
    assert re.fullmatch(r"initkit: sleep\[\d+\] of no service known: killed\n", err)
    assert not up.services.started()


def test_forking_services(up: Up) -> None:
    """Their main processes are orphans that the manager adopts: each is its own service's."""
    for name in "ab":
        file = up.services.out / f"{name}.pid"
        program = up.services.script(f"setsid sleep 1000 & echo $! > {file}.new; mv {file}.new {file}")
        up.add(name, f"Type=forking\nPIDFile={file}\nExecStart={program}")
    up.add("without", f"Type=forking\nExecStart={up.services.script('setsid sleep 1000 & exit 0')}")
    running = up.start()
    up.wait_for(a="active", b="active", without="active")
    pids = {name: up.pid(name) for name in ("a", "b", "without")}
    assert len(set(pids.values())) == 3
    os.kill(pids["a"], signal.SIGKILL)
    up.wait_for(a="failed", b="active", without="active")
    assert finish(running)[0] == 128 + signal.SIGKILL
    assert not up.services.started()


def traced(up: Up, running: subprocess.Popen[str], trace: Path, name: str) -> subprocess.Popen[str]:
    """strace(1) of the manager, which has answered a call about this service, and is at rest."""
    words = ["strace", "-v", "-s", "0", "-o", trace, "-p", str(running.pid)]
    strace = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert strace.stderr
    assert "attached" in strace.stderr.readline()
    up.pid(name)
    until(lambda: at_rest(trace), "the end of that call")
    return strace


def test_idle_manager_does_not_wake_up(up: Up, tmp_path: Path) -> None:
    for name in "abc":
        up.add(name, SLEEP)
    running = up.start()
    up.wait_for(a="active", b="active", c="active")
    trace = tmp_path / "trace"
    strace = traced(up, running, trace, "a")
    before = trace.read_text()
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)
    assert trace.read_text() == before
    finish(running)
    strace.wait(PATIENCE)


def traced_restart(up: Up, count: int, trace: Path) -> str:
    """What a manager of so many services asks of the kernel while one of them dies and is started again."""
    log = up.services.out / f"log{count}"
    up.add("n0", f"ExecStart={up.services.script(f'echo $$ >> {log}; exec sleep 1000')}\nRestart=always\nRestartSec=0")
    for number in range(1, count):
        up.add(f"n{number}", SLEEP)
    running = up.start()
    until(lambda: list(up.states().values()) == ["active"] * count)
    strace = traced(up, running, trace, "n0")
    before = len(trace.read_text())
    os.kill(int(lines(log)[0]), signal.SIGKILL)
    until(lambda: len(lines(log)) == 2)

    def is_over() -> bool:
        restarted = re.search(r"^(clone3?|vfork)\(", trace.read_text()[before:], re.MULTILINE)
        return restarted is not None and waits(trace.read_text()[before + restarted.start() :])

    until(is_over, "the end of the restart")
    found = trace.read_text()[before:]
    finish(running)
    strace.wait(PATIENCE)
    return found


def test_a_restart_asks_the_kernel_for_no_more_with_many_services(services: Services, tmp_path: Path) -> None:
    few, many = (traced_restart(Up(services), count, tmp_path / str(count)) for count in (20, 100))
    assert len(many) < 1.15 * len(few)


def test_no_service_keeps_a_descriptor_open(services: Services) -> None:
    """Each would be closed at every exec, of all services."""
    found = []
    for count in (10, 30):
        up = Up(services)
        for number in range(count):
            up.add(f"of{count}n{number}", f"{SLEEP}\nRestart=always\nStandardOutput=null\nStandardError=null")
        running = up.start()
        until(lambda up=up, count=count: list(up.states().values()) == ["active"] * count)
        with Wire(f"{services.runtime}/initkit/{up.name}.sock") as wire:
            assert wire.ask("Ping")  # those that came before have gone
            found.append(len(os.listdir(f"/proc/{running.pid}/fd")))
        finish(running)
    assert found[1] - found[0] < 10  # a connection of this test's may not be closed yet


def test_death_of_an_orphan_is_not_told_to_all(up: Up, tmp_path: Path) -> None:
    """Who is told looks for messages, which come before a death."""
    go, file = up.services.out / "go", up.services.out / "pid"
    waiting = f"while ! [ -e {go} ]; do sleep 0.01; done; (setsid sh -c 'echo $$ > {file}' &); exec sleep 1000"
    up.add("a", f"ExecStart={up.services.script(waiting)}")
    up.add("b", f"{SLEEP}\nNotifyAccess=all")
    running = up.start()
    up.wait_for(a="active", b="active")
    strace = traced(up, running, trace := tmp_path / "trace", "a")
    before = len(trace.read_text())
    go.touch()
    until(lambda: lines(file))
    reaped = rf"^wait4\(-1, .* = {lines(file)[0]}\n(.*\n)*"

    def is_over() -> bool:
        found = re.search(reaped, trace.read_text()[before:], re.MULTILINE)
        return found is not None and waits(trace.read_text())

    until(is_over, "the end of the orphan")
    assert "\nrecvmsg(" not in trace.read_text()[before:]
    finish(running)
    strace.wait(PATIENCE)


def test_main_process_that_nobody_has_looked_for(up: Up) -> None:
    """An orphan that says that it is the main one, as its control group confirms: its exit status is known."""
    go, started = up.services.out / "go", up.services.out / "started"
    program = up.services.python(
        "if os.fork() == 0:\n"
        "    middle = os.getpid()\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    while os.getppid() == middle: time.sleep(0.01)\n"
        "    notify(f'MAINPID={os.getpid()}\\nREADY=1')\n"
        f"    while not os.path.exists('{go}'): time.sleep(0.01)\n"
        "    os._exit(3)\n"
        "time.sleep(1000)"
    )
    up.add("a", f"Type=notify\nNotifyAccess=all\nExecStart={program}\nExecStartPost=/bin/touch {started}")
    running = up.start()
    until(started.exists)
    go.touch()
    assert running.wait(PATIENCE) == 3


def test_invocation_id(up: Up) -> None:
    found = [up.services.probe() for _ in "ab"]
    for name, (command, _) in zip("ab", found, strict=True):
        up.add(name, f"ExecStart={command}")
    running = up.start()
    until(lambda: all(path.exists() for _, path in found))
    ids = [re.findall(rb"INVOCATION_ID=([0-9a-f]{32})\0", Path(f"{path}.environ").read_bytes()) for _, path in found]
    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]
    finish(running)


def test_fifty_services(up: Up) -> None:
    for number in range(50):
        up.add(f"n{number}", SLEEP, f"After=@n{number - 10}@" if number >= 10 else "")
    running = up.start()
    until(lambda: list(up.states().values()) == ["active"] * 50)
    assert len(up.services.started()) == 51
    assert finish(running) == (0, "", "")
    assert not up.services.started()


# --- output -----------------------------------------------------------------------------------------------------------


def test_lines_are_whole_and_prefixed(up: Up) -> None:
    half = 'i=0; while [ $i -lt 200 ]; do printf "first "; printf "%s half\\n" $i; i=$((i+1)); done'
    for name in ("a", "long"):
        up.add(name, f"Type=oneshot\nExecStart={up.services.script(f'{half}; printf end >&2')}")
    status, out, err = up.run()
    assert (status, err) == (0, "")
    prefix = up.services.prefix
    expected = [*(f"first {number} half" for number in range(200)), "end"]
    assert len(out.splitlines()) == 2 * len(expected)
    for label in (f"{prefix}a    | ", f"{prefix}long | "):
        assert [line.removeprefix(label) for line in out.splitlines() if line.startswith(label)] == expected


def test_a_last_line_without_end_is_not_the_next_ones_beginning(up: Up) -> None:
    program = up.services.script("printf partial; exit 1")
    up.add("a", f"ExecStart={program}\nRestart=on-failure\nRestartSec=0", "StartLimitBurst=3")
    status, out, _ = up.run()
    assert (status, out) == (1, f"{up.services.prefix}a | partial\n" * 3)


def test_a_line_without_end_is_bounded(up: Up) -> None:
    endless = up.services.script("head -c 100000 /dev/zero | tr '\\0' x")
    up.add("a", f"Type=oneshot\nExecStart={endless}")
    _, out, _ = up.run()
    pieces = [line.partition(" | ")[2] for line in out.splitlines()]
    assert "".join(pieces) == "x" * 100000
    assert max(map(len, pieces)) <= 16 * 1024


def test_reader_that_reads_nothing(up: Up) -> None:
    """The services that write wait for it; the manager and the others do not."""
    up.add("flood", "ExecStart=/usr/bin/yes")
    up.add("quiet", SLEEP)
    source, sink = os.pipe()
    running = up.start(stdout=sink)
    os.close(sink)
    up.wait_for(flood="active", quiet="active")
    up.call("Stop", name=up.services.prefix + "quiet")
    assert up.states()["quiet"] == "inactive"
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 0
    os.close(source)


@pytest.mark.parametrize(("variables", "coloured"), [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_on_a_terminal_only(up: Up, variables: dict[str, str], coloured: bool) -> None:
    up.add("a", "Type=oneshot\nExecStart=/bin/echo hello")
    leader, follower = pty.openpty()
    running = up.start(stdout=follower, env=up.services.environment(variables))
    assert running.wait(PATIENCE) == 0
    found = ""
    while not found.endswith("\n"):  # a terminal hands on what was written in its own time
        found += os.read(leader, 1000).decode()
    os.close(leader)
    os.close(follower)
    label = f"{up.services.prefix}a | "
    assert found == (f"\x1b[36m{label}\x1b[0mhello\r\n" if coloured else f"{label}hello\r\n")


# --- control ----------------------------------------------------------------------------------------------------------


def test_stop_start_and_restart_by_name(up: Up) -> None:
    db = up.add("db", SLEEP)
    up.add("part", SLEEP, "After=@db@\nPartOf=@db@")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(db="active", part="active", other="active")
    before = {name: up.pid(name) for name in ("db", "part", "other")}
    up.call("Restart", name=db)
    up.wait_for(db="active", part="active", other="active")
    after = {name: up.pid(name) for name in before}
    assert [name for name in before if before[name] == after[name]] == ["other"]
    up.call("Stop", name=db)
    up.wait_for(db="inactive", part="inactive", other="active")
    up.call("Start", name=up.services.prefix + "part")
    up.wait_for(db="inactive", part="active")
    with pytest.raises(client.RemoteError, match="NoSuchService"):
        up.call("Status", name="nobody")
    assert finish(running)[0] == 0


def test_start_brings_what_is_needed(up: Up) -> None:
    db = up.add("db", SLEEP)
    web = up.add("web", SLEEP, "After=@db@\nRequires=@db@")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(db="active", web="active", other="active")
    up.call("Stop", name=db)
    up.wait_for(db="inactive", web="inactive")
    up.call("Start", name=web)
    up.wait_for(db="active", web="active")
    assert finish(running)[0] == 0


# --- which services ---------------------------------------------------------------------------------------------------


@pytest.fixture
def in_folder(up: Up) -> Callable[[], subprocess.CompletedProcess[str]]:
    """`initkit up` without files, in the folder of the settings."""

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "initkit", "up", "--name", up.name]
        return subprocess.run(
            words, cwd=up.services.folder, env=up.services.environment(), capture_output=True, text=True, check=False
        )

    return run


def test_all_of_the_folder(up: Up, in_folder: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    up.add("unit", f"Type=oneshot\nExecStart={up.say('unit')}")
    up.add("template@", f"Type=oneshot\nExecStart={up.say('template')}")
    toml = f'type = "oneshot"\nexec_start = ["/bin/sh", "-c", "echo toml >> {up.log}"]\n'
    (up.services.folder / f"{up.services.prefix}other.toml").write_text(toml)
    (up.services.folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    done = in_folder()
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(lines(up.log)) == ["toml", "unit"]


def test_nothing_in_the_folder(in_folder: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    done = in_folder()
    assert done.returncode == 78
    assert done.stderr.startswith("initkit: no settings here (")
