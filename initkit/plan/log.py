"""Output to the log: the journal's own stream socket where journald runs, else logger(1) behind a pipe."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan.process import highest_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from initkit.settings.service import Service

_JOURNAL = "/run/systemd/journal/stdout"
_LOG = "/dev/log"
_PRIORITY = 6  # info, SyslogLevel='s default


def open_stream(service: Service, identifier: str = "") -> int:
    """A descriptor whose lines go to the log under `identifier` (the service's name when empty); the caller's to close.

    Where there is neither a journal nor a syslog the lines are dropped, as systemd does without journald.
    """
    name = identifier or service.name
    for opener in (_journal, _logger):
        fd = opener(service, name)
        if fd >= 0:
            return fd
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _journal(service: Service, identifier: str) -> int:
    if not os.path.exists(_JOURNAL):
        return -1
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(_JOURNAL)
        # https://systemd.io: identifier, unit, priority, level prefix, forward to syslog, kmsg, console
        connection.send(f"{identifier}\n{service.unit}\n{_PRIORITY}\n1\n0\n0\n0\n".encode())
        connection.shutdown(_socket.SHUT_RD)
        return connection.detach()
    except OSError:
        connection.close()
        return -1


def _logger(service: Service, identifier: str) -> int:
    """The write end of a pipe that logger(1) reads; logger is init's child and ends with the last writer."""
    if not has_syslog():
        return -1
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    executed, told = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        become_reader(read_end, identifier, told)
    os.waitpid(middle, 0)
    for fd in (read_end, told):
        os.close(fd)
    os.read(executed, 1)  # its end is the exec: from then on whoever ends the service can tell the logger from it
    os.close(executed)
    return write_end


def reader(identifier: str) -> tuple[str, ...]:
    """The words of the logger."""
    return ("logger", "-t", identifier, "-p", "daemon.info")


def reader_of(service: Service) -> tuple[str, ...]:
    """The words of the logger that reads the service's output: it ends with its last writer, and hears the last words
    so. None where there is no such output."""
    if service.standard_output is None or service.standard_output.kind not in ("journal", "syslog"):
        return ()
    return reader(service.syslog_identifier or service.name)


def has_syslog() -> bool:
    """Whether somebody may listen on /dev/log."""
    return os.path.exists(_LOG)


def become_reader(source: int, identifier: str, kept: int = 2) -> NoReturn:
    """Become logger(1) reading from `source` until its last writer has gone; cat(1) to nowhere where there is no
    syslog, so that nobody who writes is ever held up. No descriptor stays but `kept`, which is to close by itself."""
    try:
        os.chdir("/")
        # The last words of a program that is stopped are read still: the end of the pipe is logger's end.
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)
        os.dup2(source, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.closerange(3, kept)
        os.closerange(kept + 1, highest_descriptor() + 1)
        # By its $INVOCATION_ID whoever stops the service knows it for a part of that.
        environment = {"PATH": os.defpath, "INVOCATION_ID": os.environ.get("INVOCATION_ID", "")}
        if has_syslog():
            try:
                os.execvpe("logger", reader(identifier), environment)
            except OSError:
                pass
        os.execvpe("cat", ("cat",), environment)
    finally:
        os._exit(203)
