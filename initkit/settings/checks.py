"""Checks for values that no part of initkit acts on, which still go into units: systemd passes over a wrong one.

A sandbox with a typo is no sandbox, so such a value is an error here. Where a grammar is open (system calls, images,
devices, programs for BPF) nothing is checked. What has a specifier in it is only known when the service starts, and is
left alone. Imported when a directive needs it and not before.
"""

from __future__ import annotations

import errno

from initkit.settings import syntax, values
from initkit.settings.attributes import ARCHITECTURES
from initkit.settings.choices import CHOICES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str], object]


def _wrong(expected: str, found: str) -> ValueError:
    return ValueError(f"expected {expected}, found {found!r}")


# --- how a value is put together ------------------------------------------------------------------------------------


def _fixed(check: Check) -> Check:
    """A single value that may hold specifiers."""
    return lambda text: None if "%" in text else check(text)


def _raw(text: str) -> tuple[str, ...]:
    r"""The words of a list whose escapes stay as they are: "dev-disk\x2dby.device"."""
    return syntax.split(text.replace("\\", "\\\\"))


def _each(check: Check) -> Check:
    """A list of words, each of which may hold specifiers."""

    def whole(text: str) -> None:
        for word in _raw(text):
            if "%" not in word and "\\" not in word:
                check(word)

    return whole


def _inverted(check: Check) -> Check:
    """A list of words that "~" at its start turns around."""
    each = _each(check)
    return lambda text: each(text.removeprefix("~"))


def _known(what: str, names: tuple[str, ...]) -> Check:
    def check(text: str) -> None:
        if text not in names:
            raise _wrong(f"{what} ({', '.join(names)})", text)

    return check


def _or(names: tuple[str, ...], check: Check) -> Check:
    """One of a few words, else what `check` takes."""
    return lambda text: None if text in names else check(text)


def _boolean_or(*names: str) -> Check:
    expected = f"yes, no or {', '.join(names)}"

    def check(text: str) -> None:
        try:
            if text not in names:
                values.boolean(text)
        except ValueError:
            raise _wrong(expected, text) from None

    return check


def _named(kind: str, highest: int) -> Check:
    """One of the choices, or a number in its place."""

    def check(text: str) -> None:
        try:
            if text not in CHOICES[kind]:
                values.integer(text, 0, highest)
        except ValueError:
            raise ValueError(f"expected one of {', '.join(CHOICES[kind])}") from None

    return check


def _number(lowest: int, highest: int) -> Check:
    return lambda text: values.integer(text, lowest, highest)


# --- units, addresses of documents ----------------------------------------------------------------------------------


def _unit_of(*types: str) -> Check:
    def check(text: str) -> None:
        values.unit(text)
        if text.rpartition(".")[2] not in types:
            raise _wrong(f"the name of a unit that ends in .{', .'.join(types)}", text)

    return check


# --- paths ----------------------------------------------------------------------------------------------------------


def _path(text: str) -> None:
    values.path(text)


def _marked_path(text: str) -> None:
    """ReadWritePaths= and its kin: "-" forgives absence, "+" is meant below RootDirectory=."""
    values.path(text.removeprefix("-").removeprefix("+"))


def _bound(text: str) -> None:
    """BindPaths=: [-]SOURCE[:TARGET[:OPTIONS]]."""
    source, _, rest = text.partition(":")
    target = rest.partition(":")[0]
    values.path(source.removeprefix("-"))
    if target:
        values.path(target)


def _first_path(text: str) -> None:
    """TemporaryFileSystem=: PATH[:OPTIONS]."""
    values.path(text.partition(":")[0])


def _search_path(text: str) -> None:
    if "\\" in text:
        return
    for part in "".join(syntax.split(text)).split(":"):
        if part and "%" not in part:
            values.path(part)


def _device(text: str) -> None:
    """DeviceAllow=: a node or a class of them, then any of r, w, m."""
    words = syntax.split(text)
    if not words[0].startswith(("/", "char-", "block-", "%")) or (len(words) > 1 and words[1].strip("rwm")):
        raise _wrong('a device such as "/dev/null rw" or "char-pts rw"', text)


def _per_device(check: Check) -> Check:
    """IODeviceWeight= and its kin: a path, then a value."""

    def whole(text: str) -> None:
        words = syntax.split(text)
        if len(words) < 2:
            raise _wrong("a path and a value", text)
        if len(words) == 2:
            check(words[1])

    return whole


# --- sockets and timers ---------------------------------------------------------------------------------------------


def _calendar(text: str) -> None:
    from initkit.settings import calendar

    calendar.parse(text)


def _not_a_timer(text: str) -> None:
    values.unit(text)
    if text.endswith(".timer"):
        raise _wrong("the name of a unit that is no timer", text)


# --- conditions -----------------------------------------------------------------------------------------------------


def _condition(check: Check) -> Check:
    """systemd.unit(5): "|" makes it one of several of which one is enough, "!" turns it around."""

    def whole(text: str) -> None:
        bare = text.removeprefix("|").removeprefix("!")
        if bare and "%" not in bare:
            check(bare)

    return whole


