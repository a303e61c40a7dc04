"""Supervisor's XML-RPC interface, http://supervisord.org/api.html, as far as `supervisorctl` uses it. Every service is
a process in a group of its own, of the same name."""

from __future__ import annotations

import os
import time

from initkit import __version__
from initkit.run import logs
from initkit.run.api import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from initkit.run.api import Manager

    #: Called once with the result, or with an exception.
    Answer = Callable[[object], None]
    Arguments = tuple[Any, ...]
else:
    Answer = None

#: Supervisor's fault codes.
CODES = {
    "UNKNOWN_METHOD": 1, "INCORRECT_PARAMETERS": 2, "BAD_ARGUMENTS": 3, "BAD_NAME": 10, "BAD_SIGNAL": 11,
    "NO_FILE": 20, "FAILED": 30, "ABNORMAL_TERMINATION": 40, "ALREADY_STARTED": 60, "NOT_RUNNING": 70,
}  # fmt: skip
_SUCCESS = 80
_OF_FAULTS = {"NoSuchService": "BAD_NAME", "StartFailed": "ABNORMAL_TERMINATION", "NoLog": "NO_FILE",
              "NoSuchCommand": "UNKNOWN_METHOD", "NotRunning": "NOT_RUNNING"}  # fmt: skip

#: The interface's words for a service's state -> Supervisor's code and name.
_STATES = {
    "inactive": (0, "STOPPED"), "activating": (10, "STARTING"), "active": (20, "RUNNING"),
    "reloading": (20, "RUNNING"), "auto-restart": (30, "BACKOFF"), "deactivating": (40, "STOPPING"),
    "failed": (200, "FATAL"),
}  # fmt: skip
_RUNNING = ("activating", "active", "reloading", "auto-restart")

#: Method -> what it does.
HELP = {
    "getAPIVersion": "The version of this interface",
    "getVersion": "The version of this interface",
    "getSupervisorVersion": "The manager's version",
    "getIdentification": "The manager's name",
    "getState": "The manager's state: statecode and statename",
    "getPID": "The manager's pid",
    "getProcessInfo": "A service's state: getProcessInfo(name)",
    "getAllProcessInfo": "All services' states",
    "startProcess": "Start a service: startProcess(name, wait=True)",
    "startProcessGroup": "Start a service: startProcessGroup(name, wait=True)",
    "startAllProcesses": "Start all services that do not run: startAllProcesses(wait=True)",
    "stopProcess": "Stop a service; the manager stays: stopProcess(name, wait=True)",
    "stopProcessGroup": "Stop a service; the manager stays: stopProcessGroup(name, wait=True)",
    "stopAllProcesses": "Stop all services that run; the manager stays: stopAllProcesses(wait=True)",
    "signalProcess": "Signal a service's main process: signalProcess(name, signal)",
    "signalProcessGroup": "Signal a service's main process: signalProcessGroup(name, signal)",
    "signalAllProcesses": "Signal all services' main processes: signalAllProcesses(signal)",
    "readProcessStdoutLog": "A part of the log: readProcessStdoutLog(name, offset, length)",
    "readProcessStderrLog": "A part of the log: readProcessStderrLog(name, offset, length)",
    "readProcessLog": "A part of the log: readProcessLog(name, offset, length)",
    "tailProcessStdoutLog": "The end of the log, its size, overflow: tailProcessStdoutLog(name, offset, length)",
    "tailProcessStderrLog": "The end of the log, its size, overflow: tailProcessStderrLog(name, offset, length)",
    "tailProcessLog": "The end of the log, its size, overflow: tailProcessLog(name, offset, length)",
    "clearProcessLogs": "Empty the files that output is appended to: clearProcessLogs(name)",
    "clearAllProcessLogs": "Empty the files that all services' output is appended to",
    "readLog": "The manager has no log of its own: readLog(offset, length)",
    "clearLog": "The manager has no log of its own",
    "shutdown": "Stop everything, and end",
}


class CallError(Exception):
    """A fault in Supervisor's words."""

    def __init__(self, word: str, about: str = "") -> None:
        super().__init__(f"{word}: {about}" if about else word)
        self.word = word


def code_of(fault: Exception) -> tuple[int, str]:
    """The number and the text of the XML-RPC fault for an error."""
    if isinstance(fault, CallError):
        return CODES[fault.word], str(fault)
    if isinstance(fault, NotImplementedError):
        return CODES["UNKNOWN_METHOD"], f"UNKNOWN_METHOD: {fault}"
    word = _OF_FAULTS.get(fault.name, "FAILED") if isinstance(fault, Fault) else "FAILED"
    return CODES[word], f"{word}: {fault}"


