"""The machines themselves: they boot what they say, keep to themselves, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Boot
from .machine import CACHE, SYSTEMD_257, SYSV, CommandFailed, Kind, Machine, wait_until

BOOTED = [SYSTEMD_257, SYSV]


def leavings(name: str) -> list[str]:
    """Processes in a machine's control groups, the groups themselves, and mounts under the cache, in any namespace."""
    # Not by glob(), which fails when a group of somebody else's goes while it looks.
    found = [f"{folder}/{name}" for folder, groups, _ in os.walk("/sys/fs/cgroup") if name in groups]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups, mounts, command = ((process / part).read_text() for part in ("cgroup", "mountinfo", "comm"))
        except OSError:  # it ended meanwhile
            continue
        if name in groups:
            found.append(f"{process}: {command}")
        if process.name == str(os.getpid()) and str(CACHE) in mounts:
            found.append(mounts)
    return found


def test_systemd_runs(verifying_machine: Machine) -> None:
    state = verifying_machine.run("systemctl", "is-system-running", check=False).stdout.strip()
    assert state == "running", verifying_machine.run("systemctl", "--failed").stdout
    version = verifying_machine.run("systemctl", "--version").stdout
    assert version.startswith(f"systemd {verifying_machine.kind.version} ")


def test_systemd_verifies_units(verifying_machine: Machine) -> None:
    verifying_machine.write("/run/lab.service", "[Service]\nExecStart=/bin/true\nNoSuchDirective=1\n")
    verified = verifying_machine.run("systemd-analyze", "verify", "/run/lab.service", check=False)
    assert "NoSuchDirective" in verified.stderr
    assert "ExecStart" not in verified.stderr


def test_sysv_reaches_its_runlevel(sysv_machine: Machine) -> None:
    assert sysv_machine.run("runlevel").stdout == "N 2\n"
    running = sysv_machine.pids()
    assert running[1].startswith("init [2]")
    assert not [command for command in running.values() if "/etc/init.d/rc" in command or "startpar" in command]


def test_nothing_of_the_packages_runs(machine: Machine) -> None:
    assert not [command for command in machine.pids().values() if "nginx" in command or "redis" in command]


def test_the_system_log_takes_messages(machine: Machine) -> None:
    machine.run("logger", "-t", "lab", "a message for the log")
    command = "journalctl -t lab" if machine.kind.init == "systemd" else "cat /var/log/messages /var/log/syslog"
    wait_until(lambda: "a message for the log" in machine.sh(command, check=False).stdout, what="the message")


def test_loopback_is_up(machine: Machine) -> None:
    machine.sh("redis-server --port 7001 --daemonize yes >/dev/null")
    wait_until(lambda: machine.run("redis-cli", "-p", "7001", "ping", check=False).stdout == "PONG\n", what="redis")
    machine.run("redis-cli", "-p", "7001", "shutdown", "nosave")


def test_commands(machine: Machine) -> None:
    assert machine.run("cat", input="to stdin").stdout == "to stdin"
    assert machine.run("cat").stdout == ""
    assert machine.sh('echo "$2-$1"; pwd', "a b", "c").stdout == "c-a b\n/\n"
    assert machine.run("false", check=False).returncode == 1
    assert machine.run_bytes("printf", "\\377").stdout == b"\xff"
    environment = dict(line.split("=", 1) for line in machine.run("env").stdout.splitlines())
    assert environment.keys() == {"HOME", "LANG", "PATH"}
    with pytest.raises(CommandFailed, match="why it failed"):
        machine.sh("echo why it failed >&2; exit 3")


def test_a_command_ends_with_its_timeout(machine: Machine) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        machine.run("sleep", "1234", timeout=0.2)
    wait_until(lambda: "sleep 1234" not in machine.pids().values(), what="the end of sleep")


def test_a_command_belongs_to_the_machine(machine: Machine) -> None:
    groups = machine.run("grep", "-h", "^0::", "/proc/self/cgroup", "/proc/1/cgroup").stdout.splitlines()
    assert groups[0] == groups[1]
    machine.sh("setsid sleep 4321 >/dev/null 2>&1 &")
    wait_until(lambda: "sleep 4321" in machine.pids().values(), what="sleep")
    pid = next(pid for pid, command in machine.pids().items() if command == "sleep 4321")
    assert machine.run("ps", "-o", "ppid=", "-p", str(pid)).stdout.strip() == "1"
    machine.run("kill", str(pid))


@pytest.mark.parametrize("directory", ["/run/lab", "/etc/lab", "/tmp"])
def test_files(machine: Machine, directory: str) -> None:
    path = f"{directory}/a file"
    machine.write(path, b"\xff\0\n", mode=0o640, owner="redis:redis")
    assert machine.run_bytes("cat", path).stdout == b"\xff\0\n"
    assert machine.run("stat", "-c", "%a %U:%G", path).stdout == "640 redis:redis\n"
    machine.write(path, "überschrieben\n")
    assert machine.read(path) == "überschrieben\n"
    assert machine.run("stat", "-c", "%a %U:%G", path).stdout == "644 root:root\n"
    assert machine.exists(path)
    machine.run("rm", path)
    assert not machine.exists(path)


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "power-cut"])
@pytest.mark.parametrize("kind", BOOTED, ids=str)
def test_reboot_keeps_files(boot: Boot, kind: Kind, clean: bool) -> None:
    machine = boot(kind)
    machine.write("/var/lib/lab", "kept")
    machine.write("/run/lab", "lost")
    boot_id = machine.read("/proc/sys/kernel/random/boot_id")
    machine.reboot(clean=clean)
    assert machine.read("/proc/sys/kernel/random/boot_id") != boot_id
    assert machine.read("/var/lib/lab") == "kept"
    assert not machine.exists("/run/lab")


def test_machines_do_not_see_each_other(boot: Boot) -> None:
    one, other = boot(SYSTEMD_257), boot(SYSTEMD_257)
    one.write("/etc/lab", "of one")
    one.sh("sleep 1111 >/dev/null 2>&1 &")
    assert not other.exists("/etc/lab")
    assert "sleep 1111" not in other.pids().values()


@pytest.mark.parametrize("kind", BOOTED, ids=str)
def test_a_stopped_machine_leaves_nothing(boot: Boot, kind: Kind) -> None:
    machine = boot(kind)
    machine.sh("setsid sleep 2222 >/dev/null 2>&1 &")
    assert leavings(machine.name)
    machine.stop()
    assert not leavings(machine.name)
    assert not list((CACHE / "machine").iterdir())
    assert not (kind.root / "etc/lab").exists()


def test_killed_tests_leave_nothing(boot: Boot) -> None:
    program = "import machine; it = machine.Machine(machine.SYSTEMD_257); print(it.name, flush=True); input()"
    pipe, here = subprocess.PIPE, Path(__file__).parent
    tests = subprocess.Popen([sys.executable, "-c", program], cwd=here, stdin=pipe, stdout=pipe, text=True)
    with tests:
        assert tests.stdout is not None
        name = tests.stdout.readline().strip()
        assert leavings(name)
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: not leavings(name), what="the end of the machine")


def test_initkit_is_installed(machine: Machine) -> None:
    machine.install_initkit()
    assert machine.read("/usr/bin/initkit").startswith("#!/usr/bin/python3\n")
    where = machine.run("python3", "-c", "import initkit; print(initkit.__file__)").stdout
    assert where == "/usr/lib/python3/dist-packages/initkit/__init__.py\n"
