"""Sockets that the manager opens for a service: systemd.socket(5), sd_listen_fds(3)."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from initkit.run import client

from .clients import Managed, alone_and_shared
from .harness import PATIENCE, Services, alive, finish, free_port, lines, until
from .ups import SLEEP, Up

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")

#: Answers every connection with what it was handed; ends after the one it is at when it is told to.
SERVER = """
import select, signal, socket, json
count = int(os.environ.get("LISTEN_FDS", "0"))
assert not count or os.environ["LISTEN_PID"] == str(os.getpid())
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
sockets = [socket.socket(fileno=fd) for fd in range(3, 3 + count)]
wakeup, end = os.pipe()
for fd in (wakeup, end):
    os.set_blocking(fd, False)
signal.set_wakeup_fd(end)
signal.signal(signal.SIGTERM, lambda *_: None)
open_fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
told = {"pid": os.getpid(), "names": names, "count": count, "environment": dict(os.environ)}
told["blocking"] = [os.get_blocking(each.fileno()) for each in sockets]
told["open"] = [fd for fd in open_fds if fd < 3 + count]
if "OUT" in os.environ:
    with open(os.environ["OUT"] + "~", "w") as out:
        out.write(json.dumps(told))
    os.rename(os.environ["OUT"] + "~", os.environ["OUT"])
for each in sockets:
    each.setblocking(False)
if "NOTIFY_SOCKET" in os.environ:
    notify("READY=1")
while True:
    ready = select.select([wakeup, *sockets], [], [])[0]
    if wakeup in ready:
        sys.exit(0)
    for each in ready:
        if each.type == socket.SOCK_DGRAM:
            data, sender = each.recvfrom(100)
            each.sendto(data.upper(), sender)
            continue
        try:
            peer, _ = each.accept()
        except BlockingIOError:
            continue
        peer.sendall(str(os.getpid()).encode())
        peer.close()
"""
WAIT = "time.sleep(1000)"


class Listening(Managed):
    """A service with a socket unit beside it."""

    def __init__(self, services: Services, text: str, settings: str = "", program: str = SERVER) -> None:
        self.out = services.out / f"told{len(os.listdir(services.out))}"
        services.out.joinpath("x").touch()
        name = f"l{len(list(services.folder.iterdir()))}"
        (services.folder / f"{services.prefix}{name}.socket").write_text(f"[Socket]\n{text}\n")
        command = f"ExecStart={services.python(program)}\nEnvironment=OUT={self.out}"
        super().__init__(services, f"{command}\n{settings}", name=name)

    def told(self) -> dict[str, Any]:
        """What the program has found."""
        until(self.out.exists, "the program's report")
        found: dict[str, Any] = json.loads(self.out.read_text())
        return found


def ask(address: str | tuple[str, int]) -> str:
    """What a server says to somebody who connects."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as made:
        made.settimeout(PATIENCE)
        made.connect(address)
        said = b""
        while data := made.recv(100):
            said += data
    return said.decode()


# --- handing over ---------------------------------------------------------------------------------------------------


