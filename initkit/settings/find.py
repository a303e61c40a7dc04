"""Which files make up a service's settings: `app` to a settings file and its drop-ins.

systemd.unit(5), "UNIT FILE LOAD PATH".
"""

from __future__ import annotations

import os

from initkit.errors import NoSettings, SettingsError, UsageError
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".toml", ".service")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")
_SYSTEM_ROOTS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")


class Source(Record):
    """A service's name, its main settings file and the drop-ins that add to it, in the order they apply."""

    name: str
    path: str
    dropins: tuple[str, ...] = ()


def locate(app: str, *, user: bool = False) -> Source:
    """Find the settings of `app`: a path (it has a slash or a known suffix), or a name looked up in the load path.

    The load path begins with the current directory.

    Raises:
        SettingsError: when there is no such file, naming the places looked at; when it is masked.
        UsageError: when `app` cannot be the name of a service.
    """
    if "/" in app or app.endswith(SUFFIXES):
        return _from_path(app, user)
    check_name(app)
    for stem in _stems(app):
        for folder in ("", *load_path(user)):
            for suffix in SUFFIXES:
                path = os.path.join(folder, stem + suffix)
                if os.path.lexists(path):
                    return _source(app, path, user)
    raise NoSettings(
        f"no settings found for {app!r}: looked for {app}.toml and {app}.service here, in {', '.join(_places(user))}",
        hint=_of_companion(app) or f"`initkit new {app}` writes a first one",
    )


def _of_companion(app: str) -> str:
    """What to name instead of a socket or a timer."""
    stem, _, kind = app.rpartition(".")
    return f"a {kind} is read with its service: name {stem}" if kind in ("socket", "timer") else ""


def _places(user: bool) -> list[str]:
    """For people: the folders of the load path that there are, and those that settings of one's own belong in."""
    own = (next(load_path(user)), f"{_SYSTEM_ROOTS[0]}/initkit")
    return [folder for folder in load_path(user) if folder in own or os.path.isdir(folder)]


def companion(source: Source, unit: str, *, user: bool = False) -> Source | None:
    """The files of a unit beside a service's unit file: `unit` is its full name, or ".socket" and ".timer" for those of
    the service's own name. None where there is none, or it is masked."""
    name = unit.rpartition(".")[0] or source.name
    suffix = unit[unit.rindex(".") :]
    for stem in (*_stems(name), *((name.partition("@")[0],) if unit == ".socket" and "@" in name else ())):
        for folder in _folders_beside(source.path, user):
            path = os.path.join(folder, stem + suffix)
            if os.path.lexists(path):
                try:
                    return _source(name, path, user)
                except SettingsError:
                    if os.path.realpath(path) == os.devnull or (os.path.isfile(path) and not os.path.getsize(path)):
                        return None
                    raise
    return None


def reference(name: str, path: str, *, user: bool = False) -> str:
    """What finds a service's settings from anywhere: its name where they lie in the load path, else their path."""
    return name if os.path.dirname(path) in load_path(user) else path_of(name, path)


def path_of(name: str, path: str) -> str:
    """The path to call a service by whose settings are in `path`; for an instance, not that of its template."""
    return os.path.join(os.path.dirname(path), name + os.path.splitext(path)[1])


def passed_over(name: str, path: str, *, user: bool = False) -> Iterator[str]:
    """Files where the drop-ins are that would be some for settings of the other suffix."""
    suffix = os.path.splitext(path)[1]
    for file in _beside(name, path, user):
        if file.endswith((".toml", ".conf")) and not file.endswith(_dropin_suffix(suffix)):
            yield file


def _from_path(app: str, user: bool) -> Source:
    base = os.path.basename(app)
    name, dot, suffix = base.rpartition(".")
    if dot + suffix not in SUFFIXES:
        raise UsageError(f"{app}: expected a .toml or a .service file", hint=_of_companion(app))
    path = app
    if not os.path.lexists(path) and "@" in name:  # an instance of a template beside it
        path = os.path.join(os.path.dirname(path), _stems(name)[-1] + dot + suffix)
    if not os.path.lexists(path):
        raise SettingsError("no such file", where=app, hint=f"`initkit new {name}` writes a first one")
    check_name(name)
    return _source(name, path, user)


