"""The steps that only some programs need: limits, nice, OOM score, CPU and IO scheduling."""

from __future__ import annotations

import os

from initkit.plan.step import Process, Shell, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from initkit.settings.service import Service

#: Options of ulimit and their units in bytes or whatever is counted, as far as dash, bash, busybox ash and mksh agree.
#: Of blocks they have different ideas: only none and unlimited are the same in all.
_ULIMIT = {"AS": ("v", 1024), "CORE": ("c", 0), "CPU": ("t", 1), "DATA": ("d", 1024), "FSIZE": ("f", 0),
           "MEMLOCK": ("l", 1024), "NOFILE": ("n", 1), "STACK": ("s", 1024)}  # fmt: skip
LIMITS = ("AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RSS",
          "RTPRIO", "RTTIME", "SIGPENDING", "STACK")  # fmt: skip


class Limits(Step):
    """LimitX=: setrlimit(2)."""

    name = "limits"
    manual = "systemd.exec(5) LimitCPU= and its kin"
    directives = tuple(f"Limit{name}" for name in LIMITS)
    status = 205

    limits: tuple[tuple[str, tuple[int, int]], ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        if not service.limits:
            return None
        import resource  # noqa: F401  # by a manager once, when it makes its plan, and by none of its children

        return cls(tuple(service.limits.items()))

    def shell(self) -> Shell:
        lines: list[str] = []
        words: list[str] = []
        for name, pair in self.limits:
            if _has_ulimit(name, pair):
                lines += _ulimit(name, *pair)
            else:
                words.append(f"--{name.lower()}={_shown(pair[0])}:{_shown(pair[1])}")
        return Shell("\n".join(lines), prefix=" ".join(["prlimit", *words]) if words else "")

    def apply(self, process: Process) -> None:
        import resource

        # `resource` has no names for the limits that are Linux's own: setrlimit(2)
        own = {"LOCKS": 10}
        for name, wanted in self.limits:
            number = own.get(name) or getattr(resource, f"RLIMIT_{name}")
            before = resource.getrlimit(number)
            if before == wanted:
                continue
            try:
                resource.setrlimit(number, wanted)
            except (ValueError, PermissionError):
                # As systemd: where it may not be raised, as close as it gets.
                hard = before[1]
                if hard == resource.RLIM_INFINITY:
                    raise
                resource.setrlimit(number, (_lower(wanted[0], hard), _lower(wanted[1], hard)))


def _has_ulimit(name: str, pair: tuple[int, int]) -> bool:
    if name not in _ULIMIT:
        return False
    unit = _ULIMIT[name][1]
    return all(limit <= 0 or (unit > 0 and limit % unit == 0) for limit in pair)


def _ulimit(name: str, soft: int, hard: int) -> Iterator[str]:
    """Lines of sh: both limits at once, for the soft one must never be above the hard one; then the soft one."""
    option, unit = _ULIMIT[name]
    for kind, limit in (("", hard), ("S", soft)):
        if not kind or soft != hard:
            # Beyond POSIX, but in every sh: command(1) tells the linters so.
            yield f"command ulimit -{kind}{option} {limit // unit if limit > 0 else _shown(limit)} || exit 205"


def _lower(limit: int, hard: int) -> int:
    return hard if limit < 0 else min(limit, hard)


def _shown(limit: int) -> str:
    return "unlimited" if limit < 0 else str(limit)


class OomScoreAdjust(Step):
    """OOMScoreAdjust=: proc(5), /proc/PID/oom_score_adj."""

    name = "oom_score_adjust"
    manual = "systemd.exec(5) OOMScoreAdjust="
    directives = ("OOMScoreAdjust",)
    status = 206

    score: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return None if service.oom_score_adjust is None else cls(service.oom_score_adjust)

    def shell(self) -> Shell:
        write = f"{{ echo {self.score} >/proc/self/oom_score_adj; }} 2>/dev/null"
        return Shell(statement=f'{write} || [ "$(id -u)" = 0 ] || exit {self.status}')

    def apply(self, process: Process) -> None:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(self.score).encode())
        except PermissionError:
            if os.geteuid():
                raise
            # A container's root may not lower it: there its host decides, as systemd sees it, too.
        finally:
            os.close(fd)


