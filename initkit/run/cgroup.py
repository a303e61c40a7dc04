"""A control group of a service's own: cgroups(7), version 2.

Whatever a program forks is in its group, whoever its parent is and whatever it does to its session and environment. So
the group finds all of them, kills all of them at once, and tells when none is left.

It is made below the manager's own group, so that limits which the manager is under remain the service's; in a tree that
systemd keeps only where that group is delegated (systemd.resource-control(5), Delegate=). Everything that a service has
is born in its group, or moved there before it can have forked.
"""

from __future__ import annotations

import errno
import os
import select

from initkit import plan
from initkit.plan import kernel
from initkit.run import bytelocks, family, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.family import Told
    from initkit.run.identity import Stat
    from initkit.run.loop import Event, Loop
    from initkit.settings.service import Service

_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_PARENT = "initkit"
_LEAF = "manager"  # of the manager itself, where its own group hands controllers on
_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
_DELEGATED = ("trusted.delegate", "user.delegate")
_ROUNDS = 100
_CONTROLLERS = ("cgroup", "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "perf_event", "pids", "rdma")


def own() -> str:
    """The group of this process as a folder; "" where there is none, or none that it may make others in."""
    lines = identity.read("/proc/self/cgroup").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::/")), "")
    if not path or "/.." in path:
        return ""
    for mount in _MOUNTS:
        if os.path.exists(f"{mount}/cgroup.controllers"):
            folder = f"{mount}{path}".rstrip("/")
            if os.path.basename(folder) == _LEAF and os.path.basename(os.path.dirname(folder)) == _PARENT:
                folder = os.path.dirname(os.path.dirname(folder))
            usable = os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)
            return folder if usable and _is_ours(folder) else ""
    return ""


def _is_ours(folder: str) -> bool:
    """Whether nobody else keeps this part of the tree: systemd does, but for what it has delegated."""
    if not os.path.isdir(_SYSTEMD):
        return True
    for name in _DELEGATED:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            pass
    return False


def _inner(home: str) -> str:
    """A folder's path below the mount, as /proc tells it."""
    mount = next(each for each in reversed(_MOUNTS) if f"{home}/".startswith(f"{each}/"))
    return home.removeprefix(mount)


def of_process(pid: int) -> str:
    """The path of a process's group below the mount, "" when it has gone."""
    lines = identity.read(f"/proc/{pid}/cgroup").splitlines()
    return next((line[3:] for line in lines if line.startswith("0::/")), "")


def name_of(service: Service) -> str:
    """The group's path below the folder of all groups: slices, and the unit's name where no file of the kernel's can
    have it (as systemd has them)."""
    unit = service.unit
    if unit[0] in "._" or unit.partition(".")[0] in _CONTROLLERS:
        unit = f"_{unit}"
    return "/".join([*_slices(service.slice), unit])


