"""Supervisor's own client against the managers of a booted machine: of one service, and of several."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import SYSTEMD_257, Machine, wait_until

_SUPERVISORCTL = Path(sys.executable).with_name("supervisorctl")
_UNIT = "[Service]\nExecStart=/bin/sh -c 'echo {name} begins; exec sleep 1000'\nStandardOutput=append:/var/log/{name}\n"


@pytest.fixture(scope="module")
def machine(lab: None) -> Iterator[Machine]:
    """A machine with a supervised daemon, "alone", and `initkit up` of "one" and "two"."""
    with Machine(SYSTEMD_257) as made:
        made.install_initkit()
        for name in ("alone", "one", "two"):
            made.write(f"/etc/initkit/{name}.service", _UNIT.format(name=name) + "Restart=on-failure\n")
        made.run("initkit", "run", "--daemon", "alone")
        made.sh("setsid initkit up one two </dev/null >/var/log/up 2>&1 &")
        wait_until(lambda: made.run("initkit", "status", "two", check=False).returncode == 0, what="initkit up")
        yield made


def ctl(machine: Machine, name: str, *words: str, status: int = 0) -> str:
    """supervisorctl of the tests' own Python, through the machine's root: the client sees a Unix socket either way."""
    socket = f"/proc/{machine.pid}/root/run/initkit/{name}.sock"
    words = (str(_SUPERVISORCTL), "-s", f"unix://{socket}", *words)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("socket", "name"), [("alone", "alone"), ("up", "two"), ("two", "two")])
def test_everything_that_it_does(machine: Machine, socket: str, name: str) -> None:
    shown = ctl(machine, socket, "status", name).split()
    assert shown[:2] == [name, "RUNNING"]
    pid = int(ctl(machine, socket, "pid", name))
    wait_until(lambda: machine.pids()[pid] == "sleep 1000", what="sleep, which sh becomes")
    assert ctl(machine, socket, "tail", name).splitlines()[-2:] == [f"{name} begins", ""]
    assert ctl(machine, socket, "restart", name) == f"{name}: stopped\n{name}: started\n"
    again = int(ctl(machine, socket, "pid", name))
    assert again != pid and pid not in machine.pids()
    assert ctl(machine, socket, "stop", name) == f"{name}: stopped\n"
    assert again not in machine.pids()
    assert ctl(machine, socket, "status", name, status=3).split()[:2] == [name, "STOPPED"]
    assert ctl(machine, socket, "start", name) == f"{name}: started\n"
    assert ctl(machine, socket, "status", name).split()[1] == "RUNNING"


def test_several(machine: Machine) -> None:
    assert [line.split()[0] for line in ctl(machine, "up", "status").splitlines()] == ["one", "two"]
    assert sorted(ctl(machine, "up", "stop", "all").splitlines()) == ["one: stopped", "two: stopped"]
    assert sorted(ctl(machine, "up", "start", "all").splitlines()) == ["one: started", "two: started"]
    manager = int(ctl(machine, "up", "pid"))
    assert "initkit up" in machine.pids()[manager]
    assert ctl(machine, "up", "shutdown") == "Shut down\n"
    wait_until(lambda: manager not in machine.pids(), what="the end of the manager")
    assert list(machine.pids().values()).count("sleep 1000") == 1  # alone's
