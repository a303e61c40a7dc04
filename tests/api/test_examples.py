"""The examples, run as their users run them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from initkit import Control
from initkit.run import client

from .conftest import Place, alive, tool, wait_for


def example(place: Place, name: str) -> Path:
    """The service of an example, under a name that no other test has."""
    service = name.removesuffix(".py")
    place.example(f"{service}.toml").rename(place.path / f"{place.name}.toml")
    return place.example(name, named={f'"{service}.toml"': f'"{place.name}.toml"'})


def ok(place: Place, *words: object, **more: str) -> str:
    done = place.run(*words, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(place: Place) -> Iterator[Path]:
    program = example(place, "clock.py")
    yield program
    place.run(program, "stop")


def test_clock(place: Place, clock: Path) -> None:
    ok(place, clock, "start")
    wait_for(lambda: int(ok(place, clock, "ticks")) > 2)
    assert ok(place, clock, "set-interval", "0.01") == "every 0.01 s"
    assert place.run(clock, "set-interval", "-1").stderr == "clock.py: set-interval: a clock does not stand still\n"
    state = json.loads(ok(place, clock, "state"))
    assert state["interval"] == 0.01
    ok(place, clock, "reload")
    wait_for(lambda: json.loads(ok(place, clock, "state"))["interval"] == 0.1)
    assert ok(place, "-m", "initkit", "call", f"{place.name}.toml", "state") != ""
    ok(place, clock, "stop")
    assert place.run(clock, "status").returncode == 3
    assert not alive(state["pid"])


def test_clock_by_its_own_unit(place: Place, clock: Path) -> None:
    """What a unit or an init script says of it, `initkit run` does as well."""
    folder = place.path / f"{place.name}.toml.d"
    folder.mkdir()
    words = json.dumps([sys.executable, str(clock), "run", "--foreground"])
    path = json.dumps(place.environment["PYTHONPATH"])
    (folder / "here.toml").write_text(f"exec_start = [[], {words}]\nenvironment = {{ PYTHONPATH = {path} }}\n")
    assert place.run("-m", "initkit", "run", "--daemon", f"{place.name}.toml").returncode == 0
    wait_for(lambda: int(ok(place, clock, "ticks")) > 0)
    assert ok(place, clock, "status").startswith(f"{place.name}: running, pid ")
    ok(place, clock, "reload")
    ok(place, clock, "stop")
    assert place.processes() == []


# --- a manager and its program ----------------------------------------------------------------------------------------


class Proxy(xmlrpc.client.ServerProxy):
    """The functions of a manager, by the standard library's own client."""

    def __init__(self, place: Place) -> None:
        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(20)
                self.sock.connect(str(place.root / f"{place.name}.commands"))

        class Transport(xmlrpc.client.Transport):
            def make_connection(self, host: object) -> http.client.HTTPConnection:
                return Connection("localhost")

        super().__init__("http://localhost", transport=Transport())


