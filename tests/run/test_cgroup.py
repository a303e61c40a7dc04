"""A service's own control group: cgroups(7). Whoever is in it is found, whatever he does to get away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from initkit.run import cgroup, identity
from initkit.run.grouped import Grouped
from initkit.settings.load import load

from .harness import PATIENCE, WITHOUT_GROUPS, Services, alive, finish, lines, until
from .ups import SLEEP, Up

#: Has orphans of its own, and is nobody's child here: then it becomes "main", the rest stays.
FOREIGN = r"""
import ctypes, sys
def away(path):
    # A process with a subreaper above it that is not the manager, in another session, with nothing in its environment.
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.execve("/bin/sh", ["sh", "-c", "trap '' TERM HUP; echo $$ >" + path + ".new; mv " + path + ".new " + path
                + "; while :; do sleep 0.05; done"], {"PATH": "/bin:/usr/bin"})
        _signal.pause()
import _signal
"""


@pytest.fixture(autouse=True)
def tree() -> Iterator[None]:
    """Only where this machine lets groups be made."""
    reason = "" if cgroup.own() else "needs root and a writable cgroup2 tree"
    if reason and os.environ.get("INITKIT_REQUIRE_LAB") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    yield


def folder(unit: Path) -> Path:
    """The group that a service is to have."""
    return Path(cgroup.own()) / "initkit" / unit.name


def pids(unit: Path) -> list[int]:
    """Who is in it; nobody while it is not there, or is just being removed (ENODEV)."""
    try:
        return list(map(int, (folder(unit) / "cgroup.procs").read_text().split()))
    except OSError:
        return []


def pid_in(path: Path) -> int:
    until(path.exists)
    return int(path.read_text())


def gone(pid: int) -> None:
    """Of another one's child: it is in no group any more a moment before it is dead."""
    until(lambda: not alive(pid), "its end")


@pytest.mark.parametrize("setting", ["", "Nice=1"], ids=["spawned", "forked"])
def test_its_programs_and_nobody_else_are_in_it(services: Services, setting: str) -> None:
    up = services.out / "up"
    program = services.script(
        f"cat /proc/self/cgroup >> {services.out}/seen\n[ $# = 1 ] || {{ touch {up}; sleep 1000; }}"
    )
    unit = services.unit(
        f"ExecStartPre={program} pre\nExecStart={program}\nExecStopPost={program} post\nRestart=always\n{setting}"
    )
    running = services.foreground(unit)
    until(up.exists)
    until(lambda: len(pids(unit)) == 2)  # sh, sleep
    assert running.pid not in pids(unit)
    assert finish(running)[0] == 0
    seen = (services.out / "seen").read_text().splitlines()
    inside = [line for line in seen if line.startswith("0::")]
    assert len(inside) == 3
    assert all(line.endswith(f"/initkit/{unit.name}") for line in inside)
    assert not folder(unit).exists()


@pytest.mark.parametrize("mode", ["control-group", "mixed"])
def test_who_has_another_subreaper_is_reached(services: Services, mode: str) -> None:
    path = services.out / "away"
    program = services.python(f"{FOREIGN}\naway({str(path)!r})\n_signal.pause()")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nKillMode={mode}\nTimeoutStopSec=0.3")
    running = services.foreground(unit)
    pid = pid_in(path)
    finish(running)
    gone(pid)
    assert not folder(unit).exists()