class Nice(Step):
    """Nice=: setpriority(2); the level itself, not an increment."""

    name = "nice"
    manual = "systemd.exec(5) Nice="
    directives = ("Nice",)
    status = 201

    level: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return None if service.nice is None else cls(service.nice)

    def shell(self) -> Shell:
        return Shell(prefix=f'nice -n "$(({self.level} - $(nice)))"')

    def apply(self, process: Process) -> None:
        os.setpriority(os.PRIO_PROCESS, 0, self.level)


class CpuScheduling(Step):
    """CPUSchedulingPolicy=, CPUSchedulingPriority=, CPUSchedulingResetOnFork=: sched_setscheduler(2)."""

    name = "cpu_scheduling"
    manual = "systemd.exec(5) CPUSchedulingPolicy=, CPUSchedulingPriority=, CPUSchedulingResetOnFork="
    directives = ("CPUSchedulingPolicy", "CPUSchedulingPriority", "CPUSchedulingResetOnFork")
    status = 214

    policy: int
    priority: int
    reset_on_fork: bool

    @classmethod
    def of(cls, service: Service) -> Self | None:
        if service.cpu_policy is None and service.cpu_priority is None and not service.cpu_reset_on_fork:
            return None
        policy = service.cpu_policy or os.SCHED_OTHER
        realtime = policy in (os.SCHED_FIFO, os.SCHED_RR)
        # sched(7): 1 is the lowest priority of the realtime policies, the others have none
        return cls(policy, (service.cpu_priority or 1) if realtime else 0, service.cpu_reset_on_fork)

    def shell(self) -> Shell:
        flag = {os.SCHED_OTHER: "--other", os.SCHED_FIFO: "--fifo", os.SCHED_RR: "--rr", os.SCHED_BATCH: "--batch"}.get(
            self.policy, "--idle"
        )
        return Shell(prefix=f"chrt{' --reset-on-fork' if self.reset_on_fork else ''} {flag} {self.priority}")

    def apply(self, process: Process) -> None:
        policy = self.policy | (os.SCHED_RESET_ON_FORK if self.reset_on_fork else 0)
        os.sched_setscheduler(0, policy, os.sched_param(self.priority))


class CpuAffinity(Step):
    """CPUAffinity=: sched_setaffinity(2)."""

    name = "cpu_affinity"
    manual = "systemd.exec(5) CPUAffinity="
    directives = ("CPUAffinity",)
    status = 215

    cpus: tuple[int, ...]
    nodes: tuple[int, ...] = ()  # or theirs

    @classmethod
    def of(cls, service: Service) -> Self | None:
        cpus = tuple(sorted(set(service.cpu_affinity)))
        return cls((), service.numa_mask) if -1 in cpus else cls(cpus) if cpus else None

    def shell(self) -> Shell | None:
        return Shell(prefix=f"taskset -c {','.join(map(str, self.cpus))}") if self.cpus else None

    def apply(self, process: Process) -> None:
        os.sched_setaffinity(0, self.cpus or _cpus_of(self.nodes))


def _cpus_of(nodes: tuple[int, ...]) -> tuple[int, ...]:
    """The CPUs of memory nodes: numa(7)."""
    from initkit.settings.values import cpu_set

    found: list[int] = []
    files = ["cpu/possible"] if nodes == (-1,) else [f"node/node{node}/cpulist" for node in nodes]
    for name in files:
        with open(f"/sys/devices/system/{name}", encoding="ascii") as file:
            found += cpu_set(file.read().strip())
    return tuple(found)


class IoScheduling(Step):
    """IOSchedulingClass=, IOSchedulingPriority=: ioprio_set(2)."""

    name = "io_scheduling"
    manual = "systemd.exec(5) IOSchedulingClass=, IOSchedulingPriority="
    directives = ("IOSchedulingClass", "IOSchedulingPriority")
    status = 211

    io_class: int
    priority: int

    @classmethod
    def of(cls, service: Service) -> Self | None:
        if service.io_class is None and service.io_priority is None:
            return None
        io_class = service.io_class or 2  # to systemd, none and a priority alone mean best-effort
        levels = io_class in (1, 2)
        return cls(io_class, (4 if service.io_priority is None else service.io_priority) if levels else 0)

    def shell(self) -> Shell:
        levels = f" -n {self.priority}" if self.io_class in (1, 2) else ""
        return Shell(prefix=f"ionice -c {self.io_class}{levels}")

    def apply(self, process: Process) -> None:
        from initkit.plan import libc

        libc.set_io_priority(self.io_class, self.priority)
