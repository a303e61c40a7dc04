"""What a manager comes through: readers that go or do not read, a full disk, no process and no descriptor to be had."""

from __future__ import annotations

import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from initkit.errors import InitkitError
from initkit.run import client, identity, register

from .harness import PATIENCE, Services, alive, finish, leave, lines, seen, until
from .ups import SLEEP, Up

ALWAYS = "Restart=always\nRestartSec=50ms"
UNLIMITED = "StartLimitIntervalSec=0"


def main_pid(services: Services, unit: Path) -> int:
    return int(str(services.status(unit)["mainPid"] or 0))


def enrolled(services: Services, unit: Path) -> set[int]:
    """The main processes that are taken down."""
    known = register.read(f"{services.runtime}/initkit/{unit.stem}.register")
    return {each.pid for each in known.main} if known else set()


def kill_main(services: Services, unit: Path) -> None:
    """Return in the next life."""
    before = seen(lambda: main_pid(services, unit), bool, "a main process")
    os.kill(before, signal.SIGKILL)
    until(lambda: main_pid(services, unit) not in (0, before), "the next life")
    services.active(unit)


def full(fd: int) -> int:
    """Fill a pipe, a socket or a terminal, by a description of its own where others have this one."""
    os.set_blocking(fd, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(fd, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(fd, True)
    return fd


def full_pipe() -> tuple[int, int]:
    source, sink = os.pipe()
    return source, full(sink)


def full_socket() -> tuple[int, int]:
    source, sink = socket.socketpair()
    return source.detach(), full(sink.detach())


def full_terminal() -> tuple[int, int]:
    source, sink = pty.openpty()
    return source, full(sink)


def stopped_terminal() -> tuple[int, int]:
    source, sink = pty.openpty()
    termios.tcflow(sink, termios.TCOOFF)
    return source, sink


@pytest.mark.parametrize("kind", [full_pipe, full_socket, full_terminal, stopped_terminal])
def test_nobody_reads_what_the_manager_tells(services: Services, kind: Callable[[], tuple[int, int]]) -> None:
    unit = services.unit(f"{SLEEP}\n{ALWAYS}\nStandardOutput=null\nStandardError=null", unit=UNLIMITED)
    source, sink = kind()
    running = services.foreground(unit, stdout=subprocess.DEVNULL, stderr=sink)
    os.close(sink)
    services.active(unit)
    kill_main(services, unit)
    assert finish(running)[0] == 0
    assert not services.started()
    os.close(source)


def test_whoever_has_read_what_the_manager_tells_goes(services: Services) -> None:
    after = services.out / "after"
    unit = services.unit(f"{SLEEP}\nExecReload=/bin/false\nExecStopPost=/bin/sh -c 'echo post >> {after}'")
    running = services.foreground(unit, stdout=subprocess.DEVNULL)
    services.active(unit)
    assert running.stderr
    running.stderr.close()
    before = main_pid(services, unit)
    with pytest.raises(InitkitError, match="reload"):
        client.call(f"{services.runtime}/initkit/{unit.stem}.sock", "Reload")
    assert main_pid(services, unit) == before
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 0
    assert lines(after) == ["post"]
    assert not services.pid_file(unit).with_suffix(".register").exists()


def test_the_terminal_of_a_manager_goes(services: Services) -> None:
    after = services.out / "after"
    stubborn = services.script("trap '' TERM HUP\nwhile :; do sleep 1; done")
    unit = services.unit(f"ExecStart={stubborn}\nTimeoutStopSec=1s\nExecStopPost=/bin/sh -c 'echo post >> {after}'")
    leader, end = pty.openpty()
    running = services.spawn(unit, "--foreground", prefix=("setsid", "--ctty"), stdin=end, stdout=end, stderr=end)
    os.close(end)
    services.active(unit)
    os.close(leader)
    running.wait(PATIENCE)
    assert lines(after) == ["post"]
    assert not services.started()


def test_nobody_reads_the_output_of_up(up: Up) -> None:
    up.add("loud", "ExecStart=/bin/sh -c yes")
    up.add("quiet", f"{SLEEP}\n{ALWAYS}", UNLIMITED)
    source, sink = socket.socketpair()
    running = up.start(stdout=sink, stderr=sink)
    sink.close()
    up.wait_for(loud="active", quiet="active")
    source.recv(65536)  # it has come to write
    before = up.pid("quiet")
    os.kill(before, signal.SIGKILL)
    until(lambda: up.pid("quiet") not in (0, None, before), "the next life")
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 0
    source.close()


# --- the system has nothing left -----------------------------------------------------------------------------------


def sockets(pid: int) -> int:
    """How many a process has, -1 when some go just now."""
    try:
        return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return -1


@contextmanager
def no_descriptor(up: Up, pid: int) -> Iterator[None]:
    """Let a manager have no more descriptors than it has. What is free below the highest one goes to silent clients."""
    until(lambda: sockets(pid) == 1, "the clients gone")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    most = max(int(each) for each in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, limits[1]))
    with ExitStack() as clients:
        while len(os.listdir(f"/proc/{pid}/fd")) < most:
            before = sockets(pid)
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(
                f"{up.services.runtime}/initkit/{up.name}.sock"
            )
            until(lambda before=before: sockets(pid) > before, "the client accepted")
        yield
        if alive(pid):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_no_descriptor_is_left(up: Up) -> None:
    left = up.services.script("setsid sleep 1000 &\nexec sleep 1000")
    up.add("a", f"{SLEEP}\n{ALWAYS}", UNLIMITED)
    up.add("b", f"ExecStart={left}")
    with open(up.services.out / "said", "w+") as said:
        running = up.start(stdout=said, stderr=said)
        up.wait_for(a="active", b="active")
        first, other = up.pid("a"), up.pid("b")
        with no_descriptor(up, running.pid):
            os.kill(first, signal.SIGKILL)
            until(lambda: "Too many open files; restarted in" in Path(said.name).read_text(), "a start that fails")
            assert alive(other)
        up.wait_for(a="active", b="active")
        assert up.pid("b") == other
        second = up.pid("a")
        assert second != first
        os.kill(second, signal.SIGKILL)
        until(lambda: up.pid("a") not in (0, None, second), "another life")
        up.wait_for(a="active")  # with all that it may need
        with no_descriptor(up, running.pid):
            running.send_signal(signal.SIGTERM)
            assert running.wait(PATIENCE) in (0, 1)  # 1: one of the services has been refused something meanwhile
    assert not up.services.started()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user without processes")
def test_no_process_is_left(services: Services) -> None:
    """fork(2) fails with EAGAIN; root is under no such limit."""
    uid = 500_000 + os.getpid()
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    services.runtime = services.folder / "home"
    services.runtime.mkdir(mode=0o700)
    os.chown(services.runtime, uid, uid)
    environment = {"XDG_RUNTIME_DIR": str(services.runtime), "HOME": str(services.runtime)}
    unit = services.unit(f"{SLEEP}\nRestart=on-abnormal\nRestartSec=50ms", unit=UNLIMITED)
    with open(services.out / "said", "w+") as said:
        running = services.foreground(
            unit,
            prefix=("prlimit", "--nproc=2", *user),
            environment=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        services.active(unit)
        before = len(os.listdir(f"/proc/{running.pid}/fd"))
        with subprocess.Popen([*user, "sleep", "1000"]) as other:
            until(lambda: os.stat(f"/proc/{other.pid}").st_uid == uid, "one more of the user's")
            os.kill(main_pid(services, unit), signal.SIGKILL)
            failed = "Resource temporarily unavailable; restarted in"
            until(lambda: Path(said.name).read_text().count(failed) > 2, "starts that fail")
            assert re.search(r"^SigBlk:\t0+$", Path(f"/proc/{running.pid}/status").read_text(), re.M)
            other.kill()
        services.active(unit)
        assert main_pid(services, unit)
        assert len(os.listdir(f"/proc/{running.pid}/fd")) <= before + 1  # that of whoever has just asked
        assert finish(running)[0] == 0


@pytest.mark.parametrize("settings", ["", "WorkingDirectory=~"], ids=["posix_spawn", "fork"])
def test_the_register_cannot_be_written(services: Services, settings: str) -> None:
    unit = services.unit(f"{SLEEP}\n{ALWAYS}\n{settings}", unit=UNLIMITED)
    with open(services.out / "said", "w+") as said:
        teller = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=said)  # which is under no such limit
        unwritten = {"PYTHONDONTWRITEBYTECODE": "1"}  # else a child that has just reset SIGXFSZ may die of a .pyc file
        running = services.foreground(unit, environment=unwritten, stdout=subprocess.DEVNULL, stderr=teller.stdin)
        services.active(unit)
        limits = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        for _ in range(3):
            kill_main(services, unit)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, limits)
        kill_main(services, unit)
        main = main_pid(services, unit)
        until(lambda: main in enrolled(services, unit), "it is taken down")
        assert finish(running)[0] == 0
        teller.communicate(timeout=PATIENCE)
        assert Path(said.name).read_text().count("nobody will find it if this manager is killed") == 1


