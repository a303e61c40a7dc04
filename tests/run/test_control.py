"""The control socket: who may use it, and that no client gets in another's way."""

from __future__ import annotations

import fcntl
import grp
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from initkit.errors import InitkitError
from initkit.run import client

from .clients import Managed, UnixConnection, Wire, child_as, connect, proxy, request, sleeps_for_ever, timed
from .harness import CHECKOUT, PATIENCE, Services, alive, finish, until

SLEEP = "ExecStart=/bin/sleep 1000\nRestart=on-failure"
NOBODY = 65534
GROUP = "daemon"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def managed(services: Services) -> Iterator[Managed]:
    made = Managed(services, SLEEP)
    made.wait_for("active")
    yield made


# --- the socket -------------------------------------------------------------------------------------------------------


def test_the_socket_is_the_owners_and_goes_with_the_manager(managed: Managed) -> None:
    found = os.stat(managed.path)
    assert (found.st_mode & 0o777, found.st_uid) == (0o600, os.geteuid())
    assert managed.call("Ping")["pid"] == managed.process.pid
    assert managed.end() == (0, "", "")
    assert not Path(managed.path).exists()
    with pytest.raises(client.NoManager):
        managed.call("Ping")


def test_a_daemon_has_it_too(services: Services) -> None:
    unit = services.unit(SLEEP)
    assert services.daemon(unit).returncode == 0
    path = str(services.runtime / "initkit" / f"{unit.stem}.sock")
    manager = client.call(path, "Ping")["pid"]
    assert manager == services.pid(unit)
    main = client.call(path, "Status")["service"]["mainPid"]
    assert client.call(path, "Stop") == {}
    # Whoever has been told that it is stopped can start it again at once.
    assert not alive(main)
    assert services.pid(unit) == 0
    assert services.daemon(unit).returncode == 0
    assert client.call(path, "Ping")["pid"] not in (0, manager)


def test_a_dead_managers_socket_is_replaced(managed: Managed) -> None:
    main = managed.status()["mainPid"]
    managed.process.kill()
    managed.process.wait()
    os.kill(main, signal.SIGKILL)
    assert Path(managed.path).exists()
    managed.run()
    assert managed.call("Ping")["pid"] == managed.process.pid


def test_a_living_managers_socket_is_not(managed: Managed, services: Services) -> None:
    second = services.run(managed.unit, "--foreground")
    said = f"initkit: {managed.unit.stem} is already running, pid {managed.process.pid}\n"
    assert (second.returncode, second.stderr) == (1, said)
    assert managed.call("Ping")["pid"] == managed.process.pid