def test_they_are_the_programs_from_3_on(services: Services) -> None:
    port, path = free_port(), services.folder / "a/b/app.sock"
    text = f"ListenStream=127.0.0.1:{port}\nListenStream={path}\nListenDatagram=@{services.prefix}"
    service = Listening(services, text)
    told = service.told()
    unit = f"{service.name}.socket"
    assert (told["count"], told["names"]) == (3, [unit] * 3)
    assert told["open"] == [0, 1, 2, 3, 4, 5]
    assert told["blocking"] == [True] * 3
    assert told["environment"]["LISTEN_PID"] == str(told["pid"])
    assert ask(("127.0.0.1", port)) == ask(str(path)) == str(told["pid"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        sender.bind("")
        sender.sendto(b"abc", f"\0{services.prefix}")
        assert sender.recv(100) == b"ABC"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert service.end()[0] == 0
    assert path.exists()  # RemoveOnStop= is off
    with pytest.raises(ConnectionRefusedError):
        ask(str(path))


@as_root
def test_names_modes_and_owners(services: Services) -> None:
    path, fifo, link = services.folder / "x/app.sock", services.folder / "y/fifo", services.folder / "z/link"
    before = os.umask(0o077)
    try:
        service = Listening(
            services,
            f"ListenSequentialPacket={path}\nSocketMode=0620\nDirectoryMode=0711\nSocketUser=daemon\nRemoveOnStop=yes\n"
            f"Symlinks={link}\nFileDescriptorName=main\nBacklog=5\nPassCredentials=yes",
            "NonBlocking=yes",
        )
        other = Listening(
            services, f"ListenFIFO={fifo}\nSocketMode=0640\nSocketGroup=daemon\nPipeSize=8K", program=WAIT
        )
    finally:
        os.umask(before)
    assert service.told()["names"] == ["main"]
    assert service.told()["blocking"] == [False]
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), stat.S_ISSOCK(found.st_mode)) == (0o620, True)
    user = pwd.getpwnam("daemon")
    assert (found.st_uid, found.st_gid) == (user.pw_uid, user.pw_gid)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711
    assert os.readlink(link) == str(path)
    group = grp.getgrnam("daemon").gr_gid
    until(lambda: fifo.exists() and fifo.stat().st_gid == group, "the FIFO and its owner")
    found = fifo.stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert stat.S_ISFIFO(found.st_mode)
    other.end()
    service.end()
    assert not path.exists()
    assert not link.is_symlink()


def test_options_of_sockets(services: Services) -> None:
    port = free_port()
    program = """
import socket, json
made = socket.socket(fileno=3)
datagram = socket.socket(fileno=4)
tcp, whole, ip = socket.IPPROTO_TCP, socket.SOL_SOCKET, socket.IPPROTO_IP
found = {
    "no_delay": made.getsockopt(tcp, socket.TCP_NODELAY), "keep_alive": made.getsockopt(whole, socket.SO_KEEPALIVE),
    "idle": made.getsockopt(tcp, socket.TCP_KEEPIDLE), "count": made.getsockopt(tcp, socket.TCP_KEEPCNT),
    "interval": made.getsockopt(tcp, socket.TCP_KEEPINTVL), "reuse_port": made.getsockopt(whole, socket.SO_REUSEPORT),
    "ttl": made.getsockopt(ip, socket.IP_TTL), "tos": made.getsockopt(ip, socket.IP_TOS),
    "free_bind": made.getsockopt(ip, 15), "defer": made.getsockopt(tcp, socket.TCP_DEFER_ACCEPT) > 0,
    "broadcast": datagram.getsockopt(whole, socket.SO_BROADCAST),
    "buffer": datagram.getsockopt(whole, socket.SO_RCVBUF), "packet_info": datagram.getsockopt(ip, 8),
    "v6only": socket.socket(fileno=5).getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
}
with open(os.environ["OUT"] + "~", "w") as out:
    out.write(json.dumps(found))
os.rename(os.environ["OUT"] + "~", os.environ["OUT"])
time.sleep(1000)
"""
    service = Listening(
        services,
        f"ListenStream=127.0.0.1:{port}\nListenDatagram=127.0.0.1:{port}\nListenStream=[::1]:{port}\nNoDelay=yes\n"
        "KeepAlive=yes\nKeepAliveTimeSec=1min\nKeepAliveProbes=3\nKeepAliveIntervalSec=7\nReusePort=yes\nIPTTL=33\n"
        "IPTOS=low-delay\nFreeBind=yes\nDeferAcceptSec=5\nBroadcast=yes\nReceiveBuffer=16K\n"
        "PassPacketInfo=yes\nBindIPv6Only=ipv6-only",
        program=program,
    )
    assert service.told() == {
        "no_delay": 1, "keep_alive": 1, "idle": 60, "count": 3, "interval": 7, "reuse_port": 1, "ttl": 33, "tos": 0x10,
        "free_bind": 1, "defer": True, "broadcast": 1, "buffer": 32768, "packet_info": 1, "v6only": 1,
    }  # fmt: skip
    service.end()


