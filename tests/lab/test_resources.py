"""systemd.resource-control(5) on a kernel that has the controllers: what is written, that it is kept, what is told."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import kernel

CHECKOUT = Path(__file__).resolve().parents[2]
GROUP = "cd /sys/fs/cgroup$(grep -o '/.*' /proc/self/cgroup)"
#: Takes memory until it is killed, and has as many as asked for do the same.
HOG = """
import os, sys
if sys.argv[1:] == ["child"] and os.fork():
    try:
        os.wait()
    finally:
        if "continue" not in sys.argv[0]:
            import signal
            signal.pause()
        os._exit(0)
kept = []
while True:
    kept.append(b"x" * 1048576)
"""
#: name -> the lines of [Service], and what sh does in the program.
UNITS = {
    "values": (
        "MemoryMax=64M\nMemoryHigh=25%\nMemoryLow=infinity\nMemoryMin=1M\nMemorySwapMax=0\nTasksMax=50%",
        "grep . memory.max memory.low memory.min memory.swap.max pids.max",
    ),
    "percent": (
        "MemoryMax=50%\nMemoryHigh=12.5%",
        "cat memory.max memory.high; getconf _PHYS_PAGES; getconf PAGE_SIZE",
    ),
    "infinity": ("MemoryMax=infinity\nTasksMax=infinity", "cat memory.max pids.max"),
    "reset": ("MemoryMax=64M\nMemoryMax=\nTasksMax=7", "cat memory.max pids.max"),
    "quota": ("CPUQuota=20%", "cat cpu.max"),
    "quota-period": ("CPUQuota=250%\nCPUQuotaPeriodSec=10ms", "cat cpu.max"),
    "quota-small": ("CPUQuota=5%\nCPUQuotaPeriodSec=10ms", "cat cpu.max"),
    "weight": ("CPUWeight=321", "cat cpu.weight cpu.idle"),
    "idle": ("CPUWeight=idle", "cat cpu.idle"),
    "oom-group": ("OOMPolicy=kill", "cat memory.oom.group"),
    "tasks": ("TasksMax=3", "(sleep 0.1 & sleep 0.1 & sleep 0.1 & wait) 2>&1"),
    "protected": (
        "MemoryLow=16M\nMemoryMin=50%\nMemorySwapMax=infinity",
        "cat memory.low memory.swap.max; wc -w <memory.min",
    ),
    "low": ("MemoryLow=1.5M\nMemoryMin=0\nMemorySwapMax=10M", "cat memory.low memory.min memory.swap.max"),
    "high": ("MemoryHigh=33M\nMemoryMax=66M\nCPUWeight=1", "cat memory.high memory.max cpu.weight"),
    "weights": ("CPUWeight=10000\nCPUQuota=100%\nCPUQuotaPeriodSec=1s", "cat cpu.weight cpu.max"),
    "slice-deep": ("Slice=a-b-c.slice", "pwd"),
    "nodes": ("AllowedMemoryNodes=0", "true"),
    "cpus": ("AllowedCPUs=0-1", "true"),
    "cpus-of-a-user": ("AllowedCPUs=0\nUser=daemon", "true"),
    "weights-of-disks": ("IOWeight=7\nIOReadBandwidthMax=/ 1M", "true"),
    "weights-of-disks-with-memory": ("IOWeight=100\nMemoryMax=64M", "true"),
    "operations": ("IOReadBandwidthMax=/dev/null 1M\nIOWriteIOPSMax=/dev/null 10", "true"),
    "controllers": ("Delegate=pids", "cat cgroup.controllers"),
    "slice": ("Slice=one-two.slice\nTasksMax=9", "pwd; cat pids.max"),
    "missing": ("AllowedCPUs=0", "true"),
    "device": ("IOReadBandwidthMax=/nowhere 1M", "true"),
    "other": ("IOWeight=7", "true"),
}
#: How it ends when memory is short: OOMPolicy=, who takes the memory, other settings.
SHORT = {
    "oom-stop": ("OOMPolicy=stop", "child"),
    "oom-kill": ("OOMPolicy=kill", "child"),
    "oom-continue": ("OOMPolicy=continue", "child"),
    "oom-main": ("", "main"),
}


def _unit(folder: Path, name: str, settings: str, command: str) -> None:
    end = "ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'"
    output = f"StandardOutput=append:{folder}/{name}.out\nStandardError=inherit"
    (folder / f"{name}.service").write_text(f"[Service]\n{settings}\nExecStart={command}\n{end}\n{output}\n")


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, str]]:
    """What each unit, and initkit about it, has printed; its exit status in the last line."""
    if reason := kernel.missing():
        if os.environ.get("INITKIT_REQUIRE_LAB") == "1":
            pytest.fail(f"a kernel of the tests' own {reason}")
        pytest.skip(f"a kernel of the tests' own {reason}")
    folder = Path(tempfile.mkdtemp(prefix="initkit-uml-", dir="/tmp"))
    try:
        yield _seen(folder)
    finally:
        shutil.rmtree(folder)


def _seen(folder: Path) -> dict[str, str]:
    initkit = f"env PYTHONPATH={CHECKOUT} {sys.executable} -m initkit"
    for name, (settings, command) in UNITS.items():
        (folder / f"{name}.sh").write_text(f"{GROUP}\n{command}\n")
        _unit(folder, name, f"Type=oneshot\n{settings}", f"/bin/sh {folder}/{name}.sh")
    for name, (settings, who) in SHORT.items():
        (folder / f"{name}.py").write_text(HOG)
        start = f"{sys.executable} -IS {folder}/{name}.py {who}"
        _unit(folder, name, f"MemoryMax=24M\nMemorySwapMax=0\n{settings}", start)
    # In a container the manager's own group is not the root: it has to step aside before controllers can be handed on.
    for name in ("alone", "crowded"):
        _unit(folder, name, f"Type=oneshot\n{UNITS['weight'][0]}", f"/bin/sh {folder}/weight.sh")
    script = f"""\
