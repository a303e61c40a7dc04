"""Type=dbus: a service is up while its name is on the message bus."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import MessageType
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

from initkit.run import bus

from .harness import PATIENCE, Services, alive, finish, lines, until
from .ups import Up

NAME = "org.example.App"

#: Has the name once there is a file "go"; gives it back at a SIGUSR1. The last word on its command line is the address.
OWNER = """
import os, signal, sys, time
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
name, go, address = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
while not os.path.exists(go):
    time.sleep(0.005)
bus = open_dbus_connection(address)
bus.send_and_get_reply(message_bus.RequestName(name, 3))  # to be replaced, and replacing
signal.sigwait([signal.SIGUSR1])
bus.send_and_get_reply(message_bus.ReleaseName(name))
signal.pause()
"""
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class Bus:
    """A message bus, and services that have a name there."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.socket, self.go = services.folder / "bus", services.out / "go"
        self.address = f"unix:path={self.socket}"
        file = services.folder / "bus.conf"
        file.write_text(CONFIGURATION.format(path=self.socket))
        words = ["dbus-daemon", f"--config-file={file}", "--nofork", "--nopidfile", "--print-address"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline().startswith("unix:path=")
        self.process.stdout.close()
        self.owner = services.folder / "owner.py"
        self.owner.write_text(OWNER)

    def unit(self, settings: str = "", command: str = "", name: str = NAME) -> Path:
        command = command or f"{sys.executable} {self.owner} {name} {self.go} {self.address}"
        return self.services.unit(f"ExecStart={command}\nType=dbus\nBusName={name}\n{settings}")

    @property
    def environment(self) -> dict[str, str]:
        return {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "DBUS_SESSION_BUS_ADDRESS": self.address}

    def foreground(self, unit: Path) -> subprocess.Popen[str]:
        return self.services.foreground(unit, environment=self.environment)

    def run(self, unit: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return self.services.run(unit, *options, environment=self.environment)

    def owner_of(self, name: str) -> str:
        """The unique name of the connection that has it, "" where nobody has."""
        with open_dbus_connection(self.address) as connection:
            reply = connection.send_and_get_reply(message_bus.GetNameOwner(name))
        return str(reply.body[0]) if reply.header.message_type is MessageType.method_return else ""

    def main_pid(self, unit: Path) -> int:
        return int(str(self.services.status(unit)["mainPid"] or 0))


@pytest.fixture(name="messages")
def _messages(services: Services) -> Iterator[Bus]:
    made = Bus(services)
    yield made
    made.process.kill()
    made.process.wait()


def test_up_when_the_name_is_there(messages: Bus) -> None:
    begun = messages.services.out / "begun"
    unit = messages.unit(f"ExecStartPre=touch {begun}")
    running = messages.foreground(unit)
    until(lambda: begun.exists() and messages.main_pid(unit), "a main process")
    assert messages.services.status(unit)["state"] == "activating"
    messages.go.touch()
    messages.services.active(unit)
    assert finish(running)[0] == 0


def test_daemon_waits_for_the_name(messages: Bus) -> None:
    messages.go.touch()
    unit = messages.unit()
    assert messages.run(unit, "--daemon").returncode == 0
    assert messages.services.status(unit)["state"] == "active"


def test_a_name_that_does_not_come(messages: Bus) -> None:
    done = messages.run(messages.unit("TimeoutStartSec=0.3"), "--daemon")
    assert done.returncode == 143  # as it was ended
    assert f"no {NAME} on the message bus in time" in done.stderr


def test_it_ends_before_it_has_the_name(messages: Bus) -> None:
    done = messages.run(messages.unit(command="/bin/sh -c 'echo cannot >&2; exit 3'"), "--daemon")
    assert done.returncode == 3
    assert "cannot" in done.stderr


@pytest.mark.parametrize(("restart", "lives"), [("no", 1), ("on-failure", 1), ("always", 2)])
def test_without_its_name_it_is_stopped(messages: Bus, restart: str, lives: int) -> None:
    log = messages.services.out / "log"
    messages.go.touch()
    unit = messages.unit(
        f"ExecStop=/bin/sh -c 'echo stop $MAINPID >> {log}'\nRestart={restart}\n"
        f"ExecStopPost=/bin/sh -c 'echo post $SERVICE_RESULT >> {log}'"
    )
    running = messages.foreground(unit)
    messages.services.active(unit)
    first = messages.main_pid(unit)
    os.kill(first, signal.SIGUSR1)
    until(lambda: lines(log)[:2] == [f"stop {first}", "post success"], "the stop")
    assert not alive(first)
    if lives > 1:
        until(lambda: messages.main_pid(unit) not in (0, first), "another life")
        messages.services.active(unit)
        running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 0
    assert lines(log).count("post success") == lives


def test_a_death_that_is_heard_of_after_the_loss_of_the_name(messages: Bus) -> None:
    """It is the death that ends the service: ExecStop= is for one that runs. A tracer holds back the news of it."""
    log = messages.services.out / "log"
    messages.go.touch()
    unit = messages.unit(
        f"ExecStop=/bin/sh -c 'echo stop >> {log}'\nExecStopPost=/bin/sh -c 'echo post $SERVICE_RESULT >> {log}'"
    )
    running = messages.foreground(unit)
    messages.services.active(unit)
    main = messages.main_pid(unit)
    if ctypes.CDLL(None, use_errno=True).ptrace(0x4206, main, None, None) != 0:  # PTRACE_SEIZE
        pytest.skip(f"ptrace(2): {os.strerror(ctypes.get_errno())}")
    os.kill(main, signal.SIGKILL)
    until(lambda: not messages.owner_of(NAME), "the loss")
    told = [messages.services.status(unit)["state"] for _ in range(3)]  # by now it has heard that
    assert os.waitpid(main, 0) == (main, signal.SIGKILL)
    assert running.wait(PATIENCE) == 128 + signal.SIGKILL
    assert (told, lines(log)) == (["active"] * 3, ["post signal"])


def test_another_owner_will_do(messages: Bus) -> None:
    messages.go.touch()
    unit = messages.unit()
    running = messages.foreground(unit)
    messages.services.active(unit)
    first = messages.owner_of(NAME)
    with subprocess.Popen([sys.executable, str(messages.owner), NAME, str(messages.go), messages.address]) as other:
        until(lambda: messages.owner_of(NAME) != first, "another owner")
        other.send_signal(signal.SIGUSR1)
        until(lambda: messages.owner_of(NAME) == first, "the first in the queue has it again")
        other.kill()
    assert messages.services.status(unit)["state"] == "active"
    assert finish(running) == (0, "", "")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix:path=/nonexistent/bus", "no message bus: /nonexistent/bus: No such file or directory"),
        ("tcp:host=localhost,port=1;unix:abstract=not%20there", "no message bus: @not there: Connection refused"),
        ("rubbish", "no message bus: No such file or directory"),
    ],
)
def test_no_bus(services: Services, address: str, said: str) -> None:
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nType=dbus\nBusName={NAME}")
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": address, "DBUS_SESSION_BUS_ADDRESS": address}
    done = services.run(unit, "--foreground", environment=environment)
    assert done.returncode == 1
    assert f"{unit.stem}: {said}" in done.stderr
    assert not services.started()


