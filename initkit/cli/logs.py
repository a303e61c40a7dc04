"""`initkit logs APP`: the file, the journal or the syslog that the service's output goes to."""

from __future__ import annotations

import os
import sys
from functools import partial

from initkit.cli.control import by_words, find, load
from initkit.errors import InitkitError, NoSettings
from initkit.plan import log
from initkit.run import logs
from initkit.settings.command import write
from initkit.settings.service import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator
    from typing import Any

    from initkit.cli.charge import Charge
    from initkit.settings.service import Service

_FILES = ("file", "append", "truncate")
_LOGS = ("journal", "journal+console", "syslog", "syslog+console")
_SYSLOGS = ("/var/log/syslog", "/var/log/messages", "/var/log/daemon.log")
_REOPENING = "a logger of another make is told by its own signal: initkit kill --whom=logger -s SIGNAL"
_KEEPING = '[initkit] log_file, or standard_output = "append:PATH", has it in a file'
_JOURNAL = "/run/systemd/journal/stdout"


def main(verb: str, argv: list[str]) -> int:
    """Show the last lines, and with -f those that follow."""
    parsed = parser(verb).parse_args(argv)
    charge = _found(parsed.app, verb, parsed.verbose)
    if parsed.reopen:
        return _reopen(charge)
    if charge.socket and (not charge.service.path or (charge.shared and charge.service.standard_output is None)):
        return _by_manager(charge, parsed.lines, parsed.follow)
    files = _files(charge.service)
    if len(files) == 1 and charge.service.has_logger:
        return _rotated(charge.service, files[0], parsed.lines, parsed.follow)
    for path in files:
        if not os.access(path, os.R_OK):
            raise _unreadable(path)
    if files:
        by_words(("tail", "-n", str(parsed.lines), *(("-F",) if parsed.follow else ()), "--", *files))
    if charge.service.log_command:
        words = write(charge.service.log_command)
        raise InitkitError(f"{charge.service.name}: its output goes to {words}: where that keeps it is not known")
    output = charge.service.standard_output or Stream("journal")
    if output.kind not in _LOGS:
        raise InitkitError(f"StandardOutput={output.kind}: nothing of the output is kept")
    if os.path.exists(_JOURNAL):
        follow = ("--follow",) if parsed.follow else ()
        by_words((*_journal(charge), "--no-pager", f"--lines={parsed.lines}", *follow))
    return _syslog(charge.service, parsed.lines, parsed.follow)


def _found(app: str, verb: str, verbose: bool) -> Charge:
    charge = find(load(app), verb, verbose)
    if not charge.service.path and not charge.socket:
        raise NoSettings(f"{app}: no settings of it are here, which tell where its output goes")
    return charge


def parser(verb: str) -> ArgumentParser:
    """The command line."""
    from initkit.cli.arguments import Parser

    made = Parser(prog=f"initkit {verb}", description="Show what a service has written, wherever its settings send it.")
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    made.add_argument("-n", "--lines", type=_count, default=10, metavar="N", help="how many of the last lines (10)")
    made.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    made.add_argument("--reopen", action="store_true", help="have log_file opened anew, after a rotation by others")
    made.add_argument("-v", "--verbose", action="store_true", help="say who is in charge of the service")
    return made


def _count(text: str) -> int:
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"expected a number of lines, found {text!r}")
    return int(text)


def _by_manager(charge: Charge, lines: int, follow: bool) -> int:
    """What its manager knows of: the file that it has for the service."""
    from initkit.run import client

    asked = {"name": charge.service.name, "lines": lines}
    try:
        for told in (client.stream if follow else _once)(charge.socket, "Logs", asked):
            for line in told["lines"]:
                print(line, flush=follow)
    except client.RemoteError as fault:
        if not fault.name.endswith(".NoLog"):
            raise
        raise InitkitError(f"{charge.service.name}: its output goes where its manager's does, to no file") from None
    except client.NoManager:
        if not follow:
            raise
    except KeyboardInterrupt:
        return 130
    return 0


