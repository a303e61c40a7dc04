"""Stopping a daemon that nobody supervises, from outside: systemd.kill(5), by identity, without polling.

Its processes are the main one, their descendants, and what is in the session that was made for it. All of them are
remembered as they are found, so that one whose parent has died meanwhile is still known.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import select
import time

from initkit.errors import NotPermitted
from initkit.run import family, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from initkit.run.identity import Stat
    from initkit.settings.service import Service

    Whom = Literal["main", "logger", "all"]
    #: Told what is waited for, and how many seconds it may still take (inf: no limit).
    Progress = Callable[[str, float], None]

_ROUNDS = 20  # of signals: a loop in sh starts its next sleep as fast as the last one is ended
_AT_ONCE = 256  # pidfds: RLIMIT_NOFILE may be 1024


class Group:
    """The processes of a daemon whose main one is `main`.

    `own_session`: its session was made for it, so that whoever is in it belongs to it.
    """

    def __init__(self, main: Stat, *, own_session: bool) -> None:
        self.main = main
        self.own_session = own_session and main.session not in (0, os.getsid(0))
        self._known = {(main.pid, main.start): main}
        self.look()

    def look(self) -> list[Stat]:
        """Find what there is to be found now: the processes that are new."""
        by_pid = {each.pid: each for each in _processes()}
        found: dict[tuple[int, int], Stat] = {}
        # Parents may have higher numbers than their children: again, until nothing is added.
        while fresh := [each for each in by_pid.values() if self._belongs(each, by_pid)]:
            for each in fresh:
                self._known[each.pid, each.start] = found[each.pid, each.start] = each
        return list(found.values())

    def _belongs(self, process: Stat, by_pid: dict[int, Stat]) -> bool:
        if (process.pid, process.start) in self._known or process.pid == os.getpid():
            return False
        parent = by_pid.get(process.parent)
        if parent is not None and (parent.pid, parent.start) in self._known:
            return True
        return self.own_session and process.session == self.main.session and process.start >= self.main.start

    def left(self) -> list[Stat]:
        """Those that run still, the main process first."""
        return [each for each in self._known.values() if _runs(each)]

    def signal(self, numbers: Iterable[int], whom: Whom) -> None:
        """Signal the main process, or all: each once, also those that appear meanwhile.

        Raises:
            NotPermitted: when this user may not.
        """
        numbers = tuple(numbers)
        todo = [self.main] if whom == "main" else self.left()
        for _ in range(_ROUNDS):
            for each in todo:
                try:
                    family.send(each, numbers)
                except PermissionError:
                    raise NotPermitted(f"{label(each)} cannot be signalled: it is another user's") from None
            todo = self.look() if whom == "all" else []
            if not todo:
                return

    def wait(self, whom: Whom, seconds: float, progress: Progress) -> bool:
        """Wait until the main process or all have ended; whether they have, within that time."""
        deadline = time.monotonic() + seconds
        while True:
            waited = [each for each in self.left() if whom == "all" or each == self.main]
            if not waited:
                if whom == "main" or not self.look():
                    return True
                continue
            remaining = deadline - time.monotonic()
            progress(f"waits for {names(waited)} to end", remaining)
            if remaining <= 0 or not _wait_for_one(waited[:_AT_ONCE], remaining):
                return False


def stop(service: Service, group: Group, *, supervised: bool, progress: Progress) -> list[Stat]:
    """Stop a daemon as its settings say; `supervised`: its main process is a supervisor, which does all that itself.

    Returns what has survived. Under KillMode=process nobody expects the others to end.

    Raises:
        NotPermitted: when it may not be done.
    """
    mode = "mixed" if supervised else service.kill_mode
    if mode == "none":
        return group.left()
    whom: Whom = "all" if mode == "control-group" else "main"
    first = _signal.SIGTERM if supervised else service.kill_signal
    group.signal(family.with_continue(first, hangup=service.send_sighup and not supervised), whom)
    group.wait(whom, _patience(service) if supervised else service.stop_timeout, progress)
    group.look()
    rest: Whom = "main" if mode == "process" else "all"
    if service.send_sigkill and (group.left() if rest == "all" else _runs(group.main)):
        group.signal((service.final_kill_signal,), rest)
        group.wait(rest, service.stop_timeout, progress)
    return [each for each in group.left() if rest == "all" or each == group.main]


def _patience(service: Service) -> float:
    """All stages of a supervisor's stop, and a moment more: ExecStop=, signals, SIGKILL, ExecStopPost=, the logger."""
    stages = 2 + bool(service.exec_stop) + bool(service.exec_stop_post) + service.has_logger
    return service.stop_timeout * stages + 5


def label(process: Stat) -> str:
    """A process for people: "nginx[42]"."""
    return f"{identity.read(f'/proc/{process.pid}/comm').strip() or '?'}[{process.pid}]"


def names(processes: list[Stat], most: int = 4) -> str:
    """Processes for people, not too many of them."""
    more = f" and {len(processes) - most} more" if len(processes) > most else ""
    return ", ".join(map(label, processes[:most])) + more


def _runs(process: Stat) -> bool:
    now = identity.stat(process.pid)
    return now is not None and now.start == process.start and now.state not in "ZX"


def _processes() -> Iterable[Stat]:
    for name in os.listdir("/proc"):
        found = identity.stat(int(name)) if name.isdigit() else None
        if found is not None and found.state not in "ZX":
            yield found


def _wait_for_one(processes: list[Stat], seconds: float) -> bool:
    """Wait for the end of one of these: pidfd_open(2). Whether one has ended."""
    poll, pidfds = select.poll(), []
    try:
        for each in processes:
            try:
                pidfd = os.pidfd_open(each.pid)
            except ProcessLookupError:
                return True
            pidfds.append(pidfd)
            if not _runs(each):
                return True
            poll.register(pidfd, select.POLLIN)
        timeout = None if seconds == float("inf") else min(2**31 - 1, int(seconds * 1000) + 1)
        return bool(poll.poll(timeout))
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
