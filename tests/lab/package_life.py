"""The life of a package with a service, which is the same on every init: from its installation until it is purged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .machine import Machine, wait_until

_SERVICE = {"sysv": "service", "openrc": "rc-service"}
_OPENRC = "#!/sbin/openrc-run\n"


@dataclass(frozen=True)
class Packaged:
    """A package, called as its service and its user are.

    `program` is how its command line begins, and `arguments` are those of each version; `debs` are the files in the
    machine that each version takes; `directories` are the user's; `default` is a line of version 1's /etc/default;
    `first_install` looks at the machine once the service runs for the first time.
    """

    name: str
    program: str
    arguments: Mapping[str, Sequence[str]]
    debs: Mapping[str, Sequence[str]]
    directories: Sequence[str]
    default: str
    first_install: Callable[[Machine], None] = lambda machine: None

    def install(self, machine: Machine, version: str) -> None:
        """As an administrator who keeps what is in /etc."""
        machine.run("dpkg", "--force-confold", "--install", *self.debs[version])
        assert machine.run("dpkg", "--audit").stdout == ""

    def pids(self, machine: Machine) -> dict[int, list[str]]:
        """The processes of the program, with their arguments."""
        words = self.program.split()
        found = {pid: command.split() for pid, command in machine.pids().items()}
        return {pid: each[len(words) :] for pid, each in found.items() if each[: len(words)] == words}

    def wait(self, machine: Machine, version: str) -> None:
        """Until it runs once, as this version has it."""
        wanted = [[*self.arguments[version]]]
        wait_until(lambda: [*self.pids(machine).values()] == wanted, what=f"version {version} of {self.name}")


def check_life(machine: Machine, it: Packaged) -> None:
    """In the order of an administrator's doing."""
    init, default = machine.kind.init, f"/etc/default/{it.name}"
    it.install(machine, "1")
    it.wait(machine, "1")
    (pid,) = it.pids(machine)
    owners = machine.run("stat", "-c", "%U", f"/proc/{pid}", *it.directories).stdout.split()
    assert owners == [it.name] * (1 + len(it.directories))
    it.first_install(machine)

    machine.reboot()
    it.wait(machine, "1")

    # An upgrade restarts it, and keeps what the administrator has changed.
    text = machine.read(default)
    assert it.default in text
    machine.write(default, text + "MORE=yes\n")
    it.install(machine, "2")
    it.wait(machine, "2")
    assert machine.read(default).endswith("MORE=yes\n")
    (pid,) = it.pids(machine)
    assert "MORE=yes" in machine.read(f"/proc/{pid}/environ").split("\0")

    # Disabled and stopped it stays so, also over an upgrade.
    machine.run(*_disable(machine, it.name))
    machine.run(*_verb(init, it.name, "stop"))
    it.install(machine, "1")
    assert not it.pids(machine)
    machine.reboot()
    assert not it.pids(machine)
    machine.run(*_verb(init, it.name, "start"))
    it.wait(machine, "1")

    machine.run("dpkg", "--remove", it.name)
    assert not it.pids(machine)
    assert machine.run("dpkg", "--audit").stdout == ""
    assert machine.read(default).endswith("MORE=yes\n")
    assert machine.exists(it.directories[0])
    machine.run("dpkg", "--purge", it.name)
    assert machine.run("dpkg", "--audit").stdout == ""


def _disable(machine: Machine, name: str) -> tuple[str, ...]:
    """Debian has update-rc.d(8) for LSB scripts, under OpenRC as well."""
    if machine.kind.init == "systemd":
        return ("systemctl", "disable", name)
    own = machine.read(f"/etc/init.d/{name}").startswith(_OPENRC)
    return ("rc-update", "del", name) if own else ("update-rc.d", name, "disable")


def _verb(init: str, name: str, verb: str) -> tuple[str, ...]:
    return ("systemctl", verb, name) if init == "systemd" else (_SERVICE[init], name, verb)


def left(machine: Machine, name: str) -> list[str]:
    """The files by the package's name that a purge has left."""
    return machine.sh(
        "find / -xdev -name \"*$1*\" ! -path '/build*' ! -path '/proc/*' ! -path '/packages/*'", name
    ).stdout.split()
