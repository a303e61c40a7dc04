"""The verbs, for services that run under `initkit up`: they find its manager by the services' names."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from run.clients import supervisorctl
from run.harness import PATIENCE, Services, finish, leave, lines, until
from run.ups import SLEEP, Up

from .ways import initkit, python

ELSEWHERE = {"cwd": "/"}  # where none of the settings can be found by name


def states(services: Services) -> dict[str, list[str]]:
    """The lines of `initkit status` for this test's services, by name."""
    found = (line.split() for line in initkit(services, "status", **ELSEWHERE).stdout.splitlines())
    return {words[0].removeprefix(services.prefix): words for words in found if words[0].startswith(services.prefix)}


def pid(services: Services, name: str) -> int:
    told = json.loads(initkit(services, "status", name, "--json", **ELSEWHERE).stdout)
    found: int = told["mainPid"]
    return found


def test_verbs_by_name(up: Up) -> None:
    services = up.services
    web = up.add("web", f"{SLEEP}\nExecReload={up.say('reloaded')}")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(web="active", other="active")
    shown = initkit(services, "status", web, **ELSEWHERE)
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, f"● {web}")
    assert f"Main PID: {up.pid('web')}\n" in shown.stdout
    assert initkit(services, "reload", web, **ELSEWHERE).returncode == 0
    assert lines(up.log) == ["reloaded"]
    before = up.pid("web")
    assert initkit(services, "restart", web, **ELSEWHERE).returncode == 0
    assert up.pid("web") != before
    assert initkit(services, "kill", web, "--signal=STOP", **ELSEWHERE).returncode == 0
    until(lambda: Path(f"/proc/{up.pid('web')}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert initkit(services, "kill", web, "--signal=CONT", **ELSEWHERE).returncode == 0
    assert initkit(services, "stop", web, **ELSEWHERE).returncode == 0
    stopped = initkit(services, "status", web, **ELSEWHERE)
    assert (stopped.returncode, "State: inactive" in stopped.stdout) == (3, True)
    assert initkit(services, "try-restart", web, **ELSEWHERE).returncode == 0
    assert up.states()["web"] == "inactive"
    assert initkit(services, "reload", web, **ELSEWHERE).returncode == 7
    assert initkit(services, "start", web, **ELSEWHERE).returncode == 0
    assert pid(services, web) == up.pid("web")
    unable = initkit(services, "reload", f"{services.prefix}other", **ELSEWHERE)
    assert (unable.returncode, unable.stderr.count("\n"), "ExecReload=" in unable.stderr) == (1, 1, True)
    assert "the manager at" in initkit(services, "stop", web, "--verbose").stderr  # with the settings at hand
    assert finish(running)[0] == 0


def test_the_last_one_that_is_stopped_does_not_take_the_manager_along(up: Up) -> None:
    web = up.add("web", SLEEP)
    running = up.start()
    up.wait_for(web="active")
    assert initkit(up.services, "stop", web, **ELSEWHERE).returncode == 0
    assert initkit(up.services, "start", web, **ELSEWHERE).returncode == 0
    assert up.states() == {"web": "active"}
    assert finish(running)[0] == 0
    assert initkit(up.services, "status", web, **ELSEWHERE).returncode == 4
    assert not list((up.services.runtime / "initkit").glob(f"{up.services.prefix}*.sock"))


def test_each_is_listed_once(up: Up) -> None:
    for name in "abc":
        up.add(name, SLEEP)
    running = up.start()
    up.wait_for(a="active", b="active", c="active")
    shown = initkit(up.services, "status", **ELSEWHERE).stdout
    assert {name: words[1] for name, words in states(up.services).items()} == dict.fromkeys("abc", "active")
    assert shown.count(up.services.prefix) == 3
    finish(running)


def test_logs(up: Up) -> None:
    file = up.services.out / "file"
    written = up.add(
        "written", f"ExecStart=/bin/sh -c 'echo one; echo two; exec sleep 1000'\nStandardOutput=append:{file}"
    )
    shown = up.add("shown", "ExecStart=/bin/sh -c 'echo three; exec sleep 1000'")
    running = up.start()
    until(lambda: len(lines(file)) == 2)
    up.wait_for(shown="active")
    assert initkit(up.services, "logs", written, "-n", "1", **ELSEWHERE).stdout == "two\n"
    assert initkit(up.services, "logs", written).stdout == "one\ntwo\n"
    for more in (ELSEWHERE, {}):
        nothing = initkit(up.services, "logs", shown, **more)
        assert (nothing.returncode, nothing.stdout) == (1, "")
        assert nothing.stderr == f"initkit: {shown}: its output goes where its manager's does, to no file\n"
    assert finish(running)[1] == f"{shown:<{len(written)}} | three\n"


def test_a_manager_that_was_killed(up: Up) -> None:
    """What it has left points nowhere, and is in nobody's way."""
    web = up.add("web", f"{SLEEP}\nRestart=always")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(web="active", other="active")
    left = [up.pid("web"), up.pid("other")]
    running.kill()
    running.communicate(timeout=PATIENCE)
    link = up.services.runtime / "initkit" / f"{web}.sock"
    assert link.is_symlink()
    begun = time.monotonic()
    gone = initkit(up.services, "status", web, **ELSEWHERE)
    assert (gone.returncode, gone.stderr) == (0, "")  # of what runs its register tells
    assert "active, but its manager is gone" in gone.stdout
    assert time.monotonic() - begun < PATIENCE / 4
    names = [line.split()[0] for line in initkit(up.services, "status").stdout.splitlines()]
    assert web in names and up.name not in names  # that is a manager's, and no service
    for each in left:
        os.kill(each, signal.SIGKILL)
    # A manager of its own takes the name.
    alone = up.services.foreground(up.units[0])
    until(lambda: link.is_socket() and not link.is_symlink())
    until(lambda: initkit(up.services, "status", web, **ELSEWHERE).returncode == 0)
    finish(alone)
    # Or the next of several.
    running = up.start()
    up.wait_for(web="active", other="active")
    assert initkit(up.services, "status", web, **ELSEWHERE).returncode == 0
    assert finish(running)[0] == 0


def test_survivors_of_a_manager_that_has_ended(up: Up) -> None:
    """They are listed, and started no second time."""
    stubborn = up.services.script(f"trap '' TERM; echo $$ >> {up.log}; while :; do sleep 0.02; done")
    web = up.add("web", f"ExecStart={stubborn}\nTimeoutStopSec=200ms\nSendSIGKILL=no")
    other = up.add("other", SLEEP)
    running = up.start()
    up.wait_for(web="active", other="active")
    until(lambda: lines(up.log))
    leave(running)
    assert running.stderr and "left running" in running.stderr.readline()
    listed = json.loads(initkit(up.services, "status", "--json").stdout)
    assert [each["mainPid"] for each in listed if each["name"] in (web, other)] == [int(lines(up.log)[0])]
    again = up.start()
    _, said = again.communicate(timeout=PATIENCE)
    assert (again.returncode, f"{web}: not started: " in said) == (1, True)
    assert len(lines(up.log)) == 1


def fill(path: str) -> list[socket.socket]:
    """Connect until nobody else could."""
    made: list[socket.socket] = []
    try:
        while True:
            made.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            made[-1].connect(path)
    except BlockingIOError:
        return made


def test_a_manager_that_is_stuck(up: Up) -> None:
    """It is said so, once, after the time that it may take."""
    names = "abcdefghij"
    for name in names:
        up.add(name, SLEEP)
    running = up.start()
    up.wait_for(**dict.fromkeys(names, "active"))
    os.kill(running.pid, signal.SIGSTOP)
    queue = fill(str(up.services.runtime / "initkit" / f"{up.services.prefix}a.sock"))
    try:
        with ThreadPoolExecutor() as pool:
            asked = pool.map(
                lambda verb: initkit(up.services, verb, f"{up.services.prefix}a"), ("status", "stop", "start", "reload")
            )
        for said in asked:
            assert (said.returncode, said.stderr.count("\n"), "does not answer" in said.stderr) == (4, 1, True)
        begun = time.monotonic()
        initkit(up.services, "status")
        assert time.monotonic() - begun < 5 * len(names) * 0.7  # not 5 s for each name
    finally:
        for each in queue:
            each.close()
        os.kill(running.pid, signal.SIGCONT)
    finish(running)


def test_a_service_that_runs_already_is_not_started_again(up: Up) -> None:
    web = up.add("web", f"{SLEEP}\nRestart=always")
    up.add("other", SLEEP)
    first = up.services.foreground(up.units[0])
    until(lambda: initkit(up.services, "status", up.units[0]).returncode == 0)
    main = pid(up.services, web)
    running = up.start()
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1
    assert f"initkit: {web} is already running, pid {first.pid}\n" in err
    assert pid(up.services, web) == main
    finish(first)


def test_a_second_manager_of_the_same_name(up: Up) -> None:
    up.add("one", SLEEP)
    first = up.start()
    up.wait_for(one="active")
    up.units.clear()
    up.add("two", SLEEP)
    path = up.services.runtime / "initkit" / f"{up.name}.sock"
    said = f"initkit: another manager listens at {path} (give this one another --name)\n"
    assert up.run() == (1, "", said)
    up.wait_for(one="active")  # it has its socket still
    assert finish(first)[0] == 0


def test_a_second_manager_without_a_name(up: Up) -> None:
    """It finds one that is free, and its services are reached by theirs."""
    names = [up.add("one", SLEEP), up.add("two", SLEEP), up.add("three", SLEEP)]
    managers, links = [], []
    for name, unit in zip(names, up.units, strict=True):
        managers.append(unnamed(up, unit))
        until(lambda unit=unit: initkit(up.services, "status", unit).returncode == 0)  # type: ignore[misc]
        links.append(os.readlink(up.services.runtime / "initkit" / f"{name}.sock"))
        assert re.fullmatch(r"up(-\d+)?\.sock", links[-1])
        assert initkit(up.services, "restart", unit).returncode == 0
    assert len(set(links)) == 3
    again = unnamed(up, up.units[0])
    assert f"initkit: {names[0]} is already running, pid " in again.communicate(timeout=PATIENCE)[1]
    assert again.returncode == 1
    for each, link in zip(managers, links, strict=True):
        status, _, err = finish(each)
        path = up.services.runtime / "initkit" / link
        said = f"initkit: another manager is called up: this one listens at {path}\n"
        assert (status, err) == (0, "" if link == "up.sock" else said)


def unnamed(up: Up, unit: Path) -> subprocess.Popen[str]:
    """`initkit up` of one service, without a name."""
    return subprocess.Popen(
        [python(), "-m", "initkit", "up", str(unit)],
        env=up.services.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_name_that_somebody_has_is_not_taken(up: Up) -> None:
    web = up.add("web", f"{SLEEP}\nRestart=always")
    up.add("other", SLEEP)
    lock = up.services.runtime / "initkit" / f"{web}.sock.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        running = up.start()
        up.wait_for(web="active", other="active")
        _, _, err = finish(running)
    assert f"initkit: {web}: another manager listens at " in err


def test_a_service_that_is_down_stays_its_managers(up: Up) -> None:
    """Whoever does not reach the manager takes nothing from it, nor does another one; and nobody says that it runs, or
    that it has failed."""
    over = up.add("over", f"Type=oneshot\nExecStart={up.say('over')}\nRestart=on-failure")
    other = up.add("other", SLEEP)
    running = up.start()
    up.wait_for(over="inactive", other="active")
    folder = up.services.runtime / "initkit"
    for name in (up.name, over, other):
        (folder / f"{name}.sock").unlink()
    (unit, _) = up.units
    assert initkit(up.services, "stop", unit).returncode == 0
    silent = f"its manager, pid {running.pid}, which has others, too, does not answer"
    told = initkit(up.services, "status", unit)
    assert (told.returncode, told.stdout) == (4, f"○ {over}\n      State: inactive\n     Status: {silent}\n")
    assert re.search(rf"^{over} +inactive +{silent}$", initkit(up.services, "status").stdout, re.MULTILINE)
    for verb in ("start", "restart"):
        done = initkit(up.services, verb, unit)
        assert (done.returncode, done.stderr) == (1, f"initkit: {over}: {silent}\n")
    again = up.services.run(unit, "--foreground")
    hint = f"initkit start {over} has it started there"
    said = f"initkit: {over} is down under a manager that has others, too, pid {running.pid} ({hint})\n"
    assert (again.returncode, again.stderr) == (1, said)
    assert lines(up.log) == ["over"]
    assert finish(running)[0] == 0


def test_a_manager_is_found_without_a_services_name(up: Up) -> None:
    """What starts it as a daemon, as an init script does, asks that manager, too."""
    over = up.add("over", f"Type=oneshot\nExecStart={up.say('over')}\nRestart=on-failure")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(over="inactive", other="active")
    (up.services.runtime / "initkit" / f"{over}.sock").unlink()
    (unit, _) = up.units
    assert initkit(up.services, "start", unit).returncode == 0
    assert up.services.daemon(unit).returncode == 0
    assert lines(up.log) == ["over"] * 3
    assert initkit(up.services, "status", unit).returncode == 3
    assert initkit(up.services, "status").stdout.count(over) == 1
    assert finish(running)[0] == 0


def test_supervisors_client_by_a_services_name(up: Up) -> None:
    up.log.write_text("old\n")
    web = up.add("web", f"{SLEEP}\nStandardOutput=append:{up.log}")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(web="active", other="active")
    link = f"{up.services.runtime}/initkit/{web}.sock"
    assert [line.split()[1] for line in supervisorctl(link, "status").splitlines()] == ["RUNNING", "RUNNING"]
    assert supervisorctl(link, "restart", web) == f"{web}: stopped\n{web}: started\n"
    assert f"{web}: cleared\n" in supervisorctl(link, "clear", "all", status=None)
    assert up.log.read_text() == ""
    finish(running)


_DAEMON = """
import time
from initkit import Daemon, command

class Service(Daemon):
    def run(self):
        time.sleep(1000)

    @command
    def double(self, number: int) -> int:
        return 2 * number

Service(name="{name}"{more}).main()
"""


def test_call_of_a_class_without_a_settings_file(services: Services) -> None:
    for more in ("", ', restart="always"', f', runtime_directory=["{services.prefix}class"]'):
        name = f"{services.prefix}class"
        program = services.folder / "service.py"
        program.write_text(_DAEMON.format(name=name, more=more))
        verb = [python(), str(program)]
        environment = services.environment()
        subprocess.run([*verb, "start"], env=environment, check=True, timeout=PATIENCE)
        try:
            until(lambda name=name: initkit(services, "call", name, "double", "21").returncode != 7)  # type: ignore[misc]
            called = initkit(services, "call", name, "double", "21", **ELSEWHERE)
            assert (called.returncode, called.stdout, called.stderr) == (0, "42\n", "")
            assert initkit(services, "status", name, **ELSEWHERE).returncode == 0
            if not more:  # else there is a manager
                refused = initkit(services, "reload", name, **ELSEWHERE)
                assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
                assert "no settings of it are here" in refused.stderr
                stopped = initkit(services, "stop", name, **ELSEWHERE)
                assert (stopped.returncode, stopped.stderr.count("\n")) == (0, 1)
        finally:
            subprocess.run([*verb, "stop"], env=environment, check=True, timeout=PATIENCE)
        gone = initkit(services, "call", name, "double", "21", **ELSEWHERE)
        assert (gone.returncode, gone.stderr.count("\n")) == (78, 1)
        assert f"no settings found for '{name}'" in gone.stderr
