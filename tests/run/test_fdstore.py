"""Descriptors that a service leaves with its manager: FDSTORE=1 of sd_notify(3)."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from .clients import Managed, alone_and_shared
from .harness import Services, finish, lines, until

#: Sends descriptors along, tells what it was handed, and does as a file says, line by line.
PROGRAM = """
import json
ADDRESS = os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1)

def send(text, *fds):
    to = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    to.connect(ADDRESS)
    data = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    to.sendmsg([text.encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)] if fds else [])

def barrier():
    answer, passed = os.pipe()
    send("BARRIER=1", passed)
    os.close(passed)
    assert os.read(answer, 1) == b""
    os.close(answer)

def memory(text):
    fd = os.memfd_create("kept")
    os.write(fd, text.encode())
    return fd

def told():
    names = [name for name in os.environ.get("LISTEN_FDNAMES", "").split(":") if name]
    assert int(os.environ.get("LISTEN_FDS", "0")) == len(names)
    content = []
    for at, name in enumerate(names):
        kind = os.readlink("/proc/self/fd/%d" % (3 + at)).split(":")[0]
        content.append([name, os.pread(3 + at, 100, 0).decode() if "memfd" in kind else kind])
    return {"pid": os.getpid(), "fds": content, "FDSTORE": os.environ.get("FDSTORE")}

with open(sys.argv[1], "a") as out:
    out.write(json.dumps(told()) + "\\n")
