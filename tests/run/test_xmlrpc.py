"""XML-RPC on the control socket: Python's own client, Supervisor's `supervisorctl`, and HTTP as it should not be."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import suppress

import pytest

from .clients import SUPERVISORCTL, Managed, UnixConnection, Wire, connect, proxy, supervisorctl
from .harness import PATIENCE, Services, alive, until

PING = b"<?xml version='1.0'?><methodCall><methodName>ping</methodName><params></params></methodCall>"


@pytest.fixture
def managed(services: Services) -> Iterator[Managed]:
    log = services.out / "log"
    program = services.script("trap 'echo usr1' USR1; echo wrong >&2; echo begun; while :; do sleep 0.02; done")
    settings = f"ExecStart={program}\nRestart=on-failure\nStandardOutput=append:{log}\nStandardError=append:{log}.err"
    made = Managed(services, settings, unit="Description=Logs & <signals>")
    made.wait_for("active")
    until(lambda: log.exists() and log.read_text() == "begun\n")
    yield made


# --- xmlrpc.client ----------------------------------------------------------------------------------------------------


def test_a_few_lines_of_python(managed: Managed) -> None:
    server = proxy(managed.path)
    assert server.ping() is True
    found = server.status()
    assert (found["name"], found["state"], found["description"]) == (managed.name, "active", "Logs & <signals>")
    assert isinstance(found["since"], float)  # XML-RPC's integers have 32 bits
    assert server.status(managed.name)["mainPid"] == found["mainPid"]
    assert server.restart() is True
    assert server.status()["mainPid"] != found["mainPid"]
    assert server.start() is True
    assert {"ping", "status", "system.listMethods", "supervisor.getState"} <= set(server.system.listMethods())
    assert "pid" in server.system.methodHelp("supervisor.getPID")
    assert server.stop() is True
    assert managed.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("nothing", (), 1),
        ("supervisor.nothing", (), 1),
        ("status", ("other",), 10),
        ("status", (1,), 2),
        ("status", ("a", "b"), 2),
        ("reload", (), 30),
        ("supervisor.getPID", (1,), 2),
        ("supervisor.getProcessInfo", (), 2),
        ("supervisor.getProcessInfo", ("other",), 10),
        ("supervisor.startProcess", ("NAME:other",), 10),
        ("supervisor.startProcess", ("NAME",), 60),
        ("supervisor.signalProcess", ("NAME", "NONE"), 11),
        ("supervisor.readProcessStdoutLog", ("NAME", -5, 5), 3),
        ("supervisor.readProcessStdoutLog", ("NAME", "0", 5), 2),
        ("supervisor.readLog", (0, 0), 20),
        ("supervisor.clearLog", (), 20),
        ("supervisor.clearProcessLogs", (), 2),
        ("supervisor.clearAllProcessLogs", ("NAME",), 2),
    ],
)
def test_faults(managed: Managed, method: str, arguments: tuple[object, ...], code: int) -> None:
    given = [each.replace("NAME", managed.name) if isinstance(each, str) else each for each in arguments]
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(proxy(managed.path), method)(*given)
    assert caught.value.faultCode == code


def test_parts_of_a_log(managed: Managed, services: Services) -> None:
    (services.out / "log").write_bytes(b"0123456789\x1b[1m\xff\n")
    server, name = proxy(managed.path).supervisor, managed.name
    assert server.readProcessStdoutLog(name, 2, 3) == "234"
    assert server.readProcessStdoutLog(name, -7, 0) == "9\ufffd[1m\ufffd\n"  # XML has no escape character
    assert server.readProcessStdoutLog(name, 9, 0) == "9\ufffd[1m\ufffd\n"
    assert server.readProcessStderrLog(name, 0, 0) == "wrong\n"
    assert server.tailProcessStdoutLog(name, 0, 4) == ["[1m\ufffd\n"[-4:], 16, True]
    assert server.tailProcessStdoutLog(name, 16, 4) == ["", 16, False]
    assert server.tailProcessStdoutLog(name, 14, 100) == ["m\ufffd\n"[1:], 16, False]


def test_states_and_groups(managed: Managed) -> None:
    server, name = proxy(managed.path).supervisor, managed.name
    assert server.getState() == {"statecode": 1, "statename": "RUNNING"}
    assert server.getPID() == managed.process.pid
    (found,) = server.getAllProcessInfo()
    assert (found["name"], found["group"], found["statename"], found["state"]) == (name, name, "RUNNING", 20)
    assert found["stdout_logfile"].endswith("/log")
    assert found["stderr_logfile"].endswith("/log.err")
    done = [{"name": name, "group": name, "status": 80, "description": "OK"}]
    assert server.stopProcessGroup(name) == done
    assert server.stopProcessGroup(name) == []
    assert server.getProcessInfo(name)["statename"] == "STOPPED"
    assert server.startAllProcesses() == done
    assert server.signalAllProcesses("CONT") == done
    assert server.stopProcess(f"{name}:*") == done
    assert server.startProcess(name, False) is True
    managed.wait_for("active")
    assert server.shutdown() is True
    assert managed.process.wait(PATIENCE) == 0


def test_a_service_that_was_stopped_can_be_ended(managed: Managed) -> None:
    proxy(managed.path).supervisor.stopProcess(managed.name)
    assert managed.status()["state"] == "inactive"
    assert managed.call("Stop") == {}
    assert managed.process.wait(PATIENCE) == 0


def test_a_start_that_fails(services: Services) -> None:
    good = services.out / "good"
    good.touch()
    managed = Managed(services, f"ExecStart=/bin/sleep 1000\nExecStartPre=/usr/bin/test -e {good}\nRestart=on-success")
    managed.wait_for("active")
    good.unlink()
    with pytest.raises(xmlrpc.client.Fault) as caught:
        proxy(managed.path).restart()
    assert caught.value.faultCode == 40
    assert "exited with status 1" in caught.value.faultString
    assert managed.process.wait(PATIENCE) == 1


# --- supervisorctl ----------------------------------------------------------------------------------------------------


def test_supervisorctl(managed: Managed, services: Services) -> None:
    path, name = managed.path, managed.name
    main = managed.status()["mainPid"]
    words = supervisorctl(path, "status").split()
    assert words[:4] == [name, "RUNNING", "pid", f"{main},"]
    assert supervisorctl(path, "pid") == f"{managed.process.pid}\n"
    assert supervisorctl(path, "pid", name) == f"{main}\n"
    assert supervisorctl(path, "version") == "initkit 0.1.0\n"
    assert supervisorctl(path, "tail", name) == "begun\n\n"
    assert supervisorctl(path, "tail", "-4", name, "stderr") == "ong\n\n"
    assert supervisorctl(path, "signal", "USR1", name) == f"{name}: signalled\n"
    until(lambda: (services.out / "log").read_text() == "begun\nusr1\n")
    assert supervisorctl(path, "start", name) == f"{name}: ERROR (already started)\n"
    assert supervisorctl(path, "restart", name) == f"{name}: stopped\n{name}: started\n"
    assert not alive(main)
    assert supervisorctl(path, "stop", "all") == f"{name}: stopped\n"
    assert managed.status()["processes"] == []
    assert supervisorctl(path, "status", status=3).split()[:2] == [name, "STOPPED"]
    assert supervisorctl(path, "stop", name) == f"{name}: ERROR (not running)\n"
    assert supervisorctl(path, "start", f"{name}:*") == f"{name}: started\n"
    assert supervisorctl(path, "status", "nosuch", status=4) == "nosuch: ERROR (no such process)\n"
    assert supervisorctl(path, "shutdown") == "Shut down\n"
    assert managed.process.wait(PATIENCE) == 0
    assert "no such file" in supervisorctl(path, "status", status=4)


def test_supervisorctl_empties_logs(managed: Managed, services: Services) -> None:
    path, name, log = managed.path, managed.name, services.out / "log"
    assert supervisorctl(path, "clear", name) == f"{name}: cleared\n"
    assert (log.read_bytes(), (services.out / "log.err").read_bytes()) == (b"", b"")
    supervisorctl(path, "signal", "USR1", name)
    until(lambda: log.read_bytes() == b"usr1\n")  # it goes on where it begins
    assert supervisorctl(path, "clear", "all") == f"{name}: cleared\n"
    assert log.read_bytes() == b""
    assert supervisorctl(path, "clear", "nosuch", status=1) == "nosuch: ERROR (no such process)\n"
    log.unlink()
    log.symlink_to(services.out / "other")
    (services.out / "other").write_text("another's")
    assert supervisorctl(path, "clear", name, status=1) == f"{name}: ERROR (failed)\n"
    assert (services.out / "other").read_text() == "another's"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("X-Initkit-LogFile={out}/kept", "cleared"),
        ("StandardOutput=file:{out}/kept", "ERROR (failed)"),  # it would go on behind a hole
        ("StandardOutput=null", "ERROR (failed)"),
    ],
)
def test_logs_that_can_be_emptied(services: Services, settings: str, said: str) -> None:
    program = services.script("trap 'echo usr1' USR1; echo begun; while :; do sleep 0.02; done")
    managed = Managed(services, f"ExecStart={program}\nRestart=on-failure\n" + settings.format(out=services.out))
    managed.wait_for("active")
    kept, nowhere = services.out / "kept", "null" in settings
    until(lambda: nowhere or (kept.exists() and kept.read_bytes() == b"begun\n"))
    assert supervisorctl(managed.path, "clear", managed.name, status=None) == f"{managed.name}: {said}\n"
    assert supervisorctl(managed.path, "clear", "all", status=None) == f"{managed.name}: {said}\n"
    if not nowhere:
        supervisorctl(managed.path, "signal", "USR1", managed.name)
        until(lambda: kept.read_bytes() == (b"usr1\n" if said == "cleared" else b"begun\nusr1\n"))


@pytest.mark.parametrize("how", ["run", "start"])
def test_a_manager_that_waits_is_told_to_start(services: Services, how: str) -> None:
    """After `supervisorctl stop` the manager is there and the service is not: a start is no "already running"."""
    good = services.out / "good"
    good.touch()
    settings = "Restart=on-failure\nRestartSec=1h"  # which keeps the manager, and starts nothing by itself
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nExecStartPre=/usr/bin/test -e {good}\n{settings}")
    assert services.daemon(unit).returncode == 0
    manager = services.pid(unit)
    path = str(services.runtime / "initkit" / f"{unit.stem}.sock")

    def start() -> subprocess.CompletedProcess[str]:
        words = ["start", str(unit)] if how == "start" else ["run", str(unit), "--daemon"]
        return subprocess.run(
            [sys.executable, "-m", "initkit", *words],
            env=services.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    if how == "run":
        assert "already running" in start().stderr
    supervisorctl(path, "stop", unit.stem)
    good.unlink()
    failed = start()
    assert failed.returncode == 1
    assert "/usr/bin/test failed: exited with status 1" in failed.stderr
    supervisorctl(path, "stop", unit.stem)
    good.touch()
    started = start()
    assert (started.returncode, started.stderr) == (0, "")
    assert services.pid(unit) == manager
    assert supervisorctl(path, "status").split()[1] == "RUNNING"


def test_supervisorctl_follows_a_log(managed: Managed, services: Services) -> None:
    argv = [str(SUPERVISORCTL), "-s", f"unix://{managed.path}", "tail", "-f", managed.name]
    following = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert following.stdout is not None
    assert "Press Ctrl-C" in following.stdout.readline()
    assert following.stdout.readline() == "begun\n"
    with (services.out / "log").open("a") as file:
        file.write("more\n")
    assert following.stdout.readline() == "more\n"
    following.terminate()
    following.communicate()


# --- HTTP -------------------------------------------------------------------------------------------------------------


def post(connection: UnixConnection, body: bytes, target: str = "/RPC2", **headers: str) -> http.client.HTTPResponse:
    connection.request("POST", target, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def test_keep_alive(managed: Managed) -> None:
    connection = UnixConnection(managed.path)
    for _ in range(3):
        assert b"boolean" in post(connection, PING).read()
        assert connection.sock is not None
    assert b"boolean" in post(connection, PING, Connection="close").read()
    assert connection.sock is None


def test_pipelined_and_old_requests(managed: Managed) -> None:
    with connect(managed.path) as made:
        new = b"POST /RPC2 HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(PING), PING)
        made.sendall(new * 2 + new.replace(b"HTTP/1.1", b"HTTP/1.0"))
        received = b""
        while data := made.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert received.count(b"Connection: close\r\n") == 1


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status"),
    [
        ("GET", "/", {}, b"", 404),
        ("GET", "/logtail/nosuch/stdout", {}, b"", 404),
        ("PUT", "/RPC2", {}, PING, 405),
        ("POST", "/elsewhere", {}, PING, 404),
        ("POST", "/RPC2", {"Content-Length": "many"}, PING, 411),
        ("POST", "/RPC2", {"Content-Length": "-1"}, PING, 411),
        ("POST", "/RPC2", {"Content-Length": "10000000"}, PING, 413),
        ("POST", "/RPC2", {"Content-Length": "999999999999999"}, PING, 411),
        ("POST", "/RPC2", {"Transfer-Encoding": "chunked"}, b"", 417),
        ("POST", "/RPC2", {"Expect": "100-continue"}, PING, 417),
        ("POST", "/RPC2", {}, b"no XML", 400),
        ("POST", "/RPC2", {}, PING[:-10], 400),
        ("POST", "/RPC2", {}, b"<methodResponse><params/></methodResponse>", 400),
        ("POST", "/RPC2", {}, PING.replace(b"<params>", b"<params><param><value><int>x</int></value></param>"), 400),
    ],
)
def test_what_http_refuses(
    managed: Managed, method: str, target: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    connection = UnixConnection(managed.path)
    with suppress(BrokenPipeError):  # it may be refused before its body is sent
        connection.request(method, target, body, headers)
    assert connection.getresponse().status == status
    assert managed.call("Ping")


BOMB = """<?xml version="1.0"{}?><!DOCTYPE methodCall [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<methodCall><methodName>&b;</methodName></methodCall>"""


@pytest.mark.parametrize(
    "body",
    [
        BOMB.format("").encode(),
        BOMB.format(' encoding="UTF-16"').encode("utf-16"),
        b'<!DOCTYPE methodCall SYSTEM "file:///etc/passwd"><methodCall><methodName>ping</methodName></methodCall>',
        b"<!DOCTYPE methodCall><methodCall><methodName>ping</methodName></methodCall>",
    ],
    ids=["entities", "UTF-16", "external", "bare"],
)
def test_no_document_type_is_taken(managed: Managed, body: bytes) -> None:
    response = post(UnixConnection(managed.path), body)
    assert (response.status, response.read()) == (400, b"400 expected XML-RPC\n")


def test_deep_nesting(managed: Managed) -> None:
    deep = b"<value><array><data>" * 1000 + b"</data></array></value>" * 1000
    body = PING.replace(b"<params>", b"<params><param>" + deep + b"</param>")
    assert len(body) < 60_000
    assert post(UnixConnection(managed.path), body).status in (200, 400)
    assert managed.call("Ping")


def test_both_languages_at_once(managed: Managed) -> None:
    server = proxy(managed.path)
    with Wire(managed.path) as wire:
        wire.ask("Status", more=True)
        assert server.restart()
        assert server.ping()
        while (wire.hear() or {})["parameters"]["service"]["state"] != "active":
            pass
