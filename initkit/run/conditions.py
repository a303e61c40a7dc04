"""Whether what has to hold before a service starts does: Condition…= and Assert…=, systemd.unit(5)."""

from __future__ import annotations

import os
import stat

from initkit.errors import SettingsError
from initkit.plan import glob
from initkit.run import host
from initkit.run.outcome import Outcome
from initkit.settings import conditions, specifiers, values
from initkit.settings.conditions import Condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.settings.service import Service


def outcome(service: Service) -> Outcome:
    """What a start comes to by the service's conditions and assertions; nothing where they all hold.

    One that cannot be read does not hold.
    """
    for family, result, said in (
        (conditions.CONDITION, "condition", "skipped"),
        (conditions.ASSERT, "assert", "not started"),
    ):
        try:
            found = unmet(service, family)
        except SettingsError as fault:
            return Outcome("assert", note=str(fault))
        if found is not None:
            return Outcome(result, note=f"{said}: {found.entry.key} = {found.entry.shown} does not hold")
    return Outcome()


def unmet(service: Service, family: str) -> Condition | None:
    """The first one that keeps the service from starting, None when nothing does.

    All have to hold; of those with "|" one is enough.

    Raises:
        SettingsError: for a parameter that cannot be read.
    """
    found = conditions.of(service, family)
    for each in found:
        if not each.trigger and not holds(each):
            return each
    triggers = [each for each in found if each.trigger]
    return triggers[0] if triggers and not any(map(holds, triggers)) else None


def holds(condition: Condition) -> bool:
    """Whether this one does, by itself.

    Raises:
        SettingsError: for a parameter that cannot be read.
    """
    test = _TESTS.get(condition.kind)
    if test is None:
        raise condition.entry.error("there is no such condition outside systemd")
    try:
        return test(condition.parameter) != condition.negated
    except (ValueError, LookupError) as fault:
        raise condition.entry.error(str(fault)) from None


# --- files ----------------------------------------------------------------------------------------------------------


def _is_writable(path: str) -> bool:
    try:
        return not os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:
        return False


def _is_not_empty(path: str) -> bool:
    try:
        return os.path.isfile(path) and os.stat(path).st_size > 0
    except OSError:
        return False


