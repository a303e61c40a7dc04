"""Values of systemd.resource-control(5): amounts, and what is so much of the whole. Imported with the first of them."""

from __future__ import annotations

from initkit.settings import syntax, values
from initkit.settings.values import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: An absolute number, UNLIMITED for infinity; as a float a part of what the machine has.
    Amount = int | float

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
#: What systemd knows besides: of version 1, or programs in the kernel.
_OTHERS = ("cpuacct", "blkio", "devices")
_SIGNS = ("%", "‰", "‱")
_WEIGHTS = (1, 10_000)
_DIGITS = (("K", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("", 1))


def memory(text: str) -> Amount:
    """Bytes, base 1024; a percentage of the machine's memory; or infinity."""
    return values.percent(text) / 100 if text.endswith(_SIGNS) else values.size(text)


def some_memory(text: str) -> Amount:
    """The same, above 0."""
    found = memory(text)
    if not found:
        raise ValueError(f"expected a size above 0, found {text!r}")
    return found


def tasks(text: str) -> Amount:
    """A number, a percentage of what the machine allows, or infinity."""
    if text.endswith(_SIGNS):
        return values.percent(text) / 100
    if text == "infinity":
        return UNLIMITED
    return values.integer(text, 1, 2**64 - 1, what="a number of tasks, a percentage or infinity")


def quota(text: str) -> float:
    """CPUQuota=: CPU time in a time, 1.0 is one CPU."""
    found = values.percent(text, None) / 100
    if not found > 0:
        raise ValueError(f"expected a percentage above 0%, found {text!r}")
    return found


def weight(text: str) -> int:
    """From 1 to 10000."""
    return values.integer(text, *_WEIGHTS)


def cpu_weight(text: str) -> int:
    """The same; "idle" is 0."""
    return 0 if text == "idle" else weight(text)


def rate(text: str) -> int:
    """Bytes or operations in a second, base 1000: "5M"; or infinity."""
    if text == "infinity":
        return UNLIMITED
    body, factor = next((text.removesuffix(sign), factor) for sign, factor in _DIGITS if text.endswith(sign))
    whole, dot, part = body.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (dot and not (part.isascii() and part.isdigit())):
        raise ValueError(f"expected a number such as 5M, or infinity, found {text!r}")
    return int(whole) * factor + (int(part) * factor // 10 ** len(part) if part else 0)


def _per_device(text: str, expand: Callable[[str], str], parse: Callable[[str], int]) -> tuple[tuple[str, int], ...]:
    words = syntax.split(text)
    if len(words) != 2:
        raise ValueError(f"expected a path and a value, found {text!r}")
    return ((values.path(expand(words[0])), parse(words[1])),)


def device_weights(text: str, expand: Callable[[str], str]) -> tuple[tuple[str, int], ...]:
    """IODeviceWeight=: a file or a device, and a weight."""
    return _per_device(text, expand, weight)


def device_rates(text: str, expand: Callable[[str], str]) -> tuple[tuple[str, int], ...]:
    """IOReadBandwidthMax= and its like."""
    return _per_device(text, expand, rate)


def device_latencies(text: str, expand: Callable[[str], str]) -> tuple[tuple[str, int], ...]:
    """IODeviceLatencyTargetSec=: microseconds."""
    return _per_device(text, expand, values.microseconds)


def cpus(text: str, expand: Callable[[str], str]) -> Iterable[int]:
    """AllowedCPUs=, AllowedMemoryNodes=."""
    return values.cpu_set(expand(text))


def delegate(text: str) -> tuple[str, ...] | None:
    """Delegate=: the controllers that are handed over; None when nothing is."""
    try:
        return CONTROLLERS if values.boolean(text) else None
    except ValueError:
        pass
    words = tuple(syntax.split(text))
    unknown = [each for each in words if each not in (*CONTROLLERS, *_OTHERS) and not each.startswith("bpf-")]
    if unknown:
        raise ValueError(f"expected yes, no or controllers ({', '.join((*CONTROLLERS, *_OTHERS))}), found {text!r}")
    return tuple(each for each in words if each in CONTROLLERS)


def subgroup(text: str) -> str:
    """DelegateSubgroup=: the name of a folder."""
    if "/" in text or text in (".", "..") or text.startswith("cgroup.") or len(text.encode()) > 255:
        raise ValueError(f"expected the name of a control group, found {text!r}")
    return text


def slice_unit(text: str) -> str:
    """Slice=: "a-b.slice"."""
    parts = text.removesuffix(".slice").split("-")
    if not text.endswith(".slice") or "/" in text or (text != "-.slice" and "" in parts):
        raise ValueError(f"expected a slice such as app.slice, found {text!r}")
    return values.unit(text)
