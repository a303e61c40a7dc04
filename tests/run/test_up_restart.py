"""A restart under `initkit up`, where a service waits for others between its stop and its start: what systemd keeps for
a restart is kept meanwhile, and let go when the start does not come after all."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from initkit.run import client

from .clients import Wire
from .harness import PATIENCE, alive, finish, lines, until
from .ups import SLEEP, Up

#: Tells of every life what it has found, and which signal has ended it.
_PROGRAM = """
import signal, socket
def say(*words):
    with open(sys.argv[1], "a") as out:
        out.write(" ".join(words) + "\\n")
def end(number, _):
    say("-", signal.Signals(number).name)
    os._exit(0)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, end)
folder = os.environ["RUNTIME_DIRECTORY"]
names = os.environ["LISTEN_FDNAMES"].split(":")
say("+", *names, *os.listdir(folder))
if "kept" not in names:
    open(folder + "/file", "w").close()
    to = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    to.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
    fd = os.memfd_create("kept").to_bytes(4, sys.byteorder)
    to.sendmsg([b"FDSTORE=1\\nFDNAME=kept"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd)])
notify("READY=1")
listener = socket.socket(fileno=3)
while True:
    peer, _ = listener.accept()
    peer.sendall(b"here")
    peer.close()
"""
_FRESH, _AGAIN = "+ sock", "+ sock kept file"


class Pair:
    """A service `web` that has something to keep, and follows a service `db`, whose end takes until the file `gate` is
    there, and which cannot start once the file `broken` is."""

    def __init__(self, up: Up, relation: str) -> None:
        self.up, out = up, up.services.out
        self.gate, self.broken, self._ends, self.log = out / "gate", out / "broken", out / "ends", out / "lives"
        self._path = up.services.folder / "web.sock"
        self._folder = up.services.runtime / f"{up.services.prefix}web"
        before = up.services.script(f"! [ -e {self.broken} ]")
        after = up.services.script(f"echo >> {self._ends}; while ! [ -e {self.gate} ]; do sleep 0.01; done")
        self.db = up.add(
            "db",
            f"ExecStart=/bin/sleep 1000\nExecStartPre={before}\nExecStopPost={after}\nRestart=always\nRestartSec=0",
            "StartLimitBurst=3",
        )
        self.web = up.add(
            "web",
            f"ExecStart={up.services.python(_PROGRAM)} {self.log}\nType=notify\nRestart=always\n"
            f"RuntimeDirectory={self._folder.name}\nRuntimeDirectoryPreserve=restart\nFileDescriptorStoreMax=2\n"
            f"RestartKillSignal=SIGUSR1\nX-Initkit-LogFile={out}/web.log",
            f"After=@db@\n{relation}=@db@\nOnSuccess=@ended@",
        )
        listen = f"[Socket]\nListenStream={self._path}\nFileDescriptorName=sock\nRemoveOnStop=yes\n"
        up.units[-1].with_suffix(".socket").write_text(listen)
        up.add("other", SLEEP)
        up.add("ended", f"Type=oneshot\nExecStart={up.say('ended')}")
        self.process = up.start()
        up.wait_for(db="active", web="active")

    def connect(self) -> socket.socket:
        """A connection, that the next life is to answer."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(str(self._path))
        return made

    @contextmanager
    def held(self) -> Iterator[Future[dict[str, Any]]]:
        """A client's restart of db, which has stopped web, and waits for the gate."""
        self.gate.unlink(missing_ok=True)
        before = len(lines(self._ends))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.up.call, "Restart", name=self.db)
            try:
                until(lambda: len(lines(self._ends)) > before, "db is at its end")
                assert self.kept() == {"socket", "folder", "descriptor", "logger"}
                yield asked
            finally:
                self.gate.touch()

    def kept(self) -> set[str]:
        """What there is of web beyond its processes."""
        found = {"socket"} if self._path.exists() else set()
        found |= {"folder"} if self._folder.exists() else set()
        for each in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found |= {"descriptor"} if "memfd:kept" in os.readlink(each) else set()
        found |= {"logger"} if self.up.call("Status", name=self.web)["service"]["loggerPid"] else set()
        return found

    def end(self) -> int:
        self.gate.touch()
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@pytest.mark.parametrize("relation", ["Requires", "BindsTo", "PartOf"])
def test_what_a_restart_keeps(up: Up, relation: str) -> None:
    pair = Pair(up, relation)
    with pair.held() as asked, pair.connect() as waiting:
        pair.gate.touch()
        assert waiting.recv(10) == b"here"
        assert asked.result(PATIENCE) == {}
    up.wait_for(web="active")
    assert lines(pair.log) == [_FRESH, "- SIGUSR1", _AGAIN]
    up.call("Restart", name=pair.web)
    assert lines(pair.log)[3:] == ["- SIGUSR1", _AGAIN]
    up.call("Stop", name=pair.web)
    assert not pair.kept()
    up.call("Start", name=pair.web)
    assert lines(pair.log)[5:] == ["- SIGTERM", _FRESH]
    assert pair.end() == 0


