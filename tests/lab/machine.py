"""Real inits for tests: Debian root file systems, booted by systemd-nspawn, each on an overlay of its own.

A root file system is built once and cached. A booted machine lives in a mount namespace and a control group of its own,
held by a small keeper process: when the keeper's standard input closes, because `Machine.stop` says so or because the
tests died in whatever way, it ends everything in that group; the mounts vanish with the namespace.

Run as a program, it builds the root file systems that are missing: ``python tests/lab/machine.py``.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import io
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("INITKIT_LAB_CACHE", "/var/cache/initkit-lab"))
MIRROR = os.environ.get("INITKIT_LAB_MIRROR", "http://deb.debian.org/debian")
BOOT_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0

# What a command inside a machine sees; nothing of the environment of the tests.
GUEST_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class LabError(Exception):
    """The lab itself does not work: a root file system was not built, a machine did not boot or did not end."""


class CommandFailed(subprocess.CalledProcessError):
    """A command inside a machine failed; says what it printed."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


# --------------------------------------------------------------------------------------------------------------------
# Root file systems


@dataclass(frozen=True)
class Kind:
    """A root file system: a Debian suite and what is put into it.

    `init` is "systemd", "sysv", "openrc", or another word for a root that is never booted; `version` is systemd's, or
    0. `hooks` are shell commands that run at the end of the build, with the root directory as `$1`. `tree` is the kind
    whose root it boots with an init of its own.
    """

    suite: str
    init: str
    version: int
    packages: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    tree: Kind | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.suite}-{self.init}-{self.version}" if self.version else f"{self.suite}-{self.init}"

    @property
    def root(self) -> Path:
        """Where its tree is cached, or will be."""
        if self.tree:
            return self.tree.root
        recipe = repr((self, MMDEBSTRAP))
        return CACHE / f"{self}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


MMDEBSTRAP = (
    "--quiet",
    "--mode=root",
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    # A mirror may be a snapshot, older than the week for which sid's index calls itself valid.
    '--aptopt=Acquire::Check-Valid-Until "false"',
)

SERVICE_PACKAGES = (
    *("bash", "busybox", "dash", "mksh"),
    *("bsdutils", "iproute2", "procps", "psmisc", "util-linux"),
    *("curl", "nginx-light", "redis-server", "redis-tools"),
    *("python3", "python3-jinja2", "python3-sdnotify", "python3-seccomp"),
)

SYSTEMD_HOOKS = (
    # Nothing of the packages' own starts: tests install their own units under these names.
    'find "$1/etc/systemd/system" -type l -delete',
    # Without a machine id systemd takes a boot for the first one, and enables everything again.
    'echo 00000000000000000000000000000001 >"$1/etc/machine-id"',
)

# Written by init when /etc/init.d/rc has ended: inittab's entries of a runlevel start in their order.
SYSV_MARK = "/run/runlevel-reached"

INITTAB_HOOKS = (
    # There is no terminal for a getty to open.
    'sed -i "/getty/d" "$1/etc/inittab"',
    f'echo "up:2345:once:/bin/touch {SYSV_MARK}" >>"$1/etc/inittab"',
)
SYSV_HOOKS = (
    'for script in nginx redis-server; do chroot "$1" update-rc.d -f "$script" remove; done',
    *INITTAB_HOOKS,
)

# Too old a Python for initkit, so without services: for `systemd-analyze verify` only.
SYSTEMD_247 = Kind("bullseye", "systemd", 247, ("systemd",), SYSTEMD_HOOKS)
SYSTEMD_252 = Kind("bookworm", "systemd", 252, ("dbus", "systemd-sysv", *SERVICE_PACKAGES), SYSTEMD_HOOKS)
SYSTEMD_257 = Kind("trixie", "systemd", 257, ("dbus", "systemd-sysv", *SERVICE_PACKAGES), SYSTEMD_HOOKS)
SYSV = Kind(
    "trixie",
    "sysv",
    0,
    ("inetutils-syslogd", "initscripts", "startpar", "sysv-rc", "sysvinit-core", *SERVICE_PACKAGES),
    SYSV_HOOKS,
)
OPENRC = Kind(
    "trixie",
    "openrc",
    0,
    ("inetutils-syslogd", "initscripts", "openrc", "sysvinit-core", *SERVICE_PACKAGES),
    SYSV_HOOKS,
)
KINDS = (SYSTEMD_247, SYSTEMD_252, SYSTEMD_257, SYSV, OPENRC)


