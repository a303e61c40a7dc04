"""Reading the files that a service's output goes to."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

MOST = 128 * 1024  # bytes that are read at once


def path_of(service: Service, stream: str) -> str:
    """The file that "stdout" or "stderr" goes to; empty when it goes elsewhere, or nobody can tell."""
    output, error = service.standard_output, service.standard_error
    found = output if stream == "stdout" or error is None or error.kind == "inherit" else error
    if found is None and service.has_logger:
        return service.log_file or current(service)
    return found.target if found is not None and found.kind in ("file", "append", "truncate") else ""


def appended(service: Service) -> list[str]:
    """The files that output is appended to: those that can be emptied while it is written."""
    kinds = {stream: getattr(service, f"standard_{stream}") for stream in ("output", "error")}
    found = [each.target for each in kinds.values() if each is not None and each.kind == "append"]
    return list(dict.fromkeys((*found, *filter(None, (service.log_file,)))))


def current(service: Service) -> str:
    """The file that LogCommand= writes now: `current` in the log directory that is among its words, as multilog(8),
    svlogd(8) and s6-log have it; empty when there is none."""
    for word in reversed(service.log_command.words[1:] if service.log_command else ()):
        path = os.path.join(service.working_directory.path, word, "current")
        if os.path.isfile(path):
            return path
    return ""


def older(service: Service, stream: str) -> list[str]:
    """The files that have been rotated away from `path_of`, the youngest first, as far as it is known how."""
    path = path_of(service, stream)
    if not path or not service.has_logger or (service.standard_error and stream == "stderr"):
        return []
    if path == service.log_file:
        from initkit.run import logfile

        return list(logfile.older(path))
    folder = os.path.dirname(path)  # TAI64N labels, which sort by time
    return sorted((f"{folder}/{name}" for name in os.listdir(folder) if name.startswith("@")), reverse=True)


def before(paths: list[str], lines: int) -> list[str]:
    """The last lines of files that are of one log, the youngest first; what cannot be read ends it, and so does a file
    that has more than is read of it: nothing is left out in the middle."""
    found: list[str] = []
    for path in paths:
        if len(found) >= lines:
            break
        try:
            these, _, all_read = tail(path, lines - len(found))
        except OSError:
            break
        found = these + found
        if not all_read:
            break
    return found


def open_file(path: str, how: int = os.O_RDONLY) -> int:
    """A descriptor to read a log by. Its folder may be the service's user's, who must not lead us elsewhere.

    Raises:
        OSError: when it cannot be opened, or is no ordinary file.
    """
    fd = os.open(path, how | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:  # S_ISREG
        os.close(fd)
        raise OSError(22, "is no ordinary file", path)
    return fd


def part(path: str, offset: int, length: int) -> tuple[bytes, int]:
    """So many bytes from an offset on, at most `MOST`, and the file's size.

    Raises:
        OSError: when it cannot be read.
    """
    fd = open_file(path)
    try:
        return os.pread(fd, min(length, MOST), offset), os.fstat(fd).st_size
    finally:
        os.close(fd)


def clear(path: str) -> None:
    """Empty a log, if it is there.

    Raises:
        OSError: when it cannot be.
    """
    try:
        fd = open_file(path, os.O_WRONLY)
    except FileNotFoundError:
        return
    try:
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def tail(path: str, lines: int, *, whole: bool = False) -> tuple[list[str], int, bool]:
    """The last lines (the `whole` ones only), as far as they are within the last `MOST` bytes; where they end; and
    whether the file has no more bytes than that.

    Raises:
        OSError: when it cannot be read.
    """
    fd = open_file(path)
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, min(size, MOST), max(0, size - MOST))
    finally:
        os.close(fd)
    found, end = data.split(b"\n"), size
    if whole:
        end -= len(found[-1])
    if whole or found[-1] == b"":
        found.pop()
    if size > MOST and len(found) > 1:
        del found[0]  # its beginning is not there
    return [text(each) for each in found[len(found) - min(lines, len(found)) :]], end, size <= MOST


def text(line: bytes) -> str:
    """A line for a protocol that has no bytes."""
    return line.decode("utf-8", "replace")