@pytest.mark.parametrize("other", ["", "somebody else's\n"], ids=["removed", "replaced"])
def test_the_register_has_gone(services: Services, other: str) -> None:
    """The service goes on, and nothing is written where another file lies."""
    unit = services.unit(f"{SLEEP}\n{ALWAYS}", unit=UNLIMITED)
    path = services.runtime / "initkit" / f"{unit.stem}.register"
    with open(services.out / "said", "w+") as said:
        running = services.foreground(unit, stdout=subprocess.DEVNULL, stderr=said)
        services.active(unit)
        path.unlink()
        if other:
            path.write_text(other)
        for _ in range(3):
            kill_main(services, unit)
        assert (path.read_text() if path.exists() else "") == other
        assert finish(running)[0] == 0
        assert (path.read_text() if path.exists() else "") == other
        assert Path(said.name).read_text().count("nobody will find it if this manager is killed") == 1


def test_the_register_does_not_grow_with_what_is_gone(services: Services) -> None:
    left = services.out / "left"
    program = services.script(f"[ -e {left} ] || {{ setsid sleep 1000 & echo $! > {left}; }}\nexit 0")
    unit = services.unit(f"ExecStart={program}\nRestart=always\nRestartSec=0\nKillMode=process", unit=UNLIMITED)
    running = services.foreground(unit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    services.active(unit)
    until(lambda: int(str(services.status(unit)["restarts"])) > 250, "many lives")
    path = Path(f"{services.runtime}/initkit/{unit.stem}.register")
    assert len(lines(path)) < 230  # two for each of the last hundred, and some for what is true of all
    known = register.read(str(path))
    assert known
    assert identity.invocation(int(left.read_text())) in known.invocations
    assert running.poll() is None
    leave(running)


def test_a_main_process_that_goes_as_it_is_named(services: Services) -> None:
    program = services.python(
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "def child():\n    if os.fork() == 0:\n        if os.fork() == 0:\n"
        "            notify(f'MAINPID={os.getpid()}')\n        os._exit(0)\n"
        "notify('READY=1')\nfor _ in range(300): child()\n"
        "notify(f'MAINPID={os.getpid()}', 'STATUS=done')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nNotifyAccess=all\nExitType=cgroup\nExecStart={program}")
    running = services.foreground(unit)
    services.active(unit)
    until(lambda: services.status(unit)["statusText"] == "done", "the last word")
    assert finish(running)[0] == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["start", "restart"])
def test_start_with_closed_streams(services: Services, verb: str, closed: str) -> None:
    unit = services.unit(f"{SLEEP}\nRestart=on-failure")
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "initkit", verb, str(unit)]
    assert subprocess.run(words, env=services.environment(), check=False, timeout=PATIENCE).returncode == 0
    services.active(unit)
    assert main_pid(services, unit)
