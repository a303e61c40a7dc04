"""systemd: a unit, native and complete. systemd.unit(5), systemd.service(5)."""

from __future__ import annotations

import os

from initkit import plan
from initkit.errors import SettingsError
from initkit.inits import ALLOW_LOSS, NATIVE, NONE, RUNNER, File, Options, Support, accepted, check_table, settings_path
from initkit.settings import directives, since, syntax
from initkit.settings.command import escape
from initkit.settings.find import path_of
from initkit.settings.service import OWN, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.settings.directives import Directive
    from initkit.settings.service import Service
    from initkit.settings.unit import Unit

# systemd.unit(5), "UNIT FILE LOAD PATH": where an administrator's units belong, and below /usr/lib a package's.
UNIT_DIRECTORY = "/etc/systemd/system"
USER_UNIT_DIRECTORY = "/etc/systemd/user"
PACKAGED = "/usr/lib/systemd"

#: sd_booted(3)
TEMPLATES = True
RUNS = "[ -d /run/systemd/system ]"
SERVED_BY: dict[str, str] = {}

#: initkit's own settings that need the runner.
_THROUGH_RUNNER = ("Callable", "NotificationFd")

#: What `[systemd]` may hold.
TABLE = ALLOW_LOSS

#: initkit's own settings about a logger, which no unit has.
_LOGGER = ("LogCommand", "LogFile", "LogMaxSize", "LogMaxFiles")


def support(service: Service, version: int = 0) -> dict[str, Support]:
    """Everything is systemd's own; `version` (0: any) makes what came later a loss."""
    found: dict[str, Support] = {}
    for entry in service.written:
        if _belongs(entry) and (entry.label not in found or found[entry.label].how == NATIVE):
            found[entry.label] = _support(entry, version)
    return found


def _support(entry: Entry, version: int) -> Support:
    if entry.key.startswith("X-"):
        return Support(NATIVE, "systemd passes over it")  # systemd.unit(5)
    if entry.section == OWN:
        if entry.key in _LOGGER:
            return Support(RUNNER, "the unit calls the runner, which starts the logger and becomes the program")
        return Support(RUNNER if entry.key in _THROUGH_RUNNER else NONE, "a setting of initkit's own")
    row = directives.find(entry.section, entry.key)
    if row is None:
        return Support(NONE, f"for {entry.section} only")
    lacking = _lacking(row, entry, version) if version else ""
    return Support(NONE, lacking) if lacking else Support(NATIVE, row.manual)


def _lacking(row: Directive, entry: Entry, version: int) -> str:
    """What systemd `version` lacks of an assignment; "" where it knows all of it."""
    if row.since > version and not _older(row, entry, version):
        return f"systemd has it since version {row.since}"
    if row.gone and row.gone <= version:
        return f"systemd {row.gone} has it no more"
    part, came = since.newer(row, entry.value, version)
    return f"systemd knows {part} since version {came}" if came else ""


def _older(row: Directive, entry: Entry, version: int) -> Directive | None:
    """The spelling of a directive that is too new for systemd `version`, which that version knows in such a unit."""
    sections = directives.SECTIONS_OF[f".{entry.unit.rpartition('.')[2] or 'service'}"]
    known = (each for each in directives.older(row) if each.since <= version and each.section in sections)
    return next(known, None)


def files(service: Service, options: Options) -> Iterator[File]:
    """The unit, and those of its sockets and its timer.

    Raises:
        SettingsError: naming the settings that the systemd version asked for does not know.
    """
    from initkit.inits.render import render

    check_table(service, "systemd", TABLE)
    dropped = _losses(service, options)
    folder = USER_UNIT_DIRECTORY if service.user else UNIT_DIRECTORY
    if options.packaged:
        folder = f"{PACKAGED}/{os.path.basename(folder)}"
    view = {"sections": _sections(service, options, dropped), "source": os.path.basename(service.path)}
    text = render("systemd/service", service, options.template_dir, **view)
    yield File(f"{folder}/{service.unit}", text, kind="unit", init="systemd", runner=_through_runner(service, options))
    for each in service.units[1:]:
        view = {
            "sections": _companion(each, dropped, options.version),
            "source": os.path.basename(each.path),
            "unit": each.unit,
        }
        text = render("systemd/companion", service, options.template_dir, **view)
        yield File(f"{folder}/{each.unit}", text, kind=each.suffix[1:], init="systemd")


def commands(service: Service) -> dict[str, tuple[str, ...]]:
    """systemctl(1)."""
    verbs = ("enable", "disable", "start", "stop", "restart", "reload", "status")
    manager = ("systemctl", "--user") if service.user else ("systemctl",)
    return {verb: (*manager, verb, service.unit) for verb in verbs}


