"""Generated init scripts, run for real under every shell that is there."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from initkit.inits import Options, sysv
from initkit.run import identity
from initkit.settings.load import load

CHECKOUT = Path(__file__).resolve().parents[2]
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"], "mksh": ["mksh"]}

#: A program that tells how it was started, below the folder that its text names, and stays.
PROBE = """\
import json, os, signal, sys
told = {{
    "argv": [os.fsencode(word).hex() for word in sys.argv[1:]],
    "environment": {{name.hex(): value.hex() for name, value in os.environb.items()}},
    "cwd": os.getcwd(), "umask": os.umask(0), "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
    "sid": os.getsid(0) == os.getpid(), "nice": os.nice(0), "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
    "ignored": [n for n in range(1, 32) if n not in (9, 19) and signal.getsignal(n) == signal.SIG_IGN],
    "pid": os.getpid(),
}}
with open({draft!r}, "w") as file:
    json.dump(told, file)
os.rename({draft!r}, {path!r})
{more}
while True:
    signal.pause()
"""

#: What makes a daemon of a probe, which writes its PID file itself.
FORKING = """
if os.fork():
    while not os.path.exists({pid_file!r}):
        pass
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open({pid_file!r}, "w") as file:
    print(os.getpid(), file=file)
"""


def shells() -> list[str]:
    """The shells that are installed."""
    return [name for name, words in SHELLS.items() if shutil.which(words[0])]


def wait_until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    """Return when the condition holds; fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


class Lab:
    """A folder for one service: its settings, its script, its PID file and whatever it writes."""

    _count = itertools.count()

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder, self.shell = folder, shell
        self.name = f"app-{os.getpid()}-{next(self._count)}"  # its lock and its record are in /run/initkit
        self.pid_file = folder / "app.pid"
        self.script = folder / "app"
        self.told = folder / "told.json"
        run = Path("/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"))
        self.record, self.lock = (run / "initkit" / f"{self.name}.{each}" for each in ("pid", "init"))

    def program(self, name: str = "probe.py", more: str = "") -> Path:
        """A probe: see PROBE; `more` is done after telling."""
        path = self.folder / name
        path.write_text(PROBE.format(draft=f"{self.told}~", path=str(self.told), more=more))
        return path

    def executable(self, name: str, text: str) -> Path:
        """A small program in sh."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def runner(self) -> Path:
        """This checkout's initkit as a program."""
        return self.executable("initkit", f'PYTHONPATH={CHECKOUT} exec {sys.executable} -m initkit "$@"')

    def generate(self, settings: str, *, options: Options | None = None, default_file: str = "default") -> None:
        """The script of the settings, TOML; the PID file, where they name none, and the defaults are in this folder."""
        path = self.folder / f"{self.name}.toml"
        path.write_text(
            ("" if "pid_file =" in settings else f'pid_file = "{self.pid_file}"\n')
            + f"{settings}\n"
            + ("" if "[initkit]" in settings else "[initkit]\nsettle_sec = 0.05\n")
            + f'[sysv]\ndefault_file = "{self.folder / default_file}"\n'
        )
        service = load(str(path), user=os.geteuid() != 0)
        (file,) = sysv.files(service, options or Options(runner=False))
        self.script.write_bytes(file.text.encode("utf-8", "surrogateescape"))

    def run(self, verb: str, *, check: int | None = None) -> subprocess.CompletedProcess[str]:
        """The script with one verb, as init runs it: a bare environment, another directory, no standard input."""
        done = subprocess.run(
            [*SHELLS[self.shell], str(self.script), verb],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={"PATH": "/sbin:/bin:/usr/sbin:/usr/bin", "TERM": "dumb"}, cwd="/var", timeout=30, check=False,
        )  # fmt: skip
        assert check is None or done.returncode == check, f"{verb}: {done.returncode}, not {check}: {done.stdout}"
        return done

    def report(self) -> dict[str, object]:
        """What the probe told."""
        wait_until(self.told.exists)
        found: dict[str, object] = json.loads(self.told.read_text())
        return found

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text().split()[0])

    def processes(self) -> Iterator[int]:
        """Whoever has this folder in its command line, apart from us."""
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if os.fsencode(self.folder) in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                    yield int(entry.parent.name)
            except OSError:
                continue

    def clean(self) -> None:
        """Kill and remove whatever a failed test left, and what a stop was to leave."""
        found = list(self.processes())
        for pid in [*found, *(child for each in found for child in identity.children(each))]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for path in (*self.lock.parent.glob(f"{self.name}.*"), *self.lock.parent.parent.glob(f"{self.name}.*")):
            path.unlink()


def array(words: Sequence[object]) -> str:
    """Words as an array of TOML that holds them literally: specifiers and variables doubled."""
    return json.dumps([str(word).replace("%", "%%").replace("$", "$$") for word in words])


def python(program: object, *words: object) -> str:
    """The command of a Python program, as TOML."""
    return array([sys.executable, "-I", program, *words])


def quoted(path: object) -> str:
    """A path for sh."""
    return shlex.quote(str(path))