def test_what_the_restart_of_another_that_has_died_keeps(up: Up) -> None:
    pair = Pair(up, "Requires")
    pair.gate.touch()
    os.kill(up.pid("db"), signal.SIGKILL)
    until(lambda: lines(pair.log) == [_FRESH, "- SIGUSR1", _AGAIN], "web has been restarted")
    assert pair.end() == 0


def test_a_stop_overtakes_a_restart(up: Up) -> None:
    pair = Pair(up, "Requires")
    with pair.held() as asked:
        assert up.call("Stop", name=pair.web) == {}
        assert not pair.kept()
        assert up.states()["db"] == "deactivating"
        pair.gate.touch()
        assert asked.result(PATIENCE) == {}
    up.wait_for(db="active", web="inactive")
    until(lambda: up.states()["ended"] == "inactive" and lines(up.log), "what comes after it")
    assert lines(up.log) == ["ended"]  # once
    up.call("Start", name=pair.web)
    assert lines(pair.log) == [_FRESH, "- SIGUSR1", _FRESH]
    assert pair.end() == 0


def test_the_end_of_the_manager_overtakes_a_restart(up: Up) -> None:
    pair = Pair(up, "Requires")
    logger = up.call("Status", name=pair.web)["service"]["loggerPid"]
    with pair.held() as asked:
        pair.process.terminate()
        until(lambda: not pair.kept(), "web lets go")
        assert not alive(logger)
        pair.gate.touch()
        with pytest.raises(client.RemoteError, match="stopped before it was started"):
            asked.result(PATIENCE)
    assert pair.end() == 0
    assert lines(pair.log) == [_FRESH, "- SIGUSR1"]


def test_what_it_needs_does_not_come_back(up: Up) -> None:
    pair = Pair(up, "Requires")
    with pair.held() as asked:
        pair.broken.touch()
        pair.gate.touch()
        with pytest.raises(client.RemoteError, match="StartFailed"):
            asked.result(PATIENCE)
    up.wait_for(db="failed", web="inactive")
    until(lambda: not pair.kept(), "web lets go")
    assert pair.end() != 0
    assert lines(pair.log) == [_FRESH, "- SIGUSR1"]


def test_a_start_that_a_restart_overtakes(up: Up) -> None:
    """Who has asked for it is told of the next life, as by a manager of one service."""
    gate, begun = up.services.out / "gate", up.services.out / "begun"
    path = f"{up.services.runtime}/initkit/{up.name}.sock"
    program = up.services.python(
        f"open({str(begun)!r}, 'a').write('x\\n')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        "notify('READY=1')\ntime.sleep(1000)"
    )
    late = up.add("late", f"ExecStart={program}\nType=notify")
    up.add("other", SLEEP)
    process = up.start()
    until(lambda: len(lines(begun)) == 1, "the first life")
    with Wire(path) as one, Wire(path) as other:
        assert one.ask("Ping") and other.ask("Ping")
        one.say("Start", {"name": late})
        assert up.call("Status", name=late)["service"]["state"] == "activating"  # which is heard later
        other.say("Restart", {"name": late})
        until(lambda: len(lines(begun)) == 2, "the second life")
        gate.touch()
        assert one.hear() == other.hear() == {"parameters": {}}
    assert finish(process)[0] == 0
