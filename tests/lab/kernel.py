"""A Linux kernel of the tests' own, as a process: User-mode Linux.

Machines in containers have the host's control groups, and where that keeps the controllers for itself there are none.
This kernel has all of them. Its root is the host's; /run and the like are its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = "linux.uml"
CHECKOUT = Path(__file__).resolve().parents[2]
_INIT = """\
#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs -o mode=755 run /run
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
stty -echo raw
echo ready
exec sh
"""


def missing() -> str:
    """Why there can be no such kernel here; "" when there can."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if shutil.which(PROGRAM) else f"needs {PROGRAM} (Debian: user-mode-linux)"


class Kernel:
    """A running kernel, a shell as its PID 1."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="initkit-uml-", dir="/tmp"))
        self.folder.chmod(0o755)
        init = self.folder / "init"
        init.write_text(_INIT)
        init.chmod(0o755)
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [
                *(PROGRAM, "mem=256M", f"umid={self.folder.name}", f"uml_dir={self.folder}/"),
                *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"),
                *("con=null", "con0=fd:0,fd:1", "ssl=null", "quiet", "loglevel=0"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self.folder), "HOME": "/root"},
            start_new_session=True,
        )
        self._until("ready")

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *fault: object) -> None:
        assert self._process.stdin and self._process.stdout
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _until(self, word: str) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.decode(errors="replace").strip() == word:
                return
        raise RuntimeError("the kernel has ended")

    def write(self, name: str, text: str) -> str:
        """A file that it sees, executable; its path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def sh(self, script: str) -> str:
        """What a shell script prints in it, on both streams."""
        assert self._process.stdin
        name = f"script{next(self._numbers)}"
        path = self.write(name, f"cd {self.folder}\n{script}\n")
        line = f"sh {path} </dev/null >{path}.out 2>&1; echo {name}\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        self._until(name)
        return Path(f"{path}.out").read_text()

    def initkit(self, *words: str) -> str:
        """A command line for `sh`."""
        return f"PYTHONPATH={CHECKOUT} {sys.executable} -m initkit {' '.join(words)}"
