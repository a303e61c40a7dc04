"""`callable`: a Python function as the service, with the same plan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import CHECKOUT, Services, alive, finish, lines, until

HOWS = {
    "exec": ("--foreground", ""),
    "supervised": ("--foreground", "Restart=on-watchdog\n"),
    "daemon": ("--daemon", ""),
    "supervised daemon": ("--daemon", "Restart=on-watchdog\n"),
}


#: For starts that fail: their launcher tells at once, however long that takes on a busy machine.
LONG = "X-Initkit-SettleSec=1000\n"


def unit(services: Services, body: str, more: str = "", name: str = "work:main") -> Path:
    (services.folder / "work.py").write_text(f"import os, sys, time\n\ndef main():\n    {body}\n")
    return services.unit(f"X-Initkit-Callable={name}\n{more}")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pass", 0, ""),
        ("return 5", 5, ""),
        ("sys.exit(6)", 6, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('a reason')", 1, "a reason"),
        ("raise ValueError('a bug')", 1, "ValueError: a bug"),
        ("os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_ends(services: Services, body: str, status: int, said: str, how: str) -> None:
    option, more = HOWS[how]
    finished = services.run(unit(services, body, more + LONG), option)
    if how == "exec" and status == 137:
        status = -9
    if "daemon" in how and status == 0:
        status = 1  # right after its start
    assert finished.returncode == status, finished.stderr
    assert said in finished.stderr
    assert not services.started()


@pytest.mark.parametrize("how", ["daemon", "supervised daemon"])
@pytest.mark.parametrize("end", ["return", "exception"])
def test_an_end_leaves_no_files(services: Services, how: str, end: str) -> None:
    """But initkit's PID file under a manager, by which a failure is known."""
    go = services.out / "go"
    ways = {"return": "return 0", "exception": "raise ValueError"}
    body = f"while not os.path.exists('{go}'): time.sleep(0.01)\n    {ways[end]}"
    path = unit(services, body, HOWS[how][1] + "X-Initkit-SettleSec=0\n")
    assert services.daemon(path).returncode == 0
    pid = services.pid(path)
    go.touch()
    until(lambda: not alive(pid), "its end")
    left = {each.suffix for each in (services.runtime / "initkit").glob(f"{path.stem}.*")}
    assert left <= ({".lock", ".pid"} if (how, end) == ("supervised daemon", "exception") else {".lock"})


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch:main", "No module named 'nosuch'"),
        ("work:nosuch", "has no attribute 'nosuch'"),
        ("broken:main", "invalid"),
    ],
)
def test_what_cannot_be_imported(services: Services, name: str, said: str, how: str) -> None:
    (services.folder / "broken.py").write_text("def main(:\n")
    option, more = HOWS[how]
    path = unit(services, "pass", more + LONG, name)
    finished = services.run(path, option)
    assert finished.returncode == 203, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert f'{path}:4: X-Initkit-Callable = "{name}": cannot be imported' in line
    assert said in line


@pytest.mark.parametrize("how", HOWS)
def test_same_plan(services: Services, how: str) -> None:
    out = services.out / "found"
    option, more = HOWS[how]
    body = (
        f"old = os.umask(0); print(sorted(os.environ), os.getcwd(), oct(old), os.nice(0), os.getpid(),"
        f" sorted(map(int, os.listdir('/proc/self/fd')))[:-1], file=open({str(out)!r}, 'w')); time.sleep(1000)"
    )
    path = unit(
        services, body, f"{more}Environment=A=1\nWorkingDirectory=/usr\nUMask=0077\nNice=3\nX-Initkit-SettleSec=50ms"
    )
    running = services.spawn(path, option, environment={"STRAY": "1"})
    until(lambda: lines(out))
    found = lines(out)[0]
    assert "['A', " in found and "STRAY" not in found and "/usr 0o77 3 " in found
    assert found.endswith(" [0, 1, 2]"), "descriptors of the runner's are left"
    if option == "--daemon":
        assert running.wait(10) == 0
        os.kill(services.pid(path), signal.SIGTERM)
        until(lambda: not services.started())
    else:
        assert alive(running.pid)
        finish(running)


def test_ready(services: Services) -> None:
    body = (
        "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.connect(os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)); s.send(b'READY=1'); time.sleep(1000)"
    )
    path = unit(services, body, "Type=notify")
    assert services.daemon(path).returncode == 0
    os.kill(services.pid(path), signal.SIGTERM)
    until(lambda: not services.started())


def test_pid_file_goes_with_a_daemon_that_returns(services: Services) -> None:
    gate = services.out / "gate"
    body = f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    path = unit(services, body, "X-Initkit-SettleSec=10ms")
    assert services.daemon(path).returncode == 0
    gate.touch()
    until(lambda: not services.started())
    assert not services.pid_file(path).exists()


def test_nothing_heavy_is_imported(services: Services) -> None:
    """A plain service's start loads none of the modules that cost as much as the whole of it."""
    out = services.out / "modules"
    path = unit(services, f"print(*sorted(sys.modules), file=open({str(out)!r}, 'w'))")
    # By its own script: `python -m` imports more.
    command = [sys.executable, CHECKOUT / "packaging/initkit", "run", path, "--foreground"]
    subprocess.run(command, env=services.environment(), check=True)
    loaded = set(lines(out)[0].split())
    heavy = {"re", "typing", "dataclasses", "enum", "argparse", "jinja2", "tomllib", "ctypes", "socket", "subprocess"}
    heavy |= {"signal", "asyncio", "logging", "contextlib", "functools", "pathlib", "shutil", "importlib.resources"}
    assert loaded & heavy == set()
    assert "initkit.run.launch" in loaded
