"""The part of `initkit check` that judges generated files, with the tools that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from initkit.cli.finding import ERROR, NOTE, WARNING, Finding, about, of_error
from initkit.cli.runner_path import runner_path
from initkit.errors import InitkitError
from initkit.inits import NONE, File, Options
from initkit.install import tree
from initkit.settings.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.inits import Init


def findings(service: Service, name: str, init: Init) -> Iterator[Finding]:
    """What an init cannot keep, and what its tools say of the files."""
    runner = runner_path()
    settings = service.settings()
    lost = {key: each for key, each in init.support(service).items() if each.how == NONE and key in settings}
    try:
        files = list(init.files(service, Options(runner_path=runner)))
    except InitkitError as fault:
        if not lost:
            yield of_error(fault, ERROR, service.path)
            return
        for key, each in lost.items():
            yield about(settings[key], WARNING, f"{name} cannot keep it: {each.reason}")
        try:
            files = list(init.files(service, Options(allow_loss=frozenset(lost), runner_path=runner)))
        except InitkitError as other:
            yield of_error(other, ERROR, service.path)
            return
    with TemporaryDirectory(prefix="initkit-") as folder:
        for file, path in zip(files, tree.write(files, folder), strict=True):  # a unit may need its socket's
            yield from _judged(service, name, file, path)


def _judged(service: Service, name: str, file: File, path: str) -> Iterator[Finding]:
    if path.endswith(".service"):
        yield from _systemd(service, file, path)
    elif file.text.startswith("#!"):
        yield from _shell(service, name, path)


def _systemd(service: Service, file: File, path: str) -> Iterator[Finding]:
    """systemd-analyze(1), verify: its lines about this unit, with the place in the settings where there is one."""
    if not shutil.which("systemd-analyze"):
        yield _not_run(service, "systemd-analyze", "the unit")
        return
    ran = _run("systemd-analyze", "verify", "--man=no", *(["--user"] if service.user else []), path)
    said = [line for line in ran.stderr.splitlines() if path in line or line.startswith(f"{service.unit}: ")]
    for line in said:
        number, _, text = line.removeprefix(f"{path}:").partition(": ")
        where = _origin(service, file.text, number) if number.isdigit() else service.path
        shown = text if number.isdigit() else line.replace(path, service.unit)
        yield Finding(where, ERROR if ran.returncode else WARNING, f"systemd-analyze verify: {shown}")
    if ran.returncode and not said and not ran.stderr.strip():
        yield Finding(service.path, NOTE, f"systemd-analyze verify: exit status {ran.returncode}, without a reason")


def _origin(service: Service, text: str, number: str) -> str:
    """The place in the settings of a line in the unit."""
    lines = text.splitlines()
    line = lines[int(number) - 1] if 0 < int(number) <= len(lines) else ""
    return next((each.where for each in service.entries if f"{each.key}={each.value}" == line), service.path)


def _shell(service: Service, name: str, path: str) -> Iterator[Finding]:
    for argv, tool in (
        (("sh", "-n", path), "sh -n"),
        (("shellcheck", "--shell=sh", "--format=gcc", path), "ShellCheck"),
        (("checkbashisms", "--force", path), "checkbashisms"),  # whose "#!" may name another interpreter
    ):
        if not shutil.which(argv[0]):
            yield _not_run(service, tool, f"the script for {name}")
            continue
        ran = _run(*argv)
        for line in (ran.stdout + ran.stderr).splitlines() if ran.returncode else ():
            text = line.replace(path, os.path.basename(path))
            mild = tool == "ShellCheck" and ": error: " not in line
            yield Finding(service.path, WARNING if mild else ERROR, f"{tool}, of the script for {name}: {text}")


def _not_run(service: Service, tool: str, what: str) -> Finding:
    return Finding(service.path, NOTE, f"{tool} is not installed: it did not look at {what}")


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
