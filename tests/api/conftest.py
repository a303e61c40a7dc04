"""Programs in files of their own, run as their users run them, and nothing left of them afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
import sdnotify  # type: ignore[import-untyped]

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "tests" / "examples"
_PATIENCE = 20.0

Result = subprocess.CompletedProcess[str]


def wait_for(met: Callable[[], object], what: str = "", seconds: float = _PATIENCE) -> None:
    """Wait until a condition holds; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"in vain: {what or met}"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Place:
    """A folder with a service of a name that no other test has, and its runtime files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"api-{os.getpid()}-{time.monotonic_ns()}"
        path.chmod(0o755)
        self.runtime = path / "run"
        self.runtime.mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.environment = {
            **kept,
            "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{Path(sdnotify.__file__).parents[1]}",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        self.root = Path("/run" if os.geteuid() == 0 else self.runtime) / "initkit"
        self._open: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> Path:
        """Write a program or a settings file; NAME in it is the service's."""
        file = self.path / name
        file.write_text(dedent(text).replace("NAME", self.name), encoding="utf-8")
        return file

    def example(self, name: str, *, named: dict[str, str] | None = None) -> Path:
        """Copy an example; `named` maps words in its files to what stands here instead."""
        source, target = EXAMPLES / name, self.path / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
        for file in [target, *(target.iterdir() if target.is_dir() else ())]:
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                for old, new in (named or {}).items():
                    text = text.replace(old, new)
                file.write_text(text, encoding="utf-8")
        return target

    def run(self, *words: object, timeout: float = 60, cwd: Path | None = None, **more: str) -> Result:
        """Run a Python program to its end. Its output is read to the end: no daemon holds it open."""
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=cwd or self.path,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def begin(self, *words: object, **more: str) -> subprocess.Popen[str]:
        """Start a Python program, and go on."""
        begun = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=self.path,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._open.append(begun)
        return begun

    def processes(self) -> list[int]:
        """The processes whose command line or directory names this place."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    where = os.readlink(entry / "cwd")
                    here = str(self.path)
                    if (any(os.fsencode(here) in word for word in words) or where.startswith(here)) and alive(
                        int(entry.name)
                    ):
                        found.append(int(entry.name))
        return found

    def clean(self) -> None:
        """End what is left, and remove its runtime files."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for each in self._open:
            each.kill()
            each.communicate()
        wait_for(lambda: not self.processes(), "processes end")
        for file in self.root.glob(f"{self.name}*"):
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place of the test's own."""
    made = Place(tmp_path)
    for folder in (tmp_path.parent, tmp_path.parent.parent):  # users of no rights have to get here
        with suppress(PermissionError):
            folder.chmod(0o755)
    try:
        yield made
    finally:
        made.clean()


def tool(name: str, package: str) -> str:
    """The path of a program that a test needs, which CI has."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("INITKIT_REQUIRE_LAB"):
            pytest.fail(f"{name} is missing: install {package}")
        pytest.skip(f"{name} is not installed (package {package})")
    return found
