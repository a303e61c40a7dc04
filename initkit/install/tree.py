"""Writing files below a root directory: all of them or none, each whole."""

from __future__ import annotations

import os

from initkit.errors import EX_CANTCREAT, InitkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.inits import File


def write(files: Iterable[File], root: str) -> list[str]:
    """Write files to their paths below `root`; returns the paths written.

    Everything lies beside its place before the first file is renamed to it.

    Raises:
        InitkitError: when one cannot be written; status 73 (EX_CANTCREAT).
    """
    drafts: list[tuple[str, str]] = []
    path = root
    try:
        os.makedirs(root, exist_ok=True)
        for file in files:
            path = os.path.join(root, file.path.lstrip("/"))
            _make_folder(os.path.dirname(file.path).lstrip("/"), root)
            drafts.append((f"{path}.{os.getpid()}~", path))
            _draft(file, drafts[-1][0])
        for draft, path in drafts:
            os.rename(draft, path)
    except OSError as fault:
        _remove(draft for draft, _ in drafts)
        raise InitkitError(f"{path}: cannot be written: {fault.strerror}", status=EX_CANTCREAT) from None
    return [path for _, path in drafts]


def _draft(file: File, path: str) -> None:
    with open(path, "x", encoding="utf-8", errors="surrogateescape") as out:
        os.fchmod(out.fileno(), file.mode)
        out.write(file.text)


def _make_folder(folder: str, root: str) -> None:
    """The folder of a file and those above it, with a package's mode whatever the umask.

    A link in the tree must not lead out of it, onto this machine.
    """
    here, top = root, os.path.realpath(root)
    for part in folder.split("/"):
        here = os.path.join(here, part)
        real = os.path.realpath(here)
        if os.path.commonpath((real, top)) != top:
            raise OSError(0, f"{here} is a symbolic link that leads out of {root}, to {real}")
        if not os.path.isdir(here):
            os.mkdir(here)
            os.chmod(here, 0o755)


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