def test_a_place_that_somebody_has_is_not_taken(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nRestart=always")
    path = services.runtime / "initkit" / f"{unit.stem}.sock.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        running = services.foreground(unit)
        assert running.stderr is not None
        assert "another manager listens there" in running.stderr.readline()
        assert running.poll() is None
        finish(running)


def test_a_socket_that_cannot_be_made_is_no_failure(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exit 3')}\nRestart=on-success")
    (services.runtime / "initkit" / f"{unit.stem}.sock.lock").mkdir(parents=True)
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 3
    first, second = finished.stderr.splitlines()
    assert "no control socket" in first
    assert "Is a directory" in first
    assert "exited with status 3" in second


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows the system calls of x86_64")
def test_an_idle_manager_sleeps(managed: Managed) -> None:
    until(lambda: sleeps_for_ever(managed.process.pid))
    with Wire(managed.path) as wire:
        assert wire.ask("Ping")
        until(lambda: not sleeps_for_ever(managed.process.pid))  # this client has its time
    until(lambda: sleeps_for_ever(managed.process.pid))
    assert proxy(managed.path).ping() is True
    until(lambda: sleeps_for_ever(managed.process.pid))


# --- rights -----------------------------------------------------------------------------------------------------------


def asked(path: str, method: str) -> list[object]:
    """What Varlink and XML-RPC say to a method: an error's name or "", and an HTTP status."""
    try:
        client.call(path, method)
        error = ""
    except client.RemoteError as fault:
        error = fault.name.rpartition(".")[2]
    except InitkitError as fault:
        return [str(fault), fault.status]
    http = UnixConnection(path)
    body = f"<?xml version='1.0'?><methodCall><methodName>{method.lower()}</methodName><params/></methodCall>"
    http.request("POST", "/RPC2", body)
    return [error, http.getresponse().status]


@as_root
def test_others_cannot_even_connect(managed: Managed) -> None:
    with child_as(NOBODY, NOBODY, [], lambda: asked(managed.path, "Ping")) as (found,):
        assert found == [f"{managed.path}: this user may not talk to the manager", 4]


@as_root
@pytest.mark.parametrize("method", ["Status", "Stop"])
def test_others_are_refused(managed: Managed, method: str) -> None:
    os.chmod(managed.path, 0o666)  # somebody has opened it
    with child_as(NOBODY, NOBODY, [], lambda: asked(managed.path, method)) as (found,):
        assert found == ["PermissionDenied", 403]
    assert managed.status()["state"] == "active"


@as_root
@pytest.mark.parametrize("supplementary", [False, True])
def test_the_group_may_look(services: Services, supplementary: bool) -> None:
    managed = Managed(services, f"{SLEEP}\nX-Initkit-ControlGroup={GROUP}")
    managed.wait_for("active")
    gid = grp.getgrnam(GROUP).gr_gid
    found = os.stat(managed.path)
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, gid)
    who = (NOBODY, NOBODY, [1234, gid]) if supplementary else (NOBODY, gid, [])
    for method in ("Ping", "Status"):
        with child_as(*who, lambda: asked(managed.path, method)) as (found,):  # noqa: B023
            assert found == ["", 200]
    for method in ("Stop", "Start", "Restart", "Reload"):
        with child_as(*who, lambda: asked(managed.path, method)) as (found,):  # noqa: B023
            assert found == ["PermissionDenied", 403]
    with child_as(NOBODY, NOBODY, [], lambda: asked(managed.path, "Ping")) as (found,):
        assert found[1] == 4
    assert managed.status()["state"] == "active"


def test_a_group_that_is_not_there(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true\nRestart=on-failure\nX-Initkit-ControlGroup=nosuchgroup")
    finished = services.run(unit, "--foreground")
    assert (finished.returncode, finished.stderr.count("\n")) == (0, 1)
    assert "no control socket" in finished.stderr
    assert "nosuchgroup" in finished.stderr


def hung_up(made: socket.socket) -> None:
    """Wait for the other side to hang up without a word."""
    with suppress(ConnectionResetError):
        assert made.recv(1) == b""


# --- clients that are a trouble ---------------------------------------------------------------------------------------


def answers_quickly(managed: Managed) -> None:
    """Whoever waited for another client would do so for 5 s, that client's time."""
    assert timed(lambda: managed.call("Ping")) < 4.0


def test_silent_clients(managed: Managed) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(managed.path))
        answers_quickly(managed)


@pytest.mark.parametrize("begun", [request("Ping")[:-2], b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1000\r\n\r\n<"])
def test_a_request_without_an_end(managed: Managed, begun: bytes) -> None:
    slow = connect(managed.path)
    connected = time.monotonic()
    slow.sendall(begun)
    answers_quickly(managed)
    # It goes on sending, and is hung up on all the same: what counts is when the request began.
    more = threading.Event()

    def dribble() -> None:
        try:
            while not more.wait(0.2):
                slow.send(b" ")
        except OSError:
            pass

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        hung_up(slow)
        assert time.monotonic() - connected > 4.0
    finally:
        more.set()
        thread.join()
        slow.close()
    answers_quickly(managed)


@pytest.mark.parametrize(
    "lie",
    [
        b"\x16\x03\x01 TLS, perhaps",
        b"hello\n",
        b"\0",
        b"{}\0",
        b"{\0",
        b"[1]\0",
        b'{"method": 1}\0',
        b'{"method": "a.b", "parameters": []}\0',
        b'{"method": "io.initkit.Manager.Ping", "more": true, "oneway": true}\0',
        b'{"a":' * 9000 + b"\0",
        b"{" + b"[" * 60000 + b"\0",
        b'{"method": "\xff"}\0',
        b'{"method": NaN}\0',
        b"{" + b"x" * 65536,
        b"POST\r\n\r\n",
        b"GET / SMTP\r\n\r\n",
        b"POST / HTTP/1.1\r\nno header\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"P" * 65536,
    ],
    ids=lambda lie: repr(lie[:20]),
)
def test_clients_that_speak_nothing_known(managed: Managed, lie: bytes) -> None:
    with connect(managed.path) as made:
        try:
            made.sendall(lie)
            assert made.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    answers_quickly(managed)


def test_a_flood_leaves_room_for_others(managed: Managed) -> None:
    def flood(flooder: socket.socket) -> None:
        calls = request("Status") * 100
        with suppress(OSError):
            while True:
                flooder.sendall(calls)

    def drain(flooder: socket.socket) -> None:
        with suppress(OSError):
            while flooder.recv(1 << 20):
                pass

    with ExitStack() as stack:
        flooders = [stack.enter_context(connect(managed.path)) for _ in range(4)]
        threads = [threading.Thread(target=act, args=(each,)) for each in flooders for act in (flood, drain)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                answers_quickly(managed)
            with Wire(managed.path) as wire:
                wire.say("Restart")  # also what takes several turns of the loop
                assert wire.hear() == {"parameters": {}}
        finally:
            for each in flooders:
                each.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def test_a_client_that_does_not_read(managed: Managed) -> None:
    before = managed.rss()
    with connect(managed.path) as deaf:
        deaf.setblocking(False)
        calls = request("org.varlink.service.GetInterfaceDescription", {"interface": "io.initkit.Manager"}) * 1000
        with pytest.raises(BlockingIOError):
            while True:
                deaf.send(calls)
        answers_quickly(managed)
        assert managed.rss() - before < 8 << 20


def test_a_watcher_that_does_not_read_is_dropped(services: Services) -> None:
    # A status text of 3 KiB, again and again, is more than a buffer holds.
    program = services.python(
        "import itertools\n"
        "for n in itertools.count():\n"
        "    notify(f'STATUS={n:03000}')\n"
        "    if n == 1: print('on', flush=True)\n"
        "    time.sleep(0.0005)\n"
    )
    managed = Managed(services, f"ExecStart={program}\nNotifyAccess=main")
    with Wire(managed.path) as deaf:
        assert deaf.ask("Status", more=True)
        fds = Path(f"/proc/{managed.process.pid}/fd")
        count = len(list(fds.iterdir()))
        until(lambda: len(list(fds.iterdir())) < count, "the end of the watcher")
        assert managed.rss() < 64 << 20
    answers_quickly(managed)


def test_a_hundred_clients_at_once(managed: Managed) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(managed.path)) for _ in range(100)]
        for wire in wires:
            wire.say("Ping")
        found = [wire.hear() for wire in wires[:80]]
        served = [each for each in found if each and "parameters" in each and "pid" in each["parameters"]]
        busy = [each for each in found if each and each.get("error") == "io.initkit.Manager.Busy"]
        assert (len(served), len(busy)) == (64, 16)
        for wire in wires[:80]:
            wire.socket.close()
        assert all(wire.hear() for wire in wires[80:])  # who has waited is answered, and served when there is room
    answers_quickly(managed)


def test_a_hundred_clients_one_after_the_other_in_parallel(managed: Managed) -> None:
    found: list[object] = []

    def ask() -> None:
        try:
            for _ in range(5):
                managed.call("Status")
            found.append("served")
        except client.RemoteError as fault:
            found.append(fault.name)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 100
    assert set(found) <= {"served", "io.initkit.Manager.Busy"}
    assert found.count("served") >= 64


def test_no_room_for_another_client(managed: Managed) -> None:
    pid = managed.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
    with ExitStack() as stack:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 4, limits[1]))
        wires = [stack.enter_context(Wire(managed.path)) for _ in range(10)]
        for wire in wires:
            wire.say("Ping")
        before = sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))
        assert wires[0].hear()
        for wire in wires[:-1]:
            wire.socket.close()
        assert wires[-1].hear()  # when there is room again
        used = sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15])) - before
        assert used < 50  # clock ticks: it has not tried again all the time
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


