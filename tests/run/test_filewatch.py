"""Type=forking: the daemon's PID file is waited for, however late it comes, without a look in between."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from .harness import Services, finish, lines, until

#: How the file comes to be, $pid in it.
WAYS = {
    "written": "echo $pid > $path",
    "in parts": "printf ${pid%?} > $path; sleep 0.2; echo ${pid#${pid%?}} >> $path",
    "moved": "echo $pid > $path.new; mv $path.new $path",
    "another one before": "echo 1 > $path; sleep 0.2; echo $pid > $path",
    "its folders come late": "mkdir -p ${path%/*}/a; sleep 0.1; mkdir ${path%/*}/a/b; sleep 0.1; echo $pid > $path",
    "its folder goes": "rm -r $folder; sleep 0.1; mkdir -p ${path%/*}; echo $pid > $path",
}


def waiting(services: Services, way: str) -> tuple[subprocess.Popen[str], Path, Path]:
    """A manager that waits for the file, what lets the file be made, and the unit."""
    folder, go = services.out / "folder", services.out / "go"
    folder.mkdir(mode=0o777)
    path = folder / ("a/b/pid" if "folder" in way else "pid")
    script = services.script(
        f"path={path} folder={folder}\nsetsid sleep 1000 &\npid=$!\n"
        f"(while ! [ -e {go} ]; do sleep 0.01; done; {WAYS[way].replace('${path%/*}/a', '$folder/a')}) &\n"
        f"echo $pid > {services.out}/main\nexit 0"
    )
    unit = services.unit(f"Type=forking\nPIDFile={path}\nExecStart={script}\nRestart=on-failure")
    running = services.foreground(unit)
    until(lambda: lines(services.out / "main"))
    return running, go, unit


@pytest.mark.parametrize("way", WAYS)
def test_how_it_comes(services: Services, way: str) -> None:
    running, go, unit = waiting(services, way)
    go.touch()
    services.active(unit)
    assert str(services.status(unit)["mainPid"]) == lines(services.out / "main")[0]
    assert finish(running)[0] == 0


def switches(pid: int) -> str:
    """How often a process has been given a processor because it had something to do."""
    return next(line for line in lines(Path(f"/proc/{pid}/status")) if line.startswith("voluntary_ctxt_switches"))


def test_nothing_wakes_the_manager_meanwhile(services: Services) -> None:
    running, go, unit = waiting(services, "written")

    def rests() -> bool:
        before = switches(running.pid)
        time.sleep(0.5)
        return switches(running.pid) == before

    until(rests, "the manager's rest")
    go.touch()
    services.active(unit)
    assert finish(running)[0] == 0
