"""What a life of a service leaves behind: RuntimeDirectory=, as RuntimeDirectoryPreserve= says, PrivateTmp=."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service


def remove(service: Service, life: str, *, restarted: bool) -> None:
    """Remove what the life has made for itself; `restarted` says that another one follows."""
    if service.private_tmp == "yes":
        from initkit.plan import view

        for path in view.TEMPORARY:
            _remove_tree(view.private_folder(path, life, service.unit))
    preserve = service.runtime_directory_preserve
    if preserve != "yes" and not (preserve == "restart" and restarted):
        _remove_runtime_directories(service)


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