def _slices(name: str) -> list[str]:
    """systemd.slice(5): "a-b.slice" is below "a.slice", "-.slice" and the system's are the root."""
    parts = name.removesuffix(".slice").split("-")
    if name in ("", "-.slice", "system.slice"):
        return []
    return [f"{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts))]


class _Locks:
    """Which groups below the manager's own are this process's: each is a byte of a file there, by the number that the
    kernel has given the group, locked as long as the process lives.

    Others write in these groups as well: the one that has nobody's lock is what a killed manager has left. One file for
    all of them, because every exec closes what is open here, file by file.
    """

    _home, _fd = "", -1

    def take(self, home: str, number: int) -> None:
        """Have a group's.

        Raises:
            BlockingIOError: another process has it.
        """
        if home != self._home:
            self._fd, self._home = os.open(f"{home}/cgroup.procs", os.O_RDWR | os.O_CLOEXEC), home
        bytelocks.lock(self._fd, number)

    def give_back(self, number: int) -> None:
        """Leave a group to others."""
        bytelocks.unlock(self._fd, number)


_LOCKS = _Locks()


class Group:
    """One service's group, which this process has for itself as long as it lives."""

    def __init__(self, home: str, service: Service) -> None:
        """Make it below the group `home`, or take over one that nobody has any more.

        Raises:
            OSError: when it cannot be had. BlockingIOError: another manager has it.
        """
        self.home, self.top = home, f"{home}/{_PARENT}"
        self.path = f"{self.top}/{name_of(service)}"
        self.spoilt = False  # whether the kernel kills what is born in it
        self._number = _have(home, self.path)
        try:
            if plan.wants_group(service):
                from initkit.run import allotment

                allotment.prepare(service, self.home, self.top, self.path)
            if self._read("cgroup.type") != "domain\n":  # somebody above has made it one for threads
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), self.path)
        except OSError:
            _LOCKS.give_back(self._number)
            raise
        self.inner = _inner(home) + self.path.removeprefix(home)
        self._events = -1  # cgroup.events, while it is waited for
        self._memory = -1  # memory.events
        self._inside = False  # whether this process was born in it
        self.subgroup = service.delegate_subgroup if service.delegate is not None else ""

    # --- who is in it ---------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """Who is in it, or in a group below."""
        found = self._read("cgroup.procs").split()
        if self._read("cgroup.stat").startswith("nr_descendants 0\n"):
            return list(map(int, found))
        for folder, _, _ in os.walk(self.path):
            if folder != self.path:
                found += identity.read(f"{folder}/cgroup.procs").split()
        return [int(each) for each in dict.fromkeys(found)]

    def has(self, pid: int) -> bool:
        """Whether a process is in it, or in a group below."""
        return f"{of_process(pid)}/".startswith(f"{self.inner}/")

    def populated(self) -> bool:
        """Whether somebody is in it, who is no zombie."""
        if self._events < 0:
            return "populated 1" in self._read("cgroup.events")
        return b"populated 1" in os.pread(self._events, 256, 0)

    def wait(self, loop: Loop, told: Callable[[], Iterable[Event]]) -> None:
        """Have a change of `populated` call `told`, once."""
        if self._events >= 0:
            return
        self._events = os.open(f"{self.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        self.populated()  # from now on changes are told

        def changed() -> Iterable[Event]:
            if not self.populated():
                self.cease(loop)
                return told()
            return ()

        loop.watch(self._events, changed)
        loop.interest(self._events, select.POLLPRI)

    def cease(self, loop: Loop) -> None:
        """Wait no longer."""
        if self._events >= 0:
            loop.unwatch(self._events)
            os.close(self._events)
            self._events = -1

    def mourn(self, loop: Loop, told: Callable[[], Iterable[Event]]) -> None:
        """Have `told` called when somebody in it has been killed for want of memory, where the kernel tells of it."""
        try:
            self._memory = os.open(f"{self.path}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        known = self.casualties()

        def changed() -> Iterable[Event]:
            nonlocal known
            before, known = known, self.casualties()
            return told() if known > before else ()

        loop.watch(self._memory, changed)
        loop.interest(self._memory, select.POLLPRI)

    def casualties(self) -> int:
        """How many have been killed for want of memory since it was made."""
        if self._memory < 0:
            return 0
        words = os.pread(self._memory, 1024, 0).split()
        return int(words[words.index(b"oom_kill") + 1])

    # --- in and out -----------------------------------------------------------------------------------------------

    def fork(self) -> int:
        """fork(2), for a child that executes something: born in the group where the kernel knows how to."""
        if self.spoilt or len(os.listdir("/proc/self/task")) > 1:
            return os.fork()
        try:
            folder = os.open(f"{self.path}/{self.subgroup}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                pid = _born(folder)
            finally:
                os.close(folder)
        except OSError as fault:
            self.spoilt = isinstance(fault, ChildProcessError)
            return os.fork()
        self._inside = pid == 0
        return pid

    def enter(self) -> None:
        """Let this process be in it, and what it starts."""
        if not self._inside:
            self._write("cgroup.procs", "0", self.subgroup)

    def leave(self) -> None:
        """Go back to the manager's own."""
        for folder in (self.home, f"{self.top}/{_LEAF}"):
            try:
                with open(f"{folder}/cgroup.procs", "wb", buffering=0) as file:
                    file.write(b"0")
                return
            except OSError as fault:
                if folder != self.home or fault.errno != errno.EBUSY:  # where it hands controllers on, nobody is in it
                    raise

    def kill(self) -> bool:
        """SIGKILL to all of them at once; False where the kernel has no way to do it (before Linux 5.14)."""
        if self.has(os.getpid()):
            return False
        try:
            self._write("cgroup.kill", "1")
        except FileNotFoundError:
            return False
        return True

    def signal_all(self, numbers: tuple[int, ...], spared: tuple[str, ...], told: Told) -> list[Stat]:
        """Signal each of them that has not been `told` once, also those that are forked meanwhile; returns those that
        are another user's."""

        def others() -> list[Stat]:
            return [each for each in self.members() if each.pid != os.getpid()]

        return family.signal_each(others(), others, numbers, spared, _ROUNDS, told)

    def freeze(self, *, still: bool) -> None:
        """Let nobody in it run, or everybody again. The kernel kills the frozen, too."""
        try:
            self._write("cgroup.freeze", "1" if still else "0")
        except FileNotFoundError:
            pass  # before Linux 5.2

    def members(self) -> list[Stat]:
        """Those of it that live, the older ones first."""
        found = (identity.stat(pid) for pid in self.pids())
        return sorted((each for each in found if each and each.state not in "ZX"), key=lambda each: each.start)

    def remove(self, loop: Loop) -> None:
        """Give it up; it is gone unless somebody is left in it."""
        self.cease(loop)
        if self._memory >= 0:
            loop.unwatch(self._memory)
            os.close(self._memory)
        for folder, _, _ in os.walk(self.path, topdown=False):
            _rmdir(folder)
        _LOCKS.give_back(self._number)
        folder = os.path.dirname(self.path)
        while len(folder) >= len(self.top) and _rmdir(folder):
            folder = os.path.dirname(folder)

    # --- its files ------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> str:
        return identity.read(f"{self.path}/{name}")

    def _write(self, name: str, text: str, subgroup: str = "") -> None:
        fd = os.open(f"{self.path}/{subgroup}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _have(home: str, path: str) -> int:
    """Make a group for this process: its number. Another manager may remove it, or its parent, when it is empty, at the
    same time."""
    for _ in range(_ROUNDS):
        try:
            os.makedirs(path, exist_ok=True)
        except FileNotFoundError:
            continue
        if number := _number(path):
            _LOCKS.take(home, number)
            if _number(path) == number:
                return number
            _LOCKS.give_back(number)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _number(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _born(folder: int) -> int:
    """As `kernel.fork_into`, which returns in the parent when the child runs.

    Raises:
        ChildProcessError: it was killed at its birth; OSError: it cannot be born there.
    """
    source, sink = os.pipe2(os.O_CLOEXEC)
    try:
        pid = kernel.fork_into(folder)
        if pid == 0:
            os.write(sink, b".")
    except OSError:
        os.close(source)
        raise
    finally:
        os.close(sink)
    lives = pid == 0 or bool(os.read(source, 1))
    os.close(source)
    if not lives:
        os.waitpid(pid, 0)
        raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
    return pid


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except OSError:
        return False
    return True
