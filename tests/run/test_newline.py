"""s6's newline: from a program that speaks it, and to a supervisor that waits for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .harness import PATIENCE, Services, alive, comm, finish, until

#: Says that it works once a file is there, over descriptor 7 and in two pieces; and looks at what it has.
SPEAKS = """
with open(sys.argv[1] + ".fds", "w") as out:
    out.write(" ".join(sorted(os.listdir("/proc/self/fd"), key=int)))
while not os.path.exists(sys.argv[1]):
    time.sleep(0.005)
os.write(7, b"a line without an end, ")
os.write(7, b"and the rest of it\\nmore")
os.close(7)
time.sleep(1000)
"""
SAYS = "notify('READY=1')\ntime.sleep(1000)"
SETTING = "Type=notify\nX-Initkit-NotificationFd=7"


def needs(*programs: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not all(map(shutil.which, programs)), reason=f"needs {', '.join(programs)}")


# --- from the program -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_a_newline_is_as_good_as_ready(services: Services, how: str) -> None:
    go = services.out / "go"
    log = services.out / "log"
    post = services.script(f"echo ready >> {log}")
    unit = services.unit(f"ExecStart={services.python(SPEAKS)} {go}\n{SETTING}\nExecStartPost={post}")
    process = services.spawn(unit, how)
    until(Path(f"{go}.fds").exists, "the program")
    assert process.poll() is None
    assert not log.exists()
    go.touch()
    until(log.exists, "ExecStartPost=")
    fds = Path(f"{go}.fds").read_text().split()
    assert fds == ["0", "1", "2", "3", "4", "7"]  # the file it writes and the directory it reads are among them
    if how == "--daemon":
        assert process.wait(PATIENCE) == 0
    else:
        assert finish(process)[0] == 0


def test_every_life_has_a_pipe_of_its_own(services: Services) -> None:
    log = services.out / "log"
    program = services.python(
        "with open(sys.argv[1], 'a') as out:\n    out.write('x')\nos.write(7, b'\\n')\nos._exit(3)"
    )
    unit = services.unit(
        f"ExecStart={program} {log}\n{SETTING}\nRestart=always\nRestartSec=0\n", unit="StartLimitBurst=4"
    )
    ran = services.run(unit, "--foreground")
    assert ran.returncode == 3
    assert log.read_text() == "xxxx"


def test_an_end_without_a_newline_is_no_start(services: Services) -> None:
    program = services.python("os.write(7, b'no'); os.close(7); time.sleep(0.1); os._exit(0)")
    ran = services.run(services.unit(f"ExecStart={program}\n{SETTING}"), "--daemon")
    assert ran.returncode == 1
    assert "ended before it said READY=1" in ran.stderr


def test_beside_sockets(services: Services) -> None:
    """Descriptors 3 and 4 are sockets, 7 is the pipe's."""
    program = services.python(
        "assert os.environ['LISTEN_FDS'] == '2'\nos.fstat(3), os.fstat(4)\nos.write(7, b'\\n')\ntime.sleep(1000)"
    )
    unit = services.unit(f"ExecStart={program}\n{SETTING}")
    unit.with_suffix(".socket").write_text(
        f"[Socket]\nListenStream=@{services.prefix}\nListenStream=@{services.prefix}b\n"
    )
    assert services.daemon(unit).returncode == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("X-Initkit-NotificationFd=3", 'NotificationFd = "3": expected type = "notify", found "simple"'),
        ("Type=notify\nX-Initkit-NotificationFd=2", 'NotificationFd = "2": expected a descriptor\'s number from 3'),
        ("Type=notify\nX-Initkit-NotificationFd=x", 'NotificationFd = "x": expected a descriptor\'s number'),
        (
            "Type=notify\nFileDescriptorStoreMax=2\nX-Initkit-NotificationFd=4",
            'NotificationFd = "4": expected 5 or more: those below are sockets and stored descriptors',
        ),
    ],
)
def test_numbers_that_cannot_be(services: Services, text: str, said: str) -> None:
    ran = services.run(services.unit(f"ExecStart=/bin/true\n{text}"), "--foreground")
    assert ran.returncode == 78
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_as_systemd_would_start_it(services: Services) -> None:
    """systemd's own word for a start is READY=1: the newline is turned into it, and the program is the main process."""
    go = services.out / "go"
    unit = services.unit(f"ExecStart={services.python(SPEAKS)} {go}\n{SETTING}")
    with listener(services) as (address, heard):
        # A shell that execs has the pid that systemd would have told it.
        words = f'SYSTEMD_EXEC_PID=$$ exec "{sys.executable}" -m initkit run "{unit}" --foreground'
        environment = services.environment({"NOTIFY_SOCKET": address})
        process = subprocess.Popen(["/bin/sh", "-c", words], env=environment, text=True)
        until(Path(f"{go}.fds").exists, "the program")
        assert "program" in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""
        go.touch()
        assert heard() == "READY=1"
        process.kill()
        process.wait()
    until(lambda: services.started() == [], "nothing is left")