def test_manager_pair(place: Place) -> None:
    program_name = f"{place.name}-program"
    folder = place.example(
        "manager_pair",
        named={
            '"manager.toml"': f'"{place.name}.toml"',
            '"program.toml"': f'"{program_name}.toml"',
            "%t/initkit/program.log": str(place.path / "program.log"),
        },
    )
    (folder / "manager.toml").rename(folder / f"{place.name}.toml")
    (folder / "program.toml").rename(folder / f"{program_name}.toml")
    manager = folder / "manager.py"
    ok(place, manager, "start")
    try:
        status = json.loads(ok(place, manager, "program-status"))
        assert status["state"] == "running"
        assert alive(status["pid"])
        log = place.path / "program.log"
        wait_for(lambda: f"{status['pid']} beat 2\n" in log.read_text())
        assert ok(place, manager, "program-start") == str(status["pid"])  # it is there already
        assert ok(place, manager, "program-stop") == "true"
        assert not alive(status["pid"])
        assert json.loads(ok(place, manager, "program-status")) == {"state": "stopped", "pid": 0}
        assert ok(place, manager, "program-stop") == "false"
        second = int(ok(place, manager, "program-start"))
        assert alive(second)
        assert ok(place, manager, "add", "3", "-4") == "-1"
        assert ok(place, manager, "echo", "a", "b  c") == "a b  c"
        assert float(ok(place, manager, "uptime")) > 0
        proxy = Proxy(place)
        assert proxy.ping() is True
        assert proxy.add(3, -4) == "-1"
        assert json.loads(str(proxy.program_status()))["pid"] == second
        assert {"add", "echo", "program-start"} <= set(proxy.system.listMethods())
    finally:
        done = place.run(manager, "stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(second)
    assert place.run(manager, "program-status").returncode == 7


# --- a server of the Redis protocol -----------------------------------------------------------------------------------


@pytest.fixture
def resp(place: Place) -> Iterator[tuple[Path, str]]:
    program = place.example("resp_server.py", named={'"resp-server"': f'"{place.name}"'})
    with socket.socket() as held:  # while it is bound, the kernel gives the port to nobody who asks for any
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
        ok(place, program, "start", PORT=port)
        yield program, port
        place.run(program, "stop")


def test_redis_cli(place: Place, resp: tuple[Path, str]) -> None:
    program, port = resp
    cli = tool("redis-cli", "redis-tools")

    def say(*words: str) -> str:
        done = subprocess.run([cli, "-p", port, *words], capture_output=True, check=False, timeout=30)
        return done.stdout.decode().removesuffix("\n")

    assert say("PING") == "PONG"
    assert say("SET", "key", "a value\r\nof two lines") == "OK"
    assert say("GET", "key") == "a value\r\nof two lines"
    assert say("GET", "none") == ""
    assert say("INCR", "count") == "1"
    assert say("INCR", "key").startswith("ERR value is not an integer")
    assert say("CONFIG", "GET", "save", "appendonly").split("\n") == ["save", "", "appendonly", "no"]
    assert say("NONSENSE").startswith("ERR unknown command 'NONSENSE'")
    assert say("GET").startswith("ERR wrong number of arguments")
    assert json.loads(ok(place, program, "keys")) == ["count", "key"]


def test_redis_benchmark(resp: tuple[Path, str]) -> None:
    benchmark = tool("redis-benchmark", "redis-tools")
    words = [benchmark, "-p", resp[1], "-t", "ping,set,get", "-n", "10000", "-q"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(PING_INLINE|PING_MBULK|PING_BULK|SET|GET): ([0-9.]+) requests per second", done.stdout)
    assert {name for name, _ in found} >= {"PING_INLINE", "SET", "GET"}
    assert all(float(rate) > 0 for _, rate in found)


def test_requests_in_pieces_and_requests_that_are_none(resp: tuple[Path, str]) -> None:
    def say(*pieces: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", int(resp[1])), timeout=10) as client:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.01)
            client.shutdown(socket.SHUT_WR)
            data = b""
            while more := client.recv(4096):
                data += more
            return data

    request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\x00\xff\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n"
    expected = b"+OK\r\n$4\r\n\r\n\x00\xff\r\n+PONG\r\n"
    assert say(request) == expected
    assert say(*(request[at : at + 1] for at in range(len(request)))) == expected
    assert say(b'SET "in line" yes\r\n\r\nGET "in line"\nQUIT\r\nPING\r\n') == b"+OK\r\n$3\r\nyes\r\n+OK\r\n"
    for nonsense in (
        b"*x\r\n",
        b"*1\r\n+PING\r\n",
        b"*1\r\n$-5\r\n",
        b"*99999999\r\n",
        b'"\r\n',
        b"*1\r\n$9999999999\r\n",
    ):
        assert say(nonsense).startswith(b"-ERR Protocol error")
    assert say(b"PING\r\n") == b"+PONG\r\n"


# --- a program and its logger -----------------------------------------------------------------------------------------


@pytest.fixture
def pipeline(place: Place) -> tuple[Path, Path]:
    """The settings, and the log."""
    log = place.path / "log"
    named = {
        "/opt/pipeline": str(place.path / "pipeline"),
        "/var/log/pipeline.log": str(log),
        "/var/lib/pipeline.count": str(place.path / "count"),
        "/usr/bin/python3": sys.executable,
    }
    folder = place.example("pipeline", named=named)
    settings = folder / f"{place.name}.toml"
    (folder / "pipeline.toml").rename(settings)
    return settings, log


def numbers(log: Path) -> list[int]:
    """Of the lines, all of which must be whole."""
    found = [re.fullmatch(r"line ([0-9]+)", line) for line in log.read_text().removesuffix("\n").split("\n")]
    return [int(each[1]) if each else -1 for each in found]


def test_pipeline(place: Place, pipeline: tuple[Path, Path]) -> None:
    settings, log = pipeline
    control = Control(settings) if os.geteuid() == 0 else None
    assert place.run("-m", "initkit", "run", "--daemon", settings).returncode == 0
    wait_for(lambda: log.exists() and "line 3\n" in log.read_text())
    shown = place.run("-m", "initkit", "status", settings).stdout
    assert "pipeline/program" in shown and "pipeline/logger" in shown and "Logger:" in shown
    done = place.run("-m", "initkit", "stop", settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert place.processes() == []
    assert numbers(log) == list(range(1, len(numbers(log)) + 1))  # none lost, none split
    if control:
        assert control.status().state == "stopped"
        pid = control.start()
        assert alive(pid)
        assert control.stop()
        assert place.processes() == []


def test_pipeline_with_both_killed_again_and_again(place: Place, pipeline: tuple[Path, Path]) -> None:
    """Fifty times, in any order: no line is lost, none is split, and they are in their order."""
    settings, log = pipeline
    folder = settings.with_name(f"{settings.name}.d")
    folder.mkdir()
    (folder / "fast.toml").write_text('environment = { PAUSE = "0.001" }\nrestart_sec = 0\n')
    manager = place.begin("-m", "initkit", "run", "--foreground", settings)
    dice = random.Random(50)
    killed = {"mainPid": 0, "loggerPid": 0}
    last = dict(killed)
    socket_path = str(place.root / f"{place.name}.sock")

    def another(which: str) -> bool:
        """Whether one runs that has not been killed yet."""
        with contextlib.suppress(client.NoManager):
            found = client.call(socket_path, "Status")["service"][which] or last[which]
            last[which], before = int(found), last[which]
            return last[which] != before
        return False

    wait_for(lambda: log.exists() and len(log.read_bytes()) > 100)
    for _ in range(50):
        which = dice.choice(list(killed))
        wait_for(lambda which=which: another(which))  # type: ignore[misc]
        time.sleep(dice.random() / 20)
        os.kill(last[which], signal.SIGKILL)
        killed[which] += 1
    before = log.stat().st_size
    wait_for(lambda: log.stat().st_size > before, "both run again")
    manager.terminate()
    assert manager.wait(60) == 0
    manager.communicate()
    assert place.processes() == []
    assert min(killed.values()) > 10
    found = numbers(log)
    steps = [after - earlier for earlier, after in itertools.pairwise(found)]
    assert found[0] == 1
    assert set(steps) <= {0, 1}
    assert steps.count(0) <= killed["mainPid"]  # said, and not yet noted down
    assert found[-1] >= int((place.path / "count").read_text())


# --- hits: a socket and a memory that outlive the program -------------------------------------------------------------


def test_hits_forgets_nobody(place: Place) -> None:
    program = example(place, "hits.py")
    path = place.path / "hits.sock"
    folder = place.path / f"{place.name}.toml.d"
    folder.mkdir()
    (folder / "here.toml").write_text(
        f"exec_start = [[], {json.dumps([sys.executable, str(program)])}]\n"
        f"environment = {{ PYTHONPATH = {json.dumps(place.environment['PYTHONPATH'])} }}\n"
        f'[socket]\nlisten_stream = ["", "{path}"]\n'
    )

    def come() -> int:
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(20)
            made.connect(str(path))
            return int(made.makefile().read())

    initkit = ("-m", "initkit")
    assert ok(place, *initkit, "run", "--daemon", f"{place.name}.toml") == ""
    try:
        assert [come() for _ in range(3)] == [1, 2, 3]
        ok(place, *initkit, "restart", f"{place.name}.toml")
        assert come() == 4
        status = json.loads(ok(place, *initkit, "status", "--json", f"{place.name}.toml"))
        os.kill(status["mainPid"], 9)
        wait_for(lambda: not alive(status["mainPid"]))  # until then it may accept, and take its word with it
        assert come() == 5
        assert oct(path.stat().st_mode)[-3:] == "660"
    finally:
        place.run(*initkit, "stop", f"{place.name}.toml")
    assert not path.exists()
