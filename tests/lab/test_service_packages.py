"""A package made of what `initkit gen --for` writes and says: installed, upgraded and removed on real machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from .machine import OPENRC, SYSTEMD_257, SYSV, Kind, Machine, wait_until

SETTINGS = """\
description = "The weather: it's 100%%"
exec_start = ["/usr/bin/weather", "$OPTIONS"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "weather"
supplementary_groups = ["climate"]
state_directory = ["weather"]
logs_directory = ["weather"]
environment = { OPTIONS = "--version=1" }
environment_file = "-/etc/default/weather"
standard_output = "append:/var/log/weather-out/out"
wanted_by = ["multi-user.target"]
[initkit]
settle_sec = 0.1
"""
PROGRAM = "#!/bin/sh\nwhile :; do sleep 0.1; done\n"
CONTROL = """\
Package: weather
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: tells the weather
"""
#: The scripts as Debian calls them.
HOOKS = {"after-install": "postinst", "before-remove": "prerm", "after-remove": "postrm"}
START = {"systemd": ("systemctl", "start", "weather"), "sysv": ("service", "weather", "start"),
         "openrc": ("rc-service", "weather", "start")}  # fmt: skip
DISABLE = {"systemd": ("systemctl", "disable", "--now", "weather"), "sysv": ("update-rc.d", "weather", "disable"),
           "openrc": ("update-rc.d", "weather", "disable")}  # fmt: skip
INITS = "systemd,sysv,openrc"


@pytest.fixture(scope="module", params=[SYSTEMD_257, SYSV, OPENRC], ids=str)
def machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of each init, with versions 1 and 2 of the package in its root directory."""
    kind: Kind = request.param
    with Machine(kind) as machine:
        machine.install_initkit()
        for version in ("1", "2"):
            build(machine, version)
        yield machine


def build(machine: Machine, version: str) -> None:
    """A package of nothing but what initkit has written, and the program."""
    root = f"/build/{version}/root"
    machine.write("/build/weather.toml", SETTINGS.replace("=1", f"={version}"))
    argv = ("gen", "--for", INITS, "--root", root, "--scripts", f"/build/{version}/hooks", "--json")
    told = json.loads(machine.run("initkit", *argv, "/build/weather.toml").stdout)
    machine.write(f"{root}/usr/bin/weather", PROGRAM, mode=0o755)
    depends = "".join(f"Depends: {name}\n" for name in told["depends"])
    assert depends == ""  # the script stands alone, and this machine's initkit is no package
    machine.write(f"{root}/DEBIAN/control", CONTROL.format(version=version))
    configs = [file["path"] for file in told["files"] if file["config"]]
    machine.write(f"{root}/DEBIAN/conffiles", "\n".join([*configs, ""]))
    for name, debians in HOOKS.items():
        machine.run("cp", told["scripts"][name], f"{root}/DEBIAN/{debians}")
    machine.run("dpkg-deb", "--build", "--root-owner-group", root, f"/weather-{version}.deb")


def install(machine: Machine, version: str) -> None:
    machine.run("dpkg", "--install", f"/weather-{version}.deb")
    assert machine.run("dpkg", "--audit").stdout == ""


def running(machine: Machine) -> list[str]:
    """The arguments that the service runs with."""
    program = "/bin/sh /usr/bin/weather "
    return [command.removeprefix(program) for command in machine.pids().values() if command.startswith(program)]


def wait_for(machine: Machine, *arguments: str) -> None:
    wait_until(lambda: running(machine) == [*arguments], what=f"the service with {arguments}")


def test_a_life(machine: Machine) -> None:
    """In the order of an administrator's doing."""
    install(machine, "1")
    wait_for(machine, "--version=1")
    fields = machine.run("getent", "passwd", "weather").stdout.strip().split(":")
    assert fields[4:] == ["The weather it's 100%", "/var/lib/weather", "/usr/sbin/nologin"]
    machine.run("getent", "group", "climate")
    pid = next(pid for pid, command in machine.pids().items() if "/usr/bin/weather" in command)
    assert (
        machine.run("stat", "-c", "%U", f"/proc/{pid}", "/var/lib/weather", "/var/log/weather").stdout
        == "weather\n" * 3
    )
    assert machine.run("stat", "-c", "%U", "/var/log/weather-out").stdout == "root\n"
    assert machine.exists("/var/log/weather-out/out")

    machine.reboot()
    wait_for(machine, "--version=1")

    # An upgrade restarts it, and keeps what the administrator has changed.
    default = machine.read("/etc/default/weather")
    assert "\n#OPTIONS=--version=1\n" in default
    machine.write("/etc/default/weather", default + "MORE=yes\n")
    install_keeping(machine, "2")
    wait_for(machine, "--version=2")
    assert machine.read("/etc/default/weather").endswith("MORE=yes\n")

    # Disabled and stopped it stays so, also over an upgrade.
    machine.run(*DISABLE[machine.kind.init])
    machine.run(*(word.replace("start", "stop") for word in START[machine.kind.init]))
    install_keeping(machine, "1")
    assert running(machine) == []
    machine.reboot()
    assert running(machine) == []
    machine.run(*START[machine.kind.init])
    wait_for(machine, "--version=1")

    machine.run("dpkg", "--remove", "weather")
    assert running(machine) == []
    machine.run("dpkg", "--purge", "weather")
    assert machine.run("dpkg", "--audit").stdout == ""
    left = machine.sh("find / -xdev -name '*weather*' ! -path '/build*' ! -path '/proc/*' ! -path '/weather-*'").stdout
    # Accounts stay, and so does what was logged where no directory of the service's own is.
    assert {PurePath(path).parent.name for path in left.split()} <= {"log", "weather-out"}, left


def install_keeping(machine: Machine, version: str) -> None:
    """As `install`, where a new version brings a new /etc/default as well."""
    machine.run("dpkg", "--force-confold", "--install", f"/weather-{version}.deb")
    assert machine.run("dpkg", "--audit").stdout == ""
