"""initkit.notify: to a socket in the file system or in the abstract namespace, to a descriptor, and to nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from initkit import notify
from initkit.run.notify import NotifySocket

from .conftest import Place, tool, wait_for

EVERYTHING: list[Callable[[], bool]] = [
    notify.ready,
    lambda: notify.status("text"),
    notify.reloading,
    notify.stopping,
    notify.watchdog,
    lambda: notify.main_pid(1),
    lambda: notify.extend_timeout(1),
    notify.barrier,
    lambda: notify.send("X_OWN=1"),
]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's end."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@initkit-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        made.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield made


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "NOTIFY_FD", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("function", EVERYTHING)
@pytest.mark.parametrize("address", [None, "", "@", "/nowhere/socket", "@nobody-listens-here", "vsock:2:1", "relative"])
def test_nobody_listens(
    function: Callable[[], bool], address: str | None, nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert function() is False


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (notify.ready, "READY=1"),
        (notify.stopping, "STOPPING=1"),
        (notify.watchdog, "WATCHDOG=1"),
        (lambda: notify.main_pid(42), "MAINPID=42"),
        (lambda: notify.extend_timeout(1.5), "EXTEND_TIMEOUT_USEC=1500000"),
        (lambda: notify.status("50 % läuft ✓"), "STATUS=50 % läuft ✓"),
        (lambda: notify.status("one\nREADY=1"), "STATUS=one READY=1"),
        (lambda: notify.status("byte \udcff"), "STATUS=byte \udcff"),
        (lambda: notify.send("A=1", "B=2"), "A=1\nB=2"),
    ],
)
def test_messages(manager: socket.socket, function: Callable[[], bool], message: str) -> None:
    assert function() is True
    assert manager.recv(4096).decode("utf-8", "surrogateescape") == message


def test_reloading_tells_when(manager: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notify.reloading()
    first, second = manager.recv(4096).decode().split("\n")
    name, _, value = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_manager_that_reads_nothing(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PATIENCE", 0.05)
    for _ in range(10_000):
        if not notify.watchdog():
            break
    else:
        pytest.fail("the queue never filled up")
    manager.recv(4096)
    assert notify.watchdog()


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("3000000", "", 1.5),
        ("3000000", "own", 1.5),
        ("3000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
    ],
)
def test_watchdog_interval(
    usec: str, pid: str, interval: float | None, nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert notify.watchdog_interval() == interval


def test_barrier(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    served = NotifySocket()
    monkeypatch.setenv("NOTIFY_SOCKET", served.address)
    try:
        started = time.monotonic()
        assert notify.barrier(0.05) is False  # sent, and not taken in
        assert 0.04 < time.monotonic() - started < 5
        assert [fields for _, _, fields, _ in served.messages()] == [{"BARRIER": "1"}]
        found: list[bool] = []
        waiting = threading.Thread(target=lambda: found.append(notify.barrier(20)))
        waiting.start()
        while waiting.is_alive():
            for _ in served.messages():
                pass
            waiting.join(0.01)
        assert found == [True]
    finally:
        served.close()


def test_fd(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    monkeypatch.setenv("NOTIFY_FD", str(write_end))
    assert notify.ready() is True
    assert os.read(read_end, 10) == b"\n"
    assert os.read(read_end, 10) == b""  # and closed
    assert "NOTIFY_FD" not in os.environ
    assert notify.ready() is False
    os.close(read_end)


@pytest.mark.parametrize("number", ["file", "1", "999999", "-1", "three", "", "9" * 30])
def test_fd_that_is_none(number: str, nobody: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setenv("NOTIFY_FD", str(file.fileno()) if number == "file" else number)
        assert notify.ready() is False
        assert os.fstat(file.fileno()).st_size == 0


def test_fd_with_a_reader_that_has_gone(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setenv("NOTIFY_FD", str(write_end))
    assert notify.ready() is False


def under_s6(place: Place, command: str) -> None:
    """The real s6-supervise takes a program for ready, by its newline."""
    supervise, wait, control = (tool(name, "s6") for name in ("s6-supervise", "s6-svwait", "s6-svc"))
    folder = place.path / "service"
    folder.mkdir()
    (folder / "notification-fd").write_text("3\n")
    run = folder / "run"
    path = place.environment["PYTHONPATH"]
    run.write_text(f"#!/bin/sh\nNOTIFY_FD=3 PYTHONPATH={path} exec {sys.executable} {command}\n")
    run.chmod(0o755)
    supervisor = subprocess.Popen([supervise, str(folder)])
    try:
        words = [wait, "-U", "-t", "20000", str(folder)]  # fails at once while the supervisor is not there yet
        wait_for(lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0)
    finally:
        subprocess.run([control, "-xd", str(folder)], check=False)
        try:
            supervisor.wait(20)
        finally:
            supervisor.kill()
            supervisor.wait()


def test_s6(place: Place) -> None:
    under_s6(
        place, "-c 'import time; from initkit import notify; time.sleep(0.2); assert notify.ready(); time.sleep(600)'"
    )


def test_s6_and_the_daemon_class(place: Place) -> None:
    program = place.write(
        "service.py",
        """
        import time
        from initkit import Daemon

        class Service(Daemon):
            def run(self):
                time.sleep(600)

        Service(name="NAME").main()
        """,
    )
    under_s6(place, f"{program} run")
