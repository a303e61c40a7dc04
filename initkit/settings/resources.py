"""Rows of systemd.resource-control(5), and OOMPolicy= of systemd.service(5)."""

from __future__ import annotations

from initkit.settings import directives, values
from initkit.settings.execution import Execution, late
from initkit.settings.rows import Many, One, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Delegated(Row["tuple[str, ...] | None"]):
    """Delegate=: the controllers of all assignments, and none where one says no. None: nothing is handed over."""

    empty_counts = True

    def add(self, so_far: tuple[str, ...] | None, text: str, expand: Callable[[str], str]) -> tuple[str, ...] | None:
        named: tuple[str, ...] | None = late("amounts", "delegate")(text)
        return named if named is None else tuple(dict.fromkeys((*(so_far or ()), *named)))

    def reset(self) -> tuple[str, ...] | None:
        return ()  # systemd.resource-control(5): handed over without any controller


class Resources(Execution):
    """What a service may use; `Service` has these rows beside its own."""

    memory_min = One[int | float | None]("MemoryMin", late("amounts", "memory"), None)
    memory_low = One[int | float | None]("MemoryLow", late("amounts", "memory"), None)
    memory_high = One[int | float | None]("MemoryHigh", late("amounts", "some_memory"), None)
    memory_max = One[int | float | None]("MemoryMax", late("amounts", "some_memory"), None)
    memory_swap_max = One[int | float | None]("MemorySwapMax", late("amounts", "memory"), None)
    memory_zswap_max = One[int | float | None]("MemoryZSwapMax", late("amounts", "memory"), None)
    memory_zswap_writeback = One[bool | None]("MemoryZSwapWriteback", values.boolean, None)
    cpu_weight = One[int | None]("CPUWeight", late("amounts", "cpu_weight"), None)
    cpu_quota = One[float | None]("CPUQuota", late("amounts", "quota"), None)
    cpu_quota_period = One("CPUQuotaPeriodSec", values.time_span, values.INFINITY)
    tasks_max = One[int | float | None]("TasksMax", late("amounts", "tasks"), None)
    io_weight = One[int | None]("IOWeight", late("amounts", "weight"), None)
    io_device_weights = Many("IODeviceWeight", late("amounts", "device_weights"))
    io_latencies = Many("IODeviceLatencyTargetSec", late("amounts", "device_latencies"))
    io_read_bandwidth = Many("IOReadBandwidthMax", late("amounts", "device_rates"))
    io_write_bandwidth = Many("IOWriteBandwidthMax", late("amounts", "device_rates"))
    io_read_operations = Many("IOReadIOPSMax", late("amounts", "device_rates"))
    io_write_operations = Many("IOWriteIOPSMax", late("amounts", "device_rates"))
    allowed_cpus = Many("AllowedCPUs", late("amounts", "cpus"))
    allowed_memory_nodes = Many("AllowedMemoryNodes", late("amounts", "cpus"))
    delegate = Delegated("Delegate", None)
    delegate_subgroup = One("DelegateSubgroup", late("amounts", "subgroup"), "", expand=True)
    slice = One("Slice", late("amounts", "slice_unit"), "", expand=True)
    oom_policy_set = One("OOMPolicy", directives.oom_policy, "")
