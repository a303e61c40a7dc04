"""Stopping a daemon that nobody supervises, from outside: systemd.kill(5), by identity, without polling.

Its processes are the main ones, their descendants, what is in the sessions that were made for it, and what has an
$INVOCATION_ID of its. All of them are remembered as they are found, so that one whose parent has died meanwhile is
still known.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import select
import time

from initkit.errors import NotPermitted
from initkit.plan import log
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
    """The processes of a daemon; `main` are those that were started as such, and run.

    Whoever is in one of the `sessions` belongs to it, and whoever has one of the `invocations`; none of them is older
    than `since` (clock ticks since boot).
    """

    def __init__(
        self,
        main: Iterable[Stat],
        *,
        sessions: Iterable[int] = (),
        invocations: frozenset[str] = frozenset(),
        since: int = 0,
    ) -> None:
        self.main = tuple(main)
        self._sessions = set(sessions) - {0, os.getsid(0)}
        self._invocations, self._since = invocations, since
        self._known = {(each.pid, each.start): each for each in self.main}
        self._strangers: set[tuple[int, int]] = set()
        self.look()

    def look(self) -> list[Stat]:
        """Find what there is to be found now: the processes that are new."""
        by_pid = {each.pid: each for each in identity.processes() if each.state not in "ZX"}
        found: dict[tuple[int, int], Stat] = {}
        # Parents may have higher numbers than their children: again, until nothing is added.
        while fresh := [each for each in by_pid.values() if self._belongs(each, by_pid)]:
            for each in fresh:
                self._known[each.pid, each.start] = found[each.pid, each.start] = each
        return list(found.values())

    def _belongs(self, process: Stat, by_pid: dict[int, Stat]) -> bool:
        key = (process.pid, process.start)
        if key in self._known or process.pid == os.getpid():
            return False
        parent = by_pid.get(process.parent)
        if parent is not None and (parent.pid, parent.start) in self._known:
            return True
        if process.start < self._since or key in self._strangers:
            return False
        if process.session in self._sessions or identity.invocation(process.pid) in self._invocations:
            return True
        self._strangers.add(key)  # by itself: its parent may turn out to be known
        return False

    def left(self) -> list[Stat]:
        """Those that run still, the main processes first."""
        return [each for each in self._known.values() if _runs(each)]

    def meant(self, whom: Whom) -> list[Stat]:
        """The main processes, or all, as far as they run."""
        return [each for each in self.left() if whom == "all" or each in self.main]

    def signal(self, numbers: Iterable[int], whom: Whom, spared: tuple[str, ...] = ()) -> None:
        """Signal the main processes, or all: each once, also those that appear meanwhile.

        Processes whose command line is one of the `spared` hear nothing.

        Raises:
            NotPermitted: when this user may not.
        """
        look = self.look if whom == "all" else tuple
        refused = family.signal_each(self.meant(whom), look, tuple(numbers), spared, _ROUNDS)
        if refused:
            raise NotPermitted(f"{names(refused)} cannot be signalled: another user's")

    def wait(self, whom: Whom, seconds: float, progress: Progress) -> bool:
        """Wait until the main process or all have ended; whether they have, within that time."""
        deadline = time.monotonic() + seconds
        while True:
            waited = self.meant(whom)
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
    spared = () if supervised else log.readers_of(service)
    group.signal(family.with_continue(first, hangup=service.send_sighup and not supervised), whom, spared)
    group.wait(whom, _patience(service) if supervised else service.stop_timeout, progress)
    group.look()
    rest: Whom = "main" if service.kill_mode in ("process", "none") else "all"
    if service.send_sigkill and group.meant(rest):
        group.signal((service.final_kill_signal,), rest, spared)
        group.wait(rest, service.stop_timeout, progress)
    return group.meant(rest)


def wait(processes: list[Stat], seconds: float) -> None:
    """Wait until all of these have ended, no longer than that."""
    deadline = time.monotonic() + seconds
    while left := [each for each in processes if _runs(each)]:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not _wait_for_one(left[:_AT_ONCE], remaining):
            return


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
