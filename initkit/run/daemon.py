"""Daemon mode: daemon(7)'s steps, under a lock so that only one starts."""

from __future__ import annotations

import os

from initkit import plan
from initkit.errors import AlreadyRunning, HasManager, InitkitError
from initkit.plan.step import LAUNCHER, Process
from initkit.run import claim, pidfile, preflight, register
from initkit.run.descriptors import open_standard_streams
from initkit.run.launcher import Launcher
from initkit.run.perform import StepError, perform
from initkit.run.tell import spoken, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from initkit.settings.service import Service


def start(service: Service) -> int:
    """Start the service as a daemon; returns when it is ready: 0, or what it ended with.

    Raises:
        InitkitError: when it cannot even be tried.
    """
    open_standard_streams()
    paths = list(dict.fromkeys((_record(service), plan.daemon_pid_path(service), service.pid_path)))
    trusted = pidfile.trusted_uids(service)
    believed = [path for path in paths if _is_believed(path, service, trusted)]
    lock = claim.lock(service)
    try:
        for path in believed:
            found = pidfile.running(path, service)
            if found and _awakens(service, found.pid):
                return 0
            # It may have gone while it was asked; what a killed manager has left is no reason not to start.
            if found and pidfile.running(path, service) and not os.path.exists(register.path_of(service)):
                raise AlreadyRunning(service.name, found.pid)
        claim.clear(service, tell)
    except HasManager as fault:
        return _ask(service, fault)
    except AlreadyRunning as fault:
        tell(str(fault))
        return 0
    status = preflight.check(service)
    return _Start(service, lock).run() if status is None else status


def _is_believed(path: str, service: Service, trusted: tuple[int, ...]) -> bool:
    """Whether a PID file tells the truth. The program's own may be where others can write: a manager takes only its own
    processes from it, and has the truth in a file of its own.

    Raises:
        UnsafePidFile: for a file that cannot be done without.
    """
    try:
        pidfile.check(path, trusted)
    except pidfile.UnsafePidFile:
        if path == service.pid_path and service.pid_file and plan.needs_parent(service):
            return False
        raise
    return True


def _awakens(service: Service, pid: int) -> bool:
    if not plan.needs_parent(service):
        return False
    from initkit.run import awaken, control

    return awaken.start(service, pid, control.path_of(service)) == "started"


def _ask(service: Service, found: HasManager) -> int:
    """Have the manager start it that has it, with others."""
    from initkit.run import awaken

    done = awaken.start(service, found.pid, found.socket)
    if not done:
        from initkit.run import survey

        raise InitkitError(f"{service.name}: {survey.silent(found.pid)}")
    if done == "running":
        tell(f"{service.name} is already running")
    return 0


def _record(service: Service) -> str:
    """initkit's own PID file, which no program writes: what it says is certain."""
    return f"{service.runtime_root}/initkit/{service.name}.pid"


class _Start:
    """One start: the daemon's side of it, and what both sides share."""

    def __init__(self, service: Service, lock: int) -> None:
        self.service, self.lock = service, lock
        self.reports, self.told = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.told, False)
        self.output, self.early = os.pipe2(os.O_CLOEXEC)  # output that the settings send nowhere
        self.pid_files = tuple(dict.fromkeys((_record(service), plan.daemon_pid_path(service))))
        path = register.path_of(service)
        try:
            self.register = register.Register(path)
        except OSError as fault:
            raise InitkitError(f"{path}: {fault.strerror}") from None
        self.launcher = Launcher(service, self.pid_files, self.reports, self.output, self.register)
        self.process = Process(service)

    def run(self) -> int:
        """Perform daemon(7)'s steps. Only the launcher returns."""
        from initkit.plan import kernel

        kernel.become_subreaper()  # the daemon becomes our child, not init's, until we exit: so we hear how it ends
        process, launcher = self.process, self.launcher
        process.role = LAUNCHER
        process.private_fds = (self.lock, self.reports, self.told, self.output, self.early, self.register.fd)
        process.default_output = self.early
        process.hooks = {
            "fork": launcher.make_heir,
            "pid_file": self._write_pid_file,
            "ready": self._tell_executing,
            "supervise": self._supervise,
            "wait": lambda: launcher.wait(process, close=(self.told, self.early)),
        }
        try:
            perform(plan.daemon(self.service), process)
        except BaseException as fault:
            if process.role == LAUNCHER:
                launcher.end_heir()
                raise
            self._end(fault)
        return launcher.status

    def _write_pid_file(self) -> None:
        os.close(self.reports)
        os.close(self.output)
        self.launcher.leave_heir()
        for path in self.pid_files:
            pidfile.write(path, os.getpid())
        self._enrol()
        os.close(self.lock)  # the launcher has it until the start is over
        self._tell(f"pid {os.getpid()}")

    def _enrol(self) -> None:
        if plan.needs_parent(self.service):
            from initkit.run import control

            self.register.managed(control.path_of(self.service))
            return
        invocation = self.process.environment["INVOCATION_ID"] = os.urandom(16).hex()
        self.register.begin(invocation)
        self.register.enrol("main")

    def _tell_executing(self) -> None:
        """That nothing more is told is then a sign of the program. Of a supervisor it is one of its death."""
        if not plan.needs_parent(self.service):
            self._tell("executing")

    def _tell(self, line: str) -> None:
        try:
            os.write(self.told, line.replace("\n", " ").encode("utf-8", "replace") + b"\n")
        except OSError:
            pass  # the launcher has gone, or does not read: nobody is there to be told

    def _end(self, fault: BaseException) -> NoReturn:
        """The daemon ends without an exec: a step failed, or a callable is done."""
        status = 1
        try:
            if isinstance(fault, SystemExit):
                from initkit.run.spawn import ended_callable

                status = ended_callable(fault)
            else:
                status = fault.status if isinstance(fault, StepError) else 1
                said = fault if isinstance(fault, StepError) else f"{type(fault).__name__}: {fault}"
                self._tell(f"failed {status} {said}")
        finally:
            self._leave(status)

    def _leave(self, status: int) -> NoReturn:
        self._remove_files()
        os._exit(status)

    def _remove_files(self) -> None:
        for path in self.pid_files:
            pidfile.remove(path, os.getpid())
        self.register.remove()

    def _ended(self, failed: bool) -> None:
        """Of a service that has failed while nobody looked initkit's PID file stays: LSB, "dead, and its PID file is
        there". Where it was being started, the launcher removes that."""
        if failed:
            self.register.remove()
        else:
            self._remove_files()

    def _supervise(self) -> NoReturn:
        from initkit.run.supervise import supervise

        status = 1
        try:
            status = supervise(self.service, self._report, ended=self._ended, output=self.early, register=self.register)
        except BaseException as fault:
            said = fault if isinstance(fault, InitkitError) else f"{type(fault).__name__}: {fault}"
            self._report("failed", f"1 {said}")
        finally:
            os._exit(status)  # what is there still tells where to find what could not be ended

    def _report(self, word: str, text: str) -> None:
        """To the launcher while it is there; what people should know goes to the service's log as well."""
        self._tell(f"{word} {text}".rstrip())
        line = spoken(word, text)
        if line:
            tell(line, self.early)