#: Becomes a user with a group, connects so often, says how often it could, and keeps what it has until it is to end.
CROWD = """
import os, socket, sys, threading, time
path, (user, group, count, seconds) = sys.argv[1], map(int, sys.argv[2:])
os.setgroups([]); os.setresgid(group, group, group); os.setresuid(user, user, user)
made = [socket.socket(socket.AF_UNIX) for _ in range(count)]
threads = [threading.Thread(target=each.connect, args=(path,), daemon=True) for each in made]
for each in threads: each.start()
end = time.monotonic() + seconds
for each in threads: each.join(max(0, end - time.monotonic()))
print(sum(not each.is_alive() for each in threads), flush=True)
sys.stdin.read()
"""


@as_root
def test_who_may_only_look_locks_nobody_out(services: Services) -> None:
    """However many connections the group's members have: they do not count as the owner's."""
    managed = Managed(services, f"{SLEEP}\nX-Initkit-ControlGroup={GROUP}")
    managed.wait_for("active")
    gid = grp.getgrnam(GROUP).gr_gid
    words = map(str, (NOBODY, gid, 300, int(PATIENCE)))
    crowd = subprocess.Popen(
        [sys.executable, "-ISc", CROWD, managed.path, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == "300\n"  # nobody has to wait for them
        with child_as(NOBODY, gid, [], lambda: asked(managed.path, "Ping")) as (found,):
            assert found == [f"{managed.path}: the manager has too many clients", 4]
        for _ in range(10):
            managed.call("Restart")
            assert managed.status()["state"] == "active"
        assert len(list(Path(f"/proc/{managed.process.pid}/fd").iterdir())) < 100


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[socket.socket]:
    """Somebody who listens, and takes nobody in; one waits already, and there is no room for another."""
    path = str(tmp_path / "stuck.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield listener


def test_a_queue_that_is_full_is_waited_at(stuck: socket.socket) -> None:
    path = stuck.getsockname()
    with pytest.raises(InitkitError) as caught:
        client.call(path, "Ping", timeout=0.1)
    assert str(caught.value) == f"{path}: the manager has taken nobody in within 0.1 s"
    assert not isinstance(caught.value, client.NoManager)


def test_a_signal_does_not_end_the_wait_at_a_full_queue(stuck: socket.socket) -> None:
    """Python takes connect(2) to have succeeded then."""
    came: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(InitkitError, match="has taken nobody in"):
            client.call(stuck.getsockname(), "Ping", timeout=0.5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert came


def test_who_waits_at_a_full_queue_has_his_turn(stuck: socket.socket) -> None:
    found: list[object] = []
    thread = threading.Thread(
        target=lambda: found.append(client.call(stuck.getsockname(), "Ping", timeout=PATIENCE)), daemon=True
    )
    thread.start()
    until(lambda: "(sleeping)" in Path(f"/proc/self/task/{thread.native_id}/status").read_text())
    for _ in range(2):
        taken, _ = stuck.accept()
    assert b"Ping" in taken.recv(1000)
    taken.sendall(b'{"parameters": {"pid": 1}}\0')
    thread.join(PATIENCE)
    taken.close()
    assert found == [{"pid": 1}]


def test_the_program_inherits_nothing_of_it(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        wire.ask("Restart")
        main = managed.status()["mainPid"]
        links = [os.readlink(each) for each in Path(f"/proc/{main}/fd").iterdir()]
        assert not [link for link in links if "socket" in link or ".lock" in link]


def test_a_status_costs_no_import_of_re(managed: Managed) -> None:
    """What a plain Varlink client makes the manager load."""
    managed.call("Status")
    program = "import sys; from initkit.run import control, connection, varlink, manager, client; print(*sys.modules)"
    found = subprocess.run(
        ["python3", "-ISc", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heavy = {"re", "json", "typing", "dataclasses", "enum", "socket", "http", "xmlrpc", "ctypes", "selectors"}
    assert not heavy & set(found.stdout.split())
