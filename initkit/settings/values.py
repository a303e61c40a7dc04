"""The values of single settings: a parser and a writer for each kind.

Every parser raises ValueError with one clause that says what was expected and what was found.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in and always loaded, unlike `signal`

from initkit.settings import syntax
from initkit.settings.envfile import is_name
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNLIMITED = -1  # RLIM_INFINITY, as the `resource` module has it
INFINITY = float("inf")
_DIGITS = "0123456789"
_LONGEST = 64  # digits; no value needs more


def _wrong(expected: str, found: object) -> ValueError:
    return ValueError(f"expected {expected}, found {found!r}")


def _is_digits(text: str) -> bool:
    """Whether `text` is a plain number, and one that `int` reads at once."""
    return 0 < len(text) <= _LONGEST and text.isascii() and text.isdigit()


def _digits(text: str, position: int) -> str:
    """The decimal digits at `position`."""
    end = position
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return text[position:end]


# --- booleans, numbers ----------------------------------------------------------------------------------------------

_BOOLEANS = {
    **dict.fromkeys(("1", "yes", "y", "true", "t", "on"), True),
    **dict.fromkeys(("0", "no", "n", "false", "f", "off"), False),
}


def boolean(text: str) -> bool:
    """systemd.syntax(7): 1, yes, true, on; 0, no, false, off."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise _wrong("yes or no", text) from None


def write_boolean(value: bool) -> str:
    """yes or no."""
    return "yes" if value else "no"


_BASES = {"0x": 16, "0X": 16, "0b": 2, "0B": 2, "0o": 8, "0O": 8}


def integer(text: str, lowest: int | None = None, highest: int | None = None, *, what: str = "a whole number") -> int:
    """A whole number from `lowest` to `highest`, as strtol(3) reads it with base 0: 10, 0x0a, 012."""
    body = text.lstrip(syntax.BLANKS)
    sign = -1 if body.startswith("-") else 1
    body = body[1:] if body.startswith(("+", "-")) else body
    base = _BASES.get(body[:2], 8 if body.startswith("0") else 10)
    digits = body[2:] if body[:2] in _BASES else body
    try:
        value = sign * int(digits, base) if digits.isascii() and digits.isalnum() and len(digits) <= _LONGEST else None
    except ValueError:
        value = None
    if value is None or (lowest is not None and value < lowest) or (highest is not None and value > highest):
        raise _wrong(what + _between(lowest, highest), text)
    return value


def _between(lowest: int | None, highest: int | None) -> str:
    if lowest is None and highest is None:
        return ""
    if highest is None:
        return f", {lowest} or more"
    return f" from {lowest} to {highest}" if lowest is not None else f", {highest} or less"


def write_integer(value: int) -> str:
    """Decimal."""
    return str(value)


def nice(text: str) -> int:
    """Nice=: -20 (most favourable) to 19."""
    return integer(text, -20, 19, what="a nice level")


def oom_score(text: str) -> int:
    """OOMScoreAdjust=: -1000 (never killed) to 1000."""
    return integer(text, -1000, 1000, what="an OOM score adjustment")


def cpu_priority(text: str) -> int:
    """CPUSchedulingPriority=: 1 (lowest) to 99 for fifo and rr, 0 for the others; see sched(7)."""
    return integer(text, 0, 99, what="a scheduling priority")


def io_priority(text: str) -> int:
    """IOSchedulingPriority=: 0 (highest) to 7."""
    return integer(text, 0, 7, what="an I/O priority")


write_nice = write_oom_score = write_cpu_priority = write_io_priority = write_integer


def mode(text: str) -> int:
    """An access mode in octal: 0755."""
    digits = text.lstrip(syntax.BLANKS)
    if not digits or any(digit not in "01234567" for digit in digits) or int(digits, 8) > 0o7777:
        raise _wrong("an access mode in octal such as 0755", text)
    return int(digits, 8)


def write_mode(value: int) -> str:
    """Octal, four digits."""
    return f"{value:04o}"


def percent(text: str, highest: float | None = 100.0) -> float:
    """A percentage with at most two decimals, "12.5%"; also systemd's ‰ and ‱. `highest` None: no upper bound."""
    body, unit = text[:-1], text[-1:]
    whole, dot, part = body.partition(".")
    decimals = {"%": 2, "‰": 1, "‱": 0}.get(unit, -1)
    sound = _is_digits(whole) and (_is_digits(part) and len(part) <= decimals if dot else True)
    value = float(f"{whole}.{part or 0}") * 10 ** (decimals - 2) if sound and decimals >= 0 else -1.0
    if value < 0 or (highest is not None and value > highest):
        raise _wrong("a percentage such as 50%" + (f", {highest:g}% or less" if highest is not None else ""), text)
    return round(value, 2)