def test_a_bus_that_goes(messages: Bus) -> None:
    """Nobody can tell then: the service goes on, and what it does without a bus is its own matter."""
    messages.go.touch()
    unit = messages.unit("Restart=always")
    running = messages.foreground(unit)
    messages.services.active(unit)
    main = messages.main_pid(unit)
    os.kill(main, signal.SIGSTOP)  # which would end without a bus
    messages.process.kill()
    assert running.stderr
    assert "the message bus: the connection is closed" in running.stderr.readline()
    assert (messages.services.status(unit)["state"], messages.main_pid(unit)) == ("active", main)
    assert finish(running)[0] == 0


def test_a_bus_that_goes_during_the_start(messages: Bus) -> None:
    unit = messages.unit()
    running = messages.foreground(unit)
    until(lambda: messages.services.pid(unit) or messages.services._state(unit), "a manager")
    until(lambda: messages.main_pid(unit), "a main process")
    messages.process.kill()
    assert running.wait(PATIENCE) == 143  # as it was ended
    assert running.stderr
    assert running.stderr.read().count("the message bus: the connection is closed") == 1


def test_a_bus_that_says_no(services: Services) -> None:
    path = services.folder / "bus"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        unit = services.unit(f"ExecStart=/bin/sleep 1000\nType=dbus\nBusName={NAME}")
        address = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}", "DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"}
        running = services.foreground(unit, environment=address)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"REJECTED KERBEROS\r\n")
            assert running.wait(PATIENCE) == 143
    assert running.stderr
    assert "the message bus: refused: REJECTED KERBEROS" in running.stderr.read()


