"""The service's logger: a process of its own that reads the service's output from a pipe."""

from __future__ import annotations

import os

from initkit import plan
from initkit.plan.process import Exec
from initkit.plan.step import Process, Step
from initkit.plan.streams import OpenStream
from initkit.settings.service import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from initkit.settings.service import Service

#: Steps that initkit's own logger is spared: its file is where StandardOutput=append: would have it, and named in full.
_SPARED = ("FileSystemView", "ChangeDirectory")


def steps(service: Service) -> tuple[Step, ...]:
    """The steps from the runner to LogCommand=, or to initkit's own logger of LogFile=: those of the service's other
    programs, but for the streams."""
    command = service.log_command
    before = plan.before_exec(service, plan.spared(command) if command else _SPARED)
    last = Exec(command) if command else KeepLog.of(service)
    return (*(_stream(each) for each in before), last)


def _stream(step: Step) -> Step:
    """Its input is the pipe; what it says itself does not go there."""
    if not isinstance(step, OpenStream):
        return step
    return OpenStream(step.fd, Stream("pipe" if step.fd == 0 else "default"))


class KeepLog(Step):
    """Keep what comes in a file, and rotate that."""

    name = "keep_log"
    manual = "initkit.toml(5) log_file"
    directives = ("LogFile", "LogMaxSize", "LogMaxFiles")
    status = 209

    path: str
    max_size: int
    max_files: int

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(service.log_file, service.log_max_size, service.log_max_files)

    def apply(self, process: Process) -> None:
        log: Any = process.hooks["open_log"]()
        for fd in process.private_fds:  # as an exec does
            if fd > 2:
                os.close(fd)
        log.run()
        raise SystemExit(0)