def write_percent(value: float) -> str:
    """With as few decimals as tell it."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


# --- time -----------------------------------------------------------------------------------------------------------

MICROSECONDS = 1_000_000  # in a second
_FOREVER = 2**64 - 1  # systemd keeps a time span in 64 bits

# Microseconds. In the order of systemd's table: the first one that the text goes on with is meant.
_MICRO = (
    *(("seconds", 1_000_000), ("second", 1_000_000), ("sec", 1_000_000), ("s", 1_000_000)),
    *(("minutes", 60_000_000), ("minute", 60_000_000), ("min", 60_000_000)),
    *(("months", 2_629_800_000_000), ("month", 2_629_800_000_000), ("M", 2_629_800_000_000)),
    *(("msec", 1000), ("ms", 1000), ("m", 60_000_000)),
    *(("hours", 3_600_000_000), ("hour", 3_600_000_000), ("hr", 3_600_000_000), ("h", 3_600_000_000)),
    *(("days", 86_400_000_000), ("day", 86_400_000_000), ("d", 86_400_000_000)),
    *(("weeks", 604_800_000_000), ("week", 604_800_000_000), ("w", 604_800_000_000)),
    *(("years", 31_557_600_000_000), ("year", 31_557_600_000_000), ("y", 31_557_600_000_000)),
    *(("usec", 1), ("us", 1), ("µs", 1), ("μs", 1)),
)


def time_span(text: str, *, unit: float = 1.0) -> float:
    """Seconds of a time span: systemd.time(7), "5min 20s", "1.5h", "infinity".

    `unit` is what a number without a unit counts, in seconds (1e-6 for LimitRTTIME=). Exact to the microsecond (up to
    285 years, where a float ends to be): what is smaller is cut off.
    """
    ticks = microseconds(text, unit=round(unit * MICROSECONDS))
    return INFINITY if ticks == UNLIMITED else ticks / MICROSECONDS


def microseconds(text: str, *, unit: int = MICROSECONDS) -> int:
    """As `time_span`, in microseconds, `unit` too; UNLIMITED for infinity."""
    return _span(text, _MICRO, unit)


def nanoseconds(text: str) -> int:
    """Nanoseconds of a time span whose plain numbers are nanoseconds, as for TimerSlackNSec=."""
    ticks = _span(text, (*((name, 1000 * ticks) for name, ticks in _MICRO), ("nsec", 1), ("ns", 1)), 1)
    if ticks == UNLIMITED:
        raise _wrong("a finite time span such as 50us", text)
    return ticks


def _span(text: str, units: tuple[tuple[str, int], ...], default: int) -> int:
    """The sum of the terms, in ticks; UNLIMITED for infinity."""
    body = text.strip(syntax.BLANKS)
    if body == "infinity":
        return UNLIMITED
    total, position = 0, 0
    while position < len(body):
        term = _term(body, position, units, default)
        if not term:
            break
        total, position = total + term[0], term[1]
    if not body or position < len(body) or total >= _FOREVER:
        raise _wrong("a time span such as 5min 20s", text)
    return total


def _term(text: str, position: int, units: tuple[tuple[str, int], ...], default: int) -> tuple[int, int] | None:
    """A number with its unit: its ticks, and the position of the next term; None where there is none."""
    position += text[position] == "+"
    whole = _digits(text, position)
    position += len(whole)
    fraction = _digits(text, position + 1) if text[position : position + 1] == "." else ""
    if fraction:
        position += 1 + len(fraction)
    if not _is_digits(whole) and (whole or not fraction):
        return None
    after = syntax.skip_blanks(text, position)
    name, ticks = next((row for row in units if text.startswith(row[0], after)), ("", default))
    end = after + len(name)
    if end == position < len(text):  # "12.34.56", "5x"
        return None
    if int(whole or "0") >= min(_FOREVER // ticks, 2**63):
        return None
    return int(whole or "0") * ticks + _part(fraction, ticks), syntax.skip_blanks(text, end)


def _part(fraction: str, ticks: int) -> int:
    """A decimal fraction of `ticks`, each digit cut off by itself, as systemd counts."""
    total = 0
    for digit in fraction:
        ticks //= 10
        total += int(digit) * ticks
    return total


_SHOWN = (
    *(("w", 604_800_000_000), ("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000)),
    *(("s", 1_000_000), ("ms", 1000), ("us", 1)),
)


def write_time_span(seconds: float) -> str:
    """Weeks to microseconds, "5min 20s"; "infinity"."""
    if not seconds >= 0:
        raise _wrong("a time span of zero seconds or more", seconds)
    if seconds == INFINITY:
        return write_microseconds(UNLIMITED)
    over, under = seconds.as_integer_ratio()  # a product of floats is half a microsecond off after 70 years
    return write_microseconds((2 * MICROSECONDS * over + under) // (2 * under))


def write_microseconds(value: int) -> str:
    """As `write_time_span`; UNLIMITED is infinity."""
    if value == UNLIMITED:
        return "infinity"
    words = []
    for unit, ticks in _SHOWN:
        count, value = divmod(value, ticks)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words) or "0"


def write_nanoseconds(value: int) -> str:
    """The greatest unit that divides it: "50us", "1ns"."""
    for unit, ticks in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)):
        if value and value % ticks == 0:
            return f"{value // ticks}{unit}"
    return f"{value}ns"


# --- sizes ----------------------------------------------------------------------------------------------------------

_SIZES = (*((letter, 1024 ** (6 - index)) for index, letter in enumerate("EPTGMK")), ("B", 1), ("", 1))


def size(text: str) -> int:
    """Bytes, base 1024: "1.5G", "512M", "1G 512M"; "infinity" is UNLIMITED."""
    body = text.strip(syntax.BLANKS)
    if body == "infinity":
        return UNLIMITED
    total, position, units = 0, 0, _SIZES
    while position < len(body):
        found = _amount(body, position, units)
        if not found:
            break
        amount, position, units = found
        total += amount
    if not body or position < len(body) or total >= 2**64:
        raise _wrong("a size such as 512M or infinity", text)
    return total


def _amount(
    text: str, position: int, units: tuple[tuple[str, int], ...]
) -> tuple[int, int, tuple[tuple[str, int], ...]] | None:
    """A number with its unit: bytes, the position of the next, and the (smaller) units that it may have."""
    position += text[position] == "+"
    whole = _digits(text, position)
    position += len(whole)
    fraction = ""
    if text[position : position + 1] == ".":
        fraction = _digits(text, position + 1)
        position += 1 + len(fraction)
    position = syntax.skip_blanks(text, position)
    for index, (letter, factor) in enumerate(units):
        if _is_digits(whole) and len(fraction) <= _LONGEST and text.startswith(letter, position):
            after = syntax.skip_blanks(text, position + len(letter))
            part = int(fraction or "0") * factor // 10 ** len(fraction)
            return int(whole) * factor + part, after, units[index + 1 :]
    return None


def write_size(value: int) -> str:
    """The greatest unit that divides it: "512M"; "infinity" for UNLIMITED."""
    if value == UNLIMITED:
        return "infinity"
    letter, factor = next((row for row in _SIZES if value and value % row[1] == 0), ("", 1))
    return f"{value // factor}{letter.removesuffix('B')}"


# --- resource limits ------------------------------------------------------------------------------------------------


def _cpu_limit(text: str) -> int:
    ticks = microseconds(text)
    return UNLIMITED if ticks == UNLIMITED else -(-ticks // MICROSECONDS)  # rounded up


def _rttime_limit(text: str) -> int:
    return microseconds(text, unit=1)


def _nice_limit(text: str) -> int:
    if text.startswith("+"):
        return 20 - integer(text[1:], 0, 19, what="a nice level")
    if text.startswith("-"):
        return 20 + integer(text[1:], 0, 20, what="a nice level")
    return integer(text, 0, 40, what="a limit")


def _count_limit(text: str) -> int:
    return integer(text, 0, 2**63 - 1, what="a limit")


def _write_seconds(value: int) -> str:
    return write_microseconds(value * MICROSECONDS)


# setrlimit(2); systemd.exec(5), "Process Properties", LimitCPU= and the others.
_SIZED = ("AS", "CORE", "DATA", "FSIZE", "MEMLOCK", "MSGQUEUE", "RSS", "STACK")
_COUNTED = ("LOCKS", "NOFILE", "NPROC", "RTPRIO", "SIGPENDING")
_LIMITS: dict[str, tuple[Callable[[str], int], Callable[[int], str]]] = {
    **dict.fromkeys(_SIZED, (size, write_size)),
    **dict.fromkeys(_COUNTED, (_count_limit, write_integer)),
    "CPU": (_cpu_limit, _write_seconds),
    "RTTIME": (_rttime_limit, write_microseconds),
    "NICE": (_nice_limit, write_integer),
}
LIMITS = frozenset(_LIMITS)


def limit(name: str, text: str) -> tuple[int, int]:
    """The soft and the hard value of a resource limit: "4G", "1024:524288", "infinity".

    `name` as in "NOFILE" or "LimitNOFILE". In the kernel's units (bytes, seconds for CPU, microseconds for RTTIME,
    20 - nice for NICE), UNLIMITED for infinity: ready for `resource.prlimit`.
    """
    parse, _ = _LIMITS[name.removeprefix("Limit")]
    soft, _, hard = text.strip(syntax.BLANKS).partition(":")
    try:
        values = tuple(UNLIMITED if part == "infinity" else parse(part) for part in (soft, hard or soft))
    except ValueError as error:
        raise ValueError(f"{error}, in the limit {text!r}" if ":" in text else str(error)) from None
    if text.rstrip(syntax.BLANKS).endswith(":") or _above(*values):
        raise _wrong("a limit, or soft:hard with the soft one not above the hard one", text)
    return values[0], values[1]


def _above(soft: int, hard: int) -> bool:
    return hard != UNLIMITED and (soft == UNLIMITED or soft > hard)


def write_limit(name: str, value: tuple[int, int]) -> str:
    """One value where soft and hard are equal, else soft:hard."""
    _, write = _LIMITS[name.removeprefix("Limit")]
    shown = ["infinity" if part == UNLIMITED else write(part) for part in value]
    return shown[0] if shown[0] == shown[1] else ":".join(shown)


# --- signals --------------------------------------------------------------------------------------------------------

# signal(7): the names with the numbers of most architectures; MIPS and some others differ, and `_signal` knows.
_SIGNALS = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM"),
    *("TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF"),
    *("WINCH", "IO", "PWR", "SYS"),
)
SIGNALS: dict[str, int] = {name: getattr(_signal, "SIG" + name, index) for index, name in enumerate(_SIGNALS, 1)}
RTMIN: int = getattr(_signal, "SIGRTMIN", 34)
RTMAX: int = getattr(_signal, "SIGRTMAX", 64)


def signal(text: str) -> int:
    """The number of a signal: "SIGTERM", "TERM", "15", "RTMIN+3", "RTMAX-1"; see signal(7)."""
    body = text.strip(syntax.BLANKS)
    name = body.removeprefix("SIG")
    found = SIGNALS.get(name, 0) or _realtime(name)
    try:
        return found or integer(body, 1, RTMAX)
    except ValueError:
        raise _wrong("a signal such as SIGTERM", text) from None


def _realtime(name: str) -> int:
    """The number of "RTMIN+3", "RTMAX-1", "RTMIN"; 0 where it is none of these."""
    for start, first, sign in (("RTMIN", RTMIN, 1), ("RTMAX", RTMAX, -1)):
        offset = name.removeprefix(start)
        if offset == name or not (not offset or (offset[0] == "+-"[sign < 0] and _is_digits(offset[1:]))):
            continue
        number = first + sign * int(offset[1:] or "0")
        return number if RTMIN <= number <= RTMAX else 0
    return 0


def write_signal(number: int) -> str:
    """With SIG; real-time signals as "SIGRTMIN+3"; a number that has no name as it is."""
    if RTMIN <= number <= RTMAX:
        return f"SIGRTMIN+{number - RTMIN}"
    return next(("SIG" + name for name, known in SIGNALS.items() if known == number), str(number))


# --- scheduling -----------------------------------------------------------------------------------------------------

IO_CLASSES = {"none": 0, "realtime": 1, "best-effort": 2, "idle": 3}  # ioprio_set(2)
CPU_POLICIES = {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5}  # sched(7)


def _one_of(table: dict[str, int], text: str, what: str) -> int:
    if text in table:
        return table[text]
    if _is_digits(text) and int(text) in table.values():
        return int(text)
    raise _wrong(f"{what} ({', '.join(table)})", text)


def _name_in(table: dict[str, int], number: int) -> str:
    return next(name for name, known in table.items() if known == number)


def io_class(text: str) -> int:
    """IOSchedulingClass=, as ioprio_set(2) counts: none, realtime, best-effort, idle, or 0 to 3."""
    return _one_of(IO_CLASSES, text, "an I/O scheduling class")


def write_io_class(value: int) -> str:
    """By name."""
    return _name_in(IO_CLASSES, value)


def cpu_policy(text: str) -> int:
    """CPUSchedulingPolicy=, as sched_setscheduler(2) counts: other, batch, idle, fifo, rr."""
    return _one_of(CPU_POLICIES, text, "a scheduling policy")


def write_cpu_policy(value: int) -> str:
    """By name."""
    return _name_in(CPU_POLICIES, value)


_CPUS = 8192  # as many as Linux can be built for


def cpu_set(text: str) -> tuple[int, ...]:
    """CPUAffinity=, AllowedCPUs=: "0-3,5 7" -> the CPUs, sorted."""
    found: set[int] = set()
    for word in syntax.split(text.replace(",", " ")):
        first, dash, last = word.partition("-")
        last = last if dash else first
        try:
            lowest = integer(first, 0, _CPUS - 1)
            highest = integer(last, lowest, _CPUS - 1)
        except ValueError:
            raise _wrong("CPUs such as 0-3,5", text) from None
        found.update(range(lowest, highest + 1))
    return tuple(sorted(found))


def write_cpu_set(cpus: Iterable[int]) -> str:
    """As ranges: "0-3,5"."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


