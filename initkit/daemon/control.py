"""`Control`: a daemon as others see it."""

from __future__ import annotations

import os
import sys
import time

from initkit.daemon import Daemon, serving
from initkit.errors import AlreadyRunning, InitkitError, NotRunning
from initkit.run import claim, commands, identity, stop, survey
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

RUNNING, DEAD, STOPPED = "running", "dead", "stopped"
#: LSB 5.0, "Init Script Actions", of `status`.
_EXIT_STATUSES = {RUNNING: 0, DEAD: 1, STOPPED: 3}
_YOUNG = 5.0  # seconds within which a process may not have come to answering yet
#: What a daemon needs besides what is loaded when it starts.
_NEEDED = (
    *("inspect", "json", "traceback", "sdnotify"),
    *("initkit.daemon.commands", "initkit.daemon.thread", "initkit.run.connection", "initkit.run.varlink"),
)


class Status(Record):
    """How a daemon is: "running", "dead" (it has ended without removing its PID file) or "stopped".

    `pid` is the service's main process, 0 when none runs; `since` is when that started, in seconds since the epoch;
    `supervisor` is the pid of the process that looks after it, 0 without one; `foreground` says that there is no PID
    file because whoever started it has stayed with it.
    """

    state: str
    pid: int = 0
    since: float = 0.0
    supervisor: int = 0
    foreground: bool = False

    @property
    def exit_status(self) -> int:
        """LSB's: 0 running, 1 dead with a PID file, 3 stopped."""
        return _EXIT_STATUSES[self.state]


class Control:
    """Starts, stops and asks a daemon from outside: a `Daemon`, or any service by its settings (a path or a name).

    Raises:
        SettingsError: when the settings cannot be used.
    """

    def __init__(self, what: Daemon | str | os.PathLike[str]) -> None:
        self._daemon = what if isinstance(what, Daemon) else None
        self.service: Service
        if isinstance(what, Daemon):
            self.service = what.service
        else:
            from initkit.settings.load import load

            self.service = load(os.fspath(what), user=os.geteuid() != 0)

    def status(self) -> Status:
        """How the daemon is."""
        found = survey.find(self.service)
        supervisor = found.process.pid if found and found.supervised else 0
        pid = (survey.main_pid(self.service, found) or supervisor) if found else commands.ping(self.service)
        try:
            if pid:
                return Status(RUNNING, pid, identity.started_at(pid), supervisor, foreground=found is None)
        except ProcessLookupError:
            pass  # it has ended this moment
        dead = any(os.path.lexists(path) for path in survey.pid_files(self.service))
        return Status(DEAD if dead else STOPPED)

    def start(self) -> int:
        """Start it, and wait until it is ready; returns its pid.

        Raises:
            AlreadyRunning: it was started before.
            InitkitError: it could not be started; `status` is its exit status, the message ends in its last words.
        """
        now = self.status()
        if now.state == RUNNING:
            raise AlreadyRunning(self.service.name, now.pid)
        status, said = self._launched()
        if status:
            lines = [line.strip().removeprefix("initkit: ") for line in said.splitlines() if line.strip()]
            raise InitkitError("\n".join(lines) or f"{self.service.name}: could not be started", status=status)
        return self.status().pid

    def launch(self) -> int:
        """As `start`, in the place of this process: says on standard error what there is to say, closes descriptors,
        and returns the exit status that it comes to, 0 also when it runs already."""
        from initkit.run import daemon

        serving.daemon = self._daemon
        self.prepare()
        return daemon.start(self.service)

    def prepare(self) -> None:
        """What has to be there before the service is another user's process, or in another root.

        Raises:
            InitkitError: when it cannot be done.
        """
        if self._daemon is None:
            return
        if self.service.account or self.service.root_directory != "/":  # where nothing may be found to be imported
            for module in _NEEDED:
                __import__(module)
        if self._daemon.commands:
            commands.prepare(self.service)
            serving.path = commands.path_of(self.service)

    def stop(self) -> bool:
        """Stop it, as KillMode=, KillSignal= and TimeoutStopSec= say; returns whether it was running.

        Raises:
            NotPermitted: it is another user's.
            InitkitError: something of it is left, which the message names; or it is not ours to stop.
        """
        found = claim.find(self.service)
        if found is None:
            now = self.status()
            if now.foreground:
                raise InitkitError(
                    f"{self.service.name}: pid {now.pid} runs in the foreground", hint="whoever started it can stop it"
                )
            claim.forget(self.service)
            return False
        left = claim.end(self.service, found)
        if left:
            raise InitkitError(f"{self.service.name}: still there: {stop.names(left)}")
        claim.see_off(self.service, found.known)
        claim.forget(self.service)
        return True

    def restart(self) -> int:
        """Stop it where it runs, and start it; returns its pid. Raises what these raise."""
        self.stop()
        return self.start()

    def reload(self) -> None:
        """Ask it to read its settings anew: SIGHUP.

        Raises:
            NotRunning, NotPermitted
        """
        from initkit.run import family

        now = self.status()
        process = identity.stat(now.supervisor or now.pid) if now.pid else None
        if process is None:
            raise NotRunning(f"{self.service.name} is not running")
        try:
            family.send(process, (1,))
        except PermissionError:
            raise self._foreign(now.pid) from None

    def call(self, command: str, /, *arguments: object, timeout: float = 60.0) -> str:
        """Run one of its commands; its result as text (JSON where the command returns something else than text).

        `timeout` is in seconds; arguments become text.

        Raises:
            NotRunning, NotPermitted
            NoSuchCommand: with the names of those that there are.
            CommandFailed: with the message of what the command raised.
        """
        given = tuple(map(str, arguments))
        try:
            return commands.call(self.service, command, given, timeout=timeout)
        except NotRunning:
            return self._call_when_it_listens(command, given, timeout)

    def _call_when_it_listens(self, command: str, arguments: tuple[str, ...], timeout: float) -> str:
        """Soon, if it has been started just now."""
        from initkit.daemon.arrival import Arrival

        while True:
            with Arrival(commands.path_of(self.service)) as arrival:
                try:
                    return commands.call(self.service, command, arguments, timeout=timeout)
                except NotRunning:
                    pid, left = self._young()
                    if left <= 0:
                        raise
                arrival.wait(pid, left)

    def _young(self) -> tuple[int, float]:
        """The process that was started, and how many seconds it has left to come to listening."""
        found = survey.find(self.service)
        try:
            if found:
                return found.process.pid, identity.started_at(found.process.pid) + _YOUNG - time.time()
        except ProcessLookupError:
            pass  # it has ended this moment
        raise NotRunning(f"{self.service.name} is not running") from None

    def _foreign(self, pid: int) -> InitkitError:
        from initkit.errors import NotPermitted

        return NotPermitted(f"{self.service.name}: pid {pid} is another user's")

    def _launched(self) -> tuple[int, str]:
        """Start it from a child process: its exit status, and what it said."""
        if self._daemon is None:
            return _run_initkit(self.service.path)
        said, write_end = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(write_end, 2)
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - whatever the caller's is
                status = self.launch()
            except InitkitError as fault:
                print(fault, file=sys.stderr)
                status = fault.status
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(write_end)
        with open(said, encoding="utf-8", errors="replace") as pipe:
            text = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def _run_initkit(path: str) -> tuple[int, str]:
    import subprocess

    import initkit

    folder = os.path.dirname(os.path.dirname(os.path.abspath(initkit.__file__)))
    done = subprocess.run(
        [sys.executable, "-m", "initkit", "run", "--daemon", path],
        env={**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, done.stderr