# --- resources ------------------------------------------------------------------------------------------------------


def _memory(text: str) -> float:
    """A size in bytes, a part of the machine's memory, or infinity."""
    return values.percent(text) if text.endswith(("%", "‰", "‱")) else values.size(text)


def _some_memory(text: str) -> None:
    if not _memory(text):
        raise _wrong("a size above 0", text)


def _tasks(text: str) -> None:
    if text.endswith(("%", "‰", "‱")):
        values.percent(text)
    elif text != "infinity":
        values.integer(text, 1, 2**64 - 1, what="a number of tasks, a percentage or infinity")


def _quota(text: str) -> None:
    if not values.percent(text, None) > 0:
        raise _wrong("a percentage above 0%", text)


def _rate(text: str) -> None:
    """Bytes or operations in a second, base 1000, or infinity."""
    if text != "infinity" and not (text[:1].isdigit() or text[:1] in "+.%"):
        raise _wrong("a number such as 5M, or infinity", text)


def _percentage(text: str) -> None:
    values.percent(text)


def _time(text: str) -> None:
    values.microseconds(text)


# --- the sandbox ----------------------------------------------------------------------------------------------------

#: address_families(7), and those of <linux/socket.h> that it leaves out
_FAMILIES = frozenset((
    "UNSPEC", "UNIX", "LOCAL", "FILE", "INET", "AX25", "IPX", "APPLETALK", "NETROM", "BRIDGE", "ATMPVC", "X25",
    "INET6", "ROSE", "DECnet", "NETBEUI", "SECURITY", "KEY", "NETLINK", "ROUTE", "PACKET", "ASH", "ECONET", "ATMSVC",
    "RDS", "SNA", "IRDA", "PPPOX", "WANPIPE", "LLC", "IB", "MPLS", "CAN", "TIPC", "BLUETOOTH", "IUCV", "RXRPC",
    "ISDN", "PHONET", "IEEE802154", "CAIF", "ALG", "NFC", "VSOCK", "KCM", "QIPCRTR", "SMC", "XDP", "MCTP",
))  # fmt: skip

_NAMESPACES = ("cgroup", "ipc", "net", "mnt", "pid", "user", "uts", "time")
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids")


def _family(text: str) -> None:
    if not (text.startswith("AF_") and text[3:] in _FAMILIES):
        raise _wrong("none or an address family such as AF_INET", text)


def _namespaces(text: str) -> None:
    try:
        values.boolean(text)
    except ValueError:
        _inverted(_known("yes, no or namespaces", _NAMESPACES))(text)


def _controller(text: str) -> None:
    if text not in _CONTROLLERS and not text.startswith("bpf-"):
        raise _wrong(f"controllers ({', '.join(_CONTROLLERS)})", text)


def _delegate(text: str) -> None:
    try:
        values.boolean(text)
    except ValueError:
        _each(_controller)(text)


def _error_number(text: str) -> None:
    if text == "kill" or (text.startswith("E") and isinstance(getattr(errno, text, None), int)):
        return
    try:
        values.integer(text, 0, 4095)
    except ValueError:
        raise _wrong("kill, an error such as EPERM, or its number", text) from None


def _host_name(text: str) -> None:
    _boolean_or("private, each with :NAME after it")(text.partition(":")[0].replace("private", "yes"))


def _address(text: str) -> None:
    """IPAddressAllow=: an address or a network."""
    import _socket  # built in, unlike `socket`

    network, slash, length = text.partition("/")
    family, longest = (_socket.AF_INET6, 128) if ":" in network else (_socket.AF_INET, 32)
    try:
        _socket.inet_pton(family, network)
    except (OSError, ValueError):
        raise _wrong(
            "an IP address, a network such as 10.0.0.0/8, any, localhost, link-local or multicast", text
        ) from None
    if slash:
        values.integer(length, 0, longest, what="the length of a network's prefix")


def _field(text: str) -> None:
    """LogExtraFields=: FIELD=value."""
    name, equals, _ = text.partition("=")
    plain = name.replace("_", "A")
    sound = plain.isascii() and plain.isalnum() and plain == plain.upper() and len(name) <= 64
    if not equals or not sound or name[0] == "_" or name[0].isdigit():
        raise _wrong("FIELD=value with a field of capital letters", text)


# --- the tables -----------------------------------------------------------------------------------------------------

_WATCH = _boolean_or("auto", "skip")
_CPUS = _fixed(values.cpu_set)
_PATHS = _each(_marked_path)
_BLOCK_WEIGHT = _number(10, 1000)
_WEIGHT = _number(1, 10_000)