# --- exit statuses --------------------------------------------------------------------------------------------------

# systemd.exec(5), "Process Exit Codes": of the C library, of the LSB, of systemd, of sysexits.h.
_RUNS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, (
        "SUCCESS", "FAILURE", "INVALIDARGUMENT", "NOTIMPLEMENTED", "NOPERMISSION", "NOTINSTALLED", "NOTCONFIGURED",
        "NOTRUNNING",
    )),
    (64, (
        "USAGE", "DATAERR", "NOINPUT", "NOUSER", "NOHOST", "UNAVAILABLE", "SOFTWARE", "OSERR", "OSFILE", "CANTCREAT",
        "IOERR", "TEMPFAIL", "PROTOCOL", "NOPERM", "CONFIG",
    )),
    (200, (
        "CHDIR", "NICE", "FDS", "EXEC", "MEMORY", "LIMITS", "OOM_ADJUST", "SIGNAL_MASK", "STDIN", "STDOUT", "CHROOT",
        "IOPRIO", "TIMERSLACK", "SECUREBITS", "SETSCHEDULER", "CPUAFFINITY", "GROUP", "USER", "CAPABILITIES", "CGROUP",
        "SETSID", "CONFIRM", "STDERR",
    )),
    (224, (
        "PAM", "NETWORK", "NAMESPACE", "NO_NEW_PRIVILEGES", "SECCOMP", "SELINUX_CONTEXT", "PERSONALITY", "APPARMOR",
        "ADDRESS_FAMILIES", "RUNTIME_DIRECTORY",
    )),
    (235, (
        "CHOWN", "SMACK_PROCESS_LABEL", "KEYRING", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY", "NUMA_POLICY", "CREDENTIALS", "BPF",
    )),
    (255, ("EXCEPTION",)),
)  # fmt: skip
EXIT_STATUSES: dict[str, int] = {name: number for first, names in _RUNS for number, name in enumerate(names, first)}