def _has_entries(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _needs_update(path: str) -> bool:
    """Whether /usr is newer than what was last done for it in this directory: systemd-update-done.service(8)."""
    try:
        return os.stat("/usr").st_mtime_ns > os.stat(f"{values.path(path)}/.updated").st_mtime_ns
    except OSError:
        return True


# --- comparisons ----------------------------------------------------------------------------------------------------

_OPERATORS: dict[str, Callable[[int], bool]] = {
    "<=": lambda order: order <= 0, ">=": lambda order: order >= 0, "!=": lambda order: order != 0,
    "<>": lambda order: order != 0, "==": lambda order: order == 0, "=": lambda order: order == 0,
    "<": lambda order: order < 0, ">": lambda order: order > 0,
}  # fmt: skip


def _operator(text: str, default: str) -> tuple[str, str]:
    """The operator that the text begins with, and the rest."""
    found = next((each for each in _OPERATORS if text.startswith(each)), "")
    return found or default, text.removeprefix(found).strip()


def _compares(text: str, here: float, read: Callable[[str], float]) -> bool:
    operator, number = _operator(text, ">=")
    wanted = read(number)
    return _OPERATORS[operator]((here > wanted) - (here < wanted))


def version_order(one: str, other: str) -> int:
    """-1, 0 or 1: which of two versions is newer, by the UAPI group's Version Format Specification."""
    left, right = _pieces(one), _pieces(other)
    return (left > right) - (left < right)


def _pieces(version: str) -> list[tuple[int, int, str]]:
    """Numbers and words, so that they sort: "~" before a version's end, "-" and "^" after it, then "." and others."""
    ranks = {"~": -2, "-": 1, "^": 2, ".": 3}
    found: list[tuple[int, int, str]] = []
    at = 0
    while at < len(version):
        char, start = version[at], at
        if char.isdigit():
            while at < len(version) and version[at].isdigit():
                at += 1
            found.append((5, int(version[start:at]), ""))
        elif char.isalpha():
            while at < len(version) and version[at].isalpha():
                at += 1
            found.append((4, 0, version[start:at]))
        else:
            at += 1
            if char in ranks:
                found.append((ranks[char], 0, ""))
    return [*found, (-1, 0, "")]


def _version(text: str, here: str) -> bool:
    """Whether each expression of a list holds of a version: an operator and a version, or a pattern of glob(7)."""
    words: list[str] = []
    for word in text.split():  # an operator may stand apart from its version
        if words and words[-1] in (*_OPERATORS, "$=", "!$="):
            words[-1] += word
        else:
            words.append(word)
    return all(_one_version(word, here) for word in words)


def _one_version(word: str, here: str) -> bool:
    for operator, wanted in (("!$=", False), ("$=", True)):
        if word.startswith(operator):
            return glob.matches(here, word.removeprefix(operator)) == wanted
    operator, version = _operator(word, "")
    return _OPERATORS[operator](version_order(here, version)) if operator else glob.matches(here, word)


def _kernel_version(text: str) -> bool:
    return _version(text, os.uname().release)


def _os_release(text: str) -> bool:
    return all(_one_field(word) for word in text.split())


def _one_field(word: str) -> bool:
    name = word[: len(word) - len(word.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
    rest = word.removeprefix(name)
    here = specifiers.os_release(name)
    for operator, wanted in (("!$=", False), ("$=", True)):
        if rest.startswith(operator):
            return glob.matches(here, rest.removeprefix(operator)) == wanted
    operator, value = _operator(rest, "")
    if not name or not operator:
        raise ValueError(f"expected a field of os-release(5), an operator and a value, found {word!r}")
    if operator in ("=", "!=", "=="):  # as texts
        return (here == value) == (operator != "!=")
    return _OPERATORS[operator](version_order(here, value))


def _integer(text: str) -> float:
    return values.integer(text, 0, 2**63)


def _memory(text: str) -> bool:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _compares(text, size, values.size)


def _cpus(text: str) -> bool:
    return _compares(text, len(os.sched_getaffinity(0)), _integer)


def _pressure(kind: str) -> Callable[[str], bool]:
    """PERCENT[/TIMESPAN]: the pressure is at most this; systemd.unit(5), ConditionMemoryPressure=."""

    def test(text: str) -> bool:
        limit, _, span = text.rpartition(":")[2].partition("/")
        field = {"": "avg300", "10sec": "avg10", "10s": "avg10", "1min": "avg60", "5min": "avg300"}.get(span)
        if field is None:
            raise ValueError(f"expected 10sec, 1min or 5min after the slash, found {span!r}")
        pressure = host.pressure(kind, field)
        return pressure is None or pressure <= values.percent(limit)

    return test


# --- users ----------------------------------------------------------------------------------------------------------


def _user(text: str) -> bool:
    import pwd

    uid = os.getuid()
    if text == "@system":
        return uid < 1000 or uid == 65534
    if text.isdigit():
        return int(text) == uid
    try:
        return pwd.getpwnam(text).pw_uid == uid
    except KeyError:
        return False


def _group(text: str) -> bool:
    import grp

    own = {os.getgid(), os.getegid(), *os.getgroups()}
    if text.isdigit():
        return int(text) in own
    try:
        return grp.getgrnam(text).gr_gid in own
    except KeyError:
        return False


def _environment(text: str) -> bool:
    name, equals, value = text.partition("=")
    return os.environ.get(name) == value if equals else name in os.environ


def _boolean(test: Callable[[], bool]) -> Callable[[str], bool]:
    return lambda text: values.boolean(text) == test()


_TESTS: dict[str, Callable[[str], bool]] = {
    "PathExists": os.path.exists,
    "PathExistsGlob": lambda pattern: bool(glob.paths(pattern)),
    "PathIsDirectory": os.path.isdir,
    "PathIsSymbolicLink": os.path.islink,
    "PathIsMountPoint": host.is_mount_point,
    "PathIsReadWrite": _is_writable,
    "PathIsEncrypted": host.is_encrypted,
    "PathIsSocket": lambda path: os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode),
    "DirectoryNotEmpty": _has_entries,
    "FileNotEmpty": _is_not_empty,
    "FileIsExecutable": _is_executable,
    "NeedsUpdate": _needs_update,
    "Architecture": host.is_architecture,
    "Firmware": host.is_firmware,
    "Virtualization": host.is_virtualization,
    "Host": host.is_host,
    "KernelCommandLine": host.has_kernel_word,
    "KernelVersion": _kernel_version,
    "KernelModuleLoaded": host.has_module,
    "Environment": _environment,
    "Security": host.has_security,
    "Capability": host.has_capability,
    "ACPower": _boolean(host.on_ac_power),
    "FirstBoot": _boolean(host.is_first_boot),
    "User": _user,
    "Group": _group,
    "ControlGroupController": host.has_controllers,
    "Memory": _memory,
    "CPUs": _cpus,
    "CPUFeature": host.has_cpu_feature,
    "OSRelease": _os_release,
    "Credential": lambda name: os.path.exists(f"{os.environ.get('CREDENTIALS_DIRECTORY', '/nowhere')}/{name}"),
    "MemoryPressure": _pressure("memory"),
    "CPUPressure": _pressure("cpu"),
    "IOPressure": _pressure("io"),
}