@contextmanager
def listener(services: Services) -> Iterator[tuple[str, Callable[[], str]]]:
    """Something that speaks sd_notify(3): its address, and what it hears next."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        path = str(services.folder / "notify")
        made.bind(path)
        os.chmod(path, 0o777)
        made.settimeout(PATIENCE)
        yield path, lambda: made.recv(1000).decode()


# --- to the supervisor ----------------------------------------------------------------------------------------------


def s6_folder(services: Services, unit: Path, fd: int = 3) -> Path:
    """A service's folder, as s6-supervise has it."""
    folder = services.folder / "service"
    folder.mkdir()
    exports = "".join(f"export {name}='{value}'\n" for name, value in services.environment().items())
    (folder / "run").write_text(f"#!/bin/sh\n{exports}exec {sys.executable} -m initkit run {unit}\n")
    (folder / "run").chmod(0o755)
    (folder / "notification-fd").write_text(f"{fd}\n")
    return folder


@contextmanager
def s6(folder: Path) -> Iterator[None]:
    """A real s6-supervise for it."""
    supervise = subprocess.Popen(["s6-supervise", folder], stderr=subprocess.DEVNULL)
    try:
        until(lambda: subprocess.run(["s6-svok", folder], check=False).returncode == 0, "s6-supervise")
        yield
        subprocess.run(["s6-svc", "-wD", "-T20000", "-d", folder], check=True)
    finally:
        subprocess.run(["s6-svc", "-xd", folder], check=False)
        supervise.wait(PATIENCE)


def ready(folder: Path, milliseconds: int) -> bool:
    """Whether s6 holds it for ready within a time."""
    ran = subprocess.run(["s6-svwait", "-U", "-t", str(milliseconds), folder], check=False, stderr=subprocess.DEVNULL)
    return ran.returncode == 0


@needs("s6-supervise", "s6-svwait")
@pytest.mark.parametrize("kind", ["READY=1", "newline"])
def test_s6_hears_what_the_program_says(services: Services, kind: str) -> None:
    go = services.out / "go"
    program = "while not os.path.exists(sys.argv[1]):\n    time.sleep(0.005)\nnotify('READY=1')\ntime.sleep(1000)"
    text, setting = (program, "Type=notify") if kind == "READY=1" else (SPEAKS, SETTING)
    unit = services.unit(f"ExecStart={services.python(text)} {go}\n{setting}")
    folder = s6_folder(services, unit, 5)
    with s6(folder):
        assert not ready(folder, 300)
        go.touch()
        assert ready(folder, 20_000)


@needs("s6-supervise", "s6-svwait")
def test_s6_hears_of_a_start_without_a_word(services: Services) -> None:
    """Under the runner's supervision Type= says what ready is; and no program holds s6's pipe open."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    folder = s6_folder(services, unit)
    with s6(folder):
        assert ready(folder, 20_000)
        (main,) = [pid for pid in services.started() if comm(pid) == "sleep"]
        assert sorted(os.listdir(f"/proc/{main}/fd")) == ["0", "1", "2"]
    assert not alive(main)


@needs("s6-supervise", "s6-svwait")
@pytest.mark.parametrize("says", ["os.write(4, b'\\n')", "os.write(int(os.environ['NOTIFY_FD']), b'\\n')"])
def test_a_program_in_initkits_place_speaks_for_itself(services: Services, says: str) -> None:
    program = services.python(f"{says}\ntime.sleep(1000)")
    folder = s6_folder(services, services.unit(f"ExecStart={program}"), 4)
    with s6(folder):
        assert ready(folder, 20_000)


def test_dinit_and_others_name_the_descriptor(services: Services) -> None:
    """dinit-service(5), `ready-notification = pipevar:NOTIFY_FD`; and $NOTIFY_SOCKET of whoever has one."""
    unit = services.unit(f"ExecStart={services.python(SAYS)}\nType=notify")
    source, sink = os.pipe()
    with listener(services) as (address, heard):
        process = services.foreground(
            unit, environment={"DINIT_SERVICE": "x", "NOTIFY_FD": str(sink), "NOTIFY_SOCKET": address}, pass_fds=[sink]
        )
        os.close(sink)
        assert os.read(source, 10) == b"\n"
        assert os.read(source, 10) == b""  # nobody else has it
        assert heard() == "READY=1"
        assert finish(process)[0] == 0
    os.close(source)
