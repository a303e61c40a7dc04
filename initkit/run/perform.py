"""Performing a plan: step after step, and the one line that says which could not be done."""

from __future__ import annotations

import os

from initkit.errors import InitkitError
from initkit.plan.process import Exec
from initkit.plan.streams import OpenStream
from initkit.run import interpreter  # now: where it is wanted another root may hide it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.plan.step import Process, Step
    from initkit.settings.service import Entry, Service

#: sd_listen_fds(3)
_LISTEN = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


STREAMS = ("StandardInput", "StandardOutput", "StandardError")


class StepError(InitkitError):
    """A step that could not be done; `status` is systemd's exit status for it."""


def perform(steps: Iterable[Step], process: Process) -> None:
    """Apply the steps that the present process's role has; a plan that ends in an exec does not return.

    Raises:
        StepError: for the first step that fails; none after it was applied.
    """
    for step in steps:
        if step.role != process.role:
            continue
        try:
            step.apply(process)
        except (OSError, LookupError, ValueError) as fault:
            raise failure(step, process, fault) from None


def failure(step: Step, process: Process, fault: Exception) -> StepError:
    """The error of a step: the assignment that asked for it, and what the system said."""
    status = step.status_of_fd if isinstance(step, OpenStream) else getattr(fault, "status", step.status)
    said = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else str(fault)
    path = os.fsdecode(fault.filename) if isinstance(fault, OSError) and fault.filename else ""
    about = f"{path}: " if path else ""
    if isinstance(step, Exec) and isinstance(fault, FileNotFoundError):
        said += interpreter.remark(path)
    entry = _asked_for(step, process.service, getattr(fault, "directives", step.directives), path)
    if entry:
        return StepError(str(entry.error(f"{about}{said}")), status=status)
    return StepError(f"{process.service.path}: {step.name}: {about}{said}", status=status)


def _asked_for(step: Step, service: Service, directives: tuple[str, ...], path: str) -> Entry | None:
    """The assignment behind a step: of several the one that names the `path`, as far as one does."""
    if isinstance(step, Exec):
        path = step.command.program
        programs = (each for each in service.entries if each.key.startswith("Exec") or each.key == "LogCommand")
        return next((each for each in programs if path in each.value), None)
    for directive in (STREAMS[step.fd],) if isinstance(step, OpenStream) else directives:
        entries = [each for each in service.assignments(directive) if each.value]
        if entries:
            return next((each for each in entries if path and path in each.value), entries[-1])
    return None


def listen_names() -> tuple[tuple[int, str], ...]:
    """The descriptors passed to this process, with their names."""
    variables: dict[str, str] = {}
    fds = listen_fds(variables)
    names = variables["LISTEN_FDNAMES"].split(":") if "LISTEN_FDNAMES" in variables else []
    return tuple((fd, names[at] if at < len(names) else "unknown") for at, fd in enumerate(fds))


def listen_fds(environment: dict[str, str]) -> tuple[int, ...]:
    """The descriptors passed to this process: sd_listen_fds(3). What was not meant for us is dropped."""
    meant = os.environ.get("LISTEN_PID") == str(os.getpid())
    count = os.environ.get("LISTEN_FDS", "")
    if not meant or not count.isdigit():
        for name in (*_LISTEN, "LISTEN_PID"):
            environment.pop(name, None)
        return ()
    environment.update({name: os.environ[name] for name in _LISTEN if name in os.environ})
    environment["LISTEN_PID"] = str(os.getpid())
    return tuple(range(3, 3 + int(count)))