def root_of(kind: Kind) -> Path:
    """The cached root file system of a kind, built when it is not there. Read only, please: all tests share it."""
    if kind.root.is_dir():
        return kind.root
    CACHE.mkdir(parents=True, exist_ok=True)
    with Path(f"{kind.root}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kind.root.is_dir():
            _build(kind.tree or kind, lock.fileno())
    return kind.root


def _build(kind: Kind, lock: int) -> None:
    unfinished = Path(f"{kind.root}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    hooks = [f"--customize-hook={hook}" for hook in kind.hooks]
    # The mount namespace keeps a killed build from leaving /proc mounted in the tree that the next one removes.
    argv = ["unshare", "--mount", "setpriv", "--pdeathsig", "TERM", "mmdebstrap", *MMDEBSTRAP, *hooks]
    argv += [f"--include={','.join(kind.packages)}", kind.suite, str(unfinished), MIRROR]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        pass_fds=[lock],  # when only the tests are killed, the lock stays until mmdebstrap has ended too
    )
    if done.returncode:
        raise LabError(f"cannot build {kind}: {' '.join(argv)}\n{done.stdout}{done.stderr}")
    unfinished.rename(kind.root)


# --------------------------------------------------------------------------------------------------------------------
# Machines

# Arguments: the tree, the directory to mount on, then the control groups, the unified one first.
KEEPER = """
tree=$1 space=$2; shift 2
mount -t tmpfs -o mode=755 initkit-lab "$space"
mkdir "$space/upper" "$space/work" "$space/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$space/upper,workdir=$space/work" initkit-lab "$space/root"
# Where nspawn keeps its own state, also of machines that were killed.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 initkit-lab /run/systemd/nspawn
mkdir "$1"
echo ready
cat >/dev/null || :
echo 1 >"$1/cgroup.kill"
while grep -q 'populated 1' "$1/cgroup.events"; do sleep 0.02; done
for group; do
    if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} \\;; fi
done
"""


def missing() -> str | None:
    """Why machines cannot boot here, or None where they can."""
    if os.geteuid() != 0:
        return "needs root"
    tools = ("mmdebstrap", "mount", "nsenter", "setpriv", "systemd-nspawn", "unshare")
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        return f"needs {', '.join(absent)}"
    if _unified_hierarchy() is None:
        return "needs a mounted cgroup v2 hierarchy"
    try:
        place = mountpoint()
    except OSError as error:
        return f"needs a writable cache: {error}"
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "initkit-lab", str(place)]
    mounted = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"needs permission to mount: {mounted.stderr.strip()}" if mounted.returncode else None


def wait_until(condition: Callable[[], bool], timeout: float = 60, what: str = "the condition") -> None:
    """Return as soon as the condition holds. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true in {timeout} s")
        time.sleep(0.02)


class _Process(NamedTuple):
    """A process of a machine: its pid and its parent's outside, its pid inside, its command line."""

    pid: int
    inside: int
    parent: int
    command: str