#: By the kind that systemd's own table tells.
BY_KIND: dict[str, Check] = {
    "ARCHS": _each(_known("architectures", ("native", *ARCHITECTURES))),
    "BANDWIDTH": _per_device(_rate),
    "BOOLEAN": values.boolean,
    "CPUWEIGHT": _or(("idle",), _WEIGHT),
    "DEVICE": _device,
    "DEVICELATENCY": _per_device(_fixed(_time)),
    "DEVICEWEIGHT": _per_device(_fixed(_WEIGHT)),
    "ERRNO": _error_number,
    "FACILITY": _named("FACILITY", 127),
    "FAMILIES": _or(("none",), _inverted(_family)),
    "LEVEL": _named("LEVEL", 7),
    "LIMIT": _memory,
    "MODE": values.mode,
    "MOUNTFLAG": _known("a mount propagation", ("shared", "slave", "private")),
    "NAMESPACES": _namespaces,
    "NANOSECONDS": _or(("infinity",), values.nanoseconds),
    "NICE": values.nice,
    "OOMSCOREADJUST": values.oom_score,
    "PATH": _fixed(_path),
    "PATH [...]": _PATHS,
    "PATH[:PATH[:OPTIONS]] [...]": _each(_bound),
    "SECONDS": values.time_span,
    "SHARES": _number(2, 262_144),
    "SIGNAL": values.signal,
    "SLICE": _fixed(_unit_of("slice")),
    "SOCKETS": _each(_unit_of("socket")),
    "LONG": _number(0, 2**63 - 1),
    "SERVICE": _fixed(_unit_of("service")),
    "TIMER": _time,
    "UNIT": _fixed(_not_a_timer),
    "UNIT [...]": _each(values.unit),
    "UNSIGNED": _number(0, 2**32 - 1),
    "WEIGHT": _WEIGHT,
}

_FILE_CONDITIONS = (
    "PathExists", "PathExistsGlob", "PathIsDirectory", "PathIsSymbolicLink", "PathIsMountPoint", "PathIsReadWrite",
    "PathIsEncrypted", "PathIsSocket", "DirectoryNotEmpty", "FileNotEmpty", "FileIsExecutable", "NeedsUpdate",
)  # fmt: skip

#: By the directive, where its kind does not tell enough; these go first.
BY_NAME: dict[str, Check] = {
    **{f"{start}{name}": _condition(_path) for start in ("Condition", "Assert") for name in _FILE_CONDITIONS},
    **dict.fromkeys(
        ("IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax"), _per_device(_rate)
    ),
    **dict.fromkeys(("BlockIOWeight", "StartupBlockIOWeight"), _BLOCK_WEIGHT),
    **dict.fromkeys(("JobTimeoutSec", "JobRunningTimeoutSec", "TimeoutAbortSec", "CPUQuotaPeriodSec"), _time),
    **dict.fromkeys(("ManagedOOMMemoryPressureDurationSec", "TimeoutSec", "DeferTriggerMaxSec"), _time),
    **dict.fromkeys(("AllowedCPUs", "AllowedMemoryNodes", "StartupAllowedCPUs", "StartupAllowedMemoryNodes"), _CPUS),
    **dict.fromkeys(("CPUPressureWatch", "IOPressureWatch", "MemoryPressureWatch"), _WATCH),
    **dict.fromkeys(("BindLogSockets", "MemoryKSM", "MountAPIVFS", "PrivateBPF", "PrivateMounts"), values.boolean),
    **dict.fromkeys(("PrivatePIDs", "SetLoginEnvironment"), values.boolean),
    **dict.fromkeys(("SuccessActionExitStatus", "FailureActionExitStatus"), _number(0, 255)),
    **dict.fromkeys(("ManagedOOMMemoryPressureLimit", "ManagedOOMMemoryPressureLimitPercent"), _percentage),
    **dict.fromkeys(
        ("IPAddressAllow", "IPAddressDeny"), _each(_or(("any", "localhost", "link-local", "multicast"), _address))
    ),
    **dict.fromkeys(("IPIngressFilterPath", "IPEgressFilterPath"), _fixed(_path)),
    **dict.fromkeys(("RequiresMountsFor", "WantsMountsFor"), _each(_path)),
    **dict.fromkeys(("MemoryMax", "MemoryHigh", "MemoryLimit"), _some_memory),
    **dict.fromkeys(("TTYColumns", "TTYRows"), _fixed(_number(0, 2**32 - 1))),
    **dict.fromkeys(("UpheldBy", "Also", "Alias"), _each(values.unit)),
    "BlockIODeviceWeight": _per_device(_fixed(_BLOCK_WEIGHT)),
    "DeferTrigger": _boolean_or("patient"),
    "MessageQueueMessageSize": _number(0, 2**63 - 1),
    "OnCalendar": _fixed(_calendar),
    "CPUQuota": _quota,
    "Delegate": _delegate,
    "DisableControllers": _each(_controller),
    "ExecSearchPath": _search_path,
    "LogExtraFields": _each(_field),
    "PrivateTmp": _boolean_or("connected", "disconnected"),
    "PrivateUsers": _boolean_or("self", "identity", "full", "managed"),
    "ProtectControlGroups": _boolean_or("private", "strict"),
    "ProtectHome": _boolean_or("read-only", "tmpfs"),
    "ProtectHostname": _host_name,
    "ProtectSystem": _boolean_or("full", "strict"),
    "TasksMax": _tasks,
    "TemporaryFileSystem": _each(_first_path),
}


def find(name: str, kind: str) -> Check | None:
    """What raises ValueError for a wrong value of a directive; None: anything goes."""
    return BY_NAME.get(name) or BY_KIND.get(kind)
