"""A supervised service with its control socket, and clients of all sorts for it."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from initkit.run import client

from .harness import ALONE, PATIENCE, SHARED, Services, finish, until
from .ups import SLEEP, Up

MANAGER = "io.initkit.Manager"
SUPERVISORCTL = Path(sys.executable).with_name("supervisorctl")


alone_and_shared = pytest.mark.parametrize("services", [ALONE, SHARED], indirect=True)


class Managed:
    """A service that `initkit run` supervises in the foreground, or `initkit up` together with another one."""

    def __init__(self, services: Services, settings: str, *, unit: str = "", name: str = "") -> None:
        self.services, self.unit = services, services.unit(settings, unit=unit, name=name)
        self.name = self.unit.stem
        self.path = str(services.runtime / "initkit" / f"{self.name}.sock")
        self.process = self.run()

    def run(self) -> subprocess.Popen[str]:
        """Start its manager; returns when it listens."""
        if self.services.shared:
            up = Up(self.services)
            up.units.append(self.unit)
            up.add("other", SLEEP)
            self.process = up.start()
        else:
            self.process = self.services.foreground(self.unit)
        until(lambda: self.listens() or self.process.poll() is not None, "the control socket")
        assert self.process.poll() is None, self.process.communicate()
        return self.process

    def listens(self) -> bool:
        """Whether somebody takes connections."""
        try:
            connect(self.path).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A method of the manager's, by initkit's own client."""
        if self.services.shared:
            parameters.setdefault("name", self.name)
        return client.call(self.path, method, parameters, timeout=PATIENCE)

    def status(self) -> dict[str, Any]:
        """The state."""
        found: dict[str, Any] = self.call("Status")["service"]
        return found

    def wait_for(self, state: str) -> dict[str, Any]:
        """The state, when it is this one."""
        found: dict[str, Any] = {}

        def reached() -> bool:
            found.update(self.status())
            return bool(found["state"] == state)

        until(reached, state)
        return found

    def end(self) -> tuple[int, str, str]:
        """Stop the manager by a signal."""
        return finish(self.process)

    def rss(self) -> int:
        """The manager's resident memory in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connect(path: str) -> socket.socket:
    """A connection to a control socket."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


class Wire:
    """Varlink by hand, to say what no proper client says."""

    def __init__(self, path: str) -> None:
        self.socket = connect(path)
        self._received = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *about: object) -> None:
        self.socket.close()

    def say(self, method: str, parameters: dict[str, Any] | None = None, **flags: bool) -> None:
        """Send a call."""
        self.socket.sendall(request(method, parameters, **flags))

    def hear(self) -> dict[str, Any] | None:
        """The next message; None when the other side has hung up."""
        while b"\0" not in self._received:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._received
                return None
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def ask(self, method: str, parameters: dict[str, Any] | None = None, **flags: bool) -> dict[str, Any] | None:
        """Send a call, and hear the first reply."""
        self.say(method, parameters, **flags)
        return self.hear()


def request(method: str, parameters: dict[str, Any] | None = None, **flags: bool) -> bytes:
    """A call as it is sent."""
    name = method if "." in method else f"{MANAGER}.{method}"
    return json.dumps({"method": name, "parameters": parameters or {}, **flags}).encode() + b"\0"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    """What xmlrpc.client needs to reach a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: object) -> UnixConnection:
        return UnixConnection(self.path)


def proxy(path: str) -> Any:
    """An XML-RPC client."""
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=UnixTransport(path))


def supervisorctl(path: str, *words: str, status: int | None = 0) -> str:
    """What Supervisor's own client says."""
    done = subprocess.run(
        [str(SUPERVISORCTL), "-s", f"unix://{path}", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == status or status is None, done.stdout + done.stderr
    return done.stdout


@contextmanager
def child_as(uid: int, gid: int, groups: list[int], act: Callable[[], object]) -> Iterator[list[Any]]:
    """Do something in a child process with other ids; yields a list with its result (as JSON has it)."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.write(sink, json.dumps(act()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(sink)
    try:
        with open(source, "rb") as file:
            yield [json.loads(file.read() or b"null")]
    finally:
        os.waitpid(pid, 0)


def sleeps_for_ever(pid: int) -> bool:
    """Whether a process waits in epoll_wait(2) without a timeout: x86_64's system call 232, its fourth argument."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] == "232" and int(words[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF


def at_rest(trace: Path) -> bool:
    """Whether a manager that strace(1) has been attached to has let go of a client that came then, and waits."""
    found = re.search(r"^accept4\(.* = (\d+)\n", trace.read_text(), re.MULTILINE)
    text = trace.read_text()[found.end() :] if found else ""
    return found is not None and f"\nclose({found[1]})" in text and waits(text)


def waits(trace: str) -> bool:
    """Whether a call to wait is the last one."""
    return re.search(r"\nepoll_wait\(\d+, $", trace) is not None


def timed(act: Callable[[], object]) -> float:
    """How many seconds something takes."""
    begun = time.monotonic()
    act()
    return time.monotonic() - begun
