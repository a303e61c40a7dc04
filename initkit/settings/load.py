"""Files to `Service`: read the settings file and its drop-ins into entries, whatever grammar each is in."""

from __future__ import annotations

import os

from initkit.errors import SettingsError
from initkit.settings import directives, syntax
from initkit.settings.find import Source, check_name, companion, locate
from initkit.settings.service import Entry, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Complain = Callable[[SettingsError], object]

_OWN_KEY = _INIT_SECTION = "X-Initkit-"


def load(app: str, *, user: bool = False, name: str = "") -> Service:
    """Read the settings of `app` (see `find.locate`) and check every value in them.

    The service is called as its file is, or `name`.

    Raises:
        UsageError: when it cannot be called so.
        SettingsError: naming file, line, key, value and what was expected.
    """
    service = parse(app, user=user, name=name)
    service.verify()
    return service


def parse(app: str, *, user: bool = False, name: str = "", complain: Complain | None = None) -> Service:
    """As `load`, yet with the values as they stand: one that cannot be read raises when it is asked for.

    `complain` is told of assignments that are none, which are then passed over; without it the first one raises.
    """
    if name:
        check_name(name)
    source = locate(app, user=user)
    entries = [entry for path in (source.path, *source.dropins) for entry in read(path, complain=complain)]
    if source.path.endswith(".service"):
        entries += _companions(source, entries, user, complain)
    if not entries and complain is None:
        raise SettingsError("no settings in it", where=source.path, hint="expected at least ExecStart=")
    return Service(name or source.name, source.path, tuple(entries), user=user)


def _companions(source: Source, entries: list[Entry], user: bool, complain: Complain | None) -> Iterator[Entry]:
    """The assignments in the units beside a service's: its socket, its timer, and what Sockets= names."""
    named = [unit for each in entries if (each.section, each.key) == ("Service", "Sockets") for unit in _split(each)]
    for unit in dict.fromkeys((".socket", *named, ".timer")):
        if unit == f"{source.name}.socket" or not unit.endswith((".socket", ".timer")):
            continue
        beside = companion(source, unit, user=user)
        if beside is None:
            continue
        found = [entry for path in (beside.path, *beside.dropins) for entry in read(path, unit, complain)]
        if _is_of(source, unit, beside.path, found):
            yield from found


def _split(entry: Entry) -> tuple[str, ...]:
    """The words of an assignment; none where they cannot be told apart, which `Service.verify` says."""
    try:
        return syntax.split(entry.value)
    except ValueError:
        return ()


def _is_of(source: Source, unit: str, path: str, entries: list[Entry]) -> bool:
    """Whether a unit of a service's name is about that service: it may name another, or accept for a template only."""
    if not unit.startswith("."):
        return True
    values = {each.key: each.value for each in entries if each.section in ("Socket", "Timer")}
    if values.get("Service" if unit == ".socket" else "Unit", "") not in ("", f"{source.name}.service"):
        return False
    accepts = values.get("Accept", "").lower() in ("yes", "true", "on", "1", "y", "t")
    if "@" not in source.name:
        return not accepts  # an instance of a template is started for each connection
    return accepts or "@" in os.path.basename(path)


def read(path: str, unit: str = "", complain: Complain | None = None) -> Iterator[Entry]:
    """The assignments in one file, TOML or unit by its suffix; `unit` is that of `Entry`, `complain` that of `parse`.

    Raises:
        SettingsError: when it cannot be read, is not UTF-8, breaks its grammar, or names an unknown directive.
    """
    text = decoded(path)
    if path.endswith(".toml"):
        from initkit.settings import toml

        return _meant(toml.read(text, path, complain or refuse))
    return _meant(_read_unit(text, path, unit, complain or refuse))


def refuse(fault: SettingsError) -> None:
    """Complain by raising."""
    raise fault


def _meant(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Without the assignments that say nothing: systemd.unit(5), dependencies "cannot be reset to an empty list"."""
    for entry in entries:
        if entry.value or entry.section != "Unit" or not _is_dependency(entry.key):
            yield entry


def _is_dependency(key: str) -> bool:
    row = directives.find("Unit", key)
    return row is not None and row.is_dependency


def contents(path: str) -> bytes:
    """What is in a regular file. A FIFO would have us wait for a writer, a device might never end.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as file:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:  # S_ISREG
            raise ValueError("expected a regular file")
        return file.readall()


def decoded(path: str) -> str:
    """The text of a settings file.

    Raises:
        SettingsError: when it is no regular file, cannot be read, or is not UTF-8.
    """
    try:
        data = contents(path)
    except OSError as error:
        raise SettingsError(f"cannot be read: {os.strerror(error.errno or 0)}", where=path) from None
    except ValueError as fault:
        raise SettingsError(str(fault), where=path) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"byte 0x{data[error.start]:02x} is not UTF-8", where=f"{path}:{line}") from None


def _read_unit(text: str, path: str, unit: str, complain: Complain) -> Iterator[Entry]:
    try:
        for line in syntax.read(text):
            try:
                yield _unit_entry(line, path, unit)
            except SettingsError as fault:
                complain(fault)
    except syntax.SyntaxFault as fault:
        raise SettingsError(str(fault), where=f"{path}:{fault.number}") from None


def _unit_entry(line: syntax.Line, path: str, unit: str) -> Entry:
    section, key = line.section, line.key
    if section.startswith(_INIT_SECTION):
        if unit or not directives.is_init(section.removeprefix(_INIT_SECTION)):
            raise _unknown(line, path, unit)
        return Entry(section.removeprefix(_INIT_SECTION), key, line.value, path, line.number)
    if key.startswith(_OWN_KEY):
        row = None if unit else directives.find_own(key.removeprefix(_OWN_KEY))
    elif key.startswith("X-") or section.startswith("X-"):  # systemd.unit(5): ignored
        return Entry(section, key, line.value, path, line.number, unit=unit)
    else:
        row = directives.find(section, key) if section in directives.SECTIONS_OF[_suffix(unit)] else None
    if row is None:
        raise _unknown(line, path, unit)
    return Entry(row.section, row.name, line.value, path, line.number, line.key, unit)


def _suffix(unit: str) -> str:
    return unit[unit.rindex(".") :] if unit else ".service"


def _unknown(line: syntax.Line, path: str, unit: str) -> SettingsError:
    where = f"{path}:{line.number}"
    section, key, sections = line.section, line.key, directives.SECTIONS_OF[_suffix(unit)]
    shown = Entry(section, key, line.value).shown
    if key.startswith(_OWN_KEY):
        near = directives.nearest(key.removeprefix(_OWN_KEY), (row.name for row in directives.own()))
        hint = "it belongs to the service" if unit else near and f"did you mean {_OWN_KEY}{near}=?"
        return SettingsError(f"unknown setting {key} = {shown}", where=where, hint=hint)
    if section not in sections:
        known = ", ".join(f"[{each}]" for each in sections)
        return SettingsError(f"unknown section [{section}]: expected one of {known}", where=where)
    elsewhere = next((each for each in sections if directives.find(each, key)), "")
    if elsewhere:
        return SettingsError(
            f"{key} = {shown}: does not belong in [{section}]", where=where, hint=f"move it to [{elsewhere}]"
        )
    near = directives.nearest(key, (row.name for row in directives.every(_suffix(unit))))
    hint = near and f"did you mean {near}=?"
    return SettingsError(f"unknown directive {key} = {shown} in [{section}]", where=where, hint=hint)
