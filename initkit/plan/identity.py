"""The steps that make the program somebody else's: User=, Group=, RootDirectory=."""

from __future__ import annotations

import grp
import os
import pwd

from initkit.plan.step import Process, Shell, Step, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.settings.service import Service

_USER_WORD = '${logname:+"USER=$logname"}'
_NO_SHELL = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "")


class FindUser(Step):
    """Look the user up, and give the program $USER, $LOGNAME, $HOME and $SHELL."""

    name = "find_user"
    manual = "systemd.exec(5) User="
    directives = ("User", "SetLoginEnvironment")
    status = 217

    user: str
    tells: bool = True

    @classmethod
    def of(cls, service: Service) -> Self | None:
        tells = service.set_login_environment
        if service.dynamic_user or not (service.account or tells):
            return None
        return cls(service.account, tells is not False)

    def shell(self) -> Shell | None:
        if not (self.user and self.tells):
            return None
        variables = ((name, f'${{{name.lower()}:+"{name}=${name.lower()}"}}') for name in ("LOGNAME", "HOME", "SHELL"))
        return Shell(f"find_user {quote(self.user)} || exit 217", variables=(("USER", _USER_WORD), *variables))

    def apply(self, process: Process) -> None:
        entry = find_user(self.user or str(os.geteuid()))
        if self.user:
            process.uid = entry.pw_uid if entry else int(self.user)
        if entry is None:
            return
        process.home = entry.pw_dir.rstrip("/") or "/"
        process.environment["USER"] = entry.pw_name
        if not self.tells:
            return
        process.environment["LOGNAME"] = entry.pw_name
        if process.home != "/":  # systemd takes that for no home
            process.environment["HOME"] = process.home
        if entry.pw_shell not in _NO_SHELL:
            process.environment["SHELL"] = entry.pw_shell


class FindShell(Step):
    """Look up the shell of the user, while the host's accounts can be seen: the prefix |."""

    name = "find_shell"
    manual = "systemd.service(5) ExecStart="
    directives = ("User",)
    status = 217

    user: str
    dynamic: bool = False

    def apply(self, process: Process) -> None:
        entry = None if self.dynamic else find_user(self.user or str(os.geteuid()))
        if entry and entry.pw_shell not in _NO_SHELL:
            process.shell = entry.pw_shell


class _Groups(Step):
    """What a step about groups has to know."""

    directives = ("Group", "SupplementaryGroups", "User")
    status = 216

    user: str = ""
    group: str = ""
    supplementary: tuple[str, ...] = ()
    dynamic: bool = False

    @classmethod
    def of(cls, service: Service) -> Self | None:
        dynamic = service.dynamic_user
        if not (service.account or service.group or service.supplementary_groups or dynamic):
            return None
        account = "" if dynamic else service.account
        return cls(account, service.group, service.supplementary_groups, dynamic)


class FindGroups(_Groups):
    """Look the groups up: they are the host's, whatever the program will see."""

    name = "find_groups"
    manual = "systemd.exec(5) Group=, SupplementaryGroups="

    def shell(self) -> Shell:
        return Shell()  # setpriv(1) does it

    def apply(self, process: Process) -> None:
        own = process.gid if self.dynamic else _primary_group(self.user)
        process.gid = find_group(self.group) if self.group else own
        assert process.gid is not None
        before = [process.gid] if self.dynamic else _groups_of(self.user, process.gid)
        groups = before + [find_group(name) for name in self.supplementary]
        process.groups = sorted(set(groups))
        entry = find_user(self.user) if self.user else None
        if entry and process.gid and os.geteuid() == 0:
            os.initgroups(entry.pw_name, process.gid)  # had also by a command that is spared another user: `!`


class ChangeGroup(_Groups):
    """Group=, SupplementaryGroups= and the groups of User=: setgid(2), initgroups(3), setgroups(2)."""

    name = "groups"
    manual = "daemon(7) step 13; systemd.exec(5) Group=, SupplementaryGroups="

    def shell(self) -> Shell | None:
        if self.dynamic:
            return None
        group = f"--regid={quote(self.group)}" if self.group else '--regid="$gid"' if self.user else ""
        groups = "--keep-groups"
        if self.user or self.supplementary:
            # initgroups(3): Group= stands in for the user's own group
            own = f'"$gid" {quote(self.group)}' if self.group and self.user else "''"
            words = [quote(self.user), own, *map(quote, self.supplementary)]
            groups = f'--groups="$(groups_of {" ".join(words)})"'
        otherwise = ""
        if self.user and not self.supplementary:  # start-stop-daemon(8) knows initgroups(3) only
            owner = f'"$uid:{quote(self.group)}"' if self.group else '"$uid:$gid"'
            otherwise = f'start-stop-daemon -q -S -p /proc/none -c {owner} -a "$(command -v env)" --'
        return Shell(prefix=" ".join(word for word in ("setpriv", group, groups) if word), otherwise=otherwise)

    def apply(self, process: Process) -> None:
        assert process.gid is not None
        gid, groups = process.gid, process.groups
        changes = bool(self.user or self.supplementary) or self.dynamic
        if changes and {*os.getgroups(), os.getegid()} != {*groups, gid}:
            os.setgroups(groups)
        if os.getresgid() != (gid, gid, gid):
            os.setresgid(gid, gid, gid)


class ChangeUser(Step):
    """User=: setuid(2), after which nothing can be had back."""

    name = "user"
    manual = "daemon(7) step 13; systemd.exec(5) User="
    directives = ("User",)
    status = 217

    user: str

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls(service.account) if service.account or service.dynamic_user else None

    def shell(self) -> Shell:
        return Shell(prefix='setpriv --reuid="$uid"')

    def apply(self, process: Process) -> None:
        uid = process.uid  # found before the view changes: it is the host's user
        assert uid is not None
        if os.getresuid() != (uid, uid, uid):
            os.setresuid(uid, uid, uid)


def find_user(name: str) -> pwd.struct_passwd | None:
    """The entry of a user by name or number; None for a number without an entry.

    Raises:
        LookupError: when there is no user of that name.
    """
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return None
        raise LookupError("there is no such user") from None


def find_group(name: str) -> int:
    """A group's number.

    Raises:
        LookupError: when there is no group of that name.
    """
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name!r}") from None


def _primary_group(user: str) -> int:
    entry = find_user(user) if user else None
    return entry.pw_gid if entry else os.getegid() if not user else int(user)


def _groups_of(user: str, gid: int) -> list[int]:
    entry = find_user(user) if user else None
    return os.getgrouplist(entry.pw_name, gid) if entry else [gid] if user else os.getgroups()
