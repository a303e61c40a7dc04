"""initkit as a container's PID 1: `initkit up` with several services, `initkit run -- COMMAND` with one program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from .machine import SYSV, Machine, wait_until

_TRACE = "/var/lib/lab/trace"
_TRACES = """\
exec_start_post = ["/bin/sh", "-c", "echo start $0 >>{trace}", "{name}"]
exec_stop_post = ["/bin/sh", "-c", "echo stop $0 >>{trace}", "{name}"]
"""
_SERVICES = {
    "db": 'exec_start = ["/bin/sleep", "3001"]\n',
    "web": 'exec_start = ["/bin/sleep", "3002"]\nrequires = ["db.service"]\nafter = ["db.service"]\n'
    'restart = "always"\nrestart_sec = 0\n',
    # Twice away from its parent, in another session.
    "forker": 'exec_start = ["/bin/sh", "-c", "setsid sh -c \'setsid sleep 3004 & exit 0\'; exec sleep 3003"]\n'
    'after = ["web.service"]\n',
}


@pytest.fixture(scope="module")
def container(lab: None) -> Iterator[Machine]:
    """A root file system with initkit and settings, whose PID 1 is what a test has it be."""
    with Machine(SYSV) as machine:
        machine.install_initkit()
        machine.sh("mkdir -p /var/lib/lab")
        for name, text in _SERVICES.items():
            machine.write(f"/etc/initkit/{name}.toml", text + _TRACES.format(trace=_TRACE, name=name))
        machine.write("/etc/initkit/bad.toml", 'type = "oneshot"\nexec_start = ["/bin/sh", "-c", "exit 3"]\n')
        yield machine


@pytest.fixture
def up(container: Machine) -> Machine:
    """`initkit up` as PID 1."""
    container.enter("/usr/bin/initkit", "up", *_SERVICES)
    wait_until(lambda: set(states(container).values()) == {"active"}, what="all services")
    wait_until(lambda: bool(pid_of(container, "sleep 3004")), what="the process that leaves its parents")
    return container


def states(machine: Machine) -> dict[str, str]:
    """The lines of `initkit status`."""
    lines = machine.run("initkit", "status", check=False).stdout.splitlines()[1:]
    return {line.split()[0]: line.split()[1] for line in lines}


def pid_of(machine: Machine, command: str) -> int:
    """The pid of the process with this command line, 0 where there is none."""
    return next((pid for pid, found in machine.pids().items() if found == command), 0)


def zombies(machine: Machine) -> list[str]:
    return [line for line in machine.run("ps", "-eo", "stat=,args=").stdout.splitlines() if line.startswith("Z")]


def make_orphans(machine: Machine) -> None:
    """Processes that outlive their parents and then end, so that PID 1 has them to reap."""
    machine.sh("for each in 1 2 3 4 5 6 7 8 9; do setsid sh -c 'sleep 0.0$0 & exit 0' $each; done")
    wait_until(lambda: not any(each.startswith("sleep 0.0") for each in machine.pids().values()), what="their end")
    wait_until(lambda: not zombies(machine), what="their burial")


def test_up_is_pid_1(up: Machine) -> None:
    assert "initkit up" in up.pids()[1]
    assert states(up) == dict.fromkeys(_SERVICES, "active")
    make_orphans(up)
    shown = up.run("initkit", "status", "web")
    assert f"Main PID: {pid_of(up, '/bin/sleep 3002')}\n" in shown.stdout
    assert "sleep 3004" in up.run("initkit", "status", "forker").stdout


def test_a_killed_service_comes_back(up: Machine) -> None:
    before = pid_of(up, "/bin/sleep 3002")
    up.run("kill", "-9", str(before))
    wait_until(lambda: pid_of(up, "/bin/sleep 3002") not in (0, before), what="the restart")
    wait_until(lambda: states(up)["web"] == "active")
    assert "Restarts: 1\n" in up.run("initkit", "status", "web").stdout
    assert states(up) == dict.fromkeys(_SERVICES, "active")


def test_what_has_left_its_parents_is_reached(up: Machine) -> None:
    assert pid_of(up, "sleep 3004")
    up.run("initkit", "stop", "forker")
    assert not pid_of(up, "sleep 3003") and not pid_of(up, "sleep 3004")
    assert states(up) == {"db": "active", "web": "active", "forker": "inactive"}
    up.run("initkit", "start", "forker")
    assert states(up)["forker"] == "active"


def test_sigterm_stops_all_in_order(up: Machine) -> None:
    up.write(_TRACE, "")
    os.kill(up.pid, signal.SIGTERM)
    assert up.ended() == 0
    up.enter("/usr/bin/initkit", "run", "--", "sleep", "1000")  # somebody to read it with
    assert up.read(_TRACE).splitlines() == ["stop forker", "stop web", "stop db"]


def test_the_exit_status_of_the_first_that_failed(container: Machine) -> None:
    container.enter("/usr/bin/initkit", "up", "bad")
    assert container.ended() == 3


def test_run_is_pid_1(container: Machine) -> None:
    program = "trap 'exit 7' TERM; echo ready >/run/ready; while :; do sleep 3005 & wait $!; done"
    container.enter("/usr/bin/initkit", "run", "--", "sh", "-c", program)
    wait_until(lambda: container.exists("/run/ready"), what="the program")
    assert pid_of(container, f"sh -c {program}") > 1
    make_orphans(container)
    os.kill(container.pid, signal.SIGTERM)
    assert container.ended() == 7


def test_run_as_pid_1_ends_as_a_killed_program(container: Machine) -> None:
    container.enter("/usr/bin/initkit", "run", "--", "sleep", "3006")
    wait_until(lambda: bool(pid_of(container, "sleep 3006")), what="the program")
    container.run("kill", "-9", str(pid_of(container, "sleep 3006")))
    assert container.ended() == 128 + signal.SIGKILL
