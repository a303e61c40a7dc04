"""What a service needs, in forms that programs read: initkit's own, nfpm's configuration, fpm's options."""

from __future__ import annotations

from initkit.plan.step import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from initkit.inits import File
    from initkit.inits.kinds.sysusers import User
    from initkit.inits.kinds.tmpfiles import Folder
    from initkit.install.needs import Needs

#: nfpm's names of the scripts.
_NFPM = {"after-install": "postinstall", "before-remove": "preremove", "after-remove": "postremove"}


def json(found: Needs, root: str, hooks: Mapping[str, str], written: bool) -> dict[str, Any]:
    """Everything. The scripts are texts, or paths when they have been `written`."""
    before = [_folder(each, "package") for each in found.folders_before]
    return {
        "name": found.service.name,
        "root": root,
        "files": [_file(file) for file in found.files],
        "users": [_user(user) for user in found.users],
        "groups": [{"name": group.name} for group in found.groups],
        "directories": [*(_folder(each, "start") for each in found.folders), *before],
        "purged": found.purged,
        "depends": ["initkit"] if found.runner else [],
        "scripts": dict(hooks),
        "notes": list(found.notes),
    }


def _file(file: File) -> dict[str, Any]:
    return {
        "path": file.path,
        "mode": f"{file.mode:04o}",
        "kind": file.kind,
        "init": file.init,
        "config": file.config,
        "runner": file.runner,
    }


def _user(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "uid": user.uid,
        "group": user.group or user.name,
        "gecos": user.gecos,
        "home": user.home,
        "shell": user.shell,
    }


def _folder(folder: Folder, made_by: str) -> dict[str, Any]:
    owner = {"user": folder.user or "root", "group": folder.group or "root"}
    return {"path": folder.path, "mode": f"{folder.mode:04o}", **owner, "made_by": made_by}


def nfpm(found: Needs, root: str, hooks: Mapping[str, str], written: bool) -> dict[str, Any]:
    """`contents`, `depends` and `scripts` of nfpm.yaml: JSON is YAML."""
    made: dict[str, Any] = {"contents": [_content(file, root) for file in found.files]}
    if found.runner:
        made["depends"] = ["initkit"]
    if written:
        made["scripts"] = {_NFPM[name]: path for name, path in hooks.items()}
    return made


def _content(file: File, root: str) -> dict[str, Any]:
    kind = {"type": "config|noreplace"} if file.config else {}
    owner = {"mode": file.mode, "owner": "root", "group": "root"}
    return {"src": root.rstrip("/") + file.path, "dst": file.path, **kind, "file_info": owner}


def fpm(found: Needs, root: str, hooks: Mapping[str, str], written: bool) -> str:
    """The options that fpm needs to make a package of the tree, as words for sh, one option a line."""
    return " \\\n".join(" ".join(map(quote, words)) for words in _fpm(found, root, hooks))


def _fpm(found: Needs, root: str, hooks: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    yield "-s", "dir", "-C", root
    for file in found.files:
        if file.config:
            yield "--config-files", file.path
    if found.runner:
        yield "--depends", "initkit"
    for name, path in hooks.items():
        yield f"--{name}", path
