"""A service's view of the file system, as a list of mounts: systemd.exec(5), "SANDBOXING" and "PATHS".

Nothing is mounted here: `mounts` computes what initkit.plan.mounts does. Paths are those that the program will see.
"""

from __future__ import annotations

from initkit.plan import has_credentials
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from initkit.settings.service import Service

#: What a mount can be, in the order in which mounts of one path are made. The last four change what is there already.
KINDS = (
    *("inaccessible", "bind", "private-tmp", "dev", "sysfs", "proc", "tmpfs", "mqueue"),
    *("read-only", "read-write", "no-exec", "exec"),
)
ACCESS = ("read-only", "read-write")
EXECUTION = ("no-exec", "exec")


class Mount(Record):
    """One mount of a view. `source` is a path outside it, `options` are of the file system, and `optional` forgives a
    path that is not there."""

    path: str
    kind: str
    source: str = ""
    options: str = ""
    optional: bool = False
    recursive: bool = True
    read_only: bool = False


# Sizes as systemd has them: file-hierarchy(7) of what a service may fill.
_ALMOST_EMPTY = "mode=0755,size=4m,nr_inodes=1k"
_TEMPORARY = "mode=0755,size=10%,nr_inodes=400k"

_HOMES = ("/home", "/run/user", "/root")


def _all(kind: str, *paths: str, optional: bool = True) -> tuple[Mount, ...]:
    return tuple(Mount(path, kind, optional=optional) for path in paths)


