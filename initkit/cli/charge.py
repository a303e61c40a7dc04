"""Who looks after a service: a manager whose socket answers, an init that has the service, or nobody."""

from __future__ import annotations

import os
import stat

from initkit.cli.init_table import INITS, Init
from initkit.errors import InitkitError, NotPermitted
from initkit.run import identity, survey
from initkit.settings.record import Record
from initkit.settings.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_UNKNOWN = 4  # LSB, of a status
_NOT_INSTALLED = 5  # LSB
_PATIENCE = 5.0  # seconds that a manager has to answer a ping


class Charge(Record):
    """Who is in charge: `socket` of a manager, `init` with the service's `place`, or neither. `service` is the user's
    or the system's, whichever is meant by that."""

    service: Service
    socket: str = ""
    init: Init | None = None
    place: str = ""

    def __str__(self) -> str:
        if self.socket:
            return f"the manager at {self.socket}"
        return self.init.name if self.init else "nobody: initkit does it"

    @property
    def shared(self) -> bool:
        """Whether the manager has several services: see `initkit.run.aliases`."""
        return os.path.islink(self.socket) or self.socket != socket_path(self.service)

    def demand_script(self) -> None:
        """Check that a script of the init's, where it has the service in one, can be run.

        Raises:
            InitkitError: with LSB's exit status 5, not installed.
        """
        if self.place.startswith("/etc/init.d/") and not os.access(self.place, os.X_OK):
            raise InitkitError(f"{self.place}: not executable", hint=f"chmod +x {self.place}", status=_NOT_INSTALLED)

    def argv(self, verb: str, **values: str) -> tuple[str, ...]:
        """What the init is told; empty where it has no words for it."""
        words = self.init.words.get(verb, ()) if self.init else ()
        known = {**_values(self.service), "place": self.place, "whom": "all", **values}
        return tuple(word.format_map(known) for word in words)

    def ask(self) -> tuple[int, str]:
        """What the init says of the service: LSB's exit status for it, and the output."""
        status, text = _output(self.argv("status"))
        mark = self.init.stopped if self.init else ""
        if status == 0 and mark and any(line.startswith(mark) for line in text.splitlines()):
            return 3, text
        return status, text


def find(service: Service) -> Charge:
    """Who is in charge of a service, asked in the order of the manual."""
    managed = manager(service)
    if managed:
        return managed
    daemons = [(each, found) for each in _kin(service) if (found := survey.find(each))]
    for init in INITS:
        place = _place(init, service)
        if place is not None and not any(_elsewhere(init, service, found.process.pid) for _, found in daemons):
            return Charge(service, init=init, place=place)
    return Charge(daemons[0][0] if daemons else service)


def manager(service: Service) -> Charge | None:
    """The manager whose socket answers for a service, if there is one."""
    for each in _kin(service):
        path = socket_path(each)
        if answers(path):
            return Charge(each, path)
        by_register = survey.managers_socket(each.runtime_root, each.name)  # that has others, and lacks this name
        if by_register not in ("", path) and answers(by_register):
            return Charge(each, by_register)
    return None


def known(name: str, *, user: bool) -> Service | None:
    """A service without settings here, by its name alone, if a manager or its own process answers for it, or it has
    left a record of itself."""
    from initkit.run import commands

    bare = Service(name, "", (), user=user)
    if manager(bare):
        return bare
    return next((each for each in _kin(bare) if commands.ping(each) or recorded(each)), None)


def recorded(service: Service) -> bool:
    """Whether there is a PID file of initkit's own, or a register, of a service: enough to show it and to stop it."""
    return service.name in survey.overview(service.runtime_root)


def socket_path(service: Service) -> str:
    """Where a manager of this service listens."""
    return f"{service.runtime_root}/initkit/{service.name}.sock"


def answers(path: str) -> bool:
    """Whether a manager listens there, and is well.

    Raises:
        InitkitError: when this user may not ask, or it has too many clients, or several services and is stuck (exit
            status 4).
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    from initkit.run import client

    try:
        client.call(path, "Ping", timeout=_PATIENCE)
    except (client.HungUp, client.RemoteError):
        raise  # it is there
    except InitkitError as fault:
        if fault.status == NotPermitted.status:
            raise
        if os.path.islink(path) and not isinstance(fault, client.NoManager):
            raise InitkitError(f"{path}: the manager does not answer", status=_UNKNOWN) from None
        return False  # it has gone, or its service can be reached without it
    return True


def _kin(service: Service) -> tuple[Service, ...]:
    """The service as a user's own, and as the system's, which a user may ask about as well."""
    if not service.user:
        return (service,)
    return (service, Service(service.name, service.path, service.entries, user=False))


def _values(service: Service) -> dict[str, str]:
    return {
        "name": service.name,
        "unit": service.unit,
        "runtime": service.runtime_root,
        "home": os.path.expanduser("~"),
        "SVDIR": os.environ.get("SVDIR", "/etc/service"),
    }


def _place(init: Init, service: Service) -> str | None:
    """The path by which the init has the service, "" where a command told that it has it; None when it has not."""
    if init.users and not service.user:
        return None
    known = _values(service)
    if not any(_there(known, init.runs)):
        return None
    if not init.asks:
        return next(_there(known, init.has), None)
    _, answer = _output(tuple(word.format_map(known) for word in init.asks))
    return "" if answer.strip() == "loaded" else None


def _there(known: dict[str, str], patterns: tuple[str, ...]) -> Iterator[str]:
    return (path for path in (each.format_map(known) for each in patterns) if os.path.lexists(path))


def _elsewhere(init: Init, service: Service, pid: int) -> bool:
    """Whether the service runs outside of a systemd that has a unit for it."""
    return bool(init.asks) and f"/{service.unit}" not in identity.read(f"/proc/{pid}/cgroup")


def _output(words: tuple[str, ...]) -> tuple[int, str]:
    """A command's exit status and output; without `subprocess`, which costs more than the command."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    actions = ((os.POSIX_SPAWN_DUP2, sink, 1), (os.POSIX_SPAWN_DUP2, null, 2))
    try:
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
    except OSError:
        pid = 0
    os.close(sink)
    os.close(null)
    with open(source, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    return (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 127), text
