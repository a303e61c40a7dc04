"""Rotation of the log files that the settings name: logrotate(8).

A file that StandardOutput=append: names cannot be opened anew by the program, so it is copied and emptied. The files in
LogsDirectory= are the program's own: it is asked to reload, or they are copied as well where it cannot.
"""

from __future__ import annotations

import os

from initkit import inits as all_inits
from initkit.inits import File
from initkit.inits.kinds import source
from initkit.inits.kinds.sysusers import primary_group
from initkit.plan.step import quote
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import Options
    from initkit.settings.service import Service


class Logs(Record):
    """One stanza: `path`, or all `*.log` below it; `copied` and emptied, or else moved, whereupon the program reloads.

    `owner` is the user and the group to rotate as, nothing for root.
    """

    path: str
    folder: bool
    copied: bool
    owner: tuple[str, ...] = ()


class Reload(Record):
    """In sh: whether an init runs, whether the service does, and what reloads it."""

    runs: str
    asks: str
    reload: str


def stanzas(service: Service) -> list[Logs]:
    """What is to be rotated; no file is in two of them, which logrotate(8) refuses."""
    appended = [path for kind, path in _outputs(service) if kind == "append"]
    found, covered = [], set()
    reloads = bool(service.exec_reload) or service.type == "notify-reload"
    for each in service.logs_directory:
        folder = f"{service.expand('%L')}/{each.path}"
        inside = {path for path in appended if os.path.dirname(path) == folder and path.endswith(".log")}
        covered |= inside
        found.append(Logs(folder, True, bool(inside) or not reloads, _owner(service, folder, root=bool(inside))))
    others = (path for path in appended if path not in covered)
    return [*found, *(Logs(path, False, True, _owner(service, os.path.dirname(path), root=True)) for path in others)]


def _owner(service: Service, folder: str, *, root: bool) -> tuple[str, ...]:
    """Who rotates in a folder. What root has opened, such as the output, its user may not be able to empty; but where
    others may write logrotate(8) has to be told that it is root."""
    ours = [f"{service.expand('%L')}/{each.path}" for each in service.logs_directory]
    group = primary_group(service) or "root"
    if service.account not in ("", "root") and not root:
        return service.account, group
    return ("root", group) if folder in ours and service.logs_directory_mode & 0o022 else ()


def left_out(service: Service) -> Iterator[str]:
    """Why a log file is not rotated."""
    for kind, path in _outputs(service):
        if kind != "append":
            yield f"{path}: not rotated, because {kind}: goes on writing where it was; append: would not"


def _outputs(service: Service) -> list[tuple[str, str]]:
    """The (kind, path) of the files that take the program's output."""
    streams = [each for each in (service.standard_output, service.standard_error) if each is not None]
    return list(
        dict.fromkeys((each.kind, each.target) for each in streams if each.kind in ("append", "file", "truncate"))
    )


def files(service: Service, options: Options, inits: tuple[str, ...]) -> Iterator[File]:
    """/etc/logrotate.d/NAME, where there is a log file.

    Raises:
        SettingsError: naming a path that logrotate cannot be told.
    """
    from initkit.inits.render import logrotate_path, render

    found = stanzas(service)
    for each in found:
        try:
            logrotate_path(each.path)
        except ValueError as fault:
            key = "LogsDirectory" if each.folder else "StandardError" if _is_error(service, each) else "StandardOutput"
            raise service.assignments(key)[-1].error(str(fault)) from None
    if found:
        reloads = [_reload(service, name) for name in sorted(inits, key=lambda name: name == "sysv")]
        view = {"source": source(service), "stanzas": found, "reloads": reloads}
        text = render("kinds/logrotate", service, options.template_dir, **view)
        yield File(f"/etc/logrotate.d/{service.name}", text, kind="logrotate")


def _is_error(service: Service, logs: Logs) -> bool:
    return service.standard_error is not None and service.standard_error.target == logs.path


def _reload(service: Service, name: str) -> Reload:
    init = all_inits.load(name)
    verbs = {verb: " ".join(map(quote, argv)) for verb, argv in init.commands(service).items()}
    return Reload(init.RUNS, verbs["status"], verbs["reload"])