def test_only_the_program_itself_gets_them(services: Services) -> None:
    log = services.out / "log"
    look = services.script(f'echo "$1 ${{LISTEN_FDS-none}} $(test -S /proc/$$/fd/3 && echo open)" >> {log}')
    service = Listening(
        services,
        f"ListenStream=@{services.prefix}",
        f"Type=oneshot\nExecStart=\nExecStartPre={look} before\nExecStart={look} one\nExecStart={look} two\n"
        f"ExecStopPost={look} after",
    )
    service.process.wait(PATIENCE)
    assert lines(log) == ["before none ", "one 1 open", "two 1 open", "after none "]


def test_a_daemon_has_them_too(services: Services) -> None:
    path = services.folder / "d.sock"
    out = services.out / "told"
    unit = services.unit(f"ExecStart={services.python(SERVER)}\nEnvironment=OUT={out}")
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\nRemoveOnStop=yes\n")
    assert services.daemon(unit).returncode == 0
    pid = ask(str(path))
    assert json.loads(out.read_text())["pid"] == int(pid)
    assert client.call(str(services.runtime / "initkit" / f"{unit.stem}.sock"), "Stop") == {}
    assert not path.exists()
    assert not alive(int(pid))


def test_what_the_caller_has_opened_is_passed_on(services: Services) -> None:
    """As under systemd: nothing is opened then."""
    path = services.folder / "e.sock"
    out = services.out / "told"
    unit = services.unit(f"ExecStart={services.python(SERVER)}\nEnvironment=OUT={out}\nRestart=on-failure")
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\n")
    program = f"""
import os, socket, sys
made = socket.socket(socket.AF_UNIX)
made.bind("\\0{services.prefix}")
made.listen()
os.dup2(made.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="given", LISTEN_PIDFDID="1")
os.execv(sys.executable, [sys.executable, "-m", "initkit", "run", {str(unit)!r}, "--foreground"])
"""
    process = subprocess.Popen([sys.executable, "-c", program], env=services.environment(), text=True)
    until(out.exists, "the program")
    told = json.loads(out.read_text())
    pid = ask(f"\0{services.prefix}")
    assert (told["names"], told["pid"]) == (["given"], int(pid))
    assert "LISTEN_PIDFDID" not in told["environment"]
    assert not path.exists()
    assert finish(process)[0] == 0


# --- keeping --------------------------------------------------------------------------------------------------------


@alone_and_shared
def test_no_connection_is_lost_in_50_restarts(services: Services) -> None:
    """Clients connect all the time, over TCP and a Unix socket: each is answered by one life or the next."""
    port, path = free_port(), str(services.folder / "f.sock")
    service = Listening(services, f"ListenStream=127.0.0.1:{port}\nListenStream={path}", "Type=notify")
    service.wait_for("active")
    over, answers, faults = threading.Event(), [], []

    def hammer(address: str | tuple[str, int]) -> None:
        while not over.is_set():
            try:
                answers.append(ask(address))
            except OSError as fault:
                faults.append(fault)

    clients = [threading.Thread(target=hammer, args=(each,)) for each in (("127.0.0.1", port), path, path)]
    for each in clients:
        each.start()
    try:
        for lives in range(50):
            service.call("Restart")
            if lives % 2:  # each other life may have no time for anybody
                until(lambda: answers[-1:] == [str(service.status()["mainPid"])], "an answer of this life")
    finally:
        over.set()
        for each in clients:
            each.join()
    assert faults == []
    assert "" not in answers
    assert len(set(answers)) >= 25, "the lives that have answered"
    service.end()


def test_a_crash_loses_nothing_that_waits(services: Services) -> None:
    """The backlog is the socket's: who has connected to a dead program is answered by the next."""
    path = str(services.folder / "g.sock")
    program = "import socket\ns = socket.socket(fileno=3)\nif not os.path.exists(sys.argv[1]):\n"
    program += "    open(sys.argv[1], 'w').close(); os._exit(1)\n"
    program += "p, _ = s.accept(); p.sendall(b'here'); p.close(); time.sleep(1000)\n"
    out = services.out / "seen"
    unit = services.unit(f"ExecStart={services.python(program)} {out}\nRestart=always\nRestartSec=1")
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\n")
    process = services.foreground(unit)
    until(out.exists, "the first life")
    assert ask(path) == "here"
    finish(process)


