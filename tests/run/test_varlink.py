"""The manager's Varlink interface: framing, errors, and what each method does to a real service."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from initkit.errors import InitkitError
from initkit.run import client, interface

from .clients import MANAGER, Managed, Wire, alone_and_shared, proxy, request, timed
from .harness import PATIENCE, Services, alive, lines, until

SLEEP = "ExecStart=/bin/sleep 1000\nRestart=on-failure"


@pytest.fixture
def managed(services: Services) -> Iterator[Managed]:
    made = Managed(services, SLEEP)
    made.wait_for("active")
    yield made


def varlink_error(name: str, **parameters: str) -> dict[str, object]:
    return {"error": f"org.varlink.service.{name}", "parameters": parameters}


# --- the protocol -----------------------------------------------------------------------------------------------------


def test_the_service_interface(managed: Managed) -> None:
    info = client.call(managed.path, "org.varlink.service.GetInfo")
    assert (info["vendor"], info["interfaces"]) == ("initkit", [MANAGER, "org.varlink.service"])
    for name in info["interfaces"]:
        found = client.call(managed.path, "org.varlink.service.GetInterfaceDescription", {"interface": name})
        assert f"\ninterface {name}\n" in found["description"]
    assert f"\n{interface.DESCRIPTION}" == f"\n{found['description']}" or name != MANAGER


@pytest.mark.parametrize(
    ("method", "parameters", "error"),
    [
        ("org.example.Foo", {}, varlink_error("InterfaceNotFound", interface="org.example")),
        ("Foo", {}, varlink_error("MethodNotFound", method=f"{MANAGER}.Foo")),
        ("__init__", {}, varlink_error("MethodNotFound", method=f"{MANAGER}.__init__")),
        ("org.varlink.service.Foo", {}, varlink_error("MethodNotFound", method="org.varlink.service.Foo")),
        (
            "org.varlink.service.GetInterfaceDescription",
            {"interface": "org.example"},
            varlink_error("InterfaceNotFound", interface="org.example"),
        ),
        (
            "org.varlink.service.GetInterfaceDescription",
            {},
            varlink_error("InvalidParameter", parameter="interface"),
        ),
        ("Status", {"name": 1}, varlink_error("InvalidParameter", parameter="name")),
        ("Status", {"nam": "x"}, varlink_error("InvalidParameter", parameter="nam")),
        ("Logs", {"lines": True}, varlink_error("InvalidParameter", parameter="lines")),
        ("Logs", {"lines": 1.5}, varlink_error("InvalidParameter", parameter="lines")),
        ("Logs", {"lines": -1}, varlink_error("InvalidParameter", parameter="lines")),
        ("Call", {"command": "x"}, varlink_error("InvalidParameter", parameter="arguments")),
        ("Call", {"command": "x", "arguments": ["a", 1]}, varlink_error("InvalidParameter", parameter="arguments")),
        ("Kill", {"signal": "SIGNONE"}, varlink_error("InvalidParameter", parameter="signal")),
        ("Kill", {"whom": "control"}, varlink_error("InvalidParameter", parameter="whom")),
        ("Status", {"name": "x"}, {"error": f"{MANAGER}.NoSuchService", "parameters": {"name": "x"}}),
        ("Call", {"command": "x", "arguments": []},
         {"error": f"{MANAGER}.NoSuchCommand", "parameters": {"command": "x", "known": []}}),
    ],
    ids=str,
)  # fmt: skip
def test_errors(managed: Managed, method: str, parameters: dict[str, object], error: dict[str, object]) -> None:
    with Wire(managed.path) as wire:
        assert wire.ask(method, parameters) == error
        assert wire.ask("Ping")  # and the connection goes on


def test_pipelining_keeps_the_order(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        # Restart takes its time; what was asked after it is answered after it.
        calls = [request("Ping"), request("Restart"), request("Nothing"), request("Ping", oneway=True), request("List")]
        wire.socket.sendall(b"".join(calls))
        found = [wire.hear() for _ in range(4)]
        assert [next(iter(each or {})) for each in found] == ["parameters", "parameters", "error", "parameters"]
        assert found[1] == {"parameters": {}}
        assert "services" in (found[3] or {})["parameters"]


def test_requests_in_pieces(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        for piece in (request("Ping") * 2)[:-1]:
            wire.socket.send(bytes([piece]))
        assert wire.hear()
        wire.socket.send(b"\0")
        assert wire.hear()


def test_the_largest_request(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        room = 65536 - len(request("Status", {"name": ""}))
        assert wire.ask("Status", {"name": "x" * room})
        wire.socket.sendall(request("Status", {"name": "x" * (room + 1)}))
        assert wire.hear() is None


def test_half_closed(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        wire.socket.sendall(request("Ping") * 3)
        wire.socket.shutdown(socket.SHUT_WR)
        assert all(wire.hear() for _ in range(3))
        assert wire.hear() is None


def test_calls_of_a_client_that_has_gone(managed: Managed) -> None:
    main = managed.status()["mainPid"]
    with Wire(managed.path) as wire:
        wire.socket.sendall(request("Ping", oneway=True) * 5 + request("Restart", oneway=True))
    until(lambda: managed.status()["mainPid"] not in (None, main))


# --- what there is to know --------------------------------------------------------------------------------------------


def test_status(services: Services) -> None:
    program = services.python(
        "if os.fork() == 0:\n"
        "    os.execv('/bin/sleep', ['sleep', '999'])\n"
        "data = b'x' * 30_000_000\n"
        "end = time.process_time() + 0.1\n"
        "while time.process_time() < end: pass\n"
        "notify('READY=1', 'STATUS=at \"work\" ä')\n"
        "time.sleep(1000)\n"
    )
    before = time.time() * 1e6
    managed = Managed(services, f"ExecStart={program}\nType=notify", unit='Description=Quoted "x"')
    found = managed.wait_for("active")
    assert (found["name"], found["description"]) == (managed.name, 'Quoted "x"')
    assert (found["result"], found["restarts"], found["exitCode"], found["commands"]) == ("success", 0, None, [])
    assert before <= found["since"] <= time.time() * 1e6
    assert found["statusText"] == 'at "work" ä'
    assert (found["waitingFor"], found["deadline"]) == (None, None)
    first, second = found["processes"]
    assert (first["pid"], first["parent"]) == (found["mainPid"], 0)
    assert (second["parent"], second["command"]) == (found["mainPid"], "sleep 999")
    assert 30_000_000 < found["memory"] < 200_000_000
    assert 90_000 < found["cpu"] < 20_000_000
    assert managed.call("List")["services"][0]["mainPid"] == found["mainPid"]


def test_what_a_start_waits_for(services: Services) -> None:
    go = services.out / "go"
    program = services.python(
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    managed = Managed(services, f"ExecStart={program}\nType=notify\nTimeoutStartSec=60")
    until(lambda: managed.status()["mainPid"])
    found = managed.status()
    assert (found["state"], found["waitingFor"]) == ("activating", "READY=1")
    assert 50e6 < found["deadline"] - found["since"] < 61e6
    with Wire(managed.path) as wire:
        wire.say("Start")  # joins the start that is going on
        go.touch()
        assert wire.hear() == {"parameters": {}}
    assert managed.status()["state"] == "active"


def test_status_as_a_stream(managed: Managed) -> None:
    with Wire(managed.path) as wire:
        first = wire.ask("Status", more=True)
        assert first
        assert (first["continues"], first["parameters"]["service"]["state"]) == (True, "active")
        managed.call("Restart")
        states = []
        while states[-1:] != ["active"]:
            message = wire.hear()
            assert message
            assert message["continues"] is True
            state = message["parameters"]["service"]["state"]
            states += [state] * ([state] != states[-1:])  # a deadline that moves is told as well
        assert states == ["deactivating", "activating", "active"]
        managed.call("Stop")
        while (message := wire.hear()) and message.get("continues"):
            assert message["parameters"]["service"]["state"] in ("deactivating", "inactive")
        assert message  # the last one is the last
        assert message["parameters"]["service"]["state"] == "inactive"
        assert wire.hear() is None


def test_the_clients_own_stream(managed: Managed) -> None:
    replies = client.stream(managed.path, "Status")
    assert next(replies)["service"]["state"] == "active"
    managed.call("Stop")
    assert [each["service"]["state"] for each in replies][-1] == "inactive"


def test_restarts_and_how_the_last_life_ended(services: Services) -> None:
    managed = Managed(services, f"{SLEEP}\nRestartSec=0")
    for count, (number, name) in enumerate([(signal.SIGKILL, "KILL"), (signal.SIGSEGV, "SEGV")], 1):
        os.kill(managed.wait_for("active")["mainPid"], number)
        until(lambda: managed.status()["restarts"] == count)  # noqa: B023
        found = managed.wait_for("active")
        assert (found["exitCode"] in ("killed", "dumped"), found["exitStatus"]) == (True, name)
        assert found["result"] in ("signal", "core-dump")
    managed.call("Restart")  # an explicit start counts anew
    assert managed.status()["restarts"] == 0


def test_auto_restart_is_a_state(services: Services) -> None:
    managed = Managed(services, f"ExecStart={services.script('exit 7')}\nRestart=always\nRestartSec=60")
    found = managed.wait_for("auto-restart")
    assert (found["exitCode"], found["exitStatus"], found["mainPid"]) == ("exited", "7", None)
    assert 50e6 < found["deadline"] - found["since"] <= 61e6
    assert found["processes"] == []
    assert managed.call("Stop") == {}
    assert managed.process.wait(PATIENCE) == 7  # the last life's, as ever


def test_logs(services: Services) -> None:
    log = services.out / "log"
    managed = Managed(services, f"{SLEEP}\nStandardOutput=append:{log}")
    managed.wait_for("active")
    assert managed.call("Logs") == {"lines": []}
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100)) + b"bytes \xff\n\nno end")
    assert managed.call("Logs", lines=4) == {"lines": ["line 99", "bytes \ufffd", "", "no end"]}
    assert len(managed.call("Logs")["lines"]) == 10
    assert len(managed.call("Logs", lines=1000)["lines"]) == 103
    log.unlink()
    with pytest.raises(client.RemoteError, match="NoLog"):
        managed.call("Logs")
    log.symlink_to("/etc/passwd")  # the service's user may be able to do that
    with pytest.raises(client.RemoteError, match="NoLog"):
        managed.call("Logs")


def test_no_log(managed: Managed) -> None:
    with pytest.raises(client.RemoteError, match="NoLog"):
        managed.call("Logs")


def test_following_a_log_through_its_rotation(services: Services) -> None:
    log = services.out / "log"
    log.write_text("old\n")
    managed = Managed(services, f"{SLEEP}\nStandardOutput=append:{log}")
    with Wire(managed.path) as wire:
        expected = []

        def heard() -> list[str]:
            found: list[str] = []
            while len(found) < len(expected):
                message = wire.hear()
                assert message
                assert message["continues"]
                found += message["parameters"]["lines"]
            return found

        expected = ["old"]
        wire.say("Logs", more=True)
        assert heard() == expected
        with log.open("a") as file:
            file.write("one\ntwo\nhalf")
            file.flush()
            expected = ["one", "two"]
            assert heard() == expected
            file.write(" a line\n")
            file.flush()
            log.rename(services.out / "log.1")
            file.write("late\n")
        log.write_text("new\n")
        expected = ["half a line", "late", "new"]
        assert heard() == expected
        with log.open("w") as file:  # truncated
            file.write("0\n")
        expected = ["0"]
        assert heard() == expected
        managed.call("Stop")
        assert wire.hear() == {"parameters": {"lines": []}}


# --- what can be done -------------------------------------------------------------------------------------------------


def test_stop_replies_when_nothing_is_left(services: Services) -> None:
    slow = services.script("trap 'sleep 0.3; exit 0' TERM; setsid sleep 1000 & sleep 1000 & wait")
    managed = Managed(services, f"ExecStart={slow}\nRestart=on-failure")
    # Not before they are executed: until then they may lose a signal that the shell has a trap for.
    until(lambda: sum(each["command"].endswith("sleep 1000") for each in managed.status()["processes"]) == 2)
    pids = [each["pid"] for each in managed.status()["processes"]]
    assert managed.call("Stop") == {}
    assert not [pid for pid in pids if alive(pid)]
    assert managed.process.wait(PATIENCE) == 0


def test_two_who_stop(services: Services) -> None:
    """The second comes while the stop that the first has asked for goes on."""
    gate = services.out / "gate"
    managed = Managed(services, f"{SLEEP}\nExecStop={services.script(f'while ! [ -e {gate} ]; do sleep 0.01; done')}")
    managed.wait_for("active")
    with Wire(managed.path) as one, Wire(managed.path) as other:
        one.say("Stop")
        managed.wait_for("deactivating")
        other.say("Stop")
        gate.touch()
        assert [one.hear(), other.hear()] == [{"parameters": {}}] * 2


def test_stop_names_what_it_could_not_stop(services: Services) -> None:
    stubborn = services.script("trap '' TERM; sleep 1000 & echo $! > $1; trap 'exit 0' TERM; wait")
    pid_file = services.out / "pid"
    managed = Managed(
        services, f"ExecStart={stubborn} {pid_file}\nSendSIGKILL=no\nTimeoutStopSec=0.5\nRestart=on-failure"
    )
    until(lambda: lines(pid_file))
    with pytest.raises(client.RemoteError) as caught:
        managed.call("Stop")
    assert caught.value.name == f"{MANAGER}.StopFailed"
    assert caught.value.parameters["survivors"] == [f"sleep[{int(pid_file.read_text())}]"]


def test_start_of_what_runs(managed: Managed) -> None:
    main = managed.status()["mainPid"]
    assert managed.call("Start") == {}
    assert managed.status()["mainPid"] == main


@alone_and_shared
def test_restart(services: Services) -> None:
    log = services.out / "log"
    program = services.script(
        f"trap 'echo term >> {log}; exit' TERM; trap 'echo usr2 >> {log}; exit' USR2; echo on >> {log}\n"
        "while :; do sleep 0.01; done"
    )
    managed = Managed(services, f"ExecStart={program}\nRestartKillSignal=SIGUSR2\nRestart=on-failure")
    until(lambda: lines(log))
    main = managed.status()["mainPid"]
    assert managed.call("Restart") == {}
    assert managed.status()["mainPid"] != main
    until(lambda: len(lines(log)) == 3)
    assert lines(log) == ["on", "usr2", "on"]
    managed.call("Stop")
    assert lines(log) == ["on", "usr2", "on", "term"]


def test_restart_replies_when_ready_again(services: Services) -> None:
    program = services.python("time.sleep(0.2)\nnotify('READY=1')\ntime.sleep(1000)")
    managed = Managed(services, f"ExecStart={program}\nType=notify")
    managed.wait_for("active")
    managed.call("Restart")
    assert managed.status()["state"] == "active"


def test_explicit_restarts_do_not_count_for_the_start_limit(services: Services) -> None:
    managed = Managed(services, SLEEP, unit="StartLimitBurst=2\nStartLimitIntervalSec=100")
    for _ in range(5):
        managed.call("Restart")
    os.kill(managed.status()["mainPid"], signal.SIGKILL)
    until(lambda: managed.status()["restarts"] == 1)


def test_a_start_that_fails(services: Services) -> None:
    once = services.out / "once"
    program = services.script(f"[ -e {once} ] && exit 9; touch {once}; exec sleep 1000")
    managed = Managed(services, f"ExecStart=/bin/true\nExecStartPre={program}\nType=exec\nRemainAfterExit=yes")
    # `sleep` in ExecStartPre= holds up the first start until a restart breaks it off; the second one fails at once.
    until(once.exists)
    with pytest.raises(client.RemoteError) as caught:
        managed.call("Restart")
    assert caught.value.name == f"{MANAGER}.StartFailed"
    assert (caught.value.parameters["name"], caught.value.parameters["status"]) == (managed.name, 9)
    assert "exited with status 9" in caught.value.parameters["reason"]
    assert managed.process.wait(PATIENCE) == 9


def test_reload_by_commands(services: Services) -> None:
    log = services.out / "log"
    reload = services.script(f"[ -e {services.out}/bad ] && exit 3; sleep 0.1; echo reloaded >> {log}")
    managed = Managed(services, f"{SLEEP}\nExecReload={reload}")
    managed.wait_for("active")
    assert managed.call("Reload") == {}
    assert lines(log) == ["reloaded"]
    (services.out / "bad").touch()
    with pytest.raises(client.RemoteError, match=r"ReloadFailed: .* the reload failed"):
        managed.call("Reload")
    assert managed.status()["state"] == "active"


def test_reload_without_a_way(managed: Managed) -> None:
    with pytest.raises(client.RemoteError, match=r"ReloadFailed: .*ExecReload= is not set"):
        managed.call("Reload")


RELOADER = """
import signal
def reload(number, frame):
    begun = {begun}
    notify('RELOADING=1', f'MONOTONIC_USEC={{begun}}')
    time.sleep(0.1)
    open({log!r}, 'a').write('reloaded\\n')
    notify('READY=1')
