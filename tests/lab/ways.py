"""The ways in which settings become a running service; they start it, and `Way.stop` ends it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from .machine import Machine


@dataclass(frozen=True)
class Way:
    """`start` takes a machine with initkit and the path of settings in it, `stop` the service's name instead."""

    name: str
    start: Callable[[Machine, str], object]
    stop: Callable[[Machine, str], object]

    def __str__(self) -> str:
        return self.name


def name_of(path: str) -> str:
    """The service's name."""
    return os.path.splitext(os.path.basename(path))[0]


def start_unit(machine: Machine, path: str, *options: str) -> None:
    """Generate a unit, of which `systemd-analyze verify` has nothing to say, and start it."""
    unit = f"/etc/systemd/system/{name_of(path)}.service"
    machine.sh('unit=$1; shift; initkit gen-unit "$@" >"$unit"', unit, *options, path)
    verified = machine.run("systemd-analyze", "--man=no", "verify", unit)  # the lab goes without manual pages
    assert verified.stdout + verified.stderr == ""
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", name_of(path))


def stop_unit(machine: Machine, name: str) -> None:
    machine.run("systemctl", "stop", name)


def start_script(machine: Machine, path: str, *options: str) -> None:
    """Generate an init script and start it."""
    script = f"/etc/init.d/{name_of(path)}"
    machine.sh('script=$1; shift; initkit gen-init "$@" >"$script" && chmod +x "$script"', script, *options, path)
    machine.run("service", name_of(path), "start")


def start_script_with_runner(machine: Machine, path: str) -> None:
    """The same for a script that calls the runner, which looks for the settings by name."""
    machine.sh('rm -rf /etc/initkit && mkdir /etc/initkit && cp "$1" /etc/initkit', path)
    start_script(machine, path, "--runner")


def stop_script(machine: Machine, name: str) -> None:
    machine.run("service", name, "stop")


def start_openrc(machine: Machine, path: str, *options: str) -> None:
    """Generate OpenRC's files and start the service."""
    machine.sh('initkit gen openrc "$@" --output-dir / >/dev/null', *options, path)
    machine.run("rc-service", name_of(path), "start")


def start_openrc_with_runner(machine: Machine, path: str) -> None:
    """The same for a script that calls the runner, which looks for the settings by name."""
    machine.sh('rm -rf /etc/initkit && mkdir /etc/initkit && cp "$1" /etc/initkit', path)
    start_openrc(machine, path, "--runner")


def stop_openrc(machine: Machine, name: str) -> None:
    machine.run("rc-service", name, "stop")


def start_in_foreground(machine: Machine, path: str) -> None:
    machine.sh('initkit run "$1" --foreground >/dev/null 2>&1 & echo $! >/run/foreground.pid', path)


def stop_in_foreground(machine: Machine, name: str) -> None:
    machine.sh("kill $(cat /run/foreground.pid)")


def stop_daemon(machine: Machine, name: str) -> None:
    """End the supervisor where one stays, else the program."""
    machine.sh('cat "/run/initkit/$1.pid" "/run/$1.pid" 2>/dev/null | { read -r pid _; kill "$pid"; }', name)


UNIT = Way("unit", start_unit, stop_unit)
UNIT_WITH_RUNNER = Way("unit-runner", lambda machine, path: start_unit(machine, path, "--runner"), stop_unit)
SCRIPT = Way("script", lambda machine, path: start_script(machine, path, "--standalone"), stop_script)
SCRIPT_WITH_RUNNER = Way("script-runner", start_script_with_runner, stop_script)
OPENRC_SCRIPT = Way("openrc", start_openrc, stop_openrc)
OPENRC_WITH_RUNNER = Way("openrc-runner", start_openrc_with_runner, stop_openrc)
FOREGROUND = Way("foreground", start_in_foreground, stop_in_foreground)
DAEMON = Way("daemon", lambda machine, path: machine.run("initkit", "run", path, "--daemon"), stop_daemon)

SYSTEMD = (UNIT, UNIT_WITH_RUNNER)
OPENRC = (OPENRC_SCRIPT, OPENRC_WITH_RUNNER)
SYSV = (SCRIPT, SCRIPT_WITH_RUNNER, FOREGROUND, DAEMON)
