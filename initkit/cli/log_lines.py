"""The last lines of a log that is spread over files: bytes as they are, however many, and from nowhere but its end."""

from __future__ import annotations

import os

from initkit.run import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 64 * 1024


def opened(paths: list[str], *, whole: bool) -> list[tuple[int, int]]:
    """Descriptors of a log's files and where they end now (the youngest, if wanted, with its last `whole` line), the
    youngest first. Of the older ones one that cannot be read ends the log.

    Raises:
        OSError: when the youngest cannot be read.
    """
    found: list[int] = []
    for path in paths:
        try:
            fd = logs.open_file(path)
        except OSError as fault:
            if found:
                break
            if isinstance(fault, FileNotFoundError) and path != paths[-1]:
                continue  # it is being rotated
            raise
        if found and os.path.sameopenfile(fd, found[-1]):
            os.close(fd)  # rotated just now
        else:
            found.append(fd)
    ends = [os.fstat(fd).st_size for fd in found]
    if whole:
        ends[0] = _back(found[0], ends[0], 1)[0]
    return list(zip(found, ends, strict=True))


def last(files: list[tuple[int, int]], lines: int) -> list[tuple[int, int, int]]:
    """Where the last lines are, the oldest first: (file, first byte, end)."""
    if not lines:
        return []
    found: list[tuple[int, int, int]] = []
    wanted = lines + 1  # the last newline ends a line, the others are between lines
    for fd, end in files:
        if not found and end and os.pread(fd, 1, end - 1) != b"\n":
            wanted -= 1
        start, wanted = _back(fd, end, wanted)
        if end:
            found.insert(0, (fd, start, end))
        if not wanted:
            break
    return found


def _back(fd: int, end: int, wanted: int) -> tuple[int, int]:
    """The byte behind so many newlines, counted from the end; and how many of them are not there."""
    while end:
        data = os.pread(fd, min(end, _BLOCK), end - min(end, _BLOCK))
        if not data:
            break  # was truncated
        end -= len(data)
        passed = data.count(b"\n")
        if passed < wanted:
            wanted -= passed
            continue
        at = len(data)
        for _ in range(wanted):
            at = data.rindex(b"\n", 0, at)
        return end + at + 1, 0
    return 0, wanted


def read(fd: int, start: int, end: int) -> Iterator[bytes]:
    """What is between two bytes of a file, piece by piece."""
    while start < end and (data := os.pread(fd, min(end - start, _BLOCK), start)):
        start += len(data)
        yield data
