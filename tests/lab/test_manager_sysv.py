"""A service that needs a manager (Restart=, WatchdogSec=, Type=notify) behind an init script, on a real sysvinit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .machine import SYSV, Machine, wait_until

_NAME = "dog"
_PROGRAM = "/usr/local/lib/dog.py"
_HANG = "/run/dog.hang"
#: Shows that it lives, until it is told to hang; leaves a process in another session, too.
_DOG = f"""\
import os, subprocess, time
from initkit import notify

if os.path.exists({_HANG!r}):
    os.unlink({_HANG!r})
subprocess.Popen(["sleep", "4001"], start_new_session=True)
time.sleep(0.1)
notify.ready()
notify.status("barks")
while True:
    if not os.path.exists({_HANG!r}):
        notify.watchdog()
    time.sleep(0.1)
"""
_SETTINGS = f"""\
description = "A dog that is watched"
type = "notify"
exec_start = ["/usr/bin/python3", "{_PROGRAM}"]
restart = "always"
restart_sec = 0
watchdog_sec = "2s"
limit_core = 0
wanted_by = ["multi-user.target"]
"""


@pytest.fixture(scope="module")
def machine(lab: None) -> Iterator[Machine]:
    """A machine that has booted with the service enabled."""
    with Machine(SYSV) as made:
        made.install_initkit()
        made.write(_PROGRAM, _DOG)
        made.write(f"/etc/initkit/{_NAME}.toml", _SETTINGS)
        made.sh(f"initkit gen-init {_NAME} >/etc/init.d/{_NAME}; chmod +x /etc/init.d/{_NAME}")
        made.run("update-rc.d", _NAME, "defaults")
        made.reboot()
        yield made


@pytest.fixture
def dog(machine: Machine) -> Machine:
    """The machine, with the service up."""
    assert service(machine, "start") == 0
    return machine


def service(machine: Machine, verb: str) -> int:
    """The exit status of `service dog VERB`."""
    return machine.run("service", _NAME, verb, check=False).returncode


def pids(machine: Machine) -> list[int]:
    """The main processes: one, or none."""
    return [pid for pid, command in machine.pids().items() if command == f"/usr/bin/python3 {_PROGRAM}"]


def told(machine: Machine) -> dict[str, object]:
    """What its manager tells of it."""
    found: dict[str, object] = json.loads(machine.run("initkit", "status", _NAME, "--json", check=False).stdout)
    return found


def wait_for_another(machine: Machine, before: int) -> None:
    """Until it runs again, and is ready."""
    wait_until(lambda: pids(machine) not in ([], [before]), what="another process")
    wait_until(lambda: told(machine)["state"] == "active", what="its readiness")


def test_it_is_up_after_boot(machine: Machine) -> None:
    assert service(machine, "status") == 0
    found = told(machine)
    assert (found["state"], found["statusText"], found["restarts"]) == ("active", "barks", 0)
    assert [found["mainPid"]] == pids(machine)
    assert "State: active" in machine.run("initkit", "status", _NAME).stdout


def test_a_killed_program_is_restarted(dog: Machine) -> None:
    restarts = told(dog)["restarts"]
    (before,) = pids(dog)
    dog.run("kill", "-9", str(before))
    wait_for_another(dog, before)
    found = told(dog)
    assert isinstance(restarts, int) and found["restarts"] == restarts + 1
    assert (found["exitCode"], found["exitStatus"]) == ("killed", "KILL")
    assert f"Restarts: {restarts + 1}\n" in dog.run("initkit", "status", _NAME).stdout
    assert service(dog, "status") == 0


def test_a_program_that_hangs_is_aborted_and_restarted(dog: Machine) -> None:
    (before,) = pids(dog)
    dog.run("touch", _HANG)
    wait_for_another(dog, before)
    found = told(dog)
    assert (found["result"], found["exitCode"], found["exitStatus"]) == ("watchdog", "killed", "ABRT")
    assert not dog.exists(_HANG)
    assert service(dog, "status") == 0


def test_the_verbs_of_its_script(dog: Machine) -> None:
    (before,) = pids(dog)
    assert service(dog, "start") == 0  # LSB: it runs already
    assert pids(dog) == [before]
    for verb in ("restart", "try-restart", "force-reload"):
        assert service(dog, verb) == 0
        (after,) = pids(dog)
        assert after != before and told(dog)["state"] == "active"
        before = after
    assert service(dog, "reload") == 3  # unimplemented feature
    assert pids(dog) == [before]
    assert service(dog, "stop") == 0
    assert service(dog, "status") == 3
    assert service(dog, "stop") == 0
    assert service(dog, "try-restart") == 0
    assert pids(dog) == []
    assert service(dog, "nonsense") == 2


def test_nothing_is_left_after_a_stop(dog: Machine) -> None:
    assert "sleep 4001" in dog.pids().values()
    assert service(dog, "stop") == 0
    running = " ".join(dog.pids().values())
    assert "dog" not in running and "sleep 4001" not in running and "initkit" not in running
    left = dog.sh("ls -A /run/initkit").stdout.split()
    left = [name for name in left if name not in ("inaccessible", "filters")]  # of sandboxes, for all services
    assert all(name.endswith(".lock") for name in left), left  # a lock's file outlives what it is about
    assert not dog.exists(f"/run/{_NAME}.pid")


def test_a_shutdown_stops_it(machine: Machine) -> None:
    """And the next boot brings it back, with a count of its own."""
    assert service(machine, "start") == 0
    machine.reboot()
    assert (told(machine)["state"], told(machine)["restarts"]) == ("active", 0)
