"""Generated units of real services on real systemd."""

from __future__ import annotations

import pytest

from .machine import Machine, wait_until
from .services import ALL, Example


@pytest.mark.parametrize("options", [(), ("--runner",)], ids=["native", "runner"])
@pytest.mark.parametrize("service", ALL, ids=str)
def test_a_service_lives(systemd_machine: Machine, service: Example, options: tuple[str, ...]) -> None:
    machine, name = systemd_machine, service.name
    before = sorted(machine.pids().values())
    ended = f"/run/{name}.ended"
    trace = f'exec_stop_post = ["+/bin/sh", "-c", "echo ${{SERVICE_RESULT}} >{ended}"]\n'
    service.install(machine, trace)
    install_unit(machine, name, *options)
    machine.run("systemctl", "enable", name)
    assert machine.run("systemctl", "is-enabled", name).stdout == "enabled\n"

    machine.run("systemctl", "start", name)
    assert machine.run("systemctl", "is-active", name).stdout == "active\n"
    service.wait(machine)
    assert show(machine, name, "MainPID") == str(service.main_pid(machine))
    assert not [command for command in machine.pids().values() if "initkit run" in command]  # it became the program
    service.check_attributes(machine)

    if service.reloads:
        service.check_reload(machine, "systemctl", "reload", name)

    killed = service.kill(machine)
    if service.restarts:
        wait_until(lambda: show(machine, name, "NRestarts") == "1", what=f"the restart of {name}")
        service.wait(machine)
        assert service.main_pid(machine) != killed
    else:
        wait_until(lambda: show(machine, name, "ActiveState") == "failed", what=f"the failure of {name}")
        assert show(machine, name, "Result") == "signal"
        machine.run("systemctl", "start", name)
        service.wait(machine)

    group = show(machine, name, "ControlGroup")
    machine.run("systemctl", "stop", name)
    assert machine.run("systemctl", "is-active", name, check=False).stdout == "inactive\n"
    assert machine.read(ended) == "success\n"
    assert not machine.exists(f"/sys/fs/cgroup{group}")
    assert not service.answers(machine)
    machine.run("systemctl", "disable", name)
    assert sorted(machine.pids().values()) == before


def install_unit(machine: Machine, name: str, *options: str) -> None:
    """Generate a unit, of which `systemd-analyze verify` has nothing to say, and have systemd load it."""
    unit = f"/etc/systemd/system/{name}.service"
    machine.sh('unit=$1; shift; initkit gen-unit "$@" >"$unit"', unit, *options, name)
    verified = machine.run("systemd-analyze", "--man=no", "verify", unit)
    assert verified.stdout + verified.stderr == ""
    machine.run("systemctl", "daemon-reload")


def show(machine: Machine, name: str, what: str) -> str:
    return machine.run("systemctl", "show", "--value", f"--property={what}", name).stdout.strip()
