"""Generated init scripts of real services on a real sysvinit, which starts and stops them by its runlevels."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .machine import SYSV, Machine, wait_until
from .services import ALL, EXAMPLE, NGINX, REDIS, TRACE, TRACES, Example

# nginx's script stands alone; the other two are of a kind and a restart policy that need the runner.
ORDER = {REDIS: "", EXAMPLE: 'after = ["redis.service"]', NGINX: 'after = ["example.service", "network.target"]'}


@pytest.fixture(scope="module")
def machine(lab: None) -> Iterator[Machine]:
    """A machine that has booted with the three services enabled."""
    with Machine(SYSV) as machine:
        machine.sh("mkdir -p /var/lib/lab && touch /var/lib/lab/trace")
        for service, order in ORDER.items():
            service.install(machine, TRACES.format(trace=TRACE, name=service.name) + order + "\n")
            install_script(machine, service.name)
        machine.reboot()
        yield machine


def install_script(machine: Machine, name: str) -> None:
    machine.sh('initkit gen-init "$1" >"/etc/init.d/$1" && chmod +x "/etc/init.d/$1"', name)
    enabled = machine.run("update-rc.d", name, "defaults")
    assert enabled.stdout + enabled.stderr == ""  # insserv says what is wrong with a header


def call(machine: Machine, name: str, verb: str) -> int:
    """The exit status of `service NAME VERB`."""
    return machine.run("service", name, verb, check=False).returncode


def test_they_are_up_after_boot_in_their_order(machine: Machine) -> None:
    links = machine.sh("cd /etc/rc2.d && ls").stdout.split()
    assert [name for link in links if (name := re.sub(r"S\d\d", "", link)) in ("redis", "nginx", "example")] == [
        "redis",
        "example",
        "nginx",
    ]
    for service in ALL:
        service.wait(machine)
        assert call(machine, service.name, "status") == 0
    started = machine.read(TRACE).split("\n")[:3]
    assert started == ["start redis", "start example", "start nginx"]
    assert "RUNNER" not in machine.read("/etc/init.d/nginx")  # it stands alone


@pytest.mark.parametrize("service", ALL, ids=str)
def test_the_right_attributes(machine: Machine, service: Example) -> None:
    service.wait(machine)
    service.check_attributes(machine)


@pytest.mark.parametrize("service", ALL, ids=str)
def test_the_sequence_of_pacemaker(machine: Machine, service: Example) -> None:
    call(machine, service.name, "stop")
    verbs = ("start", "status", "start", "stop", "status", "stop")
    assert [call(machine, service.name, verb) for verb in verbs] == [0, 0, 0, 0, 3, 0]
    assert not service.pids(machine)
    assert call(machine, service.name, "start") == 0
    service.wait(machine)


@pytest.mark.parametrize("service", ALL, ids=str)
def test_a_second_start_changes_nothing(machine: Machine, service: Example) -> None:
    before = service.main_pid(machine)
    assert call(machine, service.name, "start") == 0
    assert service.main_pid(machine) == before


@pytest.mark.parametrize("service", ALL, ids=str)
def test_reload(machine: Machine, service: Example) -> None:
    if service.reloads:
        service.check_reload(machine, "service", service.name, "reload")
    else:
        assert call(machine, service.name, "reload") == 3  # LSB: unimplemented feature


@pytest.mark.parametrize("service", ALL, ids=str)
def test_restart(machine: Machine, service: Example) -> None:
    before = service.main_pid(machine)
    assert call(machine, service.name, "restart") == 0
    service.wait(machine)
    assert service.main_pid(machine) != before
    before = service.main_pid(machine)
    assert call(machine, service.name, "try-restart") == 0
    service.wait(machine)
    assert service.main_pid(machine) != before
    assert call(machine, service.name, "stop") == 0
    assert call(machine, service.name, "try-restart") == 0
    assert not service.pids(machine)
    assert call(machine, service.name, "restart") == 0
    service.wait(machine)


@pytest.mark.parametrize("service", ALL, ids=str)
def test_it_is_killed(machine: Machine, service: Example) -> None:
    killed = service.kill(machine)
    if service.restarts:
        wait_until(lambda: bool(service.pids(machine)), what=f"the restart of {service}")
        service.wait(machine)
        assert service.main_pid(machine) != killed
    else:
        assert call(machine, service.name, "status") == 1  # dead, and the PID file exists
        assert call(machine, service.name, "start") == 0
        service.wait(machine)
    assert call(machine, service.name, "status") == 0


def test_a_reboot_stops_them_in_their_order(machine: Machine) -> None:
    machine.write(TRACE, "", mode=0o666)
    machine.reboot()
    for service in ALL:
        service.wait(machine)
    stopped_and_started = machine.read(TRACE).split("\n")[:-1]
    assert stopped_and_started == [
        *("stop nginx", "stop example", "stop redis"),
        *("start redis", "start example", "start nginx"),
    ]


def test_they_come_back_after_a_power_cut(machine: Machine) -> None:
    """PID files and other leavings of the life before do not confuse the next one."""
    machine.reboot(clean=False)
    for service in ALL:
        service.wait(machine)
        assert call(machine, service.name, "status") == 0


def test_nothing_is_left_running(machine: Machine) -> None:
    for service in ALL:
        assert call(machine, service.name, "stop") == 0
    running = " ".join(machine.pids().values())
    assert not re.search("nginx|redis|example|initkit|logger", running), running
    left = machine.sh("ls -A /run/initkit").stdout.split()
    left = [name for name in left if name not in ("inaccessible", "filters")]  # of sandboxes, for all services
    assert all(name.endswith(".lock") for name in left), left  # a lock's file outlives what it is about
