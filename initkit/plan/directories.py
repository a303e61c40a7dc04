"""The steps that make a service's own directories: RuntimeDirectory=, StateDirectory= and their kin."""

from __future__ import annotations

import os

from initkit.plan.identity import find_group, find_user
from initkit.plan.step import Process, Shell, Step, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from initkit.settings.service import Directory, Service


class _MakeDirectories(Step):
    """Make the directories below their root, owned by User= and Group=, and tell the program by a variable."""

    attribute: ClassVar[str]  # of Service
    specifier: ClassVar[str]  # of systemd.unit(5), for the root
    variable: ClassVar[str]

    paths: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    mode: int
    user: str
    group: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        directories: tuple[Directory, ...] = getattr(service, cls.attribute)
        if not directories:
            return None
        root = service.expand(cls.specifier)
        return cls(
            tuple(f"{root}/{each.path}" for each in directories),
            tuple((f"{root}/{each.path}", f"{root}/{link}") for each in directories for link in each.links),
            getattr(service, f"{cls.attribute}_mode"),
            service.account,
            service.group,
        )

    def shell(self) -> Shell:
        owner = f'"$uid:{quote(self.group)}"' if self.group and self.user else '"$uid:$gid"' if self.user else ""
        owner = owner or (quote(f":{self.group}") if self.group else "")
        makes = [f"make_directory {quote(path)} {self.mode:04o} {owner}".rstrip() for path in self.paths]
        makes += [f"ln -sfn {quote(path)} {quote(link)}" for path, link in self.links]
        told = quote(f"{self.variable}={':'.join(self.paths)}")
        return Shell("\n".join(f"{make} || exit {self.status}" for make in makes), variables=((self.variable, told),))

    def apply(self, process: Process) -> None:
        uid, gid = _owner(self.user, self.group)
        for path in self.paths:
            _make(path, self.mode, uid, gid)
        for path, link in self.links:
            if not os.path.islink(link):
                os.symlink(path, link)
        process.environment[self.variable] = ":".join(self.paths)


class RuntimeDirectories(_MakeDirectories):
    """RuntimeDirectory=, below /run; gone when the service stops unless RuntimeDirectoryPreserve= says otherwise."""

    name = "runtime_directory"
    manual = "systemd.exec(5) RuntimeDirectory="
    directives = ("RuntimeDirectory", "RuntimeDirectoryMode")
    status = 233
    attribute, specifier, variable = "runtime_directory", "%t", "RUNTIME_DIRECTORY"


class StateDirectories(_MakeDirectories):
    """StateDirectory=, below /var/lib."""

    name = "state_directory"
    manual = "systemd.exec(5) StateDirectory="
    directives = ("StateDirectory", "StateDirectoryMode")
    status = 238
    attribute, specifier, variable = "state_directory", "%S", "STATE_DIRECTORY"


class CacheDirectories(_MakeDirectories):
    """CacheDirectory=, below /var/cache."""

    name = "cache_directory"
    manual = "systemd.exec(5) CacheDirectory="
    directives = ("CacheDirectory", "CacheDirectoryMode")
    status = 239
    attribute, specifier, variable = "cache_directory", "%C", "CACHE_DIRECTORY"


class LogsDirectories(_MakeDirectories):
    """LogsDirectory=, below /var/log."""

    name = "logs_directory"
    manual = "systemd.exec(5) LogsDirectory="
    directives = ("LogsDirectory", "LogsDirectoryMode")
    status = 240
    attribute, specifier, variable = "logs_directory", "%L", "LOGS_DIRECTORY"


class ConfigurationDirectories(_MakeDirectories):
    """ConfigurationDirectory=, below /etc; it stays root's, as systemd.exec(5) says."""

    name = "configuration_directory"
    manual = "systemd.exec(5) ConfigurationDirectory="
    directives = ("ConfigurationDirectory", "ConfigurationDirectoryMode")
    status = 241
    attribute, specifier, variable = "configuration_directory", "%E", "CONFIGURATION_DIRECTORY"

    @classmethod
    def of(cls, service: Service) -> Self | None:
        made = super().of(service)
        return made and cls(made.paths, made.links, made.mode, "", "")


def _owner(user: str, group: str) -> tuple[int, int]:
    entry = find_user(user) if user else None
    uid = entry.pw_uid if entry else int(user) if user else os.geteuid()
    gid = find_group(group) if group else entry.pw_gid if entry else uid if user else os.getegid()
    return uid, gid


def _make(path: str, mode: int, uid: int, gid: int) -> None:
    """The directory with its mode and owner; parents are made as mkdir -p makes them, and stay the caller's."""
    old = os.umask(0o022)
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
    finally:
        os.umask(old)
    # By descriptor and without following links: whoever may write in the parent must not make us chown something else.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o7777 != mode:
            os.fchmod(fd, mode)
        if (found.st_uid, found.st_gid) != (uid, gid):
            _give(fd, uid, gid)
    finally:
        os.close(fd)


def _give(fd: int, uid: int, gid: int) -> None:
    """Everything in the directory, then the directory itself: systemd.exec(5) hands over what a former user left."""
    for _, folders, files, inner in os.fwalk(".", dir_fd=fd, topdown=False, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, uid, gid, dir_fd=inner, follow_symlinks=False)
    os.fchown(fd, uid, gid)
