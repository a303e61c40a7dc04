"""A package made of what `initkit gen --for` writes and says: installed, upgraded and removed on real machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from .machine import OPENRC, SYSTEMD_257, SYSV, Kind, Machine
from .package_life import Packaged, check_life, left

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
INITS = "systemd,sysv,openrc"
#: Where Debian's OpenRC has the LSB script, others have one for OpenRC only. That calls the runner, for $OPTIONS.
PLACES = [(SYSTEMD_257, INITS), (SYSV, INITS), (OPENRC, INITS), (OPENRC, "openrc")]


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: "-".join(map(str, place)))
def machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of each init, with versions 1 and 2 of the package in /packages."""
    kind: Kind
    kind, inits = request.param
    with Machine(kind) as machine:
        machine.install_initkit()
        machine.run("mkdir", "/packages")
        for version in ("1", "2"):
            build(machine, version, inits)
        yield machine


def build(machine: Machine, version: str, inits: str) -> None:
    """A package of nothing but what initkit has written, and the program."""
    root = f"/build/{version}/root"
    machine.write("/build/weather.toml", SETTINGS.replace("=1", f"={version}"))
    argv = ("gen", "--for", inits, "--root", root, "--scripts", f"/build/{version}/hooks", "--json")
    told = json.loads(machine.run("initkit", *argv, "/build/weather.toml").stdout)
    machine.write(f"{root}/usr/bin/weather", PROGRAM, mode=0o755)
    assert told["depends"] == (["initkit"] if inits == "openrc" else [])  # this machine's initkit is no package
    machine.write(f"{root}/DEBIAN/control", CONTROL.format(version=version))
    configs = [file["path"] for file in told["files"] if file["config"]]
    machine.write(f"{root}/DEBIAN/conffiles", "\n".join([*configs, ""]))
    for name, debians in HOOKS.items():
        machine.run("cp", told["scripts"][name], f"{root}/DEBIAN/{debians}")
    machine.run("dpkg-deb", "--build", "--root-owner-group", root, f"/packages/weather-{version}.deb")


def test_a_life(machine: Machine) -> None:
    check_life(machine, WEATHER)
    # What was logged where no directory of the service's own is stays, as accounts do.
    assert {PurePath(path).parent.name for path in left(machine, "weather")} <= {"log", "weather-out"}


JOB = """\
type = "oneshot"
exec_start = ["/bin/sh", "-c", "echo ran >>/var/ran"]
[timer]
on_calendar = "daily"
wanted_by = ["timers.target"]
"""


@pytest.mark.parametrize("machine", PLACES, indirect=True, ids=lambda place: "-".join(map(str, place)))
def test_a_job_waits_for_its_time(machine: Machine, request: pytest.FixtureRequest) -> None:
    """Neither an installation runs it nor an upgrade, also after it has run."""
    machine.write("/build/job.toml", JOB)
    machine.write("/var/ran", "")
    inits = request.node.callspec.params["machine"][1]
    machine.run("initkit", "gen", "--for", inits, "--root", "/", "--scripts", "/build/job", "/build/job.toml")
    machine.run("sh", "/build/job/after-install", "configure", "")
    assert machine.read("/var/ran") == ""
    start = {"openrc": "rc-service", "sysv": "service"}.get(machine.kind.init, "")
    machine.run(*([start, "job", "start"] if start else ["systemctl", "start", "job"]))
    assert machine.read("/var/ran") == "ran\n"
    machine.run("sh", "/build/job/after-install", "configure", "1")
    assert machine.read("/var/ran") == "ran\n"
    machine.run("sh", "/build/job/before-remove", "remove")
    machine.run("sh", "/build/job/after-remove", "purge")


@pytest.mark.parametrize("machine", PLACES[1:2], indirect=True)
def test_a_purge_where_no_systemd_has_been(machine: Machine) -> None:
    machine.run("mv", "/etc/systemd", "/etc/systemd.away")
    try:
        machine.run("sh", "/build/1/hooks/after-remove", "purge")
    finally:
        machine.run("mv", "/etc/systemd.away", "/etc/systemd")


@pytest.mark.parametrize("machine", PLACES[-1:], indirect=True)
def test_openrc_is_told_of_scripts_that_come_and_go(machine: Machine) -> None:
    """Also of one that does not look newer than what OpenRC knows of all scripts' dependencies."""
    known = "/run/openrc/deptree"

    def run(*words: str) -> bool:
        machine.run("touch", "--date=+1 hour", known)
        machine.run("dpkg", *words)
        return "='weather'" in machine.read(known)

    assert run("--install", "/packages/weather-1.deb")
    assert run("--remove", "weather")  # its script stays
    assert not run("--purge", "weather")


TEMPLATE = """\
[Service]
ExecStart=/bin/sleep 10%i
[Install]
WantedBy=multi-user.target
"""


@pytest.mark.parametrize("machine", PLACES[:1], indirect=True)
def test_the_instances_of_a_template(machine: Machine) -> None:
    """All that run are restarted by an upgrade and ended by a removal; of its own only the default is started."""

    def active(name: str) -> dict[str, str]:
        words = machine.run("systemctl", "list-units", "--plain", "--no-legend", f"{name}@*").stdout.split()
        units = [word for word in words if "@" in word and "." in word]
        return {unit: machine.run("systemctl", "show", "-P", "MainPID", unit).stdout.strip() for unit in {*units}}

    def run(name: str, script: str, *words: str) -> str:
        """What it says besides the links that systemctl makes and takes away."""
        done = machine.run("sh", f"/build/{name}/{script}", *words)
        lines = (done.stdout + done.stderr).splitlines()
        return "\n".join(line for line in lines if not line.startswith(("Created symlink", "Removed ")))

    for name, install, first in (("plain", "", set()), ("named", "DefaultInstance=1\n", {"named@1.service"})):
        machine.write(f"/build/{name}@.service", TEMPLATE + install)
        argv = ("gen", "--for", "systemd", "--root", "/", "--scripts", f"/build/{name}", f"/build/{name}@.service")
        machine.run("initkit", *argv)
        assert run(name, "after-install", "configure", "") == ""
        assert active(name).keys() == first
        machine.run("systemctl", "enable", "--now", "--quiet", f"{name}@2.service")
        before = active(name)
        assert before.keys() == first | {f"{name}@2.service"}
        assert run(name, "after-install", "configure", "1") == ""
        after = active(name)
        assert after.keys() == before.keys() and not {*after.values()} & {*before.values()}
        assert run(name, "before-remove", "remove") == ""
        assert not active(name)
        machine.run("rm", f"/usr/lib/systemd/system/{name}@.service")
        assert run(name, "after-remove", "purge") == ""
        assert machine.run("find", "/etc/systemd", "-name", f"{name}@*").stdout == ""


def first_install(machine: Machine) -> None:
    """The accounts are as told, and the directory of the output is root's."""
    fields = machine.run("getent", "passwd", "weather").stdout.strip().split(":")
    assert fields[4:] == ["The weather it's 100%", "/var/lib/weather", "/usr/sbin/nologin"]
    machine.run("getent", "group", "climate")
    assert machine.run("stat", "-c", "%U", "/var/log/weather-out").stdout == "root\n"
    assert machine.exists("/var/log/weather-out/out")


WEATHER = Packaged(
    name="weather",
    program="/bin/sh /usr/bin/weather",
    arguments={"1": ["--version=1"], "2": ["--version=2"]},
    debs={version: [f"/packages/weather-{version}.deb"] for version in "12"},
    directories=("/var/lib/weather", "/var/log/weather"),
    default="\n#OPTIONS=--version=1\n",
    first_install=first_install,
)