def _losses(service: Service, options: Options) -> frozenset[str]:
    found = support(service, options.version)
    lost = {key: each for key, each in found.items() if each.how == NONE and key not in _own(service)}
    if options.runner is False:
        lost.update({key: found[key] for key in _LOGGER if service.has(key)})
    if options.version and _through_runner(service, options):  # whose line stands there instead
        lost.pop("ExecStart", None)
        line = _support(Entry("Service", "ExecStart", _runner(service, options)), options.version)
        lost.update({"ExecStart": line} if line.how == NONE else {})
    refused = sorted(set(lost) - accepted(service, "systemd", options))
    if refused:
        asked = f"systemd {options.version}" if options.version else "a unit"
        where = next((each.where for each in reversed(service.written) if each.label == refused[0]), service.path)
        raise SettingsError(
            f"{asked} cannot keep {', '.join(f'{key}= ({lost[key].reason})' for key in refused)}",
            where=where,
            hint=" ".join(["accept it with", *(f"--allow-loss {key}" for key in refused)]),
        )
    return frozenset(lost)


def _belongs(entry: Entry) -> bool:
    return entry.section in (*directives.SECTIONS, OWN, "Socket", "Timer")


def _own(service: Service) -> frozenset[str]:
    return frozenset(entry.key for entry in service.entries if entry.section == OWN)


def _sections(service: Service, options: Options, dropped: frozenset[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The unit's sections with their assignments, in the order of the settings."""
    found: dict[str, list[tuple[str, str]]] = {section: [] for section in directives.SECTIONS}
    through_runner = _through_runner(service, options)
    for entry in service.entries:
        if entry.section == OWN:
            found["Service"].append((f"X-Initkit-{entry.key}", entry.value))
        elif entry.section not in directives.SECTIONS:  # a table for one init, or an X- section
            section = entry.section if entry.section.startswith("X-") else f"X-Initkit-{entry.section}"
            found.setdefault(section, []).append((entry.key, entry.value))
        elif entry.key not in dropped and not (through_runner and entry.key == "ExecStart"):
            section, key = _spelled(entry, options.version)
            found[section].append((key, entry.value))
    if through_runner:
        found["Service"].append(("ExecStart", _runner(service, options)))
    if service.notification_fd and not service.notify_access:  # it is not the program itself that says READY=1
        found["Service"].append(("NotifyAccess", "all"))
    return [(section, assignments) for section, assignments in found.items() if assignments]


def _spelled(entry: Entry, version: int) -> tuple[str, str]:
    """The section and the name under which systemd `version` (0: any) knows an assignment."""
    row = directives.find(entry.section, entry.key) if version else None
    old = _older(row, entry, version) if row and row.since > version else None
    return (old.section, old.name) if old else (entry.section, entry.key)


def _companion(unit: Unit, dropped: frozenset[str], version: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """The same of a socket or a timer."""
    sections = ("Unit", *(each for each in directives.SECTIONS_OF[unit.suffix] if each not in ("Unit", "Install")))
    found: dict[str, list[tuple[str, str]]] = {section: [] for section in (*sections, "Install")}
    for entry in unit.entries:
        if entry.label not in dropped:
            section, key = _spelled(entry, version)
            found.setdefault(section, []).append((key, entry.value))
    return [(section, assignments) for section, assignments in found.items() if assignments]


def _through_runner(service: Service, options: Options) -> bool:
    kept = set(_LOGGER) - accepted(service, "systemd", options)
    logger = any(service.has(key) for key in kept)
    return bool(options.runner or service.callable or service.notification_fd or logger)


def _runner(service: Service, options: Options) -> str:
    """The command line that has the runner become the program; systemd does the rest of the settings itself."""
    hint = "leave --runner out" if options.runner else "do without the logger: --allow-loss names what is lost"
    if service.has("RootDirectory"):
        raise service.assignments("RootDirectory")[-1].error(
            "the runner cannot be found below it when systemd has changed the root already", hint
        )
    if len(service.exec_start) > 1:
        raise service.assignments("ExecStart")[-1].error("the runner becomes one program only", hint)
    # What the prefixes ask of systemd; `@`, `:` and `|` are about the program's own words.
    prefix = "".join(char for command in service.exec_start for char in command.prefix if char not in "@:|")
    words = [options.runner_path, "run", path_of(service.name, settings_path(service, options)), "--foreground"]
    words += ["--sandboxed"] if plan.has_sandbox(service) else []
    return syntax.join([prefix + escape(words[0]), *map(escape, words[1:])])
