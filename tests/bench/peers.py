"""The managers that are measured: how each is told of its services, is started, and is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from place import Place, until

Words = list[str | Path]


class Peer:
    """A manager. `start` begins with so many services of the one program, under the name `name(0)`, `name(1)` …;
    `status` and `stop` are commands about the first one, None where there is none.

    `needs` are the programs without which it is not measured.
    """

    title = ""
    needs: tuple[str, ...] = ()
    most = 1_000_000  # services under one manager

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = Path()

    def missing(self) -> list[str]:
        """What is not installed."""
        return [name for name in self.needs if not self.place.tool(name)]

    def tool(self, number: int = 0) -> str:
        """The path of what it needs."""
        return self.place.tool(self.needs[number])

    def prepare(self, count: int) -> None:
        """Write its settings, which is not measured."""
        self.folder = self.place.fresh(self.title)
        self.write(count)

    def write(self, count: int) -> None:
        """Its settings."""
        raise NotImplementedError

    def start(self) -> subprocess.Popen[bytes]:
        """Start it."""
        raise NotImplementedError

    def settled(self) -> None:
        """Wait until it can be asked."""

    def status(self) -> Words | None:
        """Ask about the first service."""
        return None

    def stop(self) -> Words | None:
        """Stop the first service, and wait until it is down."""
        return None


class Initkit(Peer):
    """initkit: `up` for several, `run` in the foreground for one."""

    title = "initkit"
    needs = ("initkit",)

    def write(self, count: int) -> None:
        self.count = count
        self.files = [self.folder / f"{self.place.name(str(number))}.service" for number in range(count)]
        for file in self.files:
            file.write_text(
                f"[Service]\nExecStart={self.place.program}\nRestart=always\nRestartSec=0\nStandardOutput=null\n"
            )

    def start(self) -> subprocess.Popen[bytes]:
        if self.count == 1:
            return self.place.begin([self.tool(), "run", self.files[0], "--foreground"])
        return self.place.begin([self.tool(), "up", "--name", self.place.name("up"), *self.files])

    def settled(self) -> None:
        socket = self.place.runtime / "initkit" / f"{self.place.name('0' if self.count == 1 else 'up')}.sock"
        until(socket.exists, "initkit's socket")

    def status(self) -> Words | None:
        return [self.tool(), "status", self.files[0]]

    def stop(self) -> Words | None:
        return [self.tool(), "stop", self.files[0]]


class Supervisor(Peer):
    """supervisord."""

    title = "supervisor"
    needs = ("supervisord", "supervisorctl")

    def write(self, count: int) -> None:
        self.socket = self.folder / "sock"
        parts = [
            f"[supervisord]\nnodaemon=true\nlogfile={self.folder}/log\npidfile={self.folder}/pid\n"
            f"childlogdir={self.folder}\nuser=root\n[unix_http_server]\nfile={self.socket}\n"
            f"[supervisorctl]\nserverurl=unix://{self.socket}\n[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        ]
        parts += [
            f"[program:p{number}]\ncommand={self.place.program}\nautorestart=true\nstartsecs=0\n"
            "stdout_logfile=NONE\nstderr_logfile=NONE\n"
            for number in range(count)
        ]
        self.config = self.folder / "conf"
        self.config.write_text("\n".join(parts))

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin([self.tool(), "-c", self.config])

    def settled(self) -> None:
        until(self.socket.exists, "supervisord's socket")

    def status(self) -> Words | None:
        return [self.tool(1), "-c", self.config, "status", "p0"]

    def stop(self) -> Words | None:
        return [self.tool(1), "-c", self.config, "stop", "p0"]


class Circus(Peer):
    """circusd."""

    title = "circus"
    needs = ("circusd", "circusctl")

    def write(self, count: int) -> None:
        self.endpoint = f"ipc://{self.folder}/endpoint"
        parts = [
            f"[circus]\nendpoint={self.endpoint}\npubsub_endpoint=ipc://{self.folder}/pubsub\n"
            f"pidfile={self.folder}/pid\n"
        ]
        parts += [f"[watcher:p{number}]\ncmd={self.place.program}\n" for number in range(count)]
        self.config = self.folder / "conf"
        self.config.write_text("\n".join(parts))

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin([self.tool(), self.config])

    def settled(self) -> None:
        until((self.folder / "endpoint").exists, "circusd's socket")

    def status(self) -> Words | None:
        return [self.tool(1), "--endpoint", self.endpoint, "status", "p0"]

    def stop(self) -> Words | None:
        return [self.tool(1), "--endpoint", self.endpoint, "stop", "p0", "--waiting"]


class Zdaemon(Peer):
    """zdaemon."""

    title = "zdaemon"
    needs = ("zdaemon",)
    most = 1

    def write(self, count: int) -> None:
        self.config = self.folder / "conf"
        self.config.write_text(
            f"<runner>\n  program {self.place.program}\n  socket-name {self.folder}/sock\n"
            f"  directory {self.folder}\n</runner>\n"
        )

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin([self.tool(), "-C", self.config, "start"])

    def settled(self) -> None:
        until((self.folder / "sock").exists, "zdaemon's socket")

    def status(self) -> Words | None:
        return [self.tool(), "-C", self.config, "status"]

    def stop(self) -> Words | None:
        return [self.tool(), "-C", self.config, "stop"]


class _Scanned(Peer):
    """A folder with a folder for each service, in which `run` is the program."""

    def write(self, count: int) -> None:
        self.first = self.folder / "p0"
        for number in range(count):
            service = self.folder / f"p{number}"
            service.mkdir()
            (service / "run").symlink_to(self.place.program)


class S6(_Scanned):
    """s6: s6-svscan, and an s6-supervise for each service."""

    title = "s6"
    needs = ("s6-svscan", "s6-supervise", "s6-svstat", "s6-svc")

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin([self.tool(), "-c", "2000", self.folder])

    def settled(self) -> None:
        until((self.first / "supervise" / "status").exists, "s6-supervise's files")

    def status(self) -> Words | None:
        return [self.tool(2), self.first]

    def stop(self) -> Words | None:
        return [self.tool(3), "-wD", "-d", self.first]


class Runit(_Scanned):
    """runit: runsvdir, and a runsv for each service."""

    title = "runit"
    needs = ("runsvdir", "runsv", "sv")
    most = 1000  # as it is built

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin([self.tool(), self.folder])

    def settled(self) -> None:
        until((self.first / "supervise" / "ok").exists, "runsv's files")

    def status(self) -> Words | None:
        return [self.tool(2), "status", self.first]

    def stop(self) -> Words | None:
        return [self.tool(2), "stop", self.first]


class StartStopDaemon(Peer):
    """dpkg's start-stop-daemon, which leaves nobody with the program."""

    title = "start-stop-daemon"
    needs = ("start-stop-daemon",)
    most = 1

    def write(self, count: int) -> None:
        self.pid_file = self.folder / "pid"

    def start(self) -> subprocess.Popen[bytes]:
        return self.place.begin(
            [*self._words("--start"), "--background", "--make-pidfile", "--exec", self.place.program]
        )

    def status(self) -> Words | None:
        return self._words("--status")

    def stop(self) -> Words | None:
        return [*self._words("--stop"), "--retry", "TERM/10"]

    def _words(self, verb: str) -> Words:
        return [self.tool(), verb, "--quiet", "--pidfile", self.pid_file]


ALL: tuple[type[Peer], ...] = (Initkit, Supervisor, Circus, Zdaemon, S6, Runit, StartStopDaemon)
