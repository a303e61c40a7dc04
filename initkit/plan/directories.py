"""The steps that make a service's own directories: RuntimeDirectory=, StateDirectory= and their kin."""

from __future__ import annotations

import os
import stat

from initkit.plan import private
from initkit.plan.identity import find_group, find_user
from initkit.plan.step import Process, Shell, Step, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar, Self

    from initkit.settings.service import Directory, Service


class _MakeDirectories(Step):
    """Make the directories below their root, owned by User= and Group=, and tell the program by a variable."""

    attribute: ClassVar[str]  # of Service
    specifier: ClassVar[str]  # of systemd.unit(5), for the root
    variable: ClassVar[str]
    kept: ClassVar[bool] = False  # as it is, where something is there already

    root: str
    directories: tuple[Directory, ...]
    mode: int
    user: str
    group: str
    private: bool = False

    @classmethod
    def of(cls, service: Service) -> Self | None:
        directories: tuple[Directory, ...] = getattr(service, cls.attribute)
        if not directories:
            return None
        root, mode = service.expand(cls.specifier), getattr(service, f"{cls.attribute}_mode")
        return cls(root, directories, mode, service.account, service.group, service.keeps_private(cls.attribute))

    def shell(self) -> Shell | None:
        if self.private:
            return None
        owner = f'"$uid:{quote(self.group)}"' if self.group and self.user else '"$uid:$gid"' if self.user else ""
        owner = owner or (quote(f":{self.group}") if self.group else "")
        makes = []
        for path in self._paths():
            make = f"make_directory {quote(path)} {self.mode:04o} {owner}".rstrip()
            makes.append(f"[ -e {quote(path)} ] || {make}" if self.kept else make)
        for target, link in self._links():
            word = quote(link)
            makes.append(f"mkdir -p {quote(os.path.dirname(link))}")
            makes.append(f'[ "$(readlink {word})" = {quote(target)} ] || ln -s {quote(target)} {word}')
        told = quote(f"{self.variable}={':'.join(self._paths())}")
        return Shell("\n".join(f"{make} || exit {self.status}" for make in makes), variables=((self.variable, told),))

    def _paths(self) -> list[str]:
        return [f"{self.root}/{each.path}" for each in self.directories]

    def _links(self) -> Iterator[tuple[str, str]]:
        """Symbolic links, and what is in them: as systemd's they are relative."""
        for each in self.directories:
            for name in each.links:
                yield _relative(f"{self.root}/{each.path}", f"{self.root}/{name}"), f"{self.root}/{name}"

    def apply(self, process: Process) -> None:
        uid, gid = _owner(process, self.user, self.group)
        for each in self.directories:
            path = f"{self.root}/{each.path}"
            if self.private:
                path = private.enter(self.root, each.path)
            else:
                private.leave(self.root, each.path)
            if not (self.kept and os.path.exists(path)):
                _make(path, self.mode, uid, gid, 0o1777 if self.private else 0o7777)
        for target, link in self._links():
            private.link(target, link)
        process.environment[self.variable] = ":".join(self._paths())


def _relative(path: str, link: str) -> str:
    return os.path.relpath(path, os.path.dirname(link))


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
    """ConfigurationDirectory=, below /etc; what is there already stays as it is."""

    name = "configuration_directory"
    manual = "systemd.exec(5) ConfigurationDirectory="
    directives = ("ConfigurationDirectory", "ConfigurationDirectoryMode")
    status = 241
    attribute, specifier, variable, kept = "configuration_directory", "%E", "CONFIGURATION_DIRECTORY", True


def _owner(process: Process, user: str, group: str) -> tuple[int, int]:
    gid = find_group(group) if group else process.gid  # of a group that does not exist, FindGroups tells
    if process.uid is None:
        return os.geteuid(), os.getegid() if gid is None else gid
    entry = find_user(user) if user and gid is None else None
    return process.uid, gid if gid is not None else entry.pw_gid if entry else process.uid


def _make(path: str, mode: int, uid: int, gid: int, bits: int) -> None:
    """The directory with its mode and owner; parents are made as mkdir -p makes them, and stay the caller's. Of what
    another user has left in it only the permission `bits` stay."""
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
        if (found.st_uid, found.st_gid) != (uid, gid):
            _give(fd, uid, gid, bits)
        if os.fstat(fd).st_mode & 0o7777 != mode:
            os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _give(fd: int, uid: int, gid: int, bits: int) -> None:
    """Everything in the directory, then the directory itself: systemd.exec(5) hands over what a former user left."""
    for _, folders, files, inner in os.fwalk(".", dir_fd=fd, topdown=False, follow_symlinks=False):
        for name in (*folders, *files):
            mode = os.stat(name, dir_fd=inner, follow_symlinks=False).st_mode
            os.chown(name, uid, gid, dir_fd=inner, follow_symlinks=False)
            if not stat.S_ISLNK(mode):  # chown(2) has taken away what belongs to an owner
                os.chmod(name, mode & bits, dir_fd=inner)
    os.fchown(fd, uid, gid)
