"""Everything that a service needs on a system, for a number of inits: the one list that packages are made of."""

from __future__ import annotations

import os

from initkit import inits
from initkit.errors import SettingsError
from initkit.inits import SETTINGS_FOLDER, File, Options, kinds, settings_base
from initkit.inits.kinds import logrotate, sysusers, tmpfiles
from initkit.settings import specifiers
from initkit.settings.load import decoded
from initkit.settings.record import Record
from initkit.settings.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from initkit.inits.kinds.sysusers import Group, User
    from initkit.inits.kinds.tmpfiles import Folder


#: The specifiers that instances of a template have other values of: systemd.unit(5).
_INSTANCE = frozenset("iInNf")
#: What accounts, directories and files of a package are made of.
_PATHS = frozenset((
    "User", "Group", "SupplementaryGroups", "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory",
    "ConfigurationDirectory", "PIDFile", "StandardOutput", "StandardError", "EnvironmentFile",
))  # fmt: skip
_MADE_OF = _PATHS | {"Description", "Environment"}

#: Of `Folder`: what purging the package removes. Debian policy 6.8 and 10.8.
_PURGED = ("state", "cache", "logs")


class Needs(Record):
    """What there has to be. Nothing is written yet.

    `folders` are made by whoever starts the service, `folders_before` by the package or by tmpfiles.d(5); `runner` says
    that a file calls `initkit run`, so that the package depends on initkit; `notes` is what somebody should know.
    """

    service: Service
    inits: tuple[str, ...]
    files: tuple[File, ...]
    users: tuple[User, ...]
    groups: tuple[Group, ...]
    folders: tuple[Folder, ...]
    folders_before: tuple[Folder, ...]
    runner: bool
    notes: tuple[str, ...]

    @property
    def purged(self) -> list[str]:
        """The directories with what the service has written itself, which go when the package is purged."""
        return [folder.path for folder in self.folders if folder.kind in _PURGED]


def needs(service: Service, names: Iterable[str], options: Options) -> Needs:
    """All files, accounts and directories, with a package's paths when `options.packaged`.

    Raises:
        SettingsError: for a setting that one of the inits cannot keep and that nobody has accepted to lose.
        UsageError: for an unknown init.
    """
    asked = tuple(dict.fromkeys(names))
    modules = {name: inits.load(name) for name in asked}
    served = {name: why for name, init in modules.items() for by, why in init.SERVED_BY.items() if by in asked}
    made = [file for name, init in modules.items() if name not in served for file in init.files(service, options)]
    general, notes = _general(service)
    made += kinds.files(general, options, asked)
    runner = any(file.runner for file in made)
    if runner and options.packaged:
        made += _settings(service)
    system = not service.user
    return Needs(
        service,
        asked,
        tuple(made),
        sysusers.users(general, asked) if system else (),
        sysusers.groups(general, asked) if system else (),
        tmpfiles.made_at_start(general) if system else (),
        tmpfiles.made_before(general) if system else (),
        runner,
        (*served.values(), *notes, *_asks_for_cron(made), *logrotate.left_out(general)),
    )


def _asks_for_cron(made: Iterable[File]) -> Iterator[str]:
    """A daemon that nobody else makes a package depend on."""
    for file in made:
        if file.kind == "cron":
            yield f"{file.path}: needs a cron that reads this folder; busybox's does not"


def _general(service: Service) -> tuple[Service, list[str]]:
    """The service without what is another for each instance of a template, and on each machine; and what that is."""
    templates = _INSTANCE if service.name.endswith("@") else frozenset()
    own = [each for each in service.written if each.key in _MADE_OF and specifiers.used(each.value) & templates]
    own += [each for each in service.written if each.key in _PATHS and specifiers.used(each.value) & specifiers.HOST]
    if not own:
        return service, []
    kept = tuple(each for each in service.written if each not in own)
    told = dict.fromkeys(f"{each.key}={each.value}" for each in own if each.key in _PATHS)
    note = "another for each instance or machine: nothing in the package makes, rotates or removes it"
    return Service(service.name, service.path, kept, user=service.user), [f"{each}: {note}" for each in told]


def _settings(service: Service) -> Iterator[File]:
    """The settings file and its drop-ins, where the runner finds them by the service's name."""
    bases = {service.path: settings_base(service)}
    paths = dict(bases)
    for unit in service.units:  # those of sockets and timers lie beside it, or are tables in it
        for path in dict.fromkeys(entry.file for entry in unit.entries if entry.file and entry.file not in paths):
            is_dropin = os.path.dirname(path).endswith(".d")
            base = bases.get(unit.path) or os.path.basename(unit.path)
            paths[path] = (f"{base}.d/" if is_dropin else "") + os.path.basename(path)
    seen: dict[str, str] = {}
    for path, base in paths.items():
        if base in seen:
            raise SettingsError(
                f"a package cannot have two drop-ins of this name, the other is {seen[base]}", where=path
            )
        seen[base] = path
        yield File(f"{SETTINGS_FOLDER}/{base}", decoded(path), kind="settings")