signal.signal(signal.SIGHUP, reload)
notify('READY=1')
while True: signal.pause()
"""


def test_reload_by_notification(services: Services) -> None:
    log = services.out / "log"
    program = services.python(RELOADER.format(begun="time.monotonic_ns() // 1000", log=str(log)))
    managed = Managed(services, f"ExecStart={program}\nType=notify-reload")
    managed.wait_for("active")
    for count in (1, 2):
        assert managed.call("Reload") == {}
        assert len(lines(log)) == count
    with Wire(managed.path) as wire:
        wire.ask("Status", more=True)
        managed.call("Reload")
        first, second = ((wire.hear() or {})["parameters"]["service"] for _ in range(2))
        assert (first["state"], second["state"]) == ("reloading", "active")
        assert first["since"] == second["since"]  # it has been up all the time


def test_a_reload_that_began_before_it_was_asked_for(services: Services) -> None:
    program = services.python(RELOADER.format(begun="1", log=str(services.out / "log")))
    managed = Managed(services, f"ExecStart={program}\nType=notify-reload\nTimeoutStartSec=1")
    managed.wait_for("active")
    with pytest.raises(client.RemoteError, match=r"ReloadFailed: .*took too long"):
        managed.call("Reload")
    assert managed.status()["state"] == "active"


def test_a_service_that_reloads_by_itself(services: Services) -> None:
    program = services.python(
        "notify('READY=1')\nsys.stdin.read()\nnotify('RELOADING=1')\n"
        f"while not os.path.exists({str(services.out / 'go')!r}): time.sleep(0.01)\nnotify('READY=1')\ntime.sleep(1000)"
    )
    managed = Managed(services, f"ExecStart={program}\nType=notify")
    managed.wait_for("reloading")
    (services.out / "go").touch()
    managed.wait_for("active")


def test_kill(services: Services) -> None:
    log = services.out / "log"
    program = services.script(
        f"trap 'echo main >> {log}' USR1\n"
        f"(trap 'echo child >> {log}' USR1; echo on >> {log}; while :; do sleep 0.01; done) &\n"
        "while :; do sleep 0.01; done"
    )
    managed = Managed(services, f"ExecStart={program}\nRestart=on-failure")
    until(lambda: lines(log) == ["on"])
    # Signals that the short sleeps do not survive are fine: their shells start others.
    managed.call("Kill", signal="SIGUSR1", whom="main")
    until(lambda: lines(log) == ["on", "main"])
    managed.call("Kill", signal="USR1", whom="all")
    until(lambda: sorted(lines(log)) == ["child", "main", "main", "on"])
    main = managed.status()["mainPid"]
    managed.call("Kill", signal="9")
    until(lambda: managed.status()["mainPid"] not in (None, main))


def test_kill_without_a_main_process(services: Services) -> None:
    managed = Managed(services, "ExecStart=/bin/true\nType=oneshot\nRemainAfterExit=yes")
    managed.wait_for("active")
    with pytest.raises(client.RemoteError, match="NotRunning"):
        managed.call("Kill", whom="main")
    assert managed.call("Kill") == {}


# --- the client -------------------------------------------------------------------------------------------------------


def test_no_manager(services: Services) -> None:
    path = services.out / "none.sock"
    with pytest.raises(client.NoManager) as caught:
        client.call(str(path), "Ping")
    assert caught.value.status == 7
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(client.NoManager):
        client.call(str(path), "Ping")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"", client.HungUp),
        (b'{"parameters"', client.NoManager),
        (b"HTTP/1.1 200 OK\0", InitkitError),
        (b"[]\0", InitkitError),
    ],
)
def test_somebody_else_at_the_socket(services: Services, said: bytes, fault: type[InitkitError]) -> None:
    path = str(services.out / "odd.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            made, _ = server.accept()
            with made:
                made.recv(4096)
                made.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(InitkitError) as caught:
            client.call(path, "Ping", timeout=PATIENCE)
        thread.join()
    assert type(caught.value) is fault


def test_a_manager_that_does_not_reply_in_time(services: Services) -> None:
    path = str(services.out / "mute.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with pytest.raises(InitkitError, match=r"no reply within 0\.1 s"):
            client.call(path, "Ping", timeout=0.1)


def test_the_manager_is_small(managed: Managed) -> None:
    assert Path(f"/proc/{managed.process.pid}").exists()
    before = managed.rss()
    managed.call("Status")
    assert managed.rss() - before < 4 << 20


# --- commands that the service's own process answers ------------------------------------------------------------------

ANSWERS = """
import json
path = {path!r}
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.bind(path)
server.listen(5)
notify('READY=1')
error = 'io.initkit.Manager.'
while True:
    fd, _ = server._accept()
    client = _socket.socket(fileno=fd)
    request = b''
    while not request.endswith(b'\\0'):
        request += client.recv(65536)
    call = json.loads(request[:-1])
    given = call['parameters']
    if call['method'].endswith('.Status'):
        told = {{'parameters': {{'service': {{'commands': ['echo', 'fail', 3]}}}}}}
        if os.path.exists(path + '.slow'):
            told = None
        if told:
            client.sendall(json.dumps(told).encode() + b'\\0')
        else:
            time.sleep(1000)
        client.close()
        continue
    answer = {{
        'echo': {{'parameters': {{'result': ' '.join(given['arguments'])}}}},
        'fail': {{'error': error + 'CommandFailed', 'parameters': {{'command': 'fail', 'reason': 'it is broken'}}}},
        'lie': {{'parameters': {{}}}},
        'hang': None,
    }}.get(given['command'], {{'error': error + 'NoSuchCommand', 'parameters': {{'command': '?', 'known': ['echo']}}}})
    if answer:
        client.sendall(json.dumps(answer).encode() + b'\\0')
    client.close()
