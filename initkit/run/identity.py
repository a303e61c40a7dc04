"""Who a process is: its pid, when it started, and in which boot. A pid alone is soon somebody else's."""

from __future__ import annotations

import os
import time

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HERTZ = os.sysconf("SC_CLK_TCK")
_GLANCES = 1000  # at a process in the midst of an execve(2)


class Stat(Record):
    """What proc(5) tells in /proc/PID/stat: `start` in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    session: int
    start: int


class Identity(Record):
    """A process that is told from any later one with its pid."""

    pid: int
    start: int
    boot: str

    def alive(self) -> bool:
        """Whether this very process runs still; a zombie does not."""
        return of(self.pid) == self


def read(path: str) -> str:
    """The text of a small file, "" when it is not there (or the process it tells of is gone)."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def stat(pid: int) -> Stat | None:
    """The process's state; None when there is no such process."""
    text = read(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold anything
    return Stat(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def flags(task: str) -> int:
    """The kernel's flags of a task, which is named below /proc; all of them when it is gone."""
    fields = read(f"/proc/{task}/stat").rpartition(")")[2].split()
    return int(fields[6]) if fields else -1


def of(pid: int) -> Identity | None:
    """The identity of a running process; None when there is none, or only its zombie."""
    found = stat(pid)
    return Identity(pid, found.start, boot_id()) if found and found.state not in "ZX" else None


def boot_id() -> str:
    """random(4): another one after each boot."""
    return read("/proc/sys/kernel/random/boot_id").strip()


def started_at(pid: int) -> float:
    """When the process started, in seconds since the epoch, as exact as the kernel tells: to about a second.

    Raises:
        ProcessLookupError: when it is gone.
    """
    found = stat(pid)
    if found is None:
        raise ProcessLookupError(pid)
    told = read("/proc/stat").partition("\nbtime ")[2].split(maxsplit=1)
    # Where ProcSubset=pid hides that, the clocks tell; a rounded time is the same each time.
    booted = int(told[0]) if told else round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
    return booted + found.start / _HERTZ


def owner(pid: int) -> int:
    """The effective uid of a process, -1 when it is gone."""
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return -1


def children(pid: int) -> list[int]:
    """The children of a process right now: quick, and with gaps while processes end (proc(5), "children")."""
    return [int(child) for found in children_by_thread(pid) for child in found]


def children_by_thread(pid: int) -> list[list[str]]:
    """The same, those of each thread in the order in which they have become its."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [read(f"/proc/{pid}/task/{thread}/children").split() for thread in threads]


def processes() -> Iterator[Stat]:
    """All processes that there are, the dead that nobody has reaped among them."""
    for name in os.listdir("/proc"):
        found = stat(int(name)) if name.isdigit() else None
        if found is not None:
            yield found


def descendants(pid: int) -> Iterator[Stat]:
    """All processes below `pid`, parents before their children."""
    children: dict[int, list[Stat]] = {}
    for each in processes():
        children.setdefault(each.parent, []).append(each)
    waiting = children.pop(pid, [])
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting += children.pop(found.pid, [])


def invocation(pid: int) -> str:
    """The $INVOCATION_ID that a process was executed with (systemd.exec(5)), "" when it had none or is not ours."""
    for _ in range(_GLANCES):
        text = read(f"/proc/{pid}/environ")
        # proc(5): in the midst of an execve(2) this is empty for a moment, and so is the command line.
        if text or read(f"/proc/{pid}/cmdline") or not executable(pid):
            break
        os.sched_yield()
    return f"\0{text}".partition("\0INVOCATION_ID=")[2].partition("\0")[0]


def executable(pid: int) -> str:
    """The path of the program that a process runs, "" when it cannot be told."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""
