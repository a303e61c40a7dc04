"""The ways to start a program (posix_spawn(3), fork(2), a birth in a control group): what comes of them is the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from initkit import plan
from initkit.run import cgroup
from initkit.run.quickspawn import keep_private, quickspawn
from initkit.run.spawn import blank, spawn
from initkit.settings.load import load
from initkit.settings.service import Service

from .harness import Report, Services

STRAY = "/etc/hosts"


def quickly(service: Service, output: int | None = None) -> int:
    return quickspawn(plan.main_program(service), blank(service, {"TOLD": "yes", "INVOCATION_ID": "1"}, output))


def by_fork(service: Service, fork: Callable[[], int] = os.fork) -> int:
    variables = {"TOLD": "yes", "INVOCATION_ID": "1"}
    pid, report = spawn(service, plan.main_program(service), variables, fork=fork)
    with open(report, "rb") as file:
        assert file.read() == b""
    return pid


def by_birth(service: Service) -> int:
    group = cgroup.Group(cgroup.own(), service)
    pid = by_fork(service, group.fork)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    group.remove(None)  # type: ignore[arg-type]  # nothing is waited for
    return pid


def facts(services: Services, settings: str, start: object) -> tuple[object, ...]:
    """All that a program started one way or the other may notice."""
    command, path = services.probe(after="exit 0")
    service = load(str(services.unit(f"ExecStart={command} 'two words'\n{settings}")), user=os.geteuid() != 0)
    pid = start(service)  # type: ignore[operator]
    assert pid
    found = Report(path)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert found.pid == pid
    session = [int(found.stat[3]) == pid, int(found.stat[2]) == pid, found.stat[4]]
    signals = [found.signals(kind) for kind in ("SigBlk", "SigIgn")]
    fds = {fd: target for fd, target in found.fds.items() if fd < 3 or target == STRAY}  # sh has some of its own
    assert STRAY not in fds.values()
    return found.environment, found.umask, found.cwd, session, signals, fds, found.args


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "IgnoreSIGPIPE=no\nUMask=0077",
        "Environment=A='1 2' TOLD=no\nUnsetEnvironment=PATH\nWorkingDirectory=/usr",
        "StandardInput=null\nStandardOutput=null\nStandardError=null",
        "StandardOutput=append:FOLDER/log\nStandardError=inherit",
        "StandardOutput=truncate:FOLDER/log\nStandardError=file:FOLDER/errors\nStandardInput=file:/etc/passwd",
    ],
)
def test_all_ways_are_the_same(services: Services, settings: str) -> None:
    settings = settings.replace("FOLDER", str(services.folder))
    stray = os.open(STRAY, os.O_RDONLY)
    os.set_inheritable(stray, True)  # as a caller may leave one open
    keep_private()
    ignored = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        found = facts(services, settings, by_fork)
        assert facts(services, settings, quickly) == found
        if cgroup.own():
            assert facts(services, settings, by_birth) == found
    finally:
        signal.signal(signal.SIGUSR1, ignored)
        os.close(stray)


def test_output_that_the_settings_send_nowhere(services: Services) -> None:
    service = load(str(services.unit(f"ExecStart={services.script('echo out; echo err >&2')}")), user=os.geteuid() != 0)
    source, sink = os.pipe2(os.O_CLOEXEC)
    pid = quickly(service, sink)
    os.close(sink)
    with open(source, "rb") as file:
        assert file.read() == b"out\nerr\n"
    assert os.waitpid(pid, 0) == (pid, 0)


@pytest.mark.parametrize(
    "settings",
    [
        "ExecStart=/nonexistent",
        "ExecStart=/etc/passwd",
        "ExecStart=/bin/true\nStandardOutput=file:/nonexistent/log",
        "ExecStart=/bin/true\nStandardOutput=append:FOLDER/fifo",
        "ExecStart=/bin/true\nStandardOutput=append:FOLDER",
        "ExecStart=/bin/true\nWorkingDirectory=/nonexistent",
        "ExecStart=/bin/true\nWorkingDirectory=-/nonexistent",
        "ExecStart=/bin/true\nEnvironmentFile=/etc/environment",
        "ExecStart=/bin/true\nLimitNOFILE=100",
        "ExecStart=/bin/true\nNice=1",
    ],
)
def test_what_is_left_to_a_fork(services: Services, settings: str) -> None:
    os.mkfifo(services.folder / "fifo")
    service = load(str(services.unit(settings.replace("FOLDER", str(services.folder)))), user=os.geteuid() != 0)
    before, files, others = (os.getcwd(), umask()), descriptors(), children()
    assert quickly(service) == 0
    assert (os.getcwd(), umask()) == before
    # What earlier tests have left may go at any time: files that are collected now, the machines of tests/lab.
    assert descriptors() <= files
    assert children() <= others


def descriptors() -> set[tuple[str, str]]:
    """This process's, and what they are of."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the folder itself, which has been read
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def children() -> set[str]:
    """This process's, the dead ones too."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def umask() -> int:
    """This process's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("\nUmask:")[2].split()[0], 8)
