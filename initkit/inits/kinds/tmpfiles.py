"""Directories that have to be there before a service starts and that nobody else makes: tmpfiles.d(5).

RuntimeDirectory= and its kin are made by systemd itself, and by the scripts and the runner for every other init. What
is left: where a forking program writes its PID file, and where its output goes.
"""

from __future__ import annotations

import os

from initkit.inits import File
from initkit.inits.kinds import source
from initkit.inits.kinds.sysusers import primary_group
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import Options
    from initkit.settings.service import Service

_FILES = ("file", "append", "truncate")
_MADE = (("runtime", "t"), ("state", "S"), ("cache", "C"), ("logs", "L"), ("configuration", "E"))


class Folder(Record):
    """A directory with its owner, root where that is empty. `kind` is "runtime", "state" …, "pid" or "output"."""

    path: str
    kind: str
    mode: int = 0o755
    user: str = ""
    group: str = ""


def made_at_start(service: Service) -> tuple[Folder, ...]:
    """RuntimeDirectory= and its kin, which whoever starts the service makes."""
    return tuple(
        Folder(f"{service.expand(f'%{letter}')}/{each.path}", kind, getattr(service, f"{kind}_directory_mode"), *owner)
        for kind, letter in _MADE
        for owner in [("", "") if kind == "configuration" else (service.account, primary_group(service))]
        for each in getattr(service, f"{kind}_directory")
    )


def made_before(service: Service) -> tuple[Folder, ...]:
    """What tmpfiles.d(5) is for."""
    there = [folder.path for folder in made_at_start(service)]
    wanted = [*_of_pid_file(service), *_of_output(service)]
    found = {each.path: each for each in wanted if not any(f"{path}/".startswith(f"{each.path}/") for path in there)}
    return tuple(found.values())


def _of_pid_file(service: Service) -> Iterator[Folder]:
    """The program writes it, as who it is. Every other PID file is initkit's, who makes what is missing."""
    folder, root = os.path.dirname(service.pid_path), service.runtime_root
    if service.type == "forking" and service.has("PIDFile") and _is_below(folder, root):
        inside = any(_is_below(folder, f"{root}/{each.path}") for each in service.runtime_directory)
        if not inside:  # where it would be gone with the next stop
            yield Folder(folder, "pid", 0o755, service.account, primary_group(service))


def _of_output(service: Service) -> Iterator[Folder]:
    """Output is opened with full privileges: systemd.exec(5), StandardOutput=."""
    for stream in (service.standard_output, service.standard_error):
        if stream is not None and stream.kind in _FILES:
            folder = os.path.dirname(stream.target)
            if _is_below(folder, service.expand("%L")):
                yield Folder(folder, "output")


def _is_below(path: str, root: str) -> bool:
    return path.startswith(f"{root}/")


def files(service: Service, options: Options, inits: tuple[str, ...]) -> Iterator[File]:
    """/usr/lib/tmpfiles.d/NAME.conf, where there is a directory to make."""
    from initkit.inits.render import render

    folders = made_before(service)
    if folders:
        text = render("kinds/tmpfiles", service, options.template_dir, source=source(service), folders=folders)
        yield File(f"/usr/lib/tmpfiles.d/{service.name}.conf", text, kind="tmpfiles")