def _source(name: str, path: str, user: bool) -> Source:
    """The settings in `path`, with their drop-ins.

    systemd.unit(5): "if a unit file is empty […] or is symlinked to /dev/null, its configuration will not be loaded".
    """
    path = os.path.abspath(path)
    if os.path.realpath(path) == os.devnull:
        raise SettingsError("masked: it is a symlink to /dev/null", where=path)
    try:
        found = os.stat(path)
        if found.st_size == 0 and found.st_mode & 0o170000 == 0o100000:  # S_ISREG
            raise SettingsError("empty, and so masked", where=path, hint="expected at least ExecStart=")
    except OSError as error:
        raise SettingsError(f"cannot be read: {os.strerror(error.errno or 0)}", where=path) from None
    return Source(name, path, tuple(_dropins(name, path, user)))


def check_name(name: str) -> None:
    """Whether a service may be called so: systemd.unit(5).

    Raises:
        UsageError: when not.
    """
    if not name or not set(name) <= _NAME_CHARACTERS or name[0] in "-." or len(name) > 247:
        raise UsageError(f"{name!r} cannot be a service's name: expected letters, digits and any of : - _ . @ \\")


def _stems(name: str) -> tuple[str, ...]:
    """The file names, without suffix, that may hold `name`: itself, then the template it is an instance of."""
    prefix, at, instance = name.partition("@")
    return (name, prefix + at) if at and instance else (name,)


def load_path(user: bool) -> Iterator[str]:
    """The load path, highest precedence first."""
    if user:
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        for root in (config, "/etc", data):
            yield f"{root}/initkit" if root != "/etc" else "/etc/initkit/user"
            yield f"{root}/systemd/user"
    for root in _SYSTEM_ROOTS:
        yield f"{root}/initkit"
        yield f"{root}/systemd/system"


def _dropins(name: str, path: str, user: bool) -> Iterator[str]:
    """Files in NAME.SUFFIX.d, sorted by file name; of one file name, the place of highest precedence wins."""
    chosen: dict[str, str] = {}
    for file in _beside(name, path, user):
        if file.endswith(_dropin_suffix(os.path.splitext(path)[1])):
            chosen.setdefault(os.path.basename(file), file)
    for base in sorted(chosen):
        if os.path.realpath(chosen[base]) != os.devnull:  # masked
            yield chosen[base]


def _dropin_suffix(suffix: str) -> str:
    return ".toml" if suffix == ".toml" else ".conf"


def _beside(name: str, path: str, user: bool) -> Iterator[str]:
    """All that lies in the folders of drop-ins, highest precedence first."""
    folders = _folders_beside(path, user)
    for dropin_folder in _dropin_names(name, os.path.splitext(path)[1]):
        for folder in folders:
            for file in _listing(f"{folder}/{dropin_folder}"):
                yield f"{folder}/{dropin_folder}/{file}"


def _folders_beside(path: str, user: bool) -> list[str]:
    """Where more about the settings in `path` is looked for: where they are, or in all of the load path they are in."""
    own_folder = os.path.dirname(os.path.abspath(path))
    folders = list(load_path(user))
    return folders if own_folder in folders else [own_folder]


def _dropin_names(name: str, suffix: str) -> Iterator[str]:
    """The folders of drop-ins for `name`, the most specific first: app@x, app@, the prefixes of a-b-c, all services."""
    for stem in _stems(name):
        yield f"{stem}{suffix}.d"
    at = len(name)
    while (at := name.rfind("-", 0, at)) > 0:
        yield f"{name[: at + 1]}{suffix}.d"
    yield f"{suffix[1:]}.d"


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