"""
REST = "\nbarrier()\nnotify('READY=1')\ntime.sleep(1000)\n"


class Storing(Managed):
    """A service whose program runs some lines at its start."""

    def __init__(
        self, services: Services, text: str, settings: str = "FileDescriptorStoreMax=5", socket: str = ""
    ) -> None:
        self.log = services.out / f"log{len(list(services.out.iterdir()))}"
        name = f"s{len(list(services.folder.iterdir()))}"
        if socket:
            (services.folder / f"{services.prefix}{name}.socket").write_text(f"[Socket]\n{socket}\n")
        program = services.python(PROGRAM + text + REST)
        super().__init__(services, f"ExecStart={program} {self.log}\nType=notify\n{settings}", name=name)
        self.wait_for("active")

    def told(self) -> list[dict[str, Any]]:
        """What each life was handed."""
        return [json.loads(line) for line in lines(self.log)]

    def again(self) -> list[list[str]]:
        """Restart it: what it is handed then."""
        self.call("Restart")
        found: list[list[str]] = self.told()[-1]["fds"]
        return found

    def kept(self) -> int:
        """How many memory files and pipes the manager has open."""
        count = 0
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                count += "memfd:kept" in os.readlink(fd)
            except FileNotFoundError:
                continue
        return count


@alone_and_shared
def test_they_come_back_behind_the_sockets(services: Services) -> None:
    service = Storing(
        services,
        "if len(told()['fds']) == 1:\n"
        "    send('FDSTORE=1\\nFDNAME=one', memory('first'))\n"
        "    send('FDSTORE=1', memory('second'), memory('third'))\n",
        socket=f"ListenStream=@{services.prefix}\nFileDescriptorName=web",
    )
    assert service.told()[0]["fds"] == [["web", "socket"]]
    assert service.told()[0]["FDSTORE"] == "5"
    expected = [["web", "socket"], ["one", "first"], ["stored", "second"], ["stored", "third"]]
    assert service.again() == expected
    assert service.again() == expected
    service.end()


@alone_and_shared
def test_a_crash_keeps_them(services: Services) -> None:
    service = Storing(
        services,
        "if not told()['fds']:\n    send('FDSTORE=1', memory('first'))\n    barrier()\n    os._exit(3)\n",
        "FileDescriptorStoreMax=1\nRestart=always\nRestartSec=0",
    )
    assert [each["fds"] for each in service.told()] == [[], [["stored", "first"]]]
    service.end()


def test_no_more_than_the_limit_and_none_twice(services: Services) -> None:
    service = Storing(
        services,
        "if not told()['fds']:\n"
        "    one = memory('one')\n"
        "    send('FDSTORE=1\\nFDNAME=a', one)\n"
        "    send('FDSTORE=1\\nFDNAME=b', one, os.dup(one))\n"  # one open file, whatever its number
        "    ends = os.pipe()\n"
        "    send('FDSTORE=1\\nFDNAME=c\\nFDPOLL=0', *ends)\n"  # one inode, two open files
        "    send('FDSTORE=1\\nFDNAME=d', memory('four'), memory('five'))\n",
        "FileDescriptorStoreMax=4",
    )
    assert service.again() == [["a", "one"], ["c", "pipe"], ["c", "pipe"], ["d", "four"]]
    _, _, errors = service.end()
    assert "no more than 4 descriptors are kept: FileDescriptorStoreMax=" in errors


def test_they_can_be_taken_back(services: Services) -> None:
    service = Storing(
        services,
        "if not told()['fds']:\n"
        "    for name in 'aab':\n"
        "        send('FDSTORE=1\\nFDNAME=' + name, memory(name))\n"
        "else:\n"
        "    send('FDSTOREREMOVE=1')\n"  # of no name: nothing is meant
        "    send('FDSTOREREMOVE=1\\nFDNAME=a')\n",
    )
    assert service.again() == [["a", "a"], ["a", "a"], ["b", "b"]]
    assert service.again() == [["b", "b"]]
    service.end()


@alone_and_shared
def test_what_has_hung_up_goes_unless_it_is_to_stay(services: Services) -> None:
    service = Storing(
        services,
        "if not told()['fds']:\n"
        "    one, other = os.pipe(), os.pipe()\n"
        "    send('FDSTORE=1\\nFDNAME=goes', one[0])\n"
        "    send('FDSTORE=1\\nFDNAME=stays\\nFDPOLL=0', other[0])\n"
        "    barrier()\n"
        "    os.close(one[1])\n    os.close(other[1])\n",
    )
    until(lambda: len(service.again()) == 1, "only one is left")
    assert service.told()[-1]["fds"] == [["stays", "pipe"]]
    service.end()


def test_a_name_that_is_none(services: Services) -> None:
    service = Storing(services, "if not told()['fds']:\n    send('FDSTORE=1\\nFDNAME=a:b', memory('x'))\n")
    assert service.again() == [["stored", "x"]]
    assert "FDNAME='a:b' is no name for a descriptor" in service.end()[2]


@pytest.mark.parametrize("settings", ["FileDescriptorStoreMax=0", ""])
def test_without_a_store_they_are_closed(services: Services, settings: str) -> None:
    service = Storing(services, "send('FDSTORE=1', memory('x'))\n", settings)
    assert service.again() == []
    assert service.told()[0]["FDSTORE"] is None
    assert service.kept() == 0
    service.end()


@alone_and_shared
@pytest.mark.parametrize(("preserve", "restarted", "stopped"), [("no", 0, 0), ("restart", 1, 0), ("yes", 1, 1)])
def test_when_they_are_let_go(services: Services, preserve: str, restarted: int, stopped: int) -> None:
    """FileDescriptorStorePreserve=, with supervisorctl's idea of a stop: the manager stays."""
    from .clients import proxy

    service = Storing(
        services,
        "if not told()['fds']:\n    send('FDSTORE=1', memory('x'))\n",
        f"FileDescriptorStoreMax=5\nFileDescriptorStorePreserve={preserve}",
    )
    assert len(service.again()) == restarted
    server = proxy(service.path)
    assert server.supervisor.stopProcess(service.name) is True
    assert service.kept() == stopped
    assert server.supervisor.startProcess(service.name) is True
    assert len(service.told()[-1]["fds"]) == stopped
    service.end()


