"""Output to the log: the journal's own stream socket where journald runs, else logger(1) behind a pipe."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan.process import close_all_but

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from initkit.plan.step import Process
    from initkit.settings.service import Service

_JOURNAL = "/run/systemd/journal/stdout"
_LOG = "/dev/log"
_KERNEL = "/dev/kmsg"
_PRIORITY = 3 << 3 | 6  # syslog(3): daemon.info, the default of SyslogFacility= and SyslogLevel=
#: What gives lines to the kernel's log, one record each: proc(5), kmsg.
_TO_KERNEL = 'while IFS= read -r line; do printf "<%s>%s: %s\\n" "$1" "$2" "$line" >&3; done 3>/dev/kmsg'
_CONSOLE = ("tee", "-a", "/dev/console")
_AND_CONSOLE = f'{" ".join(_CONSOLE)} | exec "$@"'


def open_stream(process: Process, identifier: str = "", kind: str = "journal") -> int:
    """A descriptor whose lines go to the log under `identifier` (the service's name when empty); the caller's to close.

    Where there is neither a journal nor a syslog the lines are dropped, as systemd does without journald.
    """
    service = process.service
    name = identifier or service.name
    fd = _journal(service, name, kind)
    if fd >= 0:
        found = os.fstat(fd)
        process.environment["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
        return fd
    fd = _logger(service, name, kind)
    return fd if fd >= 0 else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _code(service: Service) -> int:
    """The number of SyslogFacility= and SyslogLevel=: syslog(3)."""
    if (service.syslog_facility, service.syslog_level) == ("daemon", "info"):
        return _PRIORITY
    from initkit.settings import streams

    return streams.code(service.syslog_facility, service.syslog_level)


def _journal(service: Service, identifier: str, kind: str) -> int:
    if not os.path.exists(_JOURNAL):
        return -1
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(_JOURNAL)
        # https://systemd.io: identifier, unit, priority, level prefix, forward to syslog, kmsg, console
        flags = (service.syslog_level_prefix, kind.startswith("syslog"), kind.startswith("kmsg"), "+" in kind)
        words = (identifier, service.unit, str(_code(service)), *(str(int(flag)) for flag in flags), "")
        connection.send("\n".join(words).encode())
        connection.shutdown(_socket.SHUT_RD)
        return connection.detach()
    except OSError:
        connection.close()
        return -1


def _logger(service: Service, identifier: str, kind: str) -> int:
    """The write end of a pipe that logger(1) reads; logger is init's child and ends with the last writer."""
    if not (os.path.exists(_KERNEL) if kind.startswith("kmsg") else has_syslog() or "+" in kind):
        return -1
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    executed, told = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        become_reader(read_end, reader(service, kind), told)
    os.waitpid(middle, 0)
    for fd in (read_end, told):
        os.close(fd)
    os.read(executed, 1)  # its end is the exec: from then on whoever ends the service can tell the logger from it
    os.close(executed)
    return write_end


def reader(service: Service, kind: str = "journal") -> tuple[str, ...]:
    """The words of the logger."""
    words = _logger_words(service, kind)
    return ("sh", "-c", _AND_CONSOLE, "sh", *words) if "+" in kind else words


def _logger_words(service: Service, kind: str, point: str = ".") -> tuple[str, ...]:
    identifier = service.syslog_identifier or service.name
    if kind.startswith("kmsg"):
        return ("sh", "-c", _TO_KERNEL, "sh", str(_code(service)), identifier)
    priority = f"{service.syslog_facility}{point}{service.syslog_level}"
    prefixes = ("--prio-prefix",) if service.syslog_level_prefix and _reads_prefixes() else ()
    return ("logger", "-t", identifier, "-p", priority, *prefixes)


def readers_of(service: Service) -> tuple[str, ...]:
    """The command lines, as proc(5) has them, of those who read the service's output for the log: they end with its
    last writer, and hear the last words so."""
    return tuple(
        "\0".join((*words, ""))
        for stream in (service.standard_output, service.standard_error)
        if stream and stream.kind.partition("+")[0] in ("journal", "syslog", "kmsg")
        for words in _readers(service, stream.kind)
    )


def _readers(service: Service, kind: str) -> Iterator[tuple[str, ...]]:
    yield reader(service, kind)
    if "+" in kind:
        yield _CONSOLE
        yield _logger_words(service, kind)
    # That of util-linux parts its "daemon.info" where it stands, and so in its command line.
    yield _logger_words(service, kind, "\0")


def _reads_prefixes() -> bool:
    """Whether logger(1) knows of sd-daemon(3)'s "<N>": that of busybox does not."""
    found = (f"{folder}/logger" for folder in os.defpath.split(":"))
    program = next((each for each in found if os.path.exists(each)), "busybox")
    return not os.path.realpath(program).endswith("busybox")


def has_syslog() -> bool:
    """Whether somebody may listen on /dev/log."""
    return os.path.exists(_LOG)


def become_reader(source: int, words: tuple[str, ...], kept: int = 2) -> NoReturn:
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
        close_all_but((kept,))
        # By its $INVOCATION_ID whoever stops the service knows it for a part of that.
        environment = {"PATH": os.defpath, "INVOCATION_ID": os.environ.get("INVOCATION_ID", "")}
        if has_syslog() or words[0] != "logger":
            try:
                os.execvpe(words[0], words, environment)
            except OSError:
                pass
        os.execvpe("cat", ("cat",), environment)
    finally:
        os._exit(203)