def test_a_stop_waits_for_who_is_nobodys_child_here(services: Services) -> None:
    """The kernel tells of his end; no time has to pass first."""
    path = services.out / "away"
    program = services.python(
        FOREIGN.replace("trap '' TERM HUP", "trap 'sleep 0.3; exit' TERM") + f"\naway({str(path)!r})\n_signal.pause()"
    )
    running = services.foreground(services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=60"))
    pid = pid_in(path)
    _, _, err = finish(running)
    gone(pid)
    assert "still there" not in err


def test_orphans_of_several_services_keep_their_owner(services: Services) -> None:
    """One that has left session and environment is in its group still."""
    up = Up(services)
    path = services.out / "away"
    last = f"echo $$ > {path}.new; mv {path}.new {path}; exec sleep 1000"
    program = services.script(f"setsid -f env -i /bin/sh -c '{last}'\nexec sleep 1000")
    up.add("one", f"ExecStart={program}")
    up.add("two", SLEEP)
    running = up.start()
    pid = pid_in(path)
    up.wait_for(one="active", two="active")

    def members(name: str) -> list[int]:
        found = up.call("Status", name=services.prefix + name)["service"]["processes"]
        return [each["pid"] for each in found]

    assert pid in members("one")
    assert pid not in members("two")
    assert finish(running)[0] == 0
    gone(pid)


def test_what_a_killed_manager_leaves_is_ended_by_the_next(services: Services) -> None:
    path = services.out / "away"
    program = services.python(f"{FOREIGN}\naway({str(path)!r})\n_signal.pause()")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=0.3")
    first = services.foreground(unit)
    pid = pid_in(path)
    path.unlink()
    first.kill()
    first.wait()
    assert alive(pid)
    for record in (services.runtime / "initkit").glob(f"{unit.stem}.*"):
        record.unlink()  # as if the manager had not even come to write it
    second = services.foreground(unit)
    assert pid_in(path) != pid
    assert not alive(pid)
    _, _, err = finish(second)
    assert "left over from before: stopped" in err
    assert not folder(unit).exists()


NO_LOOP: Any = None  # nothing is waited for


def test_programs_are_born_in_it(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000")
    group = cgroup.Group(cgroup.own(), load(str(unit)))
    pid = group.fork()
    if pid == 0:
        try:
            os.execv("/bin/sleep", ["sleep", "1000"])
        finally:
            os._exit(1)
    try:
        assert pids(unit) == [pid]
    finally:
        assert group.kill()
        os.waitpid(pid, 0)
        group.remove(NO_LOOP)


def test_somebody_else_kills_all_in_it(services: Services) -> None:
    """The kernel kills what is born in such a group later: that is no life of the service's."""
    begun = services.out / "begun"
    program = services.script(f"echo $$ >> {begun}\nexec sleep 1000")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nRestartSec=0\nStartLimitBurst=100")
    running = services.foreground(unit)
    for count in range(1, 4):
        until(lambda count=count: len(lines(begun)) == count, "another life")
        (folder(unit) / "cgroup.kill").write_text("1")
    until(lambda: len(lines(begun)) == 4, "the last life")
    assert pids(unit) == [int(lines(begun)[-1])]
    _, _, err = finish(running)
    assert err.count("restarted in") == 3
    assert not folder(unit).exists()


def test_where_nothing_can_be_born_in_it(services: Services) -> None:
    """As in a container whose filter does not know clone3(2)."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    outer = services.unit(
        f"ExecStart={sys.executable} -m initkit run {unit} --foreground\n"
        "SystemCallFilter=~clone3\nSystemCallErrorNumber=ENOSYS",
        name="outer",
    )
    running = services.foreground(outer)
    services.active(unit)
    assert len(pids(unit)) == 1
    assert finish(running)[0] == 0
    assert not folder(unit).exists()


def test_a_manager_in_a_group_that_was_killed_before(services: Services) -> None:
    """The kernel would kill what it has born in another one."""
    home = Path(cgroup.own()) / services.prefix
    home.mkdir()
    try:
        (home / "cgroup.kill").write_text("1")
        enters = ("sh", "-c", f'echo 0 > {home}/cgroup.procs && exec "$@"', "sh")
        look = services.script(f"grep ^0:: /proc/self/cgroup > {services.out}/seen")
        unit = services.unit(f"ExecStart={look}\nRestart=always")
        running = services.foreground(unit, prefix=enters)
        until(lambda: lines(services.out / "seen"))
        _, _, err = finish(running)
        assert "SIGKILL" not in err
        assert lines(services.out / "seen")[0].endswith(f"/{home.name}/initkit/{unit.name}")
    finally:
        services.close()
        home.rmdir()


class OnItsWay:
    """A family whose only process enters the group when the group has been gone through: as one does that has just
    been forked."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path, self.pid = path, pid

    def quickly(self) -> list[identity.Stat]:
        (self.path / "cgroup.procs").write_text(str(self.pid))
        found = identity.stat(self.pid)
        return [found] if found else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_enters_it_meanwhile_hears_the_signal(services: Services, number: int) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000")
    group = cgroup.Group(cgroup.own(), load(str(unit)))
    sleep = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        family = Grouped(OnItsWay(folder(unit), sleep.pid), group, NO_LOOP, lambda: ())  # type: ignore[arg-type]
        assert family.signal_all((number,)) == []
        assert sleep.wait(PATIENCE) == -number
    finally:
        sleep.kill()
        group.remove(NO_LOOP)


def test_two_managers_share_no_group(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    running = services.foreground(unit)
    services.active(unit)
    with pytest.raises(BlockingIOError):
        cgroup.Group(cgroup.own(), load(str(unit)))
    assert finish(running)[0] == 0


def test_without_a_tree_it_is_as_before(services: Services) -> None:
    path = services.out / "child"
    inner = services.script(f"trap '' TERM\necho $$ > {path}.new; mv {path}.new {path}\nwhile :; do sleep 0.02; done")
    program = services.script(f"(setsid {inner} &)\nexec sleep 1000")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nTimeoutStopSec=0.3")
    running = services.foreground(unit, prefix=WITHOUT_GROUPS)
    pid = pid_in(path)
    assert not folder(unit).exists()
    finish(running)
    assert not alive(pid)


def test_a_limit_without_a_tree_is_an_error(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true\nTasksMax=10")
    done = services.run(unit, "--foreground", prefix=WITHOUT_GROUPS)
    assert done.returncode == 219
    assert 'TasksMax = "10": no cgroup2 tree in which the service could have a group' in done.stderr
    unit = services.unit("ExecStart=/bin/true\nTasksMax=infinity\nMemoryMax=infinity\nDelegate=yes\nSlice=app.slice")
    assert services.run(unit, "--foreground", prefix=WITHOUT_GROUPS).returncode == 0


def test_slice(services: Services) -> None:
    unit = services.unit(
        f"ExecStart=/bin/sh -c 'cat /proc/self/cgroup > {services.out}/seen'\nType=oneshot\n"
        f"Slice=ik-{services.prefix}.slice"
    )
    assert services.run(unit, "--foreground").returncode == 0
    line = (services.out / "seen").read_text().splitlines()[-1]
    assert line.endswith(f"/initkit/ik.slice/ik-{services.prefix}.slice/{unit.name}")
    assert not (folder(unit).parent / "ik.slice" / f"ik-{services.prefix}.slice").exists()


def test_delegate(services: Services) -> None:
    """The group is the user's, who makes others in it; all of it goes with the service."""
    program = services.script(
        f"cd {cgroup.own()}/initkit/$1 || exit\nexec >> {services.out}/seen\n"
        "stat -c '%U %n' . cgroup.procs cgroup.subtree_control cgroup.events\n"
        "mkdir mine && echo $$ > mine/cgroup.procs && cat /proc/self/cgroup\nexec sleep 1000"
    )
    unit = services.unit(f"ExecStart={program} %n\nUser=daemon\nDelegate=yes\nDelegateSubgroup=main")
    running = services.foreground(unit)
    until(lambda: len(lines(services.out / "seen")) > 4 and lines(services.out / "seen")[-1].startswith("0::"))
    assert not pids(unit)
    assert finish(running, signal.SIGTERM)[0] == 0
    seen = lines(services.out / "seen")
    assert seen[:4] == ["daemon .", "daemon cgroup.procs", "daemon cgroup.subtree_control", "root cgroup.events"]
    assert seen[-1].endswith(f"{unit.name}/mine")
    assert not folder(unit).exists()