def reads(method: str) -> bool:
    """Whether a method changes nothing."""
    return method.startswith(("get", "read", "tail"))


def call(manager: Manager, method: str, arguments: Arguments, answer: Answer) -> None:
    """Call a method of Supervisor's namespace.

    Raises:
        CallError, Fault: as `answer` may be given them.
    """
    if method not in HELP:
        raise CallError("UNKNOWN_METHOD", method)
    _Call(manager, answer).run(method, arguments)


class _Call:
    def __init__(self, manager: Manager, answer: Answer) -> None:
        self.manager, self.answer = manager, answer

    def run(self, method: str, arguments: Arguments) -> None:
        if method in _FACTS and not arguments:
            self.answer(_FACTS[method]())
        elif method == "getAllProcessInfo" and not arguments:
            self.answer([self._info(name) for name in self.manager.names()])
        elif method == "getProcessInfo" and len(arguments) == 1:
            self.answer(self._info(self._name(arguments[0])))
        elif method == "shutdown" and not arguments:
            self.manager.quit()
            self.answer(True)
        elif method.startswith("signal"):
            self._signal(method, arguments)
        elif method.startswith(("start", "stop")):
            self._change(method, arguments)
        elif method in ("readLog", "clearLog"):
            raise CallError("NO_FILE")
        elif method.startswith("clear"):
            self._clear(arguments, everything=method == "clearAllProcessLogs")
        elif method.startswith(("read", "tail")):
            self._log(method, arguments)
        else:
            raise CallError("INCORRECT_PARAMETERS", method)

    def _name(self, given: object) -> str:
        """The service that "name", "name:name" or "name:*" means."""
        if not isinstance(given, str):
            raise CallError("INCORRECT_PARAMETERS", "expected a name")
        group, colon, process = given.partition(":")
        if group not in self.manager.names() or (colon and process not in ("*", "", group)):
            raise CallError("BAD_NAME", given)
        return group

    # --- states ---------------------------------------------------------------------------------------------------

    def _info(self, name: str) -> dict[str, object]:
        found = self.manager.status(name)
        code, word = _STATES[found["state"]]
        since, now, pid = found["since"] // 1_000_000, int(time.time()), found["mainPid"] or 0
        runs = found["state"] in _RUNNING
        status = found["exitStatus"] or "0"
        output = self.manager.log_path(name, "stdout")
        return {
            "name": name, "group": name, "description": _described(word, pid, since, now, found["result"]),
            "state": code, "statename": word, "start": since if runs else 0, "stop": 0 if runs else since, "now": now,
            "spawnerr": found["result"] if word in ("FATAL", "BACKOFF") else "", "pid": pid,
            "exitstatus": 0 if runs else int(status) if found["exitCode"] == "exited" else -bool(found["exitCode"]),
            "logfile": output, "stdout_logfile": output, "stderr_logfile": self.manager.log_path(name, "stderr"),
        }  # fmt: skip

    def _change(self, method: str, arguments: Arguments) -> None:
        verb = "start" if method.startswith("start") else "stop"
        everything, group = method.endswith("AllProcesses"), method.endswith("Group")
        rest = arguments if everything else arguments[1:]
        if len(rest) > 1 or (not everything and not arguments):
            raise CallError("INCORRECT_PARAMETERS", method)
        wait = not rest or bool(rest[0])
        names = self.manager.names() if everything else [self._name(arguments[0])]
        if everything or group or str(arguments[0]).endswith(":*"):
            wanted = [name for name in names if self._can(verb, name)]
            _Several(self, verb, wanted, wait).begin()
            return
        if not self._can(verb, names[0]):
            raise CallError("ALREADY_STARTED" if verb == "start" else "NOT_RUNNING", names[0])
        self.change(verb, names[0], wait, lambda fault: self.answer(True if fault is None else fault))

    def _can(self, verb: str, name: str) -> bool:
        return (self.manager.status(name)["state"] in _RUNNING) == (verb == "stop")

    def change(self, verb: str, name: str, wait: bool, done: Callable[[Exception | None], None]) -> None:
        """Start or stop a service, and wait for it or not."""
        later = done if wait else _ignore
        if verb == "start":
            self.manager.start(name, later)
        else:
            self.manager.stop(name, later, stay=True)
        if not wait:
            done(None)

    def _signal(self, method: str, arguments: Arguments) -> None:
        from initkit.settings.values import signal

        everything = method == "signalAllProcesses"
        if len(arguments) != (1 if everything else 2):
            raise CallError("INCORRECT_PARAMETERS", method)
        names = self.manager.names() if everything else [self._name(arguments[0])]
        try:
            number = signal(str(arguments[-1]))
        except ValueError:
            raise CallError("BAD_SIGNAL", str(arguments[-1])) from None
        running = [name for name in names if self.manager.status(name)["mainPid"]]
        for name in running:
            self.manager.kill(name, number, "main")
        if method == "signalProcess" and not str(arguments[0]).endswith(":*"):
            if not running:
                raise CallError("NOT_RUNNING", names[0])
            self.answer(True)
        else:
            self.answer([_entry(name, None) for name in running])

    # --- logs -----------------------------------------------------------------------------------------------------

    def _clear(self, arguments: Arguments, *, everything: bool) -> None:
        if len(arguments) != (0 if everything else 1):
            raise CallError("INCORRECT_PARAMETERS")
        if everything:
            self.answer([_entry(name, self._emptied(name)) for name in self.manager.names()])
        else:
            self.answer(self._emptied(self._name(arguments[0])) or True)

    def _emptied(self, name: str) -> CallError | None:
        """What went wrong: no other fault is known to supervisorctl here."""
        try:
            self.manager.clear_logs(name)
        except (Fault, OSError) as fault:
            return CallError("FAILED", str(fault))
        return None

    def _log(self, method: str, arguments: Arguments) -> None:
        if len(arguments) != 3 or not all(type(each) is int for each in arguments[1:]):
            raise CallError("INCORRECT_PARAMETERS", method)
        name, offset, length = self._name(arguments[0]), *arguments[1:]
        path = self.manager.log_path(name, "stderr" if "Stderr" in method else "stdout")
        if not path:
            raise CallError("NO_FILE", name)
        if length < 0 or (offset < 0 and (length or method.startswith("tail"))):
            raise CallError("BAD_ARGUMENTS", name)
        try:
            _, size = logs.part(path, 0, 0)
            if method.startswith("tail"):
                overflow = size > offset + length
                data, _ = logs.part(path, max(0, size - min(length, logs.MOST)) if overflow else offset, length)
                self.answer([logs.text(data), size, overflow])
                return
            # From the end; or from `offset` on, to the end where no length is given.
            start, wanted = (max(0, size + offset), -offset) if offset < 0 else (offset, length or size)
            data, _ = logs.part(path, start, wanted)
        except OSError as fault:
            raise CallError("NO_FILE" if isinstance(fault, FileNotFoundError) else "FAILED", name) from None
        self.answer(logs.text(data))


