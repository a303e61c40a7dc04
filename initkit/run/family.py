"""A supervisor's descendants, and signals to them: systemd.kill(5). A process that has ended is never signalled."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import errno
import os

from initkit.run import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from initkit.run.identity import Stat

    #: Processes that have heard a signal already, by pid and start time.
    Told = set[tuple[int, int]]

    class Family(Protocol):
        """The processes of one service: this module where all descendants are its own, else `initkit.run.kin.Kin`."""

        def signal_all(
            self, numbers: Iterable[int], spared: tuple[str, ...] = (), told: Told | None = None
        ) -> list[Stat]: ...
        def includes(self, pid: int) -> bool: ...
        def children(self) -> list[Stat]: ...
        def childless(self) -> bool: ...
        def members(self) -> list[Stat]: ...
        def quickly(self) -> list[Stat]: ...
        def names(self) -> str: ...


_PF_EXITING = 4  # <linux/sched.h>
_ROUNDS = 100  # of signals, before the dead are to be reaped


def signal_all(numbers: Iterable[int], spared: tuple[str, ...] = (), told: Told | None = None) -> list[Stat]:
    """Signal every descendant of this process once; also those that they fork meanwhile, if they can be caught.

    Processes whose command line is one of the `spared` hear nothing, nor do those that have been `told`, to whom these
    are added. Returns those that are another user's and cannot be told.
    """
    numbers, own = tuple(numbers), os.getpid()
    if seen():
        # Who forks fast is caught by nothing slower than a look at children alone.
        return signal_each(identity.descendants(own), lambda: below(identity.children(own)), numbers, spared, told=told)
    if own == 1:
        _signal_everything(numbers)
    return []


def signal_each(
    found: Iterable[Stat],
    look: Callable[[], Iterable[Stat]],
    numbers: tuple[int, ...],
    spared: tuple[str, ...] = (),
    rounds: int = _ROUNDS,
    told: Told | None = None,
) -> list[Stat]:
    """Signal what is `found`, each once, and whatever a `look` finds then, until that is nothing new.

    Processes whose command line is one of the `spared` hear nothing, nor do those that have been `told`. Who forks for
    ever is given up after so many rounds. Returns those that are another user's and cannot be told.
    """
    refused: list[Stat] = []
    done: Told = set() if told is None else told
    for _ in range(rounds):
        fresh = [each for each in found if (each.pid, each.start) not in done]
        if not fresh:
            break
        for each in fresh:
            if not is_spared(each, spared) and not reaches(each, numbers):
                refused.append(each)
            done.add((each.pid, each.start))
        found = look()
    return refused


def _signal_everything(numbers: tuple[int, ...]) -> None:
    """PID 1's way: kill(2) of -1."""
    try:
        for number in numbers:
            os.kill(-1, number)
    except (ProcessLookupError, PermissionError):
        pass  # there is nobody else, or nobody of this user's


def is_spared(process: Stat, spared: tuple[str, ...]) -> bool:
    """Whether a process's command line is one of these, which are as proc(5) has them."""
    return bool(spared) and identity.read(f"/proc/{process.pid}/cmdline") in spared


def seen() -> bool:
    """Whether /proc is of this process's pid namespace, or tells of others' pids."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def send(process: Stat, numbers: Iterable[int]) -> None:
    """Signal one process, unless its pid is another's by now."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = identity.stat(process.pid)
        if now is None:
            _signal.pidfd_send_signal(pidfd, 0)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it is there, and cannot be looked at
        if now.start == process.start:
            for number in numbers:
                _signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def reaches(process: Stat, numbers: Iterable[int]) -> bool:
    """As `send`; False where the process is another user's, who alone may signal it."""
    try:
        send(process, numbers)
    except PermissionError:
        return False
    return True


def with_continue(number: int, *, hangup: bool = False) -> tuple[int, ...]:
    """The signals that go with one: SIGCONT lets a stopped process hear it, SIGHUP is SendSIGHUP='s."""
    if number == _signal.SIGKILL:
        return (number,)
    return (number, _signal.SIGCONT, _signal.SIGHUP) if hangup else (number, _signal.SIGCONT)


def includes(pid: int) -> bool:
    """Whether a process descends from this one."""
    own, at = os.getpid(), pid
    for _ in range(1000):
        found = identity.stat(at)
        if found is None and at == pid:
            return False
        # A parent that has gone meanwhile has left the child to another one: begin again.
        at = pid if found is None else found.parent
        if at == own:
            return True
        if at <= 1:
            return False
    return False


def is_dying(pid: int) -> bool:
    """Whether a process has gone, or all of it is on its way out, and closes what it had open; of what is dead already
    its parent may not have heard."""
    try:
        os.kill(pid, 0)
        threads = os.listdir(f"/proc/{pid}/task")
    except ProcessLookupError:
        return True
    except OSError:
        return False  # who cannot be looked at is there
    return all(identity.flags(f"{pid}/task/{each}") & _PF_EXITING for each in threads)


def children() -> list[Stat]:
    """The direct children of this process, adopted ones among them."""
    return [each for each in identity.descendants(os.getpid()) if each.parent == os.getpid() and each.state not in "ZX"]


def childless() -> bool:
    """Whether no child is left, not even one to be reaped. A subreaper without children has no descendants."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def members() -> list[Stat]:
    """The descendants that live, parents first."""
    return [each for each in identity.descendants(os.getpid()) if each.state not in "ZX"]


def quickly() -> list[Stat]:
    """The same without a look at any other process, where the kernel tells of children."""
    if not identity.children(os.getpid()) and not childless():
        return members()
    return below(identity.children(os.getpid()))


def below(pids: list[int]) -> list[Stat]:
    """These processes and their descendants, parents first, without the dead."""
    found: list[Stat] = []
    waiting = list(pids)
    while waiting:
        each = identity.stat(waiting.pop(0))
        if each is not None and each.state not in "ZX":
            found.append(each)
            waiting += identity.children(each.pid)
    return found


def names() -> str:
    """The descendants by name and pid, for people."""
    return listed(identity.descendants(os.getpid()))


def listed(processes: Iterable[Stat]) -> str:
    """Processes by name and pid, for people."""
    return ", ".join(f"{identity.read(f'/proc/{each.pid}/comm').strip()}[{each.pid}]" for each in processes)
