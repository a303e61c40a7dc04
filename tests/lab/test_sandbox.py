"""The service of `initkit new` is fenced in: what it may not do it cannot, under systemd and under SysV init alike."""

from __future__ import annotations

import ast

import pytest

from .machine import SYSTEMD_257, SYSV, Kind, Machine
from .ways import SCRIPT_WITH_RUNNER, UNIT, Way

SEEN = "/var/tmp/seen"

# Tries each door, and tells what came of it: the exception, or the value where none should have been had.
BURGLAR = """\
import ctypes, mmap, os, signal, socket, stat, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *words):
    if getattr(libc, name)(*words) < 0:
        raise OSError(ctypes.get_errno(), "")

def executable():
    memory = mmap.mmap(-1, 4096)
    call("mprotect", ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory))), 4096, 5)

def set_user_id():
    path = "/dev/shm/suid"
    open(path, "w").close()
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)

doors = {
    "usr": lambda: open("/usr/lib/burglar", "w"),
    "etc": lambda: open("/etc/burglar", "w"),
    "state": lambda: open("/var/lib/burglar", "w"),
    "home": lambda: open("/root/burglar", "w"),
    "disk": lambda: os.mknod("/dev/shm/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
    "memory": lambda: open("/dev/mem", "rb"),
    "tunables": lambda: open("/proc/sys/kernel/core_pattern", "w"),
    "kernel log": lambda: open("/proc/kmsg", "rb"),
    "syslog": lambda: call("klogctl", 3, ctypes.create_string_buffer(10), 10),
    "symbols": lambda: open("/proc/kallsyms"),
    "meminfo": lambda: open("/proc/meminfo"),
    "control groups": lambda: os.mkdir("/sys/fs/cgroup/burglar"),
    "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "host name": lambda: socket.sethostname("burglar"),
    "module": lambda: call("syscall", 313, -1, b"", 0),
    "mount": lambda: call("mount", b"x", b"/mnt", b"tmpfs", 0, None),
    "chroot": lambda: os.chroot("/"),
    "namespace": lambda: call("unshare", 0x20000),
    "user namespace": lambda: call("unshare", 0x10000000),
    "trace": lambda: call("ptrace", 16, 1, None, None),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "low port": lambda: socket.socket().bind(("127.0.0.1", 80)),
    "realtime": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "write and execute": executable,
    "personality": lambda: call("personality", 8),
    "set-user-id": set_user_id,
    "another's file": lambda: os.chown("/dev/shm", 1, 1),
    "reboot": lambda: call("reboot", 0),
    "swap": lambda: call("swapon", b"/nowhere", 0),
}
seen = {}
for name, door in doors.items():
    try:
        door()
        seen[name] = "open"
    except OSError as fault:
        seen[name] = fault.errno
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
seen["capabilities"] = [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")]
seen["no new privileges"] = status["NoNewPrivs"]
print(seen)
"""

OPEN_TO_ALL = {"low port"}  # where the kernel's net.ipv4.ip_unprivileged_port_start says so


def break_in(kind: Kind, way: Way) -> dict[str, object]:
    with Machine(kind) as machine:
        machine.install_initkit()
        # Mounted twice by a SysV init in a container: the one below is whole.
        machine.sh('[ "$(cut -d" " -f5 /proc/self/mountinfo | grep -cx /sys)" = 1 ] || umount --lazy /sys')
        machine.sh("mkdir -p /srv/app && cd /srv/app && initkit new app")
        machine.write("/srv/app/burglar.py", BURGLAR)
        machine.write(
            "/srv/app/app.toml.d/burglar.toml",
            'type = "oneshot"\nrestart = "no"\nexec_start = [[], ["/usr/bin/python3", "/srv/app/burglar.py"]]\n'
            f'exec_reload = [[]]\nstandard_output = "truncate:{SEEN}"\nstandard_error = "truncate:{SEEN}.err"\n',
        )
        try:
            way.start(machine, "/srv/app/app.toml")
        finally:
            said = machine.read(f"{SEEN}.err") if machine.exists(f"{SEEN}.err") else ""
        assert said == ""
        found = ast.literal_eval(machine.read(SEEN))
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def under_systemd(lab: None) -> dict[str, object]:
    return break_in(SYSTEMD_257, UNIT)


@pytest.fixture(scope="module")
def under_sysv(lab: None) -> dict[str, object]:
    return break_in(SYSV, SCRIPT_WITH_RUNNER)


def test_every_door_is_shut(under_sysv: dict[str, object]) -> None:
    assert [name for name, seen in under_sysv.items() if seen == "open" and name not in OPEN_TO_ALL] == []
    assert under_sysv["capabilities"] == ["0000000000000000"] * 4
    assert under_sysv["no new privileges"] == "1"


def test_the_same_doors_as_under_systemd(under_systemd: dict[str, object], under_sysv: dict[str, object]) -> None:
    assert under_sysv == under_systemd


def test_what_systemd_thinks_of_it(lab: None) -> None:
    with Machine(SYSTEMD_257) as machine:
        machine.install_initkit()
        machine.sh("mkdir -p /srv/app && cd /srv/app && initkit new app && initkit gen-unit app >/tmp/app.service")
        verdict = machine.run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "/tmp/app.service")
        assert verdict.returncode == 0
