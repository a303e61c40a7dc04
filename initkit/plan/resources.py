"""The step into a control group that limits what a service may use: systemd.resource-control(5), cgroups(7).

The kernel has a file for each of these limits. There is nothing else to stand in for one: LimitNPROC= counts a user's
processes and not a service's (TasksMax=), LimitAS= a process's addresses and not its memory (MemoryMax=). So a limit
that has no file here ends the start.
"""

from __future__ import annotations

import os

from initkit.plan import RESOURCES
from initkit.plan.step import Process, Step
from initkit.settings.values import UNLIMITED, write_cpu_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from initkit.settings.amounts import Amount
    from initkit.settings.service import Service

    #: Directive, file in the group, what is written there: "%" and a part of the whole where that is to be found first,
    #: or a device.
    Setting = tuple[str, str, "str | Amount", str]

#: Directive, attribute of `Service`, file.
_AMOUNTS = (
    ("MemoryMin", "memory_min", "memory.min"),
    ("MemoryLow", "memory_low", "memory.low"),
    ("MemoryHigh", "memory_high", "memory.high"),
    ("MemoryMax", "memory_max", "memory.max"),
    ("MemorySwapMax", "memory_swap_max", "memory.swap.max"),
    ("MemoryZSwapMax", "memory_zswap_max", "memory.zswap.max"),
    ("TasksMax", "tasks_max", "pids.max"),
)
_DEVICES = (
    ("IODeviceWeight", "io_device_weights", "io.weight", ""),
    ("IODeviceLatencyTargetSec", "io_latencies", "io.latency", "target="),
    ("IOReadBandwidthMax", "io_read_bandwidth", "io.max", "rbps="),
    ("IOWriteBandwidthMax", "io_write_bandwidth", "io.max", "wbps="),
    ("IOReadIOPSMax", "io_read_operations", "io.max", "riops="),
    ("IOWriteIOPSMax", "io_write_operations", "io.max", "wiops="),
)
_SETS = (
    ("AllowedCPUs", "allowed_cpus", "cpuset.cpus"),
    ("AllowedMemoryNodes", "allowed_memory_nodes", "cpuset.mems"),
)
# CPUQuota=: systemd asks the kernel for periods and quotas of a millisecond at least, a second's period at most.
_MILLISECOND, _SECOND = 1000, 1_000_000
_PERIOD = 100 * _MILLISECOND


class ResourceError(ValueError):
    """A limit that cannot be kept."""

    def __init__(self, directive: str, why: str) -> None:
        super().__init__(why)
        self.directives = (directive,)


class ControlGroup(Step):
    """What the service's group limits, written there before the program is."""

    name = "control_group"
    manual = "systemd.resource-control(5)"
    directives = RESOURCES
    status = 219
    reason = (
        "in a control group, where there is a cgroup2 tree; else the start fails: a LimitX= is of a process or a user"
    )

    settings: tuple[Setting, ...]

    @classmethod
    def of(cls, service: Service) -> Self | None:
        found = tuple(_settings(service))
        asks = found or service.delegate is not None or service.oom_policy_set == "stop"
        return cls(found) if asks else None

    def apply(self, process: Process) -> None:
        for directive, file, value, device in self.settings:
            if not process.group:
                if _is_limit(value):
                    raise ResourceError(directive, "no cgroup2 tree in which the service could have a group")
                continue
            try:
                write(f"{process.group}/{file}", _text(directive, value, device))
            except FileNotFoundError as fault:
                if str(fault.filename).startswith(process.group):
                    if not _is_limit(value):
                        continue
                    raise ResourceError(directive, f"no {file} in the control group: no such controller") from None
                raise ResourceError(directive, f"{fault.filename}: {fault.strerror}") from None
            except OSError as fault:
                raise ResourceError(directive, f"{file}: {fault.strerror}") from None


def controllers(service: Service) -> tuple[str, ...]:
    """The controllers that the service's group has to have, and those that it had better have."""
    found = [file.partition(".")[0] for _, file, *_ in _settings(service)]
    return tuple(dict.fromkeys((*found, *(service.delegate or ()))))


def _settings(service: Service) -> Iterator[Setting]:
    for directive, attribute, file in _AMOUNTS:
        amount = getattr(service, attribute)
        if amount is not None:
            yield directive, file, "max" if amount == UNLIMITED else amount, ""
    if service.memory_zswap_writeback is not None:
        yield "MemoryZSwapWriteback", "memory.zswap.writeback", str(int(service.memory_zswap_writeback)), ""
    if service.oom_policy == "kill":
        yield "OOMPolicy", "memory.oom.group", "1", ""
    yield from _processor(service)
    if service.io_weight is not None:
        yield "IOWeight", "io.weight", f"default {service.io_weight}", ""
    for directive, attribute, file, key in _DEVICES:
        for path, number in getattr(service, attribute):
            yield directive, file, f"{key}{'max' if number == UNLIMITED else number}", path
    for directive, attribute, file in _SETS:
        numbers = getattr(service, attribute)
        if numbers:
            yield directive, file, write_cpu_set(numbers), ""


def _processor(service: Service) -> Iterator[Setting]:
    if service.cpu_weight == 0:
        yield "CPUWeight", "cpu.idle", "1", ""
    elif service.cpu_weight is not None:
        yield "CPUWeight", "cpu.weight", str(service.cpu_weight), ""
    if service.cpu_quota is not None:
        yield "CPUQuota", "cpu.max", _quota(service.cpu_quota, service.cpu_quota_period), ""


def _quota(share: float, asked: float) -> str:
    """CPUQuota= in so many microseconds of a period."""
    period = max(_MILLISECOND, _PERIOD if asked == float("inf") or asked <= 0 else round(asked * _SECOND))
    per_second = round(share * _SECOND)
    period = min(max(period, -(-_MILLISECOND * _SECOND // per_second)), _SECOND)
    return f"{max(per_second * period // _SECOND, _MILLISECOND)} {period}"


def _is_limit(value: str | Amount) -> bool:
    """Whether something is lost where it cannot be said: all is unlimited without a group."""
    return not (isinstance(value, str) and value.endswith("max"))


def _text(directive: str, value: str | Amount, device: str) -> str:
    if device:
        return f"{_device(device)} {value}"
    if isinstance(value, float):
        return str(_part(value, _tasks() if directive == "TasksMax" else 0))
    return str(value)


def _part(share: float, whole: int) -> int:
    """So much of a whole; of the machine's memory, in pages, where that is 0."""
    parts = round(share * 10_000)
    if whole:
        return whole * parts // 10_000
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_PHYS_PAGES") * parts // 10_000 * page


def _tasks() -> int:
    """How many tasks the machine allows: proc(5)."""
    found = []
    for name in ("pid_max", "threads-max"):
        with open(f"/proc/sys/kernel/{name}", encoding="ascii") as file:
            found.append(int(file.read()))
    return min(found)


def _device(path: str) -> str:
    """The device, or the one that a file lies on, as a whole: "8:0"."""
    found = os.stat(path)
    number = found.st_rdev if found.st_mode & 0o170000 == 0o060000 else found.st_dev  # S_ISBLK
    name = f"{os.major(number)}:{os.minor(number)}"
    if os.path.exists(f"/sys/dev/block/{name}/partition"):
        with open(f"/sys/dev/block/{name}/../dev", encoding="ascii") as file:
            return file.read().strip()
    return name


def write(path: str, text: str) -> None:
    """Write to a file of the kernel's: one that is not there is not to be made.

    Raises:
        OSError
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