"""


def test_commands_of_the_service(services: Services) -> None:
    path = services.runtime / "initkit" / f"{services.prefix}cmd.commands"
    program = services.python(ANSWERS.format(path=str(path)))
    managed = Managed(services, f"ExecStart={program}\nType=notify", name="cmd")
    managed.wait_for("active")
    assert managed.call("Call", command="echo", arguments=["a b", "ä"]) == {"result": "a b ä"}
    assert proxy(managed.path).echo("a", 1) == "a 1"
    for command, said in {"fail": "it is broken", "lie": "no proper answer", "hang": "no answer"}.items():
        with pytest.raises(client.RemoteError, match=f"CommandFailed: .*{said}"):
            managed.call("Call", command=command, arguments=[])
    with pytest.raises(client.RemoteError) as caught:
        managed.call("Call", command="none", arguments=[])
    assert caught.value.parameters == {"command": "none", "known": ["echo"]}
    with pytest.raises(xmlrpc.client.Fault, match="UNKNOWN_METHOD"):
        proxy(managed.path).none()


def test_status_tells_of_the_commands(services: Services) -> None:
    """The service's process is asked; one that does not answer holds up nobody but who asks, and not for long."""
    path = services.runtime / "initkit" / f"{services.prefix}cmd.commands"
    program = services.python(ANSWERS.format(path=str(path)))
    managed = Managed(services, f"ExecStart={program}\nType=notify", name="cmd")
    managed.wait_for("active")
    until(lambda: managed.status()["commands"] == ["echo", "fail"])  # once it has told of them in time
    assert managed.call("List")["services"][0]["commands"] == ["echo", "fail"]
    assert {"echo", "fail"} <= set(proxy(managed.path).system.listMethods())
    Path(f"{path}.slow").touch()
    with Wire(managed.path) as wire:
        wire.say("Status")
        took = timed(lambda: managed.call("Ping"))
        assert took > 0.3 or not select.select([wire.socket], [], [], 0)[0]  # the manager waits for nobody
        told = wire.hear()
    assert told and told["parameters"]["service"]["commands"] == ["echo", "fail"]  # what it has said before
    managed.call("Kill", signal="SIGKILL", whom="all")
    until(lambda: managed.process.poll() is not None)


@pytest.mark.parametrize("answers", [True, False])
def test_watchers_hear_of_new_commands(services: Services, answers: bool) -> None:
    """Those of a process that dies are forgotten, also when it has been asked and does not answer any more."""
    path = services.runtime / "initkit" / f"{services.prefix}cmd.commands"
    program = services.python(ANSWERS.format(path=str(path)))
    managed = Managed(services, f"ExecStart={program}\nType=notify\nRestart=always\nRestartSec=0", name="cmd")
    managed.wait_for("active")
    until(lambda: managed.status()["commands"])
    with Wire(managed.path) as wire:
        if answers:
            assert wire.ask("Status", more=True)
        else:
            managed.call("Kill", signal="SIGSTOP", whom="main")
            wire.say("Status", more=True)
        path.unlink()  # else its place is taken
        managed.call("Kill", signal="SIGKILL", whom="main")
        seen: list[tuple[str, list[str]]] = []
        while ("activating", []) not in seen or seen[-1] != ("active", ["echo", "fail"]):
            message = wire.hear()
            assert message, seen
            service = message["parameters"]["service"]
            seen.append((service["state"], service["commands"]))
            assert service["state"] == "active" or not service["commands"], seen
