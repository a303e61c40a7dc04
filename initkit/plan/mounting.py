"""The mounts of a view while they are made: mount_namespaces(7).

Sources are opened before anything is mounted over them; then the mounts are made in place, parents first; at last what
is to be read-only or not executable becomes so, mount by mount.
"""

from __future__ import annotations

import errno
import os
import stat

from initkit.plan import libc, view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.plan.view import Mount

#: null(4), full(4), random(4), tty(4)
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}  # fmt: skip
_SHARED_DEVICES = ("pts", "shm", "mqueue", "hugepages", "log")
_HARDENED = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
_DEVICES = "mode=0755,size=4m,nr_inodes=64k"


class View:
    """A view while it is made."""

    def __init__(self, root: str, hidden: int) -> None:
        self.root, self.hidden = root, hidden
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.trees: dict[str, int] = {}  # copies of mounts, by the path that they are for
        self.moved: dict[str, int] = {}  # mounts that are to be moved onto a new parent, by path
        self.files: set[str] = set()  # of these, those that are no directories
        self.skipped: set[str] = set()  # optional ones without a source
        self.made: list[Mount] = []
        self._known: list[str] = []  # where something is mounted, while that is known

    def close(self) -> None:
        for fd in (self.proc, self.hidden, *self.trees.values(), *self.moved.values()):
            if fd >= 0:
                os.close(fd)

    # --- before anything is mounted ---------------------------------------------------------------------------------

    def open(self, mount: Mount, source: str) -> None:
        """Get hold of what a mount shows, before another one hides it."""
        if mount.kind in ("bind", "private-tmp"):
            if mount.optional and not os.path.exists(source):
                self.skipped.add(mount.path)
                return
            self._copy(mount.path, source, recursive=mount.recursive)
        elif mount.kind == "dev":
            for name in (*_NODES, *_SHARED_DEVICES):
                if os.path.exists(f"/dev/{name}"):
                    self._copy(f"/dev/{name}", f"/dev/{name}", recursive=True)
        elif mount.kind in ("proc", "sysfs") and self.root == "/":
            self._hold_below(mount.path)

    def _copy(self, path: str, source: str, *, recursive: bool) -> None:
        if not os.path.isdir(source):
            self.files.add(path)
        self.trees[path] = libc.clone_tree(source, recursive=recursive)

    def _hold_below(self, top: str) -> None:
        """What is mounted below a path, to be moved: no copy can be had of a file that is deleted."""
        for path in sorted(self._mounted()):
            if path.startswith(f"{top}/") and not any(path.startswith(f"{other}/") for other in self.moved):
                self.moved.setdefault(path, os.open(path, os.O_PATH | os.O_CLOEXEC))

    def enter(self) -> None:
        """Make RootDirectory= the root."""
        if self.root == "/":
            return
        tree = libc.clone_tree(self.root, recursive=True)
        libc.move_tree(tree, self.root)
        os.close(tree)
        os.chdir(self.root)
        libc.mount(".", "/", flags=libc.MS_MOVE)
        os.chroot(".")
        os.chdir("/")
        self._known = []

    def resolved(self, mounts: tuple[Mount, ...]) -> list[Mount]:
        """The mounts at the paths that symbolic links lead to."""
        found = []
        for mount in mounts:
            path = os.path.realpath(mount.path)
            if mount.path in self.skipped:
                continue
            if path != mount.path and mount.path in self.trees:
                self.trees[path] = self.trees.pop(mount.path)
                if mount.path in self.files:
                    self.files.add(path)
            fields = {name: mount.__dict__[name] for name in mount._fields}
            found.append(type(mount)(**{**fields, "path": path}))
        return found

    # --- mounts -----------------------------------------------------------------------------------------------------

    def mount(self, mount: Mount) -> None:
        """Make one."""
        if mount.optional and mount.kind != "bind" and not os.path.exists(mount.path):
            return
        self.made.append(mount)
        if mount.kind in (*view.ACCESS, *view.EXECUTION):
            self._make_mount_point(mount.path)
            return
        if mount.kind in ("bind", "private-tmp"):
            self._place(mount.path)
        elif mount.kind == "tmpfs":
            os.makedirs(mount.path, 0o755, exist_ok=True)
            libc.mount("tmpfs", mount.path, "tmpfs", libc.MS_NODEV | libc.MS_STRICTATIME, mount.options)
        elif mount.kind == "inaccessible":
            self._hide(mount.path)
        elif mount.kind == "dev":
            self._make_devices()
        else:
            self._mount_api(mount)
        self._known = []

    def _make_mount_point(self, path: str) -> None:
        """What is to be restricted is a mount of its own."""
        if path not in self._mounted():
            tree = libc.clone_tree(path, recursive=True)
            libc.move_tree(tree, path)
            os.close(tree)
            self._known.append(path)  # what is below it is there still, under the same path

    def _place(self, path: str) -> None:
        """Mount a copy, at a path that is made if it is not there."""
        if path in self.files:
            _touch(path)
        else:
            os.makedirs(path, 0o755, exist_ok=True)
        fd = self.trees.pop(path)
        libc.move_tree(fd, path)
        os.close(fd)

    def _hide(self, path: str) -> None:
        for mounted in reversed(self._mounted()):  # what is mounted there may be a file that is deleted
            if mounted == path or mounted.startswith(f"{path}/"):
                _unmount(mounted)
        name = "dir" if stat.S_ISDIR(os.stat(path).st_mode) else "reg"
        tree = libc.clone_tree(name, recursive=False, folder=self.hidden)
        libc.move_tree(tree, path)
        os.close(tree)

    def _mount_api(self, mount: Mount) -> None:
        """A file system of the kernel's, with what was mounted below the one that it hides."""
        os.makedirs(mount.path, 0o755, exist_ok=True)
        try:
            libc.mount(mount.kind, mount.path, mount.kind, _HARDENED, mount.options)
        except PermissionError:
            if mount.options or self.root != "/":
                raise
            return  # in a container: the one that is there
        for path, fd in self.moved.items():
            if path.startswith(f"{mount.path}/") and os.path.exists(path):
                _move(fd, path)

    def _make_devices(self) -> None:
        """PrivateDevices=: /dev with the few devices that are none of hardware."""
        flags = libc.MS_NOSUID | libc.MS_STRICTATIME
        libc.mount("tmpfs", "/dev", "tmpfs", flags, _DEVICES)
        mask = os.umask(0)
        try:
            for name, (major, minor) in _NODES.items():
                self._make_node(name, os.makedev(major, minor))
            for name, target in _LINKS.items():
                os.symlink(target, f"/dev/{name}")
        finally:
            os.umask(mask)
        os.mkdir("/dev/char", 0o755)
        for name, (major, minor) in _NODES.items():
            os.symlink(f"../{name}", f"/dev/char/{major}:{minor}")
        for name in _SHARED_DEVICES:
            if f"/dev/{name}" in self.trees:
                self._place(f"/dev/{name}")

    def _make_node(self, name: str, device: int) -> None:
        path = f"/dev/{name}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, device)
        except PermissionError:  # in a container: the one that is there
            self._place(path)

    # --- restrictions -----------------------------------------------------------------------------------------------

    def restrict(self, *, no_suid: bool) -> None:
        """Make mounts read-only or not executable: each by the nearest entry that has a say in it. With `no_suid` what
        the view is made of is that as well."""
        access = [each for each in self.made if each.kind not in view.EXECUTION]
        execution = [each for each in self.made if each.kind in view.EXECUTION]
        for path in self._mounted():
            flags = 0
            above = _nearest(access, path)
            if above and (above.kind == "read-only" or above.read_only):
                flags |= libc.MS_RDONLY
            if above and above.kind == "inaccessible":
                flags |= libc.MS_RDONLY | _HARDENED
            above = _nearest(execution, path)
            if above and above.kind == "no-exec":
                flags |= libc.MS_NOEXEC
            if no_suid and any(view.covers(each, path) for each in self.made):
                flags |= libc.MS_NOSUID
            if path == "/dev" and any(each.kind == "dev" for each in self.made):
                flags |= libc.MS_RDONLY | libc.MS_NOEXEC
            if flags:
                _restrict(path, flags)

    def _mounted(self) -> list[str]:
        """Where something is mounted, as seen from the present root: proc(5), mountinfo."""
        if self._known:
            return self._known
        fd = os.open("self/mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            self._known = list(dict.fromkeys(_unescaped(line.split(None, 5)[4]) for line in file))
        return self._known


def _unmount(path: str) -> None:
    try:
        libc.unmount(path)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # hidden by a new /proc: nothing is mounted at what is seen
            raise


def _move(fd: int, path: str) -> None:
    try:
        libc.move_tree(fd, path)
    except OSError as fault:
        if fault.errno not in (errno.EINVAL, errno.ENOENT):  # hidden by another mount, or a file that is deleted
            raise


def _nearest(mounts: list[Mount], path: str) -> Mount | None:
    """The one with the longest path that covers this one; of several, the first."""
    found = None
    for each in mounts:
        if view.covers(each, path) and (found is None or len(each.path) > len(found.path)):
            found = each
    return found


def _restrict(path: str, flags: int) -> None:
    try:
        before = os.statvfs(path).f_flag
    except OSError:
        return  # hidden, or gone meanwhile
    kept = before & (libc.MS_RDONLY | _HARDENED | os.ST_NOATIME | os.ST_NODIRATIME)
    if before & os.ST_RELATIME:
        kept |= libc.MS_RELATIME
    if kept | flags != kept:
        libc.mount("", path, flags=libc.MS_BIND | libc.MS_REMOUNT | kept | flags)


def _unescaped(text: str) -> str:
    """proc(5): blanks, newlines and backslashes are octal."""
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def _touch(path: str) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644))
