"""Where everything that is measured lives: a folder, an environment of Python's with all peers, a program to look
after, and the end of every process that was started."""

from __future__ import annotations

import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS = 0x20000
_STAMP = 8  # bytes of one
#: Takes down when it begins, and becomes what its arguments say, or waits for a signal. Static, so that little of what
#: is measured is its own.
_PROGRAM = r"""
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long stamp = now.tv_sec * 1000000000LL + now.tv_nsec;
    int fd = open(STAMPS, O_WRONLY | O_APPEND);
    if (write(fd, &stamp, sizeof stamp) != sizeof stamp) return 1;
    close(fd);
    if (argc > 1 && *argv[1] == '/') return execv(argv[1], argv + 1);  /* s6 says the service's name */
    for (;;) pause();
}
"""


def environment() -> dict[str, str]:
    """As at a boot: nothing of Python's own, so that bytecode is cached and found."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def until(condition: Callable[[], object], what: str, pause: float = 0.002) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: when it has not come true within PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:g} s: {what}")
        time.sleep(pause)


class Place:
    """A folder for everything, and the processes; nothing is left of either when it is left."""

    def __init__(self, bin_folder: Path | None) -> None:
        self._given = bin_folder
        self._names: set[str] = set()
        self._spared: set[int] = set()

    def __enter__(self) -> Place:
        # Daemons become our children: so they are found, and ended, whoever has started them.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = Path(tempfile.mkdtemp(prefix="initkit-bench-"))
        try:
            self.folder.chmod(0o755)
            self._move_into_memory()
            self.stamps_file = self.folder / "stamps"
            self.program = self._compiled()
            self.bin = self._given or self._installed()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *about: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # asked twice, it goes on all the same
        self.end_all()
        for name in self._names:
            for path in (self.runtime / "initkit").glob(f"{name}.*"):
                path.unlink(missing_ok=True)
        if os.path.ismount(self.folder):
            _mount("umount", "--lazy", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _move_into_memory(self) -> None:
        """As /run is on every machine, where managers have their files. An ordinary user's stay on the disk."""
        if os.geteuid() or ctypes.CDLL(None).unshare(_CLONE_NEWNS):
            return
        _mount("mount", "--make-rprivate", "/")
        _mount("mount", "-t", "tmpfs", "-o", "mode=755", "initkit-bench", self.folder)
        for path in (self.folder / "run", self.runtime / "initkit"):
            path.mkdir(exist_ok=True)
        _mount("mount", "--bind", self.folder / "run", self.runtime / "initkit")

    def _compiled(self) -> Path:
        source, program = self.folder / "program.c", self.folder / "program"
        source.write_text(_PROGRAM)
        stamps = f'-DSTAMPS="{self.stamps_file}"'
        subprocess.run(["cc", "-O2", "-static", stamps, "-o", program, source], check=True)
        return program

    def _installed(self) -> Path:
        """A virtual environment with the wheel of this checkout and the `bench` extra; its bin folder."""
        made = self.folder / "venv"
        venv.create(made, with_pip=True)
        copy = self.folder / "checkout"
        shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", ".venv", "__pycache__"))
        more = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        pip = [made / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, f"{copy}[bench]"], check=True, env=more)
        return made / "bin"

    def tool(self, name: str) -> str:
        """The path of a program that is measured, "" where it is not installed."""
        return shutil.which(name, path=f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin") or ""

    @property
    def runtime(self) -> Path:
        """Where initkit's managers have their sockets."""
        return Path("/run" if os.geteuid() == 0 else os.environ["XDG_RUNTIME_DIR"])

    def name(self, what: str) -> str:
        """A name for a service of initkit's that nobody else has."""
        name = f"bench{os.getpid()}-{what}"
        self._names.add(name)
        return name

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    # --- processes ------------------------------------------------------------------------------------------------

    def begin(self, command: Sequence[str | Path], fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """Start something that goes on, with these descriptors besides the usual ones."""
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds
            )

    def run(self, command: Sequence[str | Path], *, check: bool = True) -> float:
        """Run something to its end: how many seconds it took."""
        before = time.perf_counter()
        process = self.begin(command)
        wait_for_end(os.pidfd_open(process.pid))  # a wait() with a timeout looks at growing intervals only
        taken = time.perf_counter() - before
        status = process.wait(PATIENCE)
        if check and status:
            said = (self.folder / "log").read_text(errors="replace").splitlines()[-5:]
            raise RuntimeError(f"{command} ended with {status}: {said}")
        return taken

    def spare(self) -> None:
        """Who lives now, and descends from them, is somebody else's to end."""
        self._spared.update(self.left())

    def left(self) -> list[int]:
        """All descendants that live."""
        below: dict[int, list[int]] = {}
        for pid, parent, state in processes():
            if state not in "ZX" and pid not in self._spared:
                below.setdefault(parent, []).append(pid)
        found = list(below.get(os.getpid(), []))
        for pid in found:
            found += below.get(pid, [])
        return found

    def programs(self) -> list[int]:
        """Those of them that are the program that is looked after."""
        return [pid for pid in self.left() if executable(pid) == str(self.program)]

    def only_program(self) -> int:
        """The one that there is, once it is alone: its manager may still be at what comes before or after."""
        found: list[int] = []

        def look() -> bool:
            found[:] = self.programs()
            return len(found) == 1

        until(look, "a program that is alone")
        return found[0]

    def managers(self) -> list[int]:
        """Those of them that are not."""
        return [pid for pid in self.left() if executable(pid) != str(self.program)]

    def end_all(self) -> None:
        """End every descendant: ours, and those that have become ours."""
        number = signal.SIGTERM
        deadline = time.monotonic() + 5
        while left := self.left():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.02)
            _reap()
            if time.monotonic() > deadline:
                number = signal.SIGKILL
        _reap()

    # --- when programs began --------------------------------------------------------------------------------------

    def forget_stamps(self) -> None:
        """Nothing has begun."""
        self.stamps_file.write_bytes(b"")

    def stamps(self, count: int, file: Path | None = None) -> list[float]:
        """When programs have begun (`time.monotonic`), as soon as so many have; in a machine it is another file."""
        file = file or self.stamps_file
        until(lambda: file.stat().st_size >= count * _STAMP, f"{count} programs")
        data = file.read_bytes()
        return [int.from_bytes(data[at : at + _STAMP], sys.byteorder) / 1e9 for at in range(0, len(data), _STAMP)]


def _mount(*words: str | Path) -> None:
    subprocess.run(words, check=True)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def processes() -> Iterator[tuple[int, int, str]]:
    """Everybody's pid, parent and state: proc(5)."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(name), int(fields[1]), fields[0]


def executable(pid: int) -> str:
    """What a process runs, "" when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def memory(pids: Sequence[int]) -> tuple[float, float]:
    """RSS and PSS of these processes together, in MiB."""
    rss = pss = 0
    for pid in pids:
        for line in _lines(Path(f"/proc/{pid}/smaps_rollup")):
            if line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss += int(line.split()[1])
    return rss / 1024, pss / 1024


def switches(pids: Sequence[int]) -> int:
    """How often these processes have been given a processor."""
    found = 0
    for status in (each for pid in pids for each in glob(f"/proc/{pid}/task/*/status")):
        found += sum(int(line.split()[1]) for line in _lines(Path(status)) if "ctxt_switches" in line)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []  # a launcher that has ended meanwhile


def wait_for_end(pidfd: int) -> float:
    """When a process has ended (`time.monotonic`), at once; closes its pidfd."""
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(PATIENCE * 1000):
            raise TimeoutError("a program does not end")
        return time.monotonic()
    finally:
        os.close(pidfd)
