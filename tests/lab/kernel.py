"""A Linux kernel of the tests' own, as a process: User-mode Linux.

Machines in containers have the host's control groups, and where that keeps the controllers for itself there are none.
This kernel has all but cpuset. Its root is the host's; /run and the like are its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PROGRAM = "linux.uml"
_TIMEOUT = 900
_INIT = """\
#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cd {folder}
setsid --wait sh ./script >./said 2>&1 </dev/null
echo $? >./status
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


def missing() -> str:
    """Why there can be no such kernel here; "" when there can."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if shutil.which(PROGRAM) else f"needs {PROGRAM} (Debian: user-mode-linux)"


def run(folder: Path, script: str) -> str:
    """Boot, run a shell script in a folder of the host's, power off; what it has printed, on both streams.

    Raises:
        RuntimeError: when it did not come to its end.
    """
    init = folder / "init"
    init.write_text(_INIT.format(folder=folder))
    init.chmod(0o755)
    (folder / "script").write_text(script)
    done = subprocess.run(
        [
            *(PROGRAM, "mem=256M", f"umid=uml-{os.getpid()}", f"uml_dir={folder}/"),
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"),
            *("con=null", "con0=null,fd:1", "ssl=null"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder), "HOME": "/root"},
        timeout=_TIMEOUT,
        check=False,
    )
    said = folder / "said"
    if not (folder / "status").exists():
        told = said.read_text() if said.exists() else ""
        raise RuntimeError(f"{PROGRAM} ended early: {told}{done.stdout.decode(errors='replace')}")
    return said.read_text()
