"""Services for real: settings files in a folder of their own, `initkit run` of them, and nothing left at the end."""

from __future__ import annotations

import ctypes
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from initkit.errors import InitkitError
from initkit.run import client

CHECKOUT = Path(__file__).resolve().parents[2]
#: Generous: what a condition takes on a machine that is busy with other things.
PATIENCE = 20.0
#: Tells about itself by sh's own means and small tools, as whoever it runs as: see `Report`.
_PROBE = r"""
out=$1; shift
(find /proc/$$/fd -type l -printf '%f %l\n' > "$out.fds")
cat /proc/self/status > "$out.child"
cat /proc/$$/status > "$out.status"
cat /proc/$$/limits > "$out.limits"
cat /proc/$$/environ > "$out.environ"
cat /proc/$$/stat > "$out.stat"
cat /proc/$$/oom_score_adj > "$out.oom"
readlink /proc/$$/cwd /proc/$$/exe > "$out.links"
ionice -p $$ > "$out.ionice"
chrt -p $$ > "$out.chrt"
umask > "$out.umask"
printf '%s\n' "$@" > "$out.args"
mv "$out.umask" "$out"
"""

#: How a service may be managed; by itself or under `initkit up`, its clients see the same.
ALONE, SHARED = "alone", "shared"
Environment = Mapping[str, str]
Found = TypeVar("Found")
#: Hides the control groups from what comes after it; where that may not be done, there are none anyway.
WITHOUT_GROUPS: tuple[str, ...] = ()
if os.geteuid() == 0:
    WITHOUT_GROUPS = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh")


def until(condition: Callable[[], object], what: str = "", patience: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: when it has not come true in `patience` seconds.
    """
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:g} s: {what or condition}"
        time.sleep(0.005)


def seen(look: Callable[[], Found], wanted: Callable[[Found], object], what: str = "") -> Found:
    """Wait until a look finds what is wanted, and return that: the next look may find something else."""
    found: list[Found] = []

    def met() -> object:
        found[:] = [look()]
        return wanted(found[0])

    until(met, what)
    return found[0]


class Report:
    """What a program found itself to be: made by `Services.probe`."""

    def __init__(self, path: Path) -> None:
        until(path.exists, f"no report at {path}")
        self.path = path
        self.umask = int(path.read_text(), 8)
        self.environment = dict(
            line.split("=", 1) for line in os.fsdecode(self._bytes("environ")).split("\0") if "=" in line
        )
        self.status = _fields(self._text("status"))
        self._child = _fields(self._text("child"))  # a waiting shell blocks signals, what it starts does not
        self.cwd, self.exe = self._text("links").splitlines()
        self.fds = {int(n): target for n, target in (line.split(" ", 1) for line in self._text("fds").splitlines())}
        self.stat = self._text("stat").rpartition(")")[2].split()  # from field 3, the state, on
        self.oom = int(self._text("oom"))
        self.ionice, self.chrt = self._text("ionice").strip(), self._text("chrt")
        self.args = self._text("args").splitlines()

    @staticmethod
    def own_status() -> dict[str, str]:
        """proc(5) status of the tests' process."""
        return _fields(Path("/proc/self/status").read_text())

    def _bytes(self, part: str) -> bytes:
        return Path(f"{self.path}.{part}").read_bytes()

    def _text(self, part: str) -> str:
        return os.fsdecode(self._bytes(part))

    @property
    def pid(self) -> int:
        return int(self.status["Pid"])

    @property
    def uids(self) -> tuple[int, ...]:
        return tuple(map(int, self.status["Uid"].split()))

    @property
    def gids(self) -> tuple[int, ...]:
        return tuple(map(int, self.status["Gid"].split()))

    @property
    def groups(self) -> set[int]:
        return set(map(int, self.status["Groups"].split()))

    @property
    def nice(self) -> int:
        return int(self.stat[16])

    def limit(self, name: str) -> tuple[str, str]:
        """Soft and hard, by the name that /proc/PID/limits has for it."""
        line = next(line for line in self._text("limits").splitlines() if line.startswith(name + " "))
        soft, hard = line[len(name) :].split()[:2]
        return soft, hard

    def signals(self, kind: str) -> set[int]:
        """The signals of a mask: "SigBlk", "SigIgn", "SigCgt"; without 32 and 33, the C library's own, which its
        posix_spawn(3) has ignored."""
        mask = int(self._child[kind], 16)
        return {number for number in range(1, 65) if mask >> (number - 1) & 1 and number not in (32, 33)}


def _fields(status: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)


class Services:
    """A folder that every user can reach, with settings files, and the processes that come of them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="initkit-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.out.chmod(0o1777)
        self.prefix = f"t{secrets.token_hex(4)}"
        self._before = set(_descendants(os.getpid()))
        self._count = 0
        self.shared = False  # whether a `Managed` one has its manager together with another service
        self.runtime = Path("/run") if os.geteuid() == 0 else self.folder / "run"
        self.runtime.mkdir(exist_ok=True, mode=0o700)

    def close(self) -> None:
        """End what the test has started and left."""
        while True:
            left = [pid for pid in _descendants(os.getpid()) if pid not in self._before]
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    time.sleep(0.002)  # another's child: it comes to us when its parent has gone
        for tree in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            for group in Path(tree, "initkit").glob(f"{self.prefix}*"):  # a manager that was killed has left it
                os.rmdir(group)
        for path in (*self.runtime.glob(f"{self.prefix}*"), *(self.runtime / "initkit").glob(f"{self.prefix}*")):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- settings -------------------------------------------------------------------------------------------------

    def unit(self, service: str, *, unit: str = "", name: str = "") -> Path:
        """A settings file with a [Service] section."""
        self._count += 1
        path = self.folder / f"{self.prefix}{name or self._count}.service"
        path.write_text(f"[Unit]\n{unit}\n[Service]\n{service}\n", encoding="utf-8", errors="surrogateescape")
        return path

    def script(self, text: str) -> str:
        """A program in sh, by its path."""
        return self._program(f"#!/bin/sh\n{text}\n")

    def python(self, text: str) -> str:
        """A program in Python that finds sd_notify(3) as `notify`, by its path."""
        return self._program(f"#!{sys.executable} -IS\n{_NOTIFY}\n{text}\n")

    def _program(self, text: str) -> str:
        self._count += 1
        path = self.folder / f"program{self._count}"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def probe(self, after: str = "exec sleep 1000") -> tuple[str, Path]:
        """A command line that writes a report, and the report's path."""
        self._count += 1
        path = self.out / f"report{self._count}"
        return f"{self.script(_PROBE + after)} {path}", path

    def pid_file(self, unit: Path) -> Path:
        """initkit's own PID file of a service."""
        return self.runtime / "initkit" / f"{unit.stem}.pid"

    def pid(self, unit: Path) -> int:
        """The pid in it, 0 when there is none."""
        try:
            return int(self.pid_file(unit).read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return 0

    def active(self, unit: Path) -> None:
        """Return when the service's manager tells that it is active."""
        until(lambda: self._state(unit) == "active", f"{unit.stem} active")

    def status(self, unit: Path) -> dict[str, Any]:
        """What the service's manager tells of it."""
        found: dict[str, Any] = client.call(f"{self.runtime}/initkit/{unit.stem}.sock", "Status")["service"]
        return found

    def _state(self, unit: Path) -> str:
        try:
            return str(self.status(unit)["state"])
        except InitkitError:
            return ""

    # --- running --------------------------------------------------------------------------------------------------

    def environment(self, more: Environment | None = None) -> dict[str, str]:
        """Of the tested initkit: no more than it needs."""
        user = {} if os.geteuid() == 0 else {"XDG_RUNTIME_DIR": str(self.runtime), "HOME": str(self.folder)}
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), **user, **(more or {})}

    def spawn(
        self,
        unit: Path,
        *options: str,
        environment: Environment | None = None,
        prefix: Sequence[str] = (),
        python: str = sys.executable,
        **more: object,
    ) -> subprocess.Popen[str]:
        """`initkit run`, going on."""
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*prefix, python, "-m", "initkit", "run", str(unit), *options],
            **{
                "env": self.environment(environment),
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                **more,
            },
        )

    def run(self, unit: Path, *options: str, **more: object) -> subprocess.CompletedProcess[str]:
        """`initkit run` to its end."""
        process = self.spawn(unit, *options, **more)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def foreground(self, unit: Path, **more: object) -> subprocess.Popen[str]:
        """`initkit run --foreground`, going on."""
        return self.spawn(unit, "--foreground", **more)  # type: ignore[arg-type]

    def daemon(self, unit: Path, **more: object) -> subprocess.CompletedProcess[str]:
        """`initkit run --daemon`, to the launcher's end."""
        return self.run(unit, "--daemon", **more)

    def report(self, settings: str, **more: object) -> Report:
        """What a program reports of itself that runs in the foreground with these settings."""
        command, path = self.probe(after="exit 0")
        finished = self.run(self.unit(f"ExecStart={command}\n{settings}"), "--foreground", **more)
        assert finished.returncode == 0, finished.stderr
        return Report(path)

    def started(self) -> list[int]:
        """The pids of all that the test has started and that has not ended.

        The reader of a daemon's output is among them: it ends by itself, just after the last writer.
        """
        return [pid for pid in _descendants(os.getpid()) if pid not in self._before and alive(pid)]