def test_messages_that_come_in_pieces(messages: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte at a time, from a real bus."""
    path = messages.services.folder / "slow"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def carry() -> None:
        near, _ = server.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(messages.socket))
        far.sendall(near.recv(1 << 16))
        while data := far.recv(1 << 16):
            for at in range(len(data)):
                near.sendall(data[at : at + 1])

    threading.Thread(target=carry, daemon=True).start()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}")
    name = bus.BusName(NAME, user=True)

    def owned() -> bool:
        name.read()
        assert not name.lost
        return name.owned

    assert not owned()
    messages.go.touch()
    with subprocess.Popen([sys.executable, str(messages.owner), NAME, str(messages.go), messages.address]) as owner:
        until(owned, "the name")
        owner.send_signal(signal.SIGUSR1)
        until(lambda: not owned(), "nobody's again")
        owner.kill()
    name.close()
    server.close()


#: What comes after it has a /run of its own, and so takes the name "dbus" from nobody.
OWN_RUN: tuple[str, ...] = ()
if os.geteuid() == 0:
    OWN_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o mode=755 none /run && exec "$@"', "sh")


def test_the_bus_is_started_before(up: Up) -> None:
    """Requires= and After= that Type=dbus says by itself; a stop goes the other way."""
    file, path = up.services.folder / "bus.conf", up.services.folder / "bus"
    file.write_text(CONFIGURATION.format(path=path))
    owner, go, address = up.services.folder / "owner.py", up.services.out / "go", f"unix:path={path}"
    owner.write_text(OWNER)
    go.touch()
    up.add(
        "app",
        f"Type=dbus\nBusName={NAME}\nExecStart={sys.executable} {owner} {NAME} {go} {address}\n"
        f"ExecStartPost={up.say('+app')}\nExecStopPost={up.say('-app')}",
    )
    up.units.append(up.services.folder / "dbus.service")
    up.units[-1].write_text(
        f"[Service]\nExecStart=dbus-daemon --config-file={file} --nofork --nopidfile\nStandardOutput=null\n"
        "ExecStartPre=sleep 0.2\n"
        f"ExecStartPost=sh -c 'until [ -S {path} ]; do sleep 0.01; done'\n"
        f"ExecStartPost={up.say('+dbus')}\nExecStopPost={up.say('-dbus')}\n"
    )
    addresses = {"DBUS_SYSTEM_BUS_ADDRESS": address, "DBUS_SESSION_BUS_ADDRESS": address}
    running = up.start(prefix=OWN_RUN, env=up.services.environment(addresses))
    until(lambda: "+app" in lines(up.log) or running.poll() is not None, "the service")
    assert finish(running) == (0, "", "")
    assert lines(up.log) == ["+dbus", "+app", "-app", "-dbus"]