timeout 600 {initkit} up --name all {" ".join(f"{name}.service" for name in (*UNITS, *SHORT))} >up 2>&1
find /sys/fs/cgroup -type d -path '*initkit*' >left
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/inner /sys/fs/cgroup/full
sh -c 'echo 0 >/sys/fs/cgroup/inner/cgroup.procs; exec {initkit} run alone.service --foreground' >>up 2>&1
sh -c 'echo 0 >/sys/fs/cgroup/full/cgroup.procs; {initkit} run crowded.service --foreground; true' >>up 2>&1
"""
    kernel.run(folder, script)
    return {path.stem: path.read_text() for path in (*folder.glob("*.out"), folder / "up", folder / "left")}


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("values", "memory.max:67108864\nmemory.low:max\nmemory.min:1048576\nmemory.swap.max:0\npids.max:"),
        ("infinity", "max\nmax\nsuccess exited 0\n"),
        ("reset", "max\n7\nsuccess exited 0\n"),
        ("quota", "20000 100000\nsuccess exited 0\n"),
        ("quota-period", "25000 10000\nsuccess exited 0\n"),
        ("quota-small", "1000 20000\nsuccess exited 0\n"),
        ("weight", "321\n0\nsuccess exited 0\n"),
        ("idle", "1\nsuccess exited 0\n"),
        ("oom-group", "1\nsuccess exited 0\n"),
        ("protected", "16777216\nmax\n1\nsuccess exited 0\n"),
        ("low", "1572864\n0\n10485760\nsuccess exited 0\n"),
        ("high", "34603008\n69206016\n1\nsuccess exited 0\n"),
        ("weights", "10000\n1000000 1000000\nsuccess exited 0\n"),
        ("slice-deep", "/sys/fs/cgroup/initkit/a.slice/a-b.slice/a-b-c.slice/slice-deep.service\nsuccess exited 0\n"),
        ("slice", "/sys/fs/cgroup/initkit/one.slice/one-two.slice/slice.service\n9\nsuccess exited 0\n"),
    ],
)
def test_what_is_written(seen: dict[str, str], name: str, printed: str) -> None:
    assert seen[name].startswith(printed)


def test_percentages_are_of_the_machines_memory(seen: dict[str, str]) -> None:
    most, high, pages, page = map(int, seen["percent"].split()[:4])
    assert (most, high) == (pages // 2 * page, pages // 8 * page)


def test_tasks_are_limited(seen: dict[str, str]) -> None:
    assert "fork" in seen["tasks"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("missing", 'AllowedCPUs = "0": no cpuset.cpus in the control group: no such controller'),
        ("device", 'IOReadBandwidthMax = "/nowhere 1M": /nowhere: No such file or directory'),
        ("nodes", 'AllowedMemoryNodes = "0": no cpuset.mems in the control group: no such controller'),
        ("cpus", 'AllowedCPUs = "0-1": no cpuset.cpus in the control group: no such controller'),
        ("cpus-of-a-user", 'AllowedCPUs = "0": no cpuset.cpus in the control group: no such controller'),
        ("weights-of-disks", 'IOWeight = "7": no io.weight in the control group: no such controller'),
        ("weights-of-disks-with-memory", 'IOWeight = "100": no io.weight in the control group: no such controller'),
        ("operations", 'IOReadBandwidthMax = "/dev/null 1M": '),
        ("other", 'IOWeight = "7": no io.weight in the control group: no such controller'),
    ],
)
def test_a_limit_that_cannot_be_kept_is_an_error(seen: dict[str, str], name: str, line: str) -> None:
    assert line in seen["up"]
    assert name not in seen  # not even ExecStopPost= is run without it


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("oom-stop", "oom-kill killed TERM\n"),
        ("oom-kill", "oom-kill killed KILL\n"),
        ("oom-main", "oom-kill killed KILL\n"),
        ("oom-continue", "success exited 0\n"),
    ],
)
def test_want_of_memory(seen: dict[str, str], name: str, result: str) -> None:
    """OOMPolicy=: who is left is told to end, is killed as well, or goes on; the result says so."""
    assert seen[name] == result


def test_a_manager_that_is_alone_steps_aside(seen: dict[str, str]) -> None:
    assert seen["alone"] == "321\n0\nsuccess exited 0\n"
    assert "crowded" not in seen
    assert 'crowded.service:3: CPUWeight = "321": no cpu.weight in the control group' in seen["up"]


def test_no_group_is_left(seen: dict[str, str]) -> None:
    assert seen["left"] == ""


def test_controllers_that_are_handed_over_are_there(seen: dict[str, str]) -> None:
    assert "pids" in seen["controllers"].splitlines()[0].split()
