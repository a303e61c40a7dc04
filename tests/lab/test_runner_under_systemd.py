"""`initkit run` as a child of systemd, from units and from init scripts that systemd wraps itself."""

from __future__ import annotations

import pytest

from .conftest import Boot
from .machine import SYSTEMD_257, Machine, wait_until
from .services import ALL, Example
from .test_services_systemd import install_unit, show

WORKER = """\
import os, signal, sys, sdnotify

def serve():
    # pwd was looked up by the plan, the folder of the settings is where modules come from.
    with open("/run/worker/started", "w") as file:
        print(os.getuid(), os.getpid(), os.environ["COLOUR"], __file__, file=file)
    sdnotify.SystemdNotifier().notify("READY=1\\nSTATUS=working")
    signal.sigwait({signal.SIGTERM})
    return 7

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
"""
WORKER_SETTINGS = """\
type = "notify"
user = "daemon"
runtime_directory = "worker"
runtime_directory_preserve = "yes"
environment = { COLOUR = "red" }
success_exit_status = [7]
exec_stop_post = ["/bin/sh", "-c", "echo ${SERVICE_RESULT} ${EXIT_STATUS} >/run/worker/ended"]
[initkit]
callable = "worker:serve"
"""


@pytest.fixture
def machine(systemd_machine: Machine) -> Machine:
    """With initkit in it."""
    if not systemd_machine.exists("/usr/bin/initkit"):
        systemd_machine.install_initkit()
    return systemd_machine


def test_a_callable(machine: Machine) -> None:
    machine.write("/etc/initkit/worker.toml", WORKER_SETTINGS)
    machine.write("/etc/initkit/worker.py", WORKER)
    install_unit(machine, "worker")
    machine.run("systemctl", "start", "worker")
    assert show(machine, "worker", "StatusText") == "working"
    main = show(machine, "worker", "MainPID")
    assert machine.read("/run/worker/started") == f"1 {main} red /etc/initkit/worker.py\n"
    machine.run("systemctl", "stop", "worker")
    assert machine.read("/run/worker/ended") == "success 7\n"


def test_a_logger(machine: Machine) -> None:
    """systemd looks after the program, a small process beside it after the logger; both have the last word."""
    machine.write(
        "/srv/talk", "exec 2>/dev/null\ntrap 'echo bye; exit 0' TERM\nseq 1000\nwhile :; do sleep 0.1; done\n"
    )
    machine.write(
        "/etc/initkit/talker.toml",
        'exec_start = ["/bin/sh", "/srv/talk"]\nuser = "daemon"\nlogs_directory = ["talker"]\nrestart = "always"\n'
        '[initkit]\nlog_file = "/var/log/talker/log"\nlog_max_size = "1K"\n',
    )
    install_unit(machine, "talker")
    machine.run("systemctl", "start", "talker")
    log = ("initkit", "logs", "talker", "-n", "3")
    wait_until(lambda: machine.run(*log, check=False).stdout == "998\n999\n1000\n", what="the output")
    main = show(machine, "talker", "MainPID")
    assert machine.pids()[int(main)] == "/bin/sh /srv/talk"
    (logger,) = (pid for pid, words in machine.pids().items() if words.startswith("initkit: logger of"))
    assert machine.run("ps", "-o", "user=", "-p", str(logger)).stdout.strip() == "daemon"
    machine.run("kill", "-9", str(logger))
    machine.run("systemctl", "stop", "talker")
    assert show(machine, "talker", "Result") == "success"
    assert machine.run(*log).stdout == "999\n1000\nbye\n"
    assert not [words for words in machine.pids().values() if words.startswith("initkit")]


@pytest.mark.parametrize("option", ["", "--foreground"])
@pytest.mark.parametrize("type", ["simple", "exec", "notify"])
def test_systemd_is_recognised(machine: Machine, type: str, option: str) -> None:
    """Without being told, the runner sees who its parent is and does not fork."""
    unit = f"[Service]\nType={type}\nExecStart=initkit run /srv/plain.toml {option}\n"
    machine.write("/etc/systemd/system/plain.service", unit)
    command = "[ ! -v NOTIFY_SOCKET ] || systemd-notify --ready; exec -a plain sleep 1000000"
    machine.write("/srv/plain.toml", f'type = "{type}"\nexec_start = ["/bin/bash", "-c", "{command}"]\n')
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "plain")
    wait_until(lambda: "plain 1000000" in machine.pids().values(), what="the program")
    (pid,) = (pid for pid, command in machine.pids().items() if command == "plain 1000000")
    assert show(machine, "plain", "MainPID") == str(pid)
    assert machine.run("ps", "-o", "ppid=", "-p", str(pid)).stdout.strip() == "1"
    assert not [command for command in machine.pids().values() if "initkit" in command]
    machine.run("systemctl", "stop", "plain")
    assert "plain 1000000" not in machine.pids().values()


@pytest.mark.parametrize("service", ALL, ids=str)
def test_an_init_script_that_systemd_wraps(boot: Boot, service: Example) -> None:
    """systemd-sysv-generator(8): INVOCATION_ID is there, and yet the start has to fork."""
    machine, name = boot(SYSTEMD_257), service.name
    before = sorted(machine.pids().values())
    service.install(machine)
    machine.sh('rm -f "/usr/lib/systemd/system/$1.service"', name)  # a unit would win over the script
    machine.sh('initkit gen-init "$1" >"/etc/init.d/$1" && chmod +x "/etc/init.d/$1"', name)
    machine.run("systemctl", "daemon-reload")
    assert show(machine, name, "SourcePath") == f"/etc/init.d/{name}"
    assert show(machine, name, "Type") == "forking"

    machine.run("service", name, "start", timeout=20)
    assert machine.run("systemctl", "is-active", name).stdout == "active\n"
    service.wait(machine)
    service.check_attributes(machine)
    assert machine.run(f"/etc/init.d/{name}", "status", check=False).returncode == 0
    if service.reloads:
        service.check_reload(machine, "systemctl", "reload", name)
    if service.restarts:
        killed = service.kill(machine)
        wait_until(lambda: bool(service.pids(machine)), what=f"the restart of {name}")
        service.wait(machine)
        assert service.main_pid(machine) != killed

    machine.run("systemctl", "stop", name, timeout=20)
    assert machine.run("systemctl", "is-active", name, check=False).stdout == "inactive\n"
    assert sorted(machine.pids().values()) == before


def test_a_failed_start_of_a_wrapped_script_is_told(boot: Boot) -> None:
    machine = boot(SYSTEMD_257)
    machine.install_initkit()
    machine.write("/etc/initkit/broken.toml", 'exec_start = ["/bin/sh", "-c", "echo no use >&2; exit 3"]\n')
    machine.sh("initkit gen-init --runner broken >/etc/init.d/broken && chmod +x /etc/init.d/broken")
    machine.run("systemctl", "daemon-reload")
    assert machine.run("systemctl", "start", "broken", check=False, timeout=20).returncode != 0
    assert show(machine, "broken", "ActiveState") == "failed"
    assert "no use" in machine.run("journalctl", "--unit=broken").stdout
