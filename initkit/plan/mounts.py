"""The step that gives a program a file system of its own: mount_namespaces(7), after systemd.exec(5).

What is to be seen is computed by initkit.plan.view, and mounted by initkit.plan.mounting.
"""

from __future__ import annotations

import os
import stat

from initkit.plan import VIEW, libc, view
from initkit.plan.mounting import View
from initkit.plan.step import Process, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.plan.view import Mount
    from initkit.settings.service import Service

_PROPAGATION = {
    "": libc.MS_SHARED, "shared": libc.MS_SHARED, "slave": libc.MS_SLAVE, "private": libc.MS_PRIVATE,
}  # fmt: skip
#: What may not be seen is hidden behind something without permissions: file-hierarchy(7) has systemd's in /run/systemd.
_HIDDEN = "initkit/inaccessible"  # below %t
_SKELETON = {
    "dev": 0o755, "etc": 0o755, "proc": 0o555, "root": 0o750, "run": 0o755, "sys": 0o555, "usr": 0o755, "var": 0o755,
}  # fmt: skip


class FileSystemView(Step):
    """The mounts of a service's sandbox, in a mount namespace of its own."""

    name = "file_system_view"
    manual = "systemd.exec(5) SANDBOXING"
    directives = VIEW
    status = 226

    root: str
    mounts: tuple[Mount, ...]
    propagation: str
    skeleton: bool = False
    no_suid: bool = False

    @classmethod
    def of(cls, service: Service) -> Self | None:
        no_suid = service.no_new_privileges or service.dynamic_user
        return cls._with(view.mounts(service), service, no_suid=no_suid) if view.is_needed(service) else None

    @classmethod
    def _with(cls, mounts: tuple[Mount, ...], service: Service, *, no_suid: bool = False) -> Self:
        return cls(service.root_directory, mounts, service.mount_flags, view.has_skeleton(service), no_suid)

    def apply(self, process: Process) -> None:
        folders = {each.path: _private_folder(each.path, process) for each in self.mounts if each.kind == "private-tmp"}
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)
        hidden = (
            _hidden_nodes(f"{process.service.runtime_root}/{_HIDDEN}")
            if any(each.kind == "inaccessible" for each in self.mounts)
            else -1
        )
        made = View(self.root, hidden)
        for mount in self.mounts:
            made.open(mount, folders.get(mount.path, mount.source))
        made.enter()
        if self.skeleton:
            _make_skeleton()
        for mount in view.normalised(made.resolved(self.mounts)):
            made.mount(mount)
        made.restrict(no_suid=self.no_suid)
        libc.mount("", "/", flags=_PROPAGATION[self.propagation] | libc.MS_REC)
        os.chdir("/")
        made.close()


class PrivilegedView(FileSystemView):
    """The mounts of a command with the prefix "+": it sees what is bound, and its root, and no restriction."""

    name = "privileged_view"

    @classmethod
    def of(cls, service: Service) -> Self | None:
        if service.user or not view.is_needed(service):
            return None
        return cls._with(view.privileged(service), service)


def _make_skeleton() -> None:
    """What of a system's folders is not there: file-hierarchy(7)."""
    for name, mode in _SKELETON.items():
        try:
            os.mkdir(f"/{name}", mode)
        except OSError:
            pass  # it is there; or the root is read-only, and what is mounted there will say so


def _hidden_nodes(path: str) -> int:
    """A descriptor of the folder that holds a directory and a file without any permissions."""
    os.makedirs(path, 0o755, exist_ok=True)
    try:
        os.mkdir(f"{path}/dir", 0o000)
    except FileExistsError:
        pass
    try:
        os.close(os.open(f"{path}/reg", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o000))
    except FileExistsError:
        pass
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _private_folder(path: str, process: Process) -> str:
    """PrivateTmp=: a folder of the service's below /tmp or /var/tmp, which all its programs share."""
    life = process.environment.get("INVOCATION_ID", str(os.getpid()))
    outer = view.private_folder(path, process.private_tmp or f"{life}-{process.service.unit}")
    try:
        os.mkdir(outer, 0o700)
    except FileExistsError:
        found = os.lstat(outer)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise
    inner = f"{outer}/tmp"
    try:
        os.mkdir(inner)
        os.chmod(inner, 0o1777)
    except FileExistsError:
        pass
    return inner
