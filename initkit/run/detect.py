"""Who started initkit, and so whether to fork."""

from __future__ import annotations

import os

from initkit.settings.record import Record

SYSTEMD = "systemd"
SUPERVISOR = "supervisor"
PID1 = "pid 1"
TERMINAL = "terminal"
SCRIPT = "script"

#: Names that the parent process of a supervised program may have: /proc/PID/comm.
_SUPERVISORS = frozenset(
    ("runsv", "s6-supervise", "supervise-daemo", "supervise", "dinit", "launchd", "supervisord", "circusd", "zdrun",
     "finit", "shepherd", "nosh", "perpd", "catatonit", "tini", "dumb-init", "docker-init", "honcho", "foreman",
     "monit", "process-compose")
)  # fmt: skip
_PARENT = "the parent is "
_S6 = f"{_PARENT}s6-supervise"
#: Variables by which supervisors say that they started a program.
_MARKS = ("SUPERVISOR_ENABLED", "DINIT_SERVICE", "DINIT_CS_FD", "RC_SVCNAME_SUPERVISED", "XPC_SERVICE_NAME")


class Surroundings(Record):
    """`who` is one of this module's words, `proof` what told."""

    who: str
    proof: str

    @property
    def forks(self) -> bool:
        """Whether a daemon has to be made."""
        return self.who == SCRIPT


def surroundings() -> Surroundings:
    """Who started this process: the first proof found, strongest first."""
    environment, pid, parent = os.environ, os.getpid(), os.getppid()
    if environment.get("SYSTEMD_EXEC_PID") == str(pid):
        return Surroundings(SYSTEMD, "SYSTEMD_EXEC_PID is this process")
    if "SYSTEMD_EXEC_PID" not in environment and "INVOCATION_ID" in environment and parent == 1 and _is_systemd(parent):
        return Surroundings(SYSTEMD, "INVOCATION_ID is set and the parent is systemd")  # before systemd 248
    if pid == 1:
        return Surroundings(PID1, "this process is PID 1")
    for mark in _MARKS:
        if mark in environment:
            return Surroundings(SUPERVISOR, f"{mark} is set")
    comm = _comm(parent)
    if comm in _SUPERVISORS:
        return Surroundings(SUPERVISOR, _PARENT + comm)
    if os.isatty(0) or os.isatty(2):
        return Surroundings(TERMINAL, "standard input or error is a terminal")
    return Surroundings(SCRIPT, "none of the others")


def notification_fd(caller: Surroundings) -> int:
    """The descriptor on which a supervisor waits for a newline, -1 for none: `NOTIFY_FD` names it, and for s6-supervise
    the file `notification-fd` in its service's folder, which is the one that it starts programs in."""
    named = os.environ.get("NOTIFY_FD", "")
    if not named and caller.proof == _S6 and caller.who == SUPERVISOR:
        try:
            with open("notification-fd", "rb", buffering=0) as file:
                named = file.read(20).decode(errors="replace").strip()
        except OSError:
            pass
    fd = int(named) if named.isascii() and named.isdigit() and len(named) < 10 else -1
    try:
        return fd if fd > 2 and os.fstat(fd).st_mode & 0o170000 in (0o010000, 0o140000) else -1  # S_IFIFO, S_IFSOCK
    except OSError:  # it is closed
        return -1


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.readall().decode(errors="replace").rstrip("\n")
    except OSError:
        return ""


def _is_systemd(pid: int) -> bool:
    return _comm(pid) == "systemd" or os.path.isdir("/run/systemd/system")