_SYSTEM = (*_all("read-only", "/usr", optional=False), *_all("read-only", "/boot", "/efi"))
_PROTECT_SYSTEM = {
    "": (),
    "yes": _SYSTEM,
    "full": (*_SYSTEM, *_all("read-only", "/etc", optional=False)),
    "strict": (
        *_all("read-only", "/", optional=False),
        *_all("read-write", "/proc", "/sys", "/dev", *_HOMES),
    ),
}
_PROTECT_HOME = {
    "": (),
    "yes": _all("inaccessible", *_HOMES),
    "read-only": _all("read-only", *_HOMES),
    "tmpfs": tuple(Mount(path, "tmpfs", options=_ALMOST_EMPTY, optional=True, read_only=True) for path in _HOMES),
}
_TUNABLES = (
    *_all("read-only", "/proc/acpi", "/proc/apm", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq"),
    *_all("inaccessible", "/proc/kallsyms", "/proc/kcore"),
    *_all("read-only", "/proc/latency_stats", "/proc/mtrr", "/proc/scsi", "/proc/sys", "/proc/sysrq-trigger"),
    *_all("read-only", "/proc/timer_stats", "/sys", "/sys/fs/bpf", "/sys/kernel/debug", "/sys/kernel/tracing"),
    *_all("read-write", "/sys/fs/cgroup", "/sys/fs/selinux"),
)
_NETWORK = (Mount("/sys", "sysfs"),)
_QUEUES = (Mount("/dev/mqueue", "mqueue", optional=True),)
#: By the setting that asks for them.
_WORDS = (
    ("private_devices", (Mount("/dev", "dev"),)),
    ("protect_kernel_tunables", _TUNABLES),
    ("protect_kernel_modules", _all("inaccessible", "/usr/lib/modules", "/lib/modules")),
    ("protect_kernel_logs", _all("inaccessible", "/proc/kmsg", "/dev/kmsg")),
    ("protect_control_groups", _all("read-only", "/sys/fs/cgroup")),
    ("protect_hostname", _all("read-only", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname")),
    ("private_network", _NETWORK),
    ("network_namespace_path", _NETWORK),
    ("private_ipc", _QUEUES),
    ("ipc_namespace_path", _QUEUES),
)
TEMPORARY = ("/tmp", "/var/tmp")
_OPEN_TO_ALL = "mode=1777,size=10%,nr_inodes=400k"
_PRIVATE_TMP = {
    "": (),
    "yes": tuple(Mount(path, "private-tmp") for path in TEMPORARY),
    "disconnected": tuple(Mount(path, "tmpfs", options=_OPEN_TO_ALL) for path in TEMPORARY),
}


_PRIVATE = "initkit-private-"


def private_folder(path: str, whose: str) -> str:
    """PrivateTmp=: the folder below /tmp or /var/tmp that is one life's (LIFE-UNIT). Nobody else may look into it."""
    return f"{path}/{_PRIVATE}{whose}"


def life_of(name: str, unit: str) -> str:
    """The life ($INVOCATION_ID) that such a folder is of; "" where it is another unit's, or another thing."""
    life = name.removeprefix(_PRIVATE)[:32]
    return life if name == f"{_PRIVATE}{life}-{unit}" else ""


#: Directories of the service's own, by where they are: systemd.exec(5).
DIRECTORIES = {
    "%t": "runtime_directory", "%S": "state_directory", "%C": "cache_directory", "%L": "logs_directory",
    "%E": "configuration_directory",
}  # fmt: skip


def is_needed(service: Service) -> bool:
    """Whether the service sees another file system than the one it is started in."""
    return bool(mounts(service)) or changes_root(service)


def mounts(service: Service) -> tuple[Mount, ...]:
    """The mounts of a service's view, parents first."""
    found = (*_named(service), *_implied(service))
    own = tuple(_directories(service))
    if found or changes_root(service) or any(each.read_only for each in own):
        found += (*own, *_credentials(service))
    return normalised(found)


def privileged(service: Service) -> tuple[Mount, ...]:
    """Those of a command with the prefix "+", parents first."""
    shown = (*_binds(service), *_temporary(service), *_directories(service))
    return normalised((*shown, *_credentials(service)))


def changes_root(service: Service) -> bool:
    """Whether the view is another one without a single mount in it."""
    return service.root_directory != "/" or service.private_mounts or service.mount_flags not in ("", "shared")


def _directories(service: Service) -> Iterator[Mount]:
    """The service's own directories, which stay there whatever is mounted above them, and are its to write in."""
    for letter, directories in DIRECTORIES.items():
        root, own = service.expand(letter), getattr(service, directories)
        if own and service.keeps_private(directories):  # others' that are there are nobody's to see
            root = f"{root}/private"
            yield Mount(root, "tmpfs", options=_ALMOST_EMPTY, read_only=True)
        for each in own:
            path = f"{root}/{each.path}"
            yield Mount(path, "bind", path, read_only=each.read_only)


def _credentials(service: Service) -> Iterator[Mount]:
    """Of all services' credentials only its own are to be seen."""
    own = service.expand("%d")
    every = own.rpartition("/")[0]
    if has_credentials(service):
        yield Mount(every, "tmpfs", options=_ALMOST_EMPTY, read_only=True)
        yield Mount(own, "bind", own, optional=True, read_only=True)
    else:
        yield Mount(every, "inaccessible", optional=True)


def _named(service: Service) -> Iterator[Mount]:
    """What the settings name."""
    marks = (
        ("read-write", service.read_write_paths),
        ("read-only", service.read_only_paths),
        ("inaccessible", service.inaccessible_paths),
        ("exec", service.exec_paths),
        ("no-exec", service.no_exec_paths),
    )
    root = service.root_directory
    for kind, paths in marks:
        for each in paths:
            inside = each.path if each.inside or root == "/" else _below(each.path, root)
            if inside:
                yield Mount(inside, kind, optional=each.optional)
    yield from _binds(service)
    yield from _temporary(service)


def _temporary(service: Service) -> Iterator[Mount]:
    for each in service.temporary_file_systems:
        words = [word for word in each.options.split(",") if word]
        options = ",".join((_TEMPORARY, *(word for word in words if word not in ("ro", "rw"))))
        yield Mount(each.path, "tmpfs", options=options, read_only="ro" in words)


def _binds(service: Service) -> Iterator[Mount]:
    for read_only, binds in ((False, service.bind_paths), (True, service.bind_read_only_paths)):
        for each in binds:
            yield Mount(
                each.target, "bind", each.source, optional=each.optional, recursive=each.recursive, read_only=read_only
            )


def _below(path: str, root: str) -> str:
    """A path of the host as seen below `root`; "" outside it."""
    return path.removeprefix(root) or "/" if path == root or path.startswith(f"{root}/") else ""


def _implied(service: Service) -> Iterator[Mount]:
    """What is mounted for the sake of a word."""
    yield from _PROTECT_SYSTEM[service.protect_system]
    yield from _PROTECT_HOME[service.protect_home]
    yield from _PRIVATE_TMP[service.private_tmp]
    for attribute, found in _WORDS:
        if getattr(service, attribute):
            yield from found
    options = _proc_options(service)
    if options or service.protect_control_groups or service.protect_kernel_tunables:
        yield Mount("/proc", "proc", options=options)
    if has_api_vfs(service):
        yield from _api_vfs(service)


def has_api_vfs(service: Service) -> bool:
    """MountAPIVFS=: by itself where there is another root."""
    return service.root_directory != "/" if service.mount_api_vfs is None else service.mount_api_vfs


def has_skeleton(service: Service) -> bool:
    """Whether the root that is not the machine's is given the folders that a system has."""
    return service.root_directory != "/" and has_api_vfs(service)


def _api_vfs(service: Service) -> Iterator[Mount]:
    if service.root_directory == "/":
        return
    if not _proc_options(service):
        yield Mount("/proc", "proc")
    yield Mount("/sys", "bind", "/sys")
    if not service.private_devices:
        yield Mount("/dev", "bind", "/dev")
    yield Mount("/run", "tmpfs", options="mode=0755,size=20%,nr_inodes=800k")


def _proc_options(service: Service) -> str:
    words = []
    if service.protect_proc != "default":
        words.append(f"hidepid={service.protect_proc}")
    if service.proc_subset == "pid":
        words.append("subset=pid")
    return ",".join(words)


def normalised(found: Iterable[Mount]) -> tuple[Mount, ...]:
    """Parents first, each once, nothing below a path that is inaccessible, and nothing that its parent does already."""
    ordered = sorted(found, key=lambda each: (each.path.rstrip("/").split("/"), KINDS.index(each.kind)))
    kept: list[Mount] = []
    for each in _once(ordered):
        if any(other.kind == "inaccessible" and covers(other, each.path) for other in kept):
            continue
        parent = next((other for other in reversed(kept) if covers(other, each.path)), None)
        if each.kind in ACCESS and parent is not None and parent.kind == each.kind:
            continue
        kept.append(each)
    return tuple(kept)


def _once(mounts: list[Mount]) -> Iterator[Mount]:
    """Of those of one path and one kind the first; read-only goes before read-write."""
    seen: set[tuple[str, str]] = set()
    for each in mounts:
        key = (each.path, "access" if each.kind in ACCESS else each.kind)
        if key not in seen:
            seen.add(key)
            yield each


def covers(mount: Mount, path: str) -> bool:
    """Whether the path is the mount's or below it."""
    return mount.path in ("/", path) or path.startswith(f"{mount.path}/")