def test_down_it_listens_no_more(up: Up) -> None:
    """As the other services under `initkit up` see it: stopped is stopped, started is opened again."""
    path = str(up.services.folder / "h.sock")
    name = up.add("h", f"ExecStart={up.services.python(SERVER)}")
    up.units[-1].with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\nRemoveOnStop=yes\n")
    up.add("other", SLEEP)
    process = up.start()
    up.wait_for(h="active")  # a socket has its name before it listens
    first = ask(path)
    assert up.call("Restart", name=name) == {}
    second = ask(path)
    assert up.call("Stop", name=name) == {}
    assert not os.path.exists(path)
    assert up.call("Start", name=name) == {}
    assert len({first, second, ask(path)}) == 3
    assert finish(process)[0] == 0
    assert not os.path.exists(path)


# --- refusing -------------------------------------------------------------------------------------------------------


def test_a_dead_sockets_name_is_taken_over_a_live_ones_not(services: Services) -> None:
    path = str(services.folder / "i.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    service = Listening(services, f"ListenStream={path}")
    pid = str(service.told()["pid"])
    assert ask(path) == pid
    rival = services.unit("ExecStart=/bin/sleep 1000", name="rival")
    rival.with_suffix(".socket").write_text(f"[Socket]\nListenStream={path}\n")
    for how in ("--foreground", "--daemon"):
        ran = services.run(rival, how)
        assert ran.returncode == 1
        assert ran.stderr == f"initkit: {rival.stem}: cannot listen on {path}: Address already in use\n"
    assert ask(path) == str(service.told()["pid"])
    Path(path).unlink()
    Path(path).write_text("a file")
    assert services.run(rival, "--foreground").returncode == 1
    assert Path(path).read_text() == "a file"
    service.end()


def test_a_taken_port_leaves_nothing_open(services: Services) -> None:
    path = services.folder / "j.sock"
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        port = rival.getsockname()[1]
        unit = services.unit("ExecStart=/bin/sleep 1000", name="j")
        text = f"[Socket]\nListenStream={path}\nListenStream=127.0.0.1:{port}\nRemoveOnStop=yes\n"
        unit.with_suffix(".socket").write_text(text)
        ran = services.run(unit, "--foreground")
        assert (ran.returncode, ran.stderr) == (
            1, f"initkit: {unit.stem}: cannot listen on 127.0.0.1:{port}: Address already in use\n",
        )  # fmt: skip
        assert not path.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ListenNetlink=kobject-uevent 1", "ListenNetlink = \"kobject-uevent 1\": Netlink sockets are opened by s"),
        ("ListenMessageQueue=/a", 'ListenMessageQueue = "/a": message queues are opened by systemd only'),
        ("ListenStream=@a\nSmackLabel=x", 'SmackLabel = "x": systemd only'),
        ("ListenStream=@a\nExecStartPre=/bin/true", 'ExecStartPre = "/bin/true": commands around the opening'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_what_only_systemd_can_do_is_refused(services: Services, text: str, said: str, how: str) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000")
    socket_unit = unit.with_suffix(".socket")
    socket_unit.write_text(f"[Socket]\n{text}\n")
    ran = services.run(unit, how)
    assert ran.returncode == 78
    assert ran.stderr.startswith(f"initkit: {socket_unit}:")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert services.started() == []


def test_a_socket_unit_that_is_not_there(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nSockets=nowhere.socket")
    unit.with_suffix(".socket").write_text(f"[Socket]\nListenStream=@{services.prefix}\n")
    ran = services.run(unit, "--foreground")
    assert ran.returncode == 78
    assert 'Sockets = "nowhere.socket": there is no nowhere.socket beside the settings' in ran.stderr
