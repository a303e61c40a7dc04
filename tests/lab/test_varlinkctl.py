"""systemd's own Varlink client against a manager's control socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .machine import SYSTEMD_257, CommandFailed, Machine, wait_until

SOCKET = "/run/initkit/sleeper.sock"
NAME = "io.initkit.Manager"


@pytest.fixture(scope="module")
def machine(lab: None) -> Iterator[Machine]:
    """A machine with varlinkctl, and a daemon under initkit's supervision."""
    with Machine(SYSTEMD_257) as made:
        made.install_initkit()
        made.write(
            "/etc/initkit/sleeper.service",
            '[Unit]\nDescription=Sleeps "soundly"\n[Service]\nExecStart=/bin/sh -c "echo begun; exec sleep 1000"\n'
            "Restart=on-failure\nStandardOutput=append:/var/log/sleeper\n",
        )
        yield made


@pytest.fixture(autouse=True)
def _running(machine: Machine) -> None:
    machine.run("initkit", "run", "--daemon", "sleeper")


def varlinkctl(machine: Machine, *words: str) -> str:
    return machine.run("varlinkctl", *words).stdout


def call(machine: Machine, method: str, parameters: str = "{}", *options: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        varlinkctl(machine, *options, "--json=short", "call", SOCKET, f"{NAME}.{method}", parameters)
    )
    return found


def test_info(machine: Machine) -> None:
    told = varlinkctl(machine, "info", SOCKET)
    assert "Vendor: initkit" in told
    assert NAME in told
    assert "org.varlink.service" in told


@pytest.mark.parametrize("interface", [NAME, "org.varlink.service"])
def test_introspection(machine: Machine, interface: str) -> None:
    told = varlinkctl(machine, "introspect", SOCKET, interface)  # which reads it with its own parser
    assert f"interface {interface}" in told
    assert NAME in varlinkctl(machine, "list-interfaces", SOCKET).split()
    # Its own rules for interfaces, as strict as systemd's.
    raw = json.loads(
        varlinkctl(
            machine, "--json=short", "call", SOCKET, "org.varlink.service.GetInterfaceDescription",
            json.dumps({"interface": interface}),
        )
    )["description"]  # fmt: skip
    machine.write("/tmp/interface", raw)
    machine.run("varlinkctl", "validate-idl", "/tmp/interface")


def test_methods(machine: Machine) -> None:
    assert f"{NAME}.Restart" in varlinkctl(machine, "list-methods", SOCKET, NAME).split()


def test_calls(machine: Machine) -> None:
    service = call(machine, "Status")["service"]
    assert isinstance(service, dict)
    assert (service["name"], service["state"], service["description"]) == ("sleeper", "active", 'Sleeps "soundly"')
    assert call(machine, "Restart", '{"name": "sleeper"}') == {}
    again = call(machine, "Status", '{"name": null}')["service"]
    assert isinstance(again, dict)
    assert again["mainPid"] not in (None, service["mainPid"])
    assert call(machine, "Logs", '{"lines": 1}') == {"lines": ["begun"]}
    assert isinstance(call(machine, "Ping")["pid"], int)


@pytest.mark.parametrize(
    ("method", "parameters", "error"),
    [
        ("Status", '{"name": "other"}', f"{NAME}.NoSuchService"),
        ("Status", '{"name": 1}', "org.varlink.service.InvalidParameter"),
        ("Nothing", "{}", "org.varlink.service.MethodNotFound"),
        ("Reload", "{}", f"{NAME}.ReloadFailed"),
    ],
)
def test_errors(machine: Machine, method: str, parameters: str, error: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        call(machine, method, parameters)
    short = error.rpartition(".")[2]
    assert error in str(caught.value) or short in str(caught.value)


def test_a_stream(machine: Machine) -> None:
    script = 'setsid varlinkctl --more --json=short call "$1" "$2" "{}" >/tmp/stream 2>/tmp/errors </dev/null &'
    machine.sh(script, SOCKET, f"{NAME}.Status")
    wait_until(lambda: "active" in machine.read("/tmp/stream"), what="the first state")
    call(machine, "Restart")
    call(machine, "Stop")
    wait_until(lambda: not any("varlinkctl" in each for each in machine.pids().values()), what="the stream's end")
    # One JSON text a state, with systemd's record separators between them.
    told = [json.loads(line) for line in machine.read("/tmp/stream").replace("\x1e", "\n").splitlines() if line.strip()]
    states = [each["service"]["state"] for each in told]
    assert states[:4] == ["active", "deactivating", "activating", "active"]
    assert states[-1] == "inactive"
    assert machine.read("/tmp/errors") == ""


def test_stop(machine: Machine) -> None:
    assert call(machine, "Stop") == {}
    assert "sleep 1000" not in machine.pids().values()
    wait_until(lambda: not machine.exists(SOCKET), what="the end of the socket")
    with pytest.raises(CommandFailed):
        call(machine, "Ping")


@pytest.mark.parametrize("socket", ["up", "one"])
def test_a_manager_of_several(machine: Machine, socket: str) -> None:
    """By its own name, and by that of a service."""
    path = f"/run/initkit/{socket}.sock"
    for name in ("one", "two"):
        machine.write(f"/etc/initkit/{name}.service", "[Service]\nExecStart=/bin/sleep 2000\n")
    machine.sh("setsid initkit up one two </dev/null >/var/log/up 2>&1 &")
    wait_until(lambda: machine.run("initkit", "status", "two", check=False).returncode == 0, what="initkit up")
    assert f"interface {NAME}" in varlinkctl(machine, "introspect", path, NAME)
    listed = json.loads(varlinkctl(machine, "--json=short", "call", path, f"{NAME}.List", "{}"))
    assert [(each["name"], each["state"]) for each in listed["services"]] == [("one", "active"), ("two", "active")]
    script = 'setsid varlinkctl --more --json=short call "$1" "$2" "$3" >/tmp/stream 2>/tmp/errors </dev/null &'
    machine.sh(script, path, f"{NAME}.Status", '{"name": "two"}')
    wait_until(lambda: "active" in machine.read("/tmp/stream"), what="the first state")
    varlinkctl(machine, "call", path, f"{NAME}.Stop", '{"name": "two"}')
    wait_until(lambda: '"inactive"' in machine.read("/tmp/stream"), what="the last state")
    manager = json.loads(varlinkctl(machine, "--json=short", "call", path, f"{NAME}.Ping", "{}"))["pid"]
    machine.run("kill", str(manager))
    wait_until(lambda: not any("varlinkctl" in each for each in machine.pids().values()), what="the stream's end")
    wait_until(lambda: manager not in machine.pids(), what="the manager's end")
    assert not machine.exists(path)
    assert "sleep 2000" not in machine.pids().values()
