"""Files to `Service`: read the settings file and its drop-ins into entries, whatever grammar each is in."""

from __future__ import annotations

import os

from initkit.errors import SettingsError
from initkit.settings import directives, syntax
from initkit.settings.find import locate
from initkit.settings.service import Entry, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN_KEY = _INIT_SECTION = "X-Initkit-"


def load(app: str, *, user: bool = False) -> Service:
    """Read the settings of `app` (see `find.locate`) and check every value in them.

    Raises:
        SettingsError: naming file, line, key, value and what was expected.
    """
    service = parse(app, user=user)
    service.verify()
    return service


def parse(app: str, *, user: bool = False) -> Service:
    """As `load`, yet with the values as they stand: one that cannot be read raises when it is asked for."""
    source = locate(app, user=user)
    entries = [entry for path in (source.path, *source.dropins) for entry in read(path)]
    if not entries:
        raise SettingsError("no settings in it", where=source.path, hint="expected at least ExecStart=")
    return Service(source.name, source.path, tuple(entries), user=user)


def read(path: str) -> Iterator[Entry]:
    """The assignments in one file, TOML or unit by its suffix.

    Raises:
        SettingsError: when it cannot be read, is not UTF-8, breaks its grammar, or names an unknown directive.
    """
    text = decoded(path)
    if path.endswith(".toml"):
        from initkit.settings import toml

        return _meant(toml.read(text, path))
    return _meant(_read_unit(text, path))


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


def _read_unit(text: str, path: str) -> Iterator[Entry]:
    try:
        for line in syntax.read(text):
            yield _unit_entry(line, path)
    except syntax.SyntaxFault as fault:
        raise SettingsError(str(fault), where=f"{path}:{fault.number}") from None


def _unit_entry(line: syntax.Line, path: str) -> Entry:
    section, key = line.section, line.key
    if section.startswith(_INIT_SECTION):
        if not directives.is_init(section.removeprefix(_INIT_SECTION)):
            raise _unknown(line, path)
        return Entry(section.removeprefix(_INIT_SECTION), key, line.value, path, line.number)
    if key.startswith(_OWN_KEY):
        row = directives.find_own(key.removeprefix(_OWN_KEY))
    elif key.startswith("X-") or section.startswith("X-"):  # systemd.unit(5): ignored
        return Entry(section, key, line.value, path, line.number)
    else:
        row = directives.find(section, key)
    if row is None:
        raise _unknown(line, path)
    return Entry(row.section, row.name, line.value, path, line.number, line.key)


def _unknown(line: syntax.Line, path: str) -> SettingsError:
    where = f"{path}:{line.number}"
    section, key = line.section, line.key
    shown = Entry(section, key, line.value).shown
    if key.startswith(_OWN_KEY):
        near = directives.nearest(key.removeprefix(_OWN_KEY), (row.name for row in directives.own()))
        hint = near and f"did you mean {_OWN_KEY}{near}=?"
        return SettingsError(f"unknown setting {key} = {shown}", where=where, hint=hint)
    if section not in directives.SECTIONS:
        known = ", ".join(f"[{each}]" for each in directives.SECTIONS)
        return SettingsError(f"unknown section [{section}]: expected one of {known}", where=where)
    elsewhere = next((each for each in directives.SECTIONS if directives.find(each, key)), "")
    if elsewhere:
        return SettingsError(
            f"{key} = {shown}: does not belong in [{section}]", where=where, hint=f"move it to [{elsewhere}]"
        )
    near = directives.nearest(key, (row.name for row in directives.every()))
    hint = near and f"did you mean {near}=?"
    return SettingsError(f"unknown directive {key} = {shown} in [{section}]", where=where, hint=hint)
