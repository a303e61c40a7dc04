"""Errors that initkit reports: one clear line and the right exit status.

Only the command line prints them and exits (see `initkit.cli`).
"""

from __future__ import annotations

# sysexits.h
EX_USAGE = 64
EX_CANTCREAT = 73
EX_IOERR = 74
EX_CONFIG = 78


class InitkitError(Exception):
    """Something the user can mend: a message, what to do about it, and the exit status it ends with."""

    status = 1

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(InitkitError):
    """A command line that cannot be meant: exit status 64 (EX_USAGE)."""

    status = EX_USAGE


class SettingsError(InitkitError):
    """Settings that cannot be used: exit status 78 (EX_CONFIG).

    `where` is "file:line" (or "file" where no line is to blame).
    """

    status = EX_CONFIG

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class NoSettings(SettingsError):  # noqa: N818
    """There are no settings of that name."""


class AlreadyRunning(InitkitError):  # noqa: N818 - a state, and no fault of anybody's
    """The daemon that was to be started runs already: `pid`."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(f"{name} is already running, pid {pid}")
        self.pid = pid


class HasManager(InitkitError):  # noqa: N818
    """The service that was to be started is down under a manager of several: its `pid`, and its `socket`."""

    def __init__(self, name: str, pid: int, socket: str) -> None:
        said = f"{name} is down under a manager that has others, too, pid {pid}"
        super().__init__(said, hint=f"initkit start {name} has it started there")
        self.pid, self.socket = pid, socket


class NotRunning(InitkitError):  # noqa: N818
    """There is no daemon to be spoken to: exit status 7 (LSB: program is not running)."""

    status = 7


class NotPermitted(InitkitError):  # noqa: N818
    """The daemon is another user's: exit status 4 (LSB: insufficient privilege)."""

    status = 4


class NoSuchCommand(UsageError):  # noqa: N818
    """The daemon has no such command; `known` are those that it has."""

    def __init__(self, command: str, known: tuple[str, ...]) -> None:
        hint = f"expected one of {', '.join(known)}" if known else "it has none"
        super().__init__(f"unknown command {command!r}", hint=hint)
        self.command, self.known = command, known


class CommandFailed(InitkitError):  # noqa: N818
    """A command of a daemon's could not be run, or raised: `reason` is its message."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command, self.reason = command, reason
