"""`initkit start`, `stop`, `status` … on machines whose own init has the service: it is the one that is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .machine import SYSV, Machine, wait_until

_SETTINGS = """\
description = "A test of the verbs"
exec_start = ["/bin/sleep", "1000"]
exec_reload = ["/bin/sh", "-c", "echo reloaded >>/run/verbs.trace"]
standard_output = "journal"
"""
_NAME = "verbs"


@pytest.fixture(params=["its own", "initkit's"])
def served(machine: Machine, request: pytest.FixtureRequest) -> Iterator[tuple[Machine, str]]:
    """A machine, and who is in charge of the service there."""
    if not machine.exists("/usr/bin/initkit"):
        machine.install_initkit()
    machine.write(f"/etc/initkit/{_NAME}.toml", _SETTINGS)
    if request.param == "initkit's":
        yield machine, "nobody"
    elif machine.kind == SYSV:
        machine.sh(f"initkit gen-init {_NAME} >/etc/init.d/{_NAME}; chmod +x /etc/init.d/{_NAME}")
        yield machine, "the init script (service verbs "
        machine.run("rm", f"/etc/init.d/{_NAME}")
    else:
        machine.sh(f"initkit gen-unit {_NAME} >/etc/systemd/system/{_NAME}.service; systemctl daemon-reload")
        yield machine, "systemd (systemctl "
        machine.sh(f"rm /etc/systemd/system/{_NAME}.service; systemctl daemon-reload")
    machine.sh("rm -f /run/verbs.trace")


def sleepers(machine: Machine) -> list[int]:
    return [pid for pid, command in machine.pids().items() if command == "/bin/sleep 1000"]


def test_verbs(served: tuple[Machine, str]) -> None:
    machine, who = served
    assert machine.run("initkit", "status", _NAME, check=False).returncode == 3
    assert f"initkit: {_NAME}: {who}" in machine.run("initkit", "start", _NAME, "--verbose").stderr
    wait_until(lambda: len(sleepers(machine)) == 1)
    first = sleepers(machine)[0]
    shown = machine.run("initkit", "status", _NAME)
    assert str(first) in shown.stdout
    machine.run("initkit", "reload", _NAME)
    wait_until(lambda: machine.run("cat", "/run/verbs.trace", check=False).stdout == "reloaded\n", what="the reload")
    machine.run("initkit", "try-restart", _NAME)
    wait_until(lambda: sleepers(machine) not in ([], [first]))
    second = sleepers(machine)[0]
    machine.run("initkit", "restart", _NAME)
    wait_until(lambda: sleepers(machine) not in ([], [second]))
    machine.run("initkit", "kill", _NAME, "--signal=CONT", "--whom=main")
    machine.run("initkit", "stop", _NAME)
    assert sleepers(machine) == []
    assert machine.run("initkit", "status", _NAME, check=False).returncode == 3
    machine.run("initkit", "try-restart", _NAME)
    assert sleepers(machine) == []


def test_a_daemon_beside_its_unit(systemd_machine: Machine) -> None:
    """What runs outside of systemd is not taken for systemd's, though that knows a unit of the name."""
    machine = systemd_machine
    if not machine.exists("/usr/bin/initkit"):
        machine.install_initkit()
    machine.write(f"/etc/initkit/{_NAME}.toml", _SETTINGS)
    machine.sh(f"initkit gen-unit {_NAME} >/etc/systemd/system/{_NAME}.service; systemctl daemon-reload")
    machine.run("initkit", "run", _NAME, "--daemon")
    assert len(sleepers(machine)) == 1
    assert machine.run("initkit", "status", _NAME).returncode == 0
    stopped = machine.run("initkit", "stop", _NAME, "--verbose")
    assert "nobody" in stopped.stderr and sleepers(machine) == []
    machine.sh(f"rm /etc/systemd/system/{_NAME}.service; systemctl daemon-reload")


def test_logs_from_the_journal(systemd_machine: Machine) -> None:
    machine = systemd_machine
    if not machine.exists("/usr/bin/initkit"):
        machine.install_initkit()
    settings = _SETTINGS.replace('["/bin/sleep", "1000"]', '["/bin/sh", "-c", "echo hello; exec sleep 1000"]')
    machine.write("/etc/initkit/wordy.toml", settings)
    machine.run("initkit", "start", "wordy")
    wait_until(lambda: "hello" in machine.run("initkit", "logs", "wordy").stdout, what="the journal has it")
    machine.run("initkit", "stop", "wordy")