def finish(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Signal a runner in the foreground, and wait for its end: exit status, output, errors."""
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def leave(process: subprocess.Popen[str]) -> int:
    """As `finish`, where something stays that has the runner's output still."""
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE)


def lines(path: Path) -> list[str]:
    """What programs have written to a file so far; nothing while it is not there, as in a rotation."""
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to nobody who asks for any: nor to whoever
    connects to it while nobody listens there, and would so be connected to himself."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(first // 2, first), 100):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as found:
                    found.bind(("", port))
        except OSError:
            continue
        return port
    raise AssertionError(f"no port is free below {first}")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(pid: int) -> str:
    """A process's words; none of one that has gone."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def comm(pid: int) -> str:
    """What a process is called; "" of one that has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent(pid: int) -> int:
    """A process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _descendants(pid: int) -> Iterator[int]:
    parents = _parents(int(name) for name in os.listdir("/proc") if name.isdigit())
    # A parent that went while this was looked at has left its children to another one.
    parents |= _parents(each for each, above in tuple(parents.items()) if above not in parents)
    children: dict[int, list[int]] = {}
    for each, above in parents.items():
        children.setdefault(above, []).append(each)
    waiting = children.pop(pid, [])
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children.pop(found, [])


def _parents(pids: Iterable[int]) -> dict[int, int]:
    found = {}
    for pid in pids:
        try:
            found[pid] = parent(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def adopt_orphans() -> None:
    """The daemons that tests make are this process's, not init's: prctl(2) PR_SET_CHILD_SUBREAPER."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


_NOTIFY = """
import os, sys, time, _socket

def notify(*words, pid=None):
    to = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    to.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
    to.send("\\n".join(words).encode())
"""
