"""Generated scripts on a real OpenRC: what they start, how they stop it, and what comes up with the machine."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from .machine import OPENRC, Machine, wait_until

# Says what it got: who it is, where, and every SIGHUP.
PROGRAM = """\
#!/bin/sh
trap 'echo reloaded >>/var/lib/probe/told' HUP
echo started >>/var/lib/probe/told
echo to the log
while :; do sleep 0.1; done
"""
SETTINGS = """\
description = "What it says of itself: it's $HOME"
exec_start = ["/usr/local/bin/probe", "{name}"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "probe"
group = "adm"
nice = 3
umask = "0027"
oom_score_adjust = 200
limit_nofile = "300:400"
limit_core = 0
no_new_privileges = true
working_directory = "/srv"
state_directory = ["probe"]
runtime_directory = ["{name}/inner"]
timeout_stop_sec = 5
after = ["network-online.target"]
wants = ["network-online.target"]
wanted_by = ["multi-user.target"]
"""
#: What openrc-run itself does, what the runner does for it, and what supervise-daemon does.
KINDS = {
    "native": "",
    "through": 'restart = "on-failure"\n',
    "kept": 'restart = "always"\nrestart_sec = 1\nstandard_output = "null"\n',
}


@pytest.fixture(scope="module")
def machine(lab: None) -> Iterator[Machine]:
    """A machine with a service of each kind, enabled and started by booting."""
    with Machine(OPENRC) as machine:
        machine.install_initkit()
        machine.write("/usr/local/bin/probe", PROGRAM, mode=0o755)
        machine.run("useradd", "--system", "probe")
        for name, more in KINDS.items():
            text = SETTINGS.format(name=name)
            if name == "kept":  # what supervise-daemon of some versions does not know
                text = text.replace("no_new_privileges = true\n", "")
            machine.write(f"/etc/initkit/{name}.toml", text + more)
            machine.run("initkit", "gen", "openrc", name, "--output-dir", "/")
            machine.run("rc-update", "add", name, "default")
        machine.reboot()
        yield machine


def main_pids(machine: Machine, name: str) -> list[int]:
    pattern = rf"/bin/sh /usr/local/bin/probe {name}$"
    return [pid for pid, command in machine.pids().items() if re.match(pattern, command)]


def main_pid(machine: Machine, name: str) -> int:
    wait_until(lambda: len(main_pids(machine, name)) == 1, what=f"the one process of {name}")
    (pid,) = main_pids(machine, name)
    return pid


def call(machine: Machine, name: str, verb: str) -> int:
    return machine.run("rc-service", name, verb, check=False).returncode


def told(machine: Machine) -> list[str]:
    return machine.read("/var/lib/probe/told").split()


def test_who_does_it(machine: Machine) -> None:
    scripts = {name: machine.read(f"/etc/init.d/{name}") for name in KINDS}
    assert [name for name, text in scripts.items() if "RUNNER" in text] == ["through"]
    assert [name for name, text in scripts.items() if "supervisor=supervise-daemon" in text] == ["kept"]


@pytest.mark.parametrize("name", KINDS)
def test_it_is_up_after_boot(machine: Machine, name: str) -> None:
    main_pid(machine, name)
    assert call(machine, name, "status") == 0
    assert re.search(rf"^ *{name} .*started", machine.run("rc-status", "default").stdout, re.MULTILINE)


@pytest.mark.parametrize("name", KINDS)
def test_the_right_attributes(machine: Machine, name: str) -> None:
    pid = main_pid(machine, name)
    status = dict(re.findall(r"(\w+):\t(.*)", machine.read(f"/proc/{pid}/status")))
    number = {what: machine.run("id", what, "probe").stdout.strip() for what in ("-u", "-g")}
    adm = machine.run("getent", "group", "adm").stdout.split(":")[2]
    assert set(status["Uid"].split()) == {number["-u"]}
    assert set(status["Gid"].split()) == {adm}
    assert status["Umask"] == "0027"
    assert status["NoNewPrivs"] == ("0" if name == "kept" else "1")
    limits = machine.read(f"/proc/{pid}/limits")
    assert re.search(r"^Max open files +300 +400 ", limits, re.MULTILINE)
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
    assert machine.read(f"/proc/{pid}/oom_score_adj") == "200\n"
    assert machine.run("ps", "-o", "ni=", "-p", str(pid)).stdout.strip() == "3"
    assert machine.run("readlink", f"/proc/{pid}/cwd").stdout == "/srv\n"
    environment = machine.read(f"/proc/{pid}/environ").split("\0")
    assert {"STATE_DIRECTORY=/var/lib/probe", f"RUNTIME_DIRECTORY=/run/{name}/inner"} <= {*environment}
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in environment
    assert int(status["SigIgn"], 16) & 1 << 12  # SIGPIPE, as systemd has it
    owner = machine.run("stat", "-c", "%U:%G %a", "/var/lib/probe", f"/run/{name}/inner").stdout
    assert owner == "probe:adm 755\n" * 2


@pytest.mark.parametrize("name", KINDS)
def test_reload(machine: Machine, name: str) -> None:
    pid = main_pid(machine, name)
    before = told(machine).count("reloaded")
    assert call(machine, name, "reload") == 0
    wait_until(lambda: told(machine).count("reloaded") == before + 1, what="the reload")
    assert main_pid(machine, name) == pid


@pytest.mark.parametrize("name", KINDS)
def test_stop_and_start(machine: Machine, name: str) -> None:
    before = main_pid(machine, name)
    assert call(machine, name, "stop") == 0
    assert not main_pids(machine, name)
    assert call(machine, name, "status") == 3
    assert not machine.exists(f"/run/{name}/inner")
    assert machine.exists("/var/lib/probe")
    assert call(machine, name, "reload") != 0
    assert call(machine, name, "start") == 0
    after = main_pid(machine, name)
    assert after != before
    assert call(machine, name, "start") == 0  # it runs already
    assert main_pid(machine, name) == after
    assert call(machine, name, "restart") == 0
    assert main_pid(machine, name) != after


@pytest.mark.parametrize("name", KINDS)
def test_it_is_killed(machine: Machine, name: str) -> None:
    before = main_pid(machine, name)
    machine.run("kill", "-9", str(before))
    if name == "native":
        wait_until(lambda: call(machine, name, "status") == 32, what="OpenRC's crashed")
        assert call(machine, name, "restart") == 0
    wait_until(lambda: main_pids(machine, name) not in ([], [before]), what="the next one")
    assert call(machine, name, "status") == 0


def test_what_it_prints_is_logged(machine: Machine) -> None:
    def logged() -> bool:
        text = machine.run("grep", "-rhs", "to the log", "/var/log", check=False).stdout
        return " native: to the log" in text and " through: to the log" in text

    wait_until(logged, what="the lines in the log")


def test_one_that_cannot_start(machine: Machine) -> None:
    for name, more in (("broken", ""), ("broken-through", 'restart = "on-failure"\n')):
        machine.write(f"/etc/initkit/{name}.toml", f'exec_start = ["/bin/sh", "-c", "exit 3"]\n{more}')
        machine.run("initkit", "gen", "openrc", name, "--output-dir", "/")
        assert call(machine, name, "start") == 1
        assert call(machine, name, "status") == 3


def test_a_program_that_puts_itself_into_the_background(machine: Machine) -> None:
    program = "#!/bin/sh\nsetsid sh -c 'echo $$ >/run/forker/forker.pid; exec sleep 4242' >/dev/null 2>&1 &\n"
    machine.write(
        "/usr/local/bin/forker", program + "until [ -s /run/forker/forker.pid ]; do sleep 0.02; done\n", mode=0o755
    )
    machine.write(
        "/etc/initkit/forker.toml",
        'exec_start = ["/usr/local/bin/forker"]\ntype = "forking"\n'
        'pid_file = "/run/forker/forker.pid"\nuser = "probe"\n',
    )
    machine.run("initkit", "gen", "openrc", "forker", "--output-dir", "/")
    assert "RUNNER" not in machine.read("/etc/init.d/forker")
    assert call(machine, "forker", "start") == 0
    assert "sleep 4242" in machine.pids().values()
    assert call(machine, "forker", "status") == 0
    assert call(machine, "forker", "stop") == 0
    assert "sleep 4242" not in machine.pids().values()


def test_one_that_runs_once(machine: Machine) -> None:
    machine.write(
        "/etc/initkit/once.toml",
        'type = "oneshot"\nexec_start = [["/bin/sh", "-c", "echo $$(id -un) >/run/once"]]\nuser = "root"\n',
    )
    machine.run("initkit", "gen", "openrc", "once", "--output-dir", "/")
    assert call(machine, "once", "start") == 0
    assert machine.read("/run/once") == "root\n"
    assert [call(machine, "once", verb) for verb in ("status", "stop", "status")] == [0, 0, 3]


#: What cron starts; OpenRC still calls it started when it has ended.
TIMED = {"oneshot": 'type = "oneshot"\n', "native": "", "through": 'restart = "on-failure"\n'}
UNTIL_TOLD = "echo >>/run/{name}; until [ -e /run/{name}.end ]; do sleep 0.1; done"


@pytest.mark.parametrize("kind", TIMED)
def test_a_timer_starts_it_every_time(machine: Machine, kind: str) -> None:
    """By cron's line, which says nothing: cron would send that to root."""
    name = f"timed-{kind}"
    program = UNTIL_TOLD.format(name=name)
    machine.write(
        f"/etc/initkit/{name}.toml",
        f'{TIMED[kind]}exec_start = ["/bin/sh", "-c", "{program}"]\ntimer = {{ on_calendar = "daily" }}\n',
    )
    machine.run("initkit", "gen", "openrc", name, "--output-dir", "/")
    command = machine.read(f"/etc/cron.d/{name}").splitlines()[-1].split(None, 6)[6]
    for count in range(1, 4):
        if kind == "oneshot":
            machine.run("touch", f"/run/{name}.end")
        for _ in range(1 if kind == "oneshot" else 2):  # what runs is left alone
            done = machine.run("sh", "-c", command)
            assert (done.stdout, done.stderr) == ("", "")
            assert machine.read(f"/run/{name}") == "\n" * count
        machine.run("touch", f"/run/{name}.end")
        wait_until(lambda: f"/bin/sh -c {program}" not in machine.pids().values(), what=f"the end of {name}")
        machine.run("rm", f"/run/{name}.end")


def test_a_timer_queues_nothing(machine: Machine) -> None:
    """A oneshot service that still runs is left alone as well."""
    name = "timed-long"
    program = UNTIL_TOLD.format(name=name)
    machine.write(
        f"/etc/initkit/{name}.toml",
        f'type = "oneshot"\nexec_start = ["/bin/sh", "-c", "{program}"]\ntimer = {{ on_calendar = "daily" }}\n',
    )
    for init in ("sysv", "openrc"):
        machine.run("rm", "-f", f"/run/{name}", f"/run/{name}.end")
        machine.run("initkit", "gen", init, name, "--output-dir", "/")
        command = machine.read(f"/etc/cron.d/{name}").splitlines()[-1].split(None, 6)[6]
        machine.write("/run/twice", f"({command}) &\nuntil [ -s /run/{name} ]; do sleep 0.1; done\n{command}\n")
        done = machine.run("sh", "-c", f". /run/twice; echo $?; touch /run/{name}.end; wait")
        assert (done.stdout, done.stderr) == ("1\n", "")
        assert machine.read(f"/run/{name}") == "\n"


def test_the_order(machine: Machine) -> None:
    """depend() as OpenRC understood it."""
    machine.write("/etc/initkit/last.toml", SETTINGS.format(name="last") + 'requires = ["native.service"]\n')
    machine.run("initkit", "gen", "openrc", "last", "--output-dir", "/")
    machine.run("rc-update", "-u")  # OpenRC takes a script for known that is as old as what it knows, by the second
    machine.run("rc-service", "native", "stop")
    assert call(machine, "last", "start") == 0
    main_pid(machine, "native")  # it is needed
    machine.run("rc-service", "native", "stop")
    assert not main_pids(machine, "last")
    machine.run("rc-service", "native", "start")


def test_a_script_for_sysv_is_run_as_well(machine: Machine) -> None:
    """By Debian's OpenRC, which reads LSB headers: so one script serves both."""
    machine.write("/etc/initkit/both.toml", SETTINGS.format(name="both"))
    machine.sh("initkit gen-init both >/etc/init.d/both && chmod +x /etc/init.d/both && rc-update add both default")
    assert call(machine, "both", "start") == 0
    main_pid(machine, "both")
    assert call(machine, "both", "status") == 0
    assert call(machine, "both", "stop") == 0
    assert not main_pids(machine, "both")


#: Settings of versions of one service. The last one runs nothing that stays.
VERSIONS = {
    **{kind: f'exec_start = ["/usr/local/bin/probe", "{kind}"]\n{more}' for kind, more in KINDS.items()},
    "once": 'type = "oneshot"\nexec_start = ["/bin/true"]\n',
}


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(VERSIONS, 2)])
def test_another_version(machine: Machine, before: str, after: str) -> None:
    """Its script finds what that of the version before has started, whoever looks after it."""
    name = f"from-{before}-to-{after}"
    write_version(machine, name, before)
    assert call(machine, name, "start") == 0
    running = version_pids(machine, name)
    assert [*running.values()] == ([before] if before != "once" else [])
    write_version(machine, name, after)
    assert call(machine, name, "status") == 0
    assert call(machine, name, "start") == 0
    assert version_pids(machine, name) == running
    assert call(machine, name, "restart") == 0
    wait_until(
        lambda: [*version_pids(machine, name).values()] == ([after] if after != "once" else []),
        what=f"what {name} runs",
    )
    assert not running.keys() & version_pids(machine, name).keys()
    assert call(machine, name, "status") == 0
    assert call(machine, name, "stop") == 0
    assert not version_pids(machine, name)
    wait_until(
        lambda: not [command for command in machine.pids().values() if name in command], what=f"the end of {name}"
    )


def write_version(machine: Machine, name: str, version: str) -> None:
    text = VERSIONS[version].replace('/probe",', f'/probe", "{name}",')
    machine.write(f"/etc/initkit/{name}.toml", text)
    machine.run("initkit", "gen", "openrc", name, "--output-dir", "/")
    machine.run("rc-update", "-u")


def version_pids(machine: Machine, name: str) -> dict[int, str]:
    """The processes of any version, and of which."""
    pattern = re.compile(rf"/bin/sh /usr/local/bin/probe {name} (\S+)$")
    found = {pid: pattern.match(command) for pid, command in machine.pids().items()}
    return {pid: match[1] for pid, match in found.items() if match}


def test_after_another_boot(machine: Machine) -> None:
    machine.reboot()
    for name in (*KINDS, "both"):
        main_pid(machine, name)
        assert call(machine, name, "status") == 0
