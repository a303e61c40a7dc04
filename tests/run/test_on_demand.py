"""`on_demand`: a service that is started by the first to come to its sockets, as systemd does with a socket alone."""

from __future__ import annotations

import os
import socket

import pytest

from .clients import alone_and_shared
from .harness import PATIENCE, Services, finish, lines, until
from .test_sockets import SERVER, Listening, ask

DEMAND = "X-Initkit-OnDemand=yes"
#: Answers one connection, and ends as its argument says.
ONCE = """
import socket
peer, _ = socket.socket(fileno=3).accept()
peer.sendall(str(os.getpid()).encode())
peer.close()
sys.exit(int(os.environ.get("STATUS", "0")))
"""


def test_nothing_runs_until_somebody_comes(services: Services) -> None:
    path = str(services.folder / "a.sock")
    service = Listening(services, f"ListenStream={path}", DEMAND)
    state = service.wait_for("active")
    assert (state["mainPid"], state["processes"]) == (None, [])
    assert state["statusText"] == "to be started by the first to come"
    assert not service.out.exists()
    answer = ask(path)
    state = service.wait_for("active")
    assert (str(state["mainPid"]), state["statusText"]) == (answer, None)
    assert service.end() == (0, "", "")


@pytest.mark.parametrize("kind", ["fifo", "datagram"])
def test_any_traffic_wakes_it(services: Services, kind: str) -> None:
    path = str(services.folder / "b")
    text = f"ListenFIFO={path}" if kind == "fifo" else f"ListenDatagram={path}"
    program = "open(os.environ['OUT'], 'wb').write(os.read(3, 10))\ntime.sleep(1000)"
    service = Listening(services, text, DEMAND, program)
    service.wait_for("active")
    assert not service.out.exists()
    if kind == "fifo":
        with open(path, "wb", buffering=0) as fifo:
            fifo.write(b"hello")
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", path)
    until(lambda: service.out.exists() and service.out.read_bytes() == b"hello", "the program has read it")
    service.end()


@pytest.mark.parametrize("status", [0, 3])
def test_after_its_end_it_waits_again(services: Services, status: int) -> None:
    path = str(services.folder / "c.sock")
    service = Listening(services, f"ListenStream={path}", f"{DEMAND}\nEnvironment=STATUS={status}", ONCE)
    service.wait_for("active")
    pids = {ask(path) for _ in range(3)}
    assert len(pids) == 3
    until(lambda: service.status()["statusText"] is not None, "it waits again")
    assert service.status()["exitStatus"] == str(status)
    code, _, errors = service.end()
    assert code == 0
    assert errors.count("exited with status 3") == (3 if status else 0)


def test_traffic_that_nobody_takes_does_not_spin(services: Services) -> None:
    """systemd.socket(5), TriggerLimitBurst=: a program that leaves what has woken it."""
    path = str(services.folder / "d.sock")
    text = f"ListenStream={path}\nTriggerLimitBurst=4\nTriggerLimitIntervalSec=1h"
    service = Listening(services, text, DEMAND, "open(os.environ['OUT'], 'a').write('x')")
    service.wait_for("active")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(path)
        _, errors = service.process.communicate(timeout=PATIENCE)
    assert service.out.read_text() == "xxxx"
    assert "started 4 times within 3600 s" in errors


@alone_and_shared
def test_restart_and_stop_of_one_that_waits(services: Services) -> None:
    path = str(services.folder / "e.sock")
    log = services.out / "log"
    stop = services.script(f"echo stop >> {log}")
    service = Listening(services, f"ListenStream={path}", f"{DEMAND}\nExecStop={stop}\nExecStartPre=/bin/true")
    service.wait_for("active")
    assert not service.out.exists()
    assert service.call("Restart") == {}
    first = service.told()["pid"]
    assert service.status()["mainPid"] == first
    assert service.call("Restart") == {}
    assert ask(path) not in ("", str(first))
    assert lines(log) == ["stop"]  # of the one that has run
    assert service.call("Stop") == {}
    if services.shared:
        service.process.terminate()
    assert service.process.wait(PATIENCE) == 0


def test_a_daemon_is_started_when_it_listens(services: Services) -> None:
    path = str(services.folder / "f.sock")
    unit = services.unit(f"ExecStart={services.python(SERVER)}\n{DEMAND}")
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\n")
    assert services.daemon(unit).returncode == 0
    assert os.path.exists(path)
    assert ask(path)


def test_without_a_socket_there_is_nothing_to_wait_at(services: Services) -> None:
    unit = services.unit(f"ExecStart=/bin/true\n{DEMAND}")
    ran = services.run(unit, "--foreground")
    assert ran.returncode == 78
    assert 'X-Initkit-OnDemand = "yes": expected a socket to wait at' in ran.stderr


def test_a_signal_ends_one_that_waits(services: Services) -> None:
    unit = services.unit(f"ExecStart=/bin/sleep 1000\n{DEMAND}")
    path = services.folder / "g.sock"
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\nRemoveOnStop=yes\n")
    process = services.foreground(unit)
    until(path.exists, "the socket")
    assert finish(process) == (0, "", "")
    assert not path.exists()


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("ListenSpecial={0}", "cannot wait for traffic at {0}: such a file can always be read"),
        ("ListenSpecial=/dev/null", "cannot wait for traffic at /dev/null: such a file can always be read"),
        ("ListenFIFO={0}.fifo\nListenSpecial={0}", "cannot wait for traffic at {0}: such a file can always be read"),
        ("ListenStream=192.0.2.1:1", "cannot listen on 192.0.2.1:1: Cannot assign requested address"),
    ],
    ids=["file", "device", "one of two", "address"],
)
def test_where_nobody_can_wait(services: Services, listen: str, said: str) -> None:
    """It is the socket that fails, once; the service has not been started, and neither ends nor is started anew."""
    file, log = services.folder / "file", services.out / "log"
    file.touch()
    unit = services.unit(
        f"ExecStart=/bin/sleep 1000\n{DEMAND}\nRestart=always\nRestartSec=0\nFailureAction=exit\n"
        f"ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT >> {log}'"
    )
    unit.with_suffix(".socket").write_text(f"[Socket]\n{listen.format(file)}\n")
    ran = services.run(unit, "--foreground")
    assert (ran.returncode, ran.stderr) == (1, f"initkit: {unit.stem}: {said.format(file)}\n")
    assert lines(log) == []


def test_one_that_has_not_been_started_does_not_end(services: Services) -> None:
    log = services.out / "log"
    service = Listening(
        services, f"ListenStream={services.folder / 'h.sock'}", f"{DEMAND}\nExecStopPost=/bin/sh -c 'echo >> {log}'"
    )
    service.wait_for("active")
    assert service.end() == (0, "", "")
    assert lines(log) == []