class ExitSet(Record):
    """Ways to end that a setting names: exit statuses and signals, each sorted."""

    statuses: tuple[int, ...] = ()
    signals: tuple[int, ...] = ()


def exit_set(text: str) -> ExitSet:
    """SuccessExitStatus=, RestartPreventExitStatus=: "TEMPFAIL 250 SIGKILL". A number is always an exit status."""
    statuses, signals = set(), set()
    for word in syntax.split(text):
        status = _status(word)
        if status is None:
            try:
                signals.add(signal(word))
            except ValueError:
                raise _wrong("an exit status (0 to 255, or a name such as TEMPFAIL) or a signal", word) from None
        else:
            statuses.add(status)
    return ExitSet(tuple(sorted(statuses)), tuple(sorted(signals)))


def _status(word: str) -> int | None:
    """An exit status by number or name; None where the word must be a signal."""
    if word[:1].isdigit():
        return integer(word, 0, 255, what="an exit status")
    return EXIT_STATUSES.get(word.removeprefix("EX_"))


def write_exit_set(value: ExitSet) -> str:
    """Statuses by number (every version of systemd knows them), then signals by name."""
    return " ".join([*map(str, value.statuses), *map(write_signal, value.signals)])


# --- paths, names ---------------------------------------------------------------------------------------------------