class Machine:
    """A booted machine, and what can be done with it. Also a context manager that stops it.

    `pid` is its PID 1 as the host counts; it changes with `reboot` and `enter`.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = f"initkit-lab-{os.getpid()}-{os.urandom(3).hex()}"
        self.pid = 0
        self._boots = 0
        self._entry: tuple[str, ...] = ()  # what PID 1 is instead of the init
        # Without a name, so that it goes with the last process that has it open.
        self._console: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._keeper = self._keep()
        try:
            self._boot()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Commands and files

    def run(
        self,
        *argv: str,
        check: bool = True,
        input: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, in `/`; stdin is empty unless given.

        Like over ssh, it lasts until the command ended *and* nobody holds its stdout and stderr any more.
        Raises CommandFailed, or subprocess.TimeoutExpired after `timeout` seconds.
        """
        done = self.run_bytes(*argv, input=None if input is None else os.fsencode(input), timeout=timeout)
        stdout, stderr = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
        if check and done.returncode:
            raise CommandFailed(done.returncode, argv, stdout, stderr)
        return subprocess.CompletedProcess(argv, done.returncode, stdout, stderr)

    def run_bytes(
        self,
        *argv: str | bytes,
        input: bytes | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """`run` for bytes; does not check the exit status."""
        join = 'echo $$ >"$0" && exec "$@"'
        # nsenter stays outside as the parent, and would leave the command running when it is killed itself.
        enter = ["nsenter", "--target", str(self.pid), "--all", "setpriv", "--pdeathsig", "KILL", "--", "env", "-i"]
        environment = [f"{name}={value}" for name, value in GUEST_ENVIRONMENT.items()]
        return subprocess.run(
            ["sh", "-c", join, f"{self._control_group()}/cgroup.procs", *enter, *environment, *argv],
            input=b"" if input is None else input,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def sh(
        self,
        script: str,
        *args: str,
        check: bool = True,
        input: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """`run` a shell script inside; `args` are its "$1", "$2", …"""
        return self.run("sh", "-c", script, "sh", *args, check=check, input=input, timeout=timeout)

    def write(self, path: str, content: str | bytes, mode: int = 0o644, owner: str | None = None) -> None:
        """Write a file inside, with its parent directories; `owner` is what chown takes."""
        data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
        script = 'mkdir -p "${1%/*}/" && cat >"$1" && chmod "$2" "$1" && chown "$3" "$1"'
        done = self.run_bytes("sh", "-c", script, "sh", path, f"{mode:o}", owner or "root:root", input=data)
        if done.returncode:
            raise OSError(f"cannot write {path} in {self.kind}: {os.fsdecode(done.stderr)}")

    def read(self, path: str) -> str:
        """The text of a file inside. Raises CommandFailed."""
        return self.run("cat", "--", path).stdout

    def exists(self, path: str) -> bool:
        """Whether something of that name is inside; a symbolic link counts as what it points to."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def pids(self) -> dict[int, str]:
        """Every process inside, as counted inside: its pid and its command line (`[name]` for one without).

        Not among them is who has the command line of its parent, as a process has between fork(2) and execve(2).
        """
        found = {process.pid: process for process in self._processes()}
        shown = {}
        for process in found.values():
            parent = found.get(process.parent)
            if not parent or parent.command != process.command:
                shown[process.inside] = process.command
        return dict(sorted(shown.items()))

    def _processes(self) -> Iterator[_Process]:
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "ns/pid").readlink() != namespace:
                    continue
                status = dict(re.findall(r"^(\w+):\t(.*)$", (process / "status").read_text(), re.MULTILINE))
                words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            command = os.fsdecode(b" ".join(words)) or f"[{status['Name']}]"
            yield _Process(int(process.name), int(status["NSpid"].split()[-1]), int(status["PPid"]), command)

    def console(self) -> str:
        """What its console has shown since the first boot."""
        return os.pread(self._console.fileno(), 1 << 20, 0).decode(errors="replace")

    def by_init(self, path: str, *words: str) -> None:
        """Have a SysV init start a program, which then has what init leaves its children, and not what the tests have.

        An entry of inittab(5): it may be as long as a line of a terminal.
        """
        self.sh('chmod +x "$1" && echo "co:2345:once:$*" >>/etc/inittab && telinit q', path, *words)

    def install_initkit(self) -> None:
        """Put the checkout's initkit in, as a distribution's package would: no pip, bytecode compiled."""
        done = self.run_bytes("tar", "--extract", "--directory=/", input=initkit_archive())
        if done.returncode:
            raise LabError(f"cannot unpack initkit in {self.kind}: {os.fsdecode(done.stderr)}")
        self.run("python3", "-m", "compileall", "-q", "/usr/lib/python3/dist-packages/initkit")

    # Life

    def reboot(self, *, clean: bool = True) -> None:
        """Shut down and boot again on the same files; not `clean` is a power cut: everything is killed at once."""
        if clean:
            poweroff = ("systemctl", "poweroff") if self.kind.init == "systemd" else ("init", "0")
            self.run(*poweroff, check=False)  # the answer may be cut off
        else:
            (self._group / "cgroup.kill").write_text("1")
        self.ended()
        self._boot()

    def enter(self, *command: str) -> None:
        """Cut the power, and start again on the same files with a command for PID 1: a container's entry point."""
        (self._group / "cgroup.kill").write_text("1")
        self.ended()
        self._entry = command
        self._boot()

    def ended(self) -> int:
        """The exit status of PID 1, once it and every other process has ended."""
        assert self._nspawn is not None
        try:
            status = self._nspawn.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.kind} did not shut down\n{self.console()}") from None
        events = self._group / "cgroup.events"
        wait_until(lambda: "populated 0" in events.read_text(), what=f"the end of every process of {self.kind}")
        return status

    def stop(self) -> None:
        """End the machine at once, with every process and every mount of it. May be called again."""
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        try:
            if self._keeper.wait(STOP_TIMEOUT):
                raise LabError(f"the keeper of {self.name} failed with status {self._keeper.returncode}")
        finally:
            if self._nspawn:
                self._nspawn.wait(STOP_TIMEOUT)
            if self._keeper.stdout:
                self._keeper.stdout.close()
            self._console.close()

    @property
    def _group(self) -> Path:
        hierarchy = _unified_hierarchy()
        assert hierarchy is not None
        return hierarchy / self.name

    def _control_group(self) -> Path:
        """The control group of PID 1. Entering namespaces does not enter it, and a service would escape its machine."""
        lines = Path(f"/proc/{self.pid}/cgroup").read_text().splitlines()
        inside = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        return self._group.parent / inside

    def _keep(self) -> subprocess.Popen[bytes]:
        # nspawn makes the same group in systemd's own v1 hierarchy, where a host still has that beside v2.
        groups = [str(self._group), f"/sys/fs/cgroup/systemd/{self.name}"]
        keeper = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "sh",
                "-euc",
                KEEPER,
                "keeper",
                str(root_of(self.kind)),
                str(mountpoint()),
                *groups,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._console,
            start_new_session=True,  # Ctrl-C is for the tests; the keeper cleans up behind them
        )
        assert keeper.stdout is not None
        if keeper.stdout.readline() != b"ready\n":
            keeper.kill()
            keeper.communicate()
            raise LabError(f"cannot mount {self.kind}: {self.console()}")
        return keeper

    def _boot(self) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        self._boots += 1
        # A new one for each boot: with controllers on, a group that has children takes no processes.
        group = self._group / f"boot-{self._boots}"
        group.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(f"\0{self.name}")
            self._nspawn = subprocess.Popen(
                ["sh", "-c", 'echo $$ >"$0" && exec "$@"', f"{group}/cgroup.procs", *self._nspawn_argv()],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=self._console,
                start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": f"@{self.name}", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
            told = ""
            while not re.search(r"^READY=1$", told, re.MULTILINE):
                told += self._next_message(notify, deadline)
        leader = re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", told, re.MULTILINE)
        if leader is None:
            raise LabError(f"nspawn did not tell the PID 1 of {self.kind}: {told}")
        self.pid = int(leader[1])
        if self._entry:
            return
        if self.kind.init in ("sysv", "openrc"):
            mark = Path(f"/proc/{self.pid}/root{SYSV_MARK}")
            wait_until(mark.exists, deadline - time.monotonic(), f"{mark} in {self.kind}")
        else:
            self.run("systemctl", "is-system-running", "--wait", check=False)

    def _nspawn_argv(self) -> list[str]:
        argv = ["nsenter", "--target", str(self._keeper.pid), "--mount", "systemd-nspawn", "--quiet"]
        argv += ["--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--console=pipe"]
        argv += [f"--machine={self.name}", "--hostname=lab", f"--directory={mountpoint() / 'root'}"]
        # systemd says READY=1 when it has booted; for another init nspawn says it when init was started.
        if self._entry:
            return [*argv, *self._entry]
        return [*argv, *(["--notify-ready=yes", "--boot"] if self.kind.init == "systemd" else ["/sbin/init"])]

    def _next_message(self, notify: socket.socket, deadline: float) -> str:
        assert self._nspawn is not None
        ended = os.pidfd_open(self._nspawn.pid)
        try:
            ready, _, _ = select.select([notify.fileno(), ended], [], [], max(0, deadline - time.monotonic()))
        finally:
            os.close(ended)
        if notify.fileno() in ready:
            return notify.recv(4096).decode() + "\n"
        why = "ended while booting" if ready else f"did not boot in {BOOT_TIMEOUT} s"
        raise LabError(f"{self.kind} {why}\n{self.console()}")


def mountpoint() -> Path:
    """Where roots are mounted. One directory serves all: mounted in namespaces, it stays empty on the host."""
    place = CACHE / "machine"
    place.mkdir(parents=True, exist_ok=True)
    return place


@functools.cache
def _unified_hierarchy() -> Path | None:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)


# --------------------------------------------------------------------------------------------------------------------
# initkit itself


@functools.cache
def initkit_archive() -> bytes:
    """The checkout's wheel, built once, as a tar archive of where Debian's packages put such files."""
    with tempfile.TemporaryDirectory() as directory:
        argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, str(CHECKOUT)]
        built = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if built.returncode:
            raise LabError(f"cannot build initkit's wheel: {built.stdout}{built.stderr}")
        (wheel,) = Path(directory).glob("*.whl")
        archive = io.BytesIO()
        with zipfile.ZipFile(wheel) as source, tarfile.open(fileobj=archive, mode="w") as target:
            for entry in source.infolist():
                _add(target, entry, source.read(entry))
    return archive.getvalue()


def _add(target: tarfile.TarFile, entry: zipfile.ZipInfo, data: bytes) -> None:
    # The wheel format: NAME-VERSION.data/SCHEME/… goes where that scheme says, everything else to site-packages.
    scheme = re.match(r"[^/]+\.data/([^/]+)/(.*)", entry.filename)
    places: Mapping[str, str] = {"scripts": "usr/bin", "data": "usr"}
    path = f"{places[scheme[1]]}/{scheme[2]}" if scheme else f"usr/lib/python3/dist-packages/{entry.filename}"
    is_script = path.startswith("usr/bin/")
    if is_script:
        data = re.sub(rb"\A#!python", b"#!/usr/bin/python3", data)
    member = tarfile.TarInfo(path)
    member.size = len(data)
    member.mode = 0o755 if is_script else 0o644
    member.mtime = int(time.time())
    target.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    with ThreadPoolExecutor(2) as pool:
        for cached in pool.map(root_of, KINDS):
            print(cached)
