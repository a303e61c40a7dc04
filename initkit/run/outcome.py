"""How a life of a service ended, and what follows from it: systemd.service(5), Restart= and SuccessExitStatus=."""

from __future__ import annotations

import os

from initkit.errors import EX_CONFIG
from initkit.settings.record import Record
from initkit.settings.values import write_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

# Ends by these signals are clean unless the settings say otherwise: SIGHUP, SIGINT, SIGPIPE, SIGTERM.
_CLEAN_SIGNALS = (1, 2, 13, 15)

#: Results of a start that was not to be, which is no failure.
_SKIPPED = ("condition", "exec-condition")

#: Results that say more than how the main process ended.
_CAUSES = {
    "timeout": "took too long",
    "watchdog": "gave no sign of life in time",
    "protocol": "",
    "oom-kill": "a process was killed for want of memory",
    "resources": "",
    "condition": "",
    "assert": "",
}

_ABORTS = ("signal", "core-dump")
_ABNORMAL = (*_ABORTS, "timeout", "watchdog", "protocol", "oom-kill", "resources")

#: Restart= -> the results ($SERVICE_RESULT) that it restarts after: the table in systemd.service(5).
_RESTARTED_AFTER = {
    "no": (),
    "on-success": ("success",),
    "on-failure": (*_ABNORMAL, "exit-code"),
    "on-abnormal": _ABNORMAL,
    "on-abort": _ABORTS,
    "on-watchdog": ("watchdog",),
    "always": (*_ABNORMAL, "exit-code", "success"),
}


class Outcome(Record):
    """`result` in $SERVICE_RESULT's words ("" while there is none), the main process's wait status, a remark, and the
    wait status of the `command` beside the main process that has failed."""

    result: str = ""
    status: int | None = None
    note: str = ""
    command: int | None = None

    def __bool__(self) -> bool:
        return bool(self.result)

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return self.result in ("", "success", *_SKIPPED)

    @property
    def unstarted(self) -> bool:
        """Whether nothing was to be run at all."""
        return self.result in ("condition", "assert")

    @property
    def exit_status(self) -> int:
        """What a runner in the foreground exits with."""
        if self.clean:
            return 0
        return 1 if self._decisive is None else shell_status(self._decisive) or 1

    @property
    def _decisive(self) -> int | None:
        """The wait status that the result comes of, if it comes of one."""
        return self.status if self.command is None else self.command

    def variables(self) -> dict[str, str]:
        """$SERVICE_RESULT, $EXIT_CODE and $EXIT_STATUS: systemd.exec(5)."""
        found = {"SERVICE_RESULT": self.result or "success"}
        if self.status is not None:
            exited = os.WIFEXITED(self.status)
            found["EXIT_CODE"] = "exited" if exited else "dumped" if os.WCOREDUMP(self.status) else "killed"
            found["EXIT_STATUS"] = (
                str(os.WEXITSTATUS(self.status))
                if exited
                else write_signal(os.WTERMSIG(self.status)).removeprefix("SIG")
            )
        return found

    def __str__(self) -> str:
        said = _CAUSES.get(self.result, "" if self._decisive is None else ended(self._decisive))
        return ": ".join(filter(None, (self.note, said))) or self.result


def ended(status: int) -> str:
    """A wait status in words."""
    if os.WIFEXITED(status):
        return f"exited with status {os.WEXITSTATUS(status)}"
    return f"killed by {write_signal(os.WTERMSIG(status))}"


def shell_status(status: int) -> int:
    """A wait status as sh(1) tells it in $?."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def success(service: Service, status: int, *, daemon: bool = True) -> bool:
    """Whether a program that ended like this ended well: SuccessExitStatus=. The signals that end a `daemon` well end
    no command well, nor a program of Type=oneshot."""
    if _how(status) in (("status", 0), *service.success_exit_status):
        return True
    return daemon and service.type != "oneshot" and os.WIFSIGNALED(status) and os.WTERMSIG(status) in _CLEAN_SIGNALS


def _how(status: int) -> tuple[str, int]:
    """A wait status as RestartPreventExitStatus= and its kin have it."""
    return ("status", os.WEXITSTATUS(status)) if os.WIFEXITED(status) else ("signal", os.WTERMSIG(status))


def result_of(service: Service, status: int, *, daemon: bool = True) -> str:
    """$SERVICE_RESULT of a program that ended like this: systemd.exec(5)."""
    if success(service, status, daemon=daemon):
        return "success"
    return "exit-code" if os.WIFEXITED(status) else "core-dump" if os.WCOREDUMP(status) else "signal"


def unspawned(status: int) -> bool:
    """Whether a program that was not executed was kept from it by what systemd reads before it has a process for it, so
    that its result is "resources": EnvironmentFile=."""
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == EX_CONFIG


def will_restart(service: Service, outcome: Outcome) -> bool:
    """Whether Restart= and its exceptions, which judge the main process alone, want another life."""
    if outcome.status is not None:
        how = _how(outcome.status)
        if how in service.restart_prevent_exit_status:
            return False
        if how in service.restart_force_exit_status:
            return True
    return outcome.result in _RESTARTED_AFTER[service.restart]


def restart_delay(service: Service, restarts: int) -> float:
    """How many seconds the next restart waits after so many of them: RestartSec=, which grows in RestartSteps= steps
    to RestartMaxDelaySec=, each longer by the same factor."""
    first, steps, longest = service.restart_sec, service.restart_steps, service.restart_max_delay
    if first >= longest:
        return longest
    if not restarts or not steps or not first or longest == float("inf"):
        return first
    return longest if restarts >= steps else first * (longest / first) ** (restarts / steps)


def manager_status(service: Service, outcome: Outcome) -> int:
    """The exit status of a manager that SuccessAction=exit or FailureAction=exit ends: systemd.unit(5)."""
    given = service.success_action_exit_status if outcome.clean else service.failure_action_exit_status
    return outcome.exit_status if given is None else given