def path(text: str) -> str:
    """An absolute path, without double or trailing slashes and "." components. ".." is refused, as systemd does."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not text.startswith("/"):
        raise _wrong("an absolute path", text)
    if ".." in parts:
        raise _wrong('a path without ".." in it', text)
    if "\0" in text or len(syntax.octets(text)) > 4095 or any(len(syntax.octets(part)) > 255 for part in parts):
        raise _wrong("a path that Linux can have", text)
    return "/" + "/".join(parts)


def write_path(value: str) -> str:
    """As it is; raises ValueError where `path` would not give it back."""
    if path(value) != value:
        raise _wrong("a normalised absolute path", value)
    return value


_NO_ID = (65_535, 4_294_967_295)


def user(text: str) -> str:
    """The name or the number of a user or group, as User= takes it: systemd.exec(5), https://systemd.io/USER_NAMES."""
    if text.isascii() and text.isdigit():
        if len(text) > 10 or (text != "0" and text[0] == "0") or int(text) in _NO_ID or int(text) >= 2**32:
            raise _wrong("a user or group number", text)
        return text
    control = any(char < " " or char == "\x7f" for char in text)
    if not text or text in (".", "..") or control or text != text.strip() or not syntax.is_utf8(text):
        raise _wrong("the name of a user or group", text)
    if any(char in text for char in ":/") or (text[0] == "-" and _is_digits(text[1:])):
        raise _wrong("the name of a user or group", text)
    return text