def _once(path: str, method: str, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from initkit.run import client

    yield client.call(path, method, parameters)


def _files(service: Service) -> tuple[str, ...]:
    """The files that output and errors go to."""
    if service.has_logger:
        return tuple(dict.fromkeys(filter(None, map(partial(logs.path_of, service), ("stdout", "stderr")))))
    streams = (service.standard_output, service.standard_error)
    return tuple(dict.fromkeys(each.target for each in streams if each and each.kind in _FILES))


def _reopen(charge: Charge) -> int:
    """Where no manager is asked, there is no need: with its next line the logger sees that its file is elsewhere."""
    if not charge.service.log_file:
        raise InitkitError(f"{charge.service.name}: log_file (LogFile=) is not set", hint=_REOPENING)
    if not charge.socket:
        return 0
    from initkit.cli import managed

    return managed.reopen_logs(charge)


def _rotated(service: Service, path: str, lines: int, follow: bool) -> int:
    """The last lines, also of the files before; then tail(1) goes on where this has ended."""
    from initkit.cli import log_lines

    try:
        files = log_lines.opened([path, *logs.older(service, "stdout")], whole=follow)
    except (FileNotFoundError, PermissionError):
        raise _unreadable(path) from None
    for part in log_lines.last(files, lines):
        _show(log_lines.read(*part))
    if not follow:
        return 0
    youngest, end = files[0]
    if not os.path.exists(path) or not os.path.samestat(os.fstat(youngest), os.stat(path)):  # rotated meanwhile
        _show(log_lines.read(youngest, end, sys.maxsize))
        end = 0
    return by_words(("tail", "-c", f"+{end + 1}", "-F", "--", path))


def _unreadable(path: str) -> InitkitError:
    return InitkitError(f"{path}: {'may not be read' if os.path.exists(path) else 'is not there yet'}")


def _show(data: Iterable[bytes]) -> None:
    sys.stdout.buffer.writelines(data)
    sys.stdout.buffer.flush()


def _journal(charge: Charge) -> tuple[str, ...]:
    return charge.argv("logs") or ("journalctl", "-t", _identifier(charge.service))


def _identifier(service: Service) -> str:
    return service.syslog_identifier or service.name


def _syslog(service: Service, lines: int, follow: bool) -> int:
    """The lines of the system's log that carry the service's name: tail(1) reads it, here they are chosen."""
    paths = [path for path in _SYSLOGS if os.access(path, os.R_OK)]
    if not paths:
        there = [path for path in _SYSLOGS if os.path.exists(path)]
        if there:
            why = f"{', '.join(there)} may not be read"
        elif not log.has_syslog():
            why = "nobody is there to take it: nothing of it is kept"
        else:
            why = "no log file of it is in /var/log"
        said = f"{service.name}: its output goes to the syslog as {_identifier(service)!r}, and {why}"
        raise InitkitError(said, hint="" if there else _KEEPING)
    from collections import deque

    last: deque[str] = deque(maxlen=lines)
    with open(paths[0], encoding="utf-8", errors="replace") as file:
        last.extend(_chosen(file, service))
        sys.stdout.writelines(last)
        sys.stdout.flush()
    if follow:
        _follow(paths[0], service)
    return 0


def _follow(path: str, service: Service) -> None:
    import subprocess

    words = ("tail", "-n", "0", "-F", "--", path)
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as tail:
        try:
            for line in _chosen(tail.stdout or (), service):
                sys.stdout.write(line)
                sys.stdout.flush()
        finally:
            tail.kill()


def _chosen(file: Iterable[str], service: Service) -> Iterable[str]:
    """RFC 3164 and its kin: "TIME HOST TAG[PID]: text" or "TIME HOST TAG: text"."""
    tag = _identifier(service)
    for line in file:
        found = line.partition(f" {tag}")[2]
        if found.startswith((":", "[")) and len(line.partition(f" {tag}")[0].split()) <= 4:
            yield line
