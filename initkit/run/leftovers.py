"""What a life of a service leaves behind: RuntimeDirectory=, as RuntimeDirectoryPreserve= says, PrivateTmp=."""

from __future__ import annotations

import os

from initkit import plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.settings.service import Service

_OVER = "over"


def remove(service: Service, life: str, user: int, *, restarted: bool) -> None:
    """Remove what the life of the `user` (0: root) has made for itself; `restarted` says that another one follows."""
    if service.private_tmp == "yes":
        from initkit.plan import view

        for path in view.TEMPORARY:
            give_up(view.private_folder(path, f"{life}-{service.unit}"))
    remove_credentials(service)
    if service.remove_ipc and user:
        _remove_ipc(user)
    preserve = service.runtime_directory_preserve
    if preserve != "yes" and not (preserve == "restart" and restarted):
        _remove_runtime_directories(service)


def sweep(service: Service, lives: Iterable[str]) -> None:
    """Remove what these lives, whose manager was killed, and those before the last boot have left of PrivateTmp=."""
    if service.private_tmp != "yes":
        return
    import time

    from initkit.plan import view

    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in view.TEMPORARY:
        for name in os.listdir(path) if os.path.isdir(path) else ():
            life = view.life_of(name, service.unit)
            found = os.stat(f"{path}/{name}", follow_symlinks=False) if life else None
            if found and found.st_uid == os.geteuid() and (life in lives or found.st_ctime < booted):
                give_up(f"{path}/{name}")


def give_up(folder: str) -> None:
    """Remove a folder of PrivateTmp=, or leave that to the last of those who share it: JoinsNamespaceOf=."""
    import fcntl

    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # gone already
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_tree(folder)
    except BlockingIOError:
        os.close(os.open(f"{folder}/{_OVER}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    finally:
        os.close(fd)


def is_given_up(folder: str) -> bool:
    """Whether whose it was has ended."""
    return os.path.exists(f"{folder}/{_OVER}")


def _remove_ipc(user: int) -> None:
    """RemoveIPC=: what the user has left of sysvipc(7), shm_overview(7) and mq_overview(7)."""
    pid = os.fork()
    if pid == 0:
        try:
            from initkit.run import ipc

            ipc.remove(user)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def remove_credentials(service: Service) -> None:
    """Remove the credentials of a life; of one that was killed, before the next."""
    if not plan.has_credentials(service) or not os.path.isdir(service.expand("%d")):
        return
    pid = os.fork()  # a manager is to stay small: the child has what unmounts
    if pid == 0:
        try:
            from initkit.plan import credentials

            credentials.remove(service.expand("%d"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _remove_runtime_directories(service: Service) -> None:
    for directory in service.runtime_directory:
        path = f"{service.runtime_root}/{directory.path}"
        _remove_tree(path)
        for link in directory.links:
            _unlink(f"{service.runtime_root}/{link}", path)


def _remove_tree(path: str) -> None:
    """Remove a folder and what is in it. By descriptors: the service's user may write there, and must not lead us
    elsewhere by a link."""
    try:
        for _, folders, files, inner in os.fwalk(path, topdown=False, follow_symlinks=False):
            for name in files:
                os.unlink(name, dir_fd=inner)
            for name in folders:
                if _is_link(name, inner):
                    os.unlink(name, dir_fd=inner)
                else:
                    os.rmdir(name, dir_fd=inner)
        os.rmdir(path)
    except OSError:
        pass  # gone already, or somebody else's mount point: the next start copes with it


def _is_link(name: str, folder: int) -> bool:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode & 0o170000 == 0o120000  # S_ISLNK


def _unlink(link: str, target: str) -> None:
    try:
        if os.path.realpath(link) == os.path.realpath(target):
            os.unlink(link)
    except OSError:
        pass