def write_user(value: str) -> str:
    """As it is, when `user` accepts it."""
    return user(value)


#: systemd.unit(5)
UNIT_TYPES = (
    "service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope",
)  # fmt: skip
_UNIT_MARKS = ":-_.\\@"


def bus_name(text: str) -> str:
    """A name on the message bus, as the D-Bus specification has it: org.example.App, or a connection's own, :1.7."""
    parts = text.split(".")
    sound = all(part.isascii() and part.replace("_", "a").replace("-", "a").isalnum() for part in parts)
    if text[:1] != ":" and (len(parts) < 2 or not sound or any(part[0].isdigit() for part in parts) or len(text) > 255):
        raise _wrong("a bus name such as org.example.App", text)
    return text


def unit(text: str) -> str:
    """The full name of a unit of any type: "app.service", "app@one.service", "app@.service"."""
    name, dot, suffix = text.rpartition(".")
    sound = text.isascii() and all(char.isalnum() or char in _UNIT_MARKS for char in name)
    if not dot or suffix not in UNIT_TYPES or not name or name[0] == "@" or not sound or len(text) > 255:
        raise _wrong("the full name of a unit such as network.target", text)
    return text


_DOCUMENTS = ("http://", "https://", "file:/", "info:", "man:")


def document(text: str) -> str:
    """Documentation=: where to read on."""
    if not any(text.lower().startswith(start) and len(text) > len(start) for start in _DOCUMENTS):
        raise _wrong(f"a reference that begins with {', '.join(_DOCUMENTS)}", text)
    return text


# --- environment ----------------------------------------------------------------------------------------------------


def variable(text: str) -> str:
    """The name of an environment variable: ASCII letters, digits, "_", no digit first."""
    if not is_name(text):
        raise _wrong("the name of an environment variable", text)
    return text


def write_variable(value: str) -> str:
    """As it is, when `variable` accepts it."""
    return variable(value)


def environment(text: str, expand: Callable[[str], str] | None = None) -> tuple[tuple[str, str], ...]:
    """Environment=: "A=b 'C=d e'" -> the assignments in order. `expand` expands the specifiers of each word."""
    return tuple(assignment(expand(word) if expand else word) for word in syntax.split(text, strict=True))


def assignment(word: str) -> tuple[str, str]:
    """A word "A=b" -> ("A", "b")."""
    name, equals, value = word.partition("=")
    if not equals or not is_name(name):
        raise _wrong("NAME=value", word)
    if "\0" in value or not syntax.is_utf8(value):
        raise _wrong(f"UTF-8 text as the value of {name}", value)
    return name, value


def write_environment(pairs: Iterable[tuple[str, str]]) -> str:
    """Words that systemd reads back as the same assignments; "%" is not doubled (see `specifiers.escape`)."""
    return syntax.join("=".join(assignment(f"{name}={value}")) for name, value in pairs)