def test_a_flood_neither_blocks_nor_fills_the_manager(services: Services) -> None:
    """Messages with as many descriptors as the kernel passes on, without an end; others are answered meanwhile."""
    service = Storing(
        services,
        "notify('READY=1')\nfds = [memory('x') for _ in range(250)]\n"
        "while True:\n    send('FDSTORE=1', *fds)\n    send('FDSTORE=1\\nFDNAME=' + 'x' * 300, *fds)\n"
        "    send('STATUS=x')\n",
    )
    for _ in range(20):
        assert service.status()["state"] == "active"
    until(lambda: service.kept() >= 5, "the store is full")
    until(lambda: service.status()["statusText"] == "x", "all three have been heard")
    assert len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) < 300
    service.call("Stop")
    _, errors = service.process.communicate(timeout=20)
    assert service.process.returncode == 0
    assert errors.count("\n") == 2  # one about the name, one about the limit


def test_a_store_leaves_the_manager_room(services: Services) -> None:
    """However much FileDescriptorStoreMax= allows, the manager's own limit is not used up."""
    unit = services.unit(
        f"ExecStart={services.python(PROGRAM + _FILL + REST)} {services.out}/log\nType=notify\nNotifyAccess=all\n"
        "FileDescriptorStoreMax=100000\nExecStartPost=/bin/true"
    )
    process = services.foreground(unit, prefix=["prlimit", "--nofile=200:200"])
    until(Path(f"{services.out}/log.full").exists, "all has been sent")
    held = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    assert 100 < held < 190
    code, _, errors = finish(process)
    assert code == 0
    assert errors.count("descriptors are kept: FileDescriptorStoreMax=") == 1


#: More than fits; the program itself has no more descriptors than the manager.
_FILL = """
for _ in range(300):
    fd = memory('x')
    send('FDSTORE=1', fd)
    os.close(fd)
barrier()
open(sys.argv[1] + '.full', 'w')
"""


def test_who_may_not_notify_cannot_store(services: Services) -> None:
    """A child of the program's, with NotifyAccess=main as a store implies it."""
    service = Storing(
        services,
        "if os.fork() == 0:\n    send('FDSTORE=1', memory('x'))\n    barrier()\n    os._exit(0)\nos.wait()\n",
        "FileDescriptorStoreMax=5\nNotifyAccess=main",
    )
    assert service.again() == []
    assert service.kept() == 0
    service.end()


def test_a_store_alone_makes_a_notify_socket(services: Services) -> None:
    """With no Type=notify and no NotifyAccess=: systemd.service(5), FileDescriptorStoreMax=."""
    out = services.out / "out"
    program = services.python(
        PROGRAM + "send('FDSTORE=1', memory('x'))\nbarrier()\nopen(sys.argv[1] + 'ok', 'w')" + REST
    )
    unit = services.unit(f"ExecStart={program} {out}\nFileDescriptorStoreMax=1")
    process = services.foreground(unit)
    until(Path(f"{out}ok").exists, "the barrier")
    assert finish(process)[0] == 0


@alone_and_shared
def test_a_socket_in_the_store_serves_on(services: Services) -> None:
    """What the store is for: a connection outlives the program that accepted it."""
    service = Storing(
        services,
        "import socket\n"
        "listener = socket.socket(fileno=3)\n"
        "if len(told()['fds']) == 1:\n"
        "    notify('READY=1')\n    peer, _ = listener.accept()\n    peer.sendall(b'one ')\n"
        "    send('FDSTORE=1\\nFDNAME=peer', peer.fileno())\n    barrier()\n    os._exit(0)\n"
        "else:\n    socket.socket(fileno=4).sendall(b'two')\n",
        "FileDescriptorStoreMax=1\nRestart=always\nRestartSec=0",
        socket=f"ListenStream=@{services.prefix}",
    )
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(f"\0{services.prefix}")
        said = b""
        while len(said) < 7:
            said += client.recv(10)
    assert said == b"one two"
    service.end()
