"""Starting a program of a service in a child process."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan.process import base_environment
from initkit.plan.step import Process
from initkit.run import descriptors
from initkit.run.perform import StepError, perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from initkit.plan.step import Step
    from initkit.settings.service import Service


_FDS = 202  # systemd.exec(5), EXIT_FDS


def spawn(
    service: Service,
    steps: tuple[Step, ...],
    variables: Mapping[str, str],
    *,
    output: int | None = None,
    fds: Mapping[int, int] | None = None,
    prepare: Callable[[Process], None] | None = None,
    enrol: Callable[[], None] | None = None,
    fork: Callable[[], int] = os.fork,
) -> tuple[int, int]:
    """Fork, and perform the steps in the child, in a session of its own.

    Returns its pid and a pipe that closes when the program is executed; before that it may bring one line: why it was
    not. `output` is where output goes that the settings send nowhere; `fds` are the program's by their numbers there;
    `prepare` is called in the child, before the first step, and `enrol` first of all, so that nothing runs that nobody
    knows of; `fork` makes the child.

    Raises:
        OSError: when there is no descriptor, or no process, to be had.
    """
    process = blank(service, variables, output)  # here: a fork pays for every page that it writes to
    report, told = os.pipe2(os.O_CLOEXEC)
    # A signal for the child must not end in a handler of ours: it waits until the child has its own.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = fork()
    except OSError:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        os.close(report)
        os.close(told)
        raise
    if pid:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        os.close(told)
        return pid, report
    status = 255
    try:
        _signal.set_wakeup_fd(-1)
        os.setsid()
        if enrol:
            enrol()
        status = _child(process, steps, variables, fds or {}, told, prepare)
    finally:
        os._exit(status)


def blank(service: Service, variables: Mapping[str, str], output: int | None) -> Process:
    """A program's process before its first step."""
    process = Process(service)
    process.environment = {**base_environment(service), **variables}
    process.default_output, process.file_limit = output, descriptors.of_programs
    return process


def _child(
    process: Process,
    steps: tuple[Step, ...],
    variables: Mapping[str, str],
    fds: Mapping[int, int],
    told: int,
    prepare: Callable[[Process], None] | None,
) -> int:
    output = process.default_output
    if "INVOCATION_ID" in variables:
        os.environ["INVOCATION_ID"] = variables["INVOCATION_ID"]  # for what is executed on the way: a logger
    if "LISTEN_FDS" in variables:
        process.environment["LISTEN_PID"] = str(os.getpid())
    if fds:
        try:
            told, output = _place(fds, told, output)
        except OSError as fault:
            os.write(told, f"{process.service.name}: {len(fds)} descriptors to hand over: {fault.strerror}".encode())
            return _FDS
    if "WATCHDOG_USEC" in variables:
        process.environment["WATCHDOG_PID"] = str(os.getpid())
    process.fds, process.default_output = tuple(fds), output
    process.private_fds = (told,) if output is None or output < 3 else (told, output)
    try:
        if prepare:
            prepare(process)
        perform(steps, process)
    except StepError as fault:
        os.write(told, str(fault).encode("utf-8", "replace")[:4000])
        return fault.status
    except SystemExit as end:
        return ended_callable(end)
    return 255


def _place(fds: Mapping[int, int], told: int, output: int | None) -> tuple[int, int | None]:
    """Give descriptors their numbers, once all is out of the way; returns the new ones of `told` and `output`."""
    import fcntl

    def moved(fd: int) -> int:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(fds) + 1)

    held, told = [(number, moved(fd)) for number, fd in fds.items()], moved(told)
    if output is not None and output > 2:
        output = moved(output)
    for number, fd in held:
        os.dup2(fd, number)  # stays open at the exec
    return told, output


def ended_callable(end: SystemExit) -> int:
    """The exit status of a callable that is done, as sys.exit makes it."""
    import sys

    status = 1
    if end.code is None or isinstance(end.code, int):
        status = (end.code or 0) & 0xFF
    else:
        print(end.code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    return status
