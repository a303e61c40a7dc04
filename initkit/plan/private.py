"""Where DynamicUser= keeps a service's directories: below "private", which only root may enter, with a link outside.

A user that is allocated anew each time must not find what another one has left: systemd.exec(5), DynamicUser=."""

from __future__ import annotations

import os


def enter(root: str, path: str) -> str:
    """The directory's place below "private", with the link to it; what is outside already moves there.

    Raises:
        OSError: when there is something else in the way.
    """
    inner, outer = f"{root}/private/{path}", f"{root}/{path}"
    _make(root, 0o755)
    _make(f"{root}/private", 0o700)
    os.makedirs(os.path.dirname(inner), 0o755, exist_ok=True)
    if os.path.isdir(outer) and not os.path.islink(outer) and not os.path.lexists(inner):
        os.rename(outer, inner)
    link(os.path.relpath(inner, os.path.dirname(outer)), outer)
    return inner


def leave(root: str, path: str) -> None:
    """The service has a user of its own again: what is below "private" comes back."""
    inner, outer = f"{root}/private/{path}", f"{root}/{path}"
    if os.path.islink(outer) and os.path.isdir(inner) and os.path.realpath(outer) == os.path.realpath(inner):
        os.unlink(outer)
        os.rename(inner, outer)


def link(target: str, path: str) -> None:
    """A symbolic link, unless it is there already.

    Raises:
        FileExistsError: when something else is there.
    """
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    if not (os.path.islink(path) and os.readlink(path) == target):
        os.symlink(target, path)


def _make(path: str, mode: int) -> None:
    try:
        os.makedirs(path, mode)
    except FileExistsError:
        pass