class _Several:
    """Starting or stopping several services: the answer tells of each."""

    def __init__(self, call: _Call, verb: str, names: list[str], wait: bool) -> None:
        self._call, self._verb, self._names, self._wait = call, verb, names, wait
        self._entries: dict[str, dict[str, object]] = {}

    def begin(self) -> None:
        if not self._names:
            self._call.answer([])
        for name in self._names:
            self._call.change(self._verb, name, self._wait, self._done(name))

    def _done(self, name: str) -> Callable[[Exception | None], None]:
        def done(fault: Exception | None) -> None:
            self._entries[name] = _entry(name, fault)
            if len(self._entries) == len(self._names):
                self._call.answer([self._entries[each] for each in self._names])

        return done


def _entry(name: str, fault: Exception | None) -> dict[str, object]:
    status, text = (_SUCCESS, "OK") if fault is None else code_of(fault)
    return {"name": name, "group": name, "status": status, "description": text}


def _ignore(fault: Exception | None) -> None:
    """Nobody waits for it."""


def _described(word: str, pid: int, since: int, now: int, result: str) -> str:
    if word == "RUNNING":
        minutes, seconds = divmod(max(0, now - since), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        past = f"{days} day{'s' * (days != 1)}, " if days else ""
        return f"pid {pid}, uptime {past}{hours}:{minutes:02}:{seconds:02}"
    if word in ("FATAL", "BACKOFF"):
        return result
    return time.strftime("%b %d %I:%M %p", time.localtime(since)) if word == "STOPPED" else ""


_FACTS: dict[str, Callable[[], object]] = {
    "getAPIVersion": lambda: "3.0",
    "getVersion": lambda: "3.0",
    "getSupervisorVersion": lambda: f"initkit {__version__}",
    "getIdentification": lambda: "initkit",
    "getState": lambda: {"statecode": 1, "statename": "RUNNING"},
    "getPID": os.getpid,
}
