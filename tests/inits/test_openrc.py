"""OpenRC's scripts: what they say, and what needs the runner. What they do is in tests/lab/test_openrc.py."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit.errors import SettingsError
from initkit.inits import NATIVE, NONE, RUNNER, SCRIPT, Options, openrc
from initkit.settings.load import load
from initkit.settings.service import Service

Golden = Callable[[str, str], None]

EXAMPLES = {
    "simple": """
description = "An example: it's $HOME"
documentation = ["https://example.org/app"]
exec_start = ["/usr/bin/app", "--port", "${PORT}", "two  blanks", "*", "$$x\\n"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "app"
group = "adm"
after = ["network-online.target", "redis.service"]
wants = ["network-online.target"]
requires = ["redis.service"]
before = ["proxy.service"]
wanted_by = ["multi-user.target"]
nice = 5
io_scheduling_class = "best-effort"
io_scheduling_priority = 6
oom_score_adjust = -5
limit_nofile = "1024:4096"
no_new_privileges = true
runtime_directory = ["app/it's"]
state_directory = ["app"]
environment = { PORT = "80", GREETING = "it's  a 'day'" }
standard_error = "append:/var/log/it's.log"
kill_signal = "SIGINT"
timeout_stop_sec = "20s"
""",
    "kept": """
exec_start = ["/usr/bin/app"]
exec_reload = ["kill", "-SIGUSR1", "$MAINPID"]
restart = "always"
restart_sec = 2
standard_output = "null"
[openrc]
runlevel = "boot"
need = "localmount"
keyword = ["-lxc", "-docker"]
""",
    "forking": """
exec_start = ["/usr/sbin/app"]
type = "forking"
pid_file = "/run/app/app.pid"
""",
    "through": """
exec_start = ["/usr/bin/app"]
type = "notify"
restart = "on-failure"
""",
    "once": """
exec_start = [["/usr/bin/app", "first"], ["/usr/bin/app", "second"]]
type = "oneshot"
[timer]
on_calendar = "daily"
""",
}


def written(tmp_path: Path, text: str, name: str = "app") -> Service:
    (tmp_path / f"{name}.toml").write_text(text)
    return load(str(tmp_path / f"{name}.toml"))


def script(service: Service) -> str:
    found = next(iter(openrc.files(service, Options()))).text
    return found.replace(service.path, "/srv/app.toml")


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_it_says(name: str, tmp_path: Path, golden: Golden) -> None:
    for file in openrc.files(written(tmp_path, EXAMPLES[name], name), Options()):
        text = file.text.replace(str(tmp_path), "/srv")
        golden(f"openrc/{name}{'' if file.kind == 'script' else f'.{file.kind}'}", text)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_shell_can_read_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script(written(tmp_path, EXAMPLES[name])))
    judges = [("dash", "-n"), ("busybox", "sh", "-n"), ("bash", "--posix", "-n"), ("shellcheck", "--shell=sh")]
    for argv in judges:
        if shutil.which(argv[0]):
            done = subprocess.run([*argv, path], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), argv


def test_where_they_belong(tmp_path: Path) -> None:
    found = list(openrc.files(written(tmp_path, EXAMPLES["once"]), Options()))
    assert [(file.path, file.mode, file.runner) for file in found] == [
        ("/etc/init.d/app", 0o755, True),
        ("/etc/conf.d/app", 0o644, False),
        ("/etc/cron.d/app", 0o644, False),
    ]
    assert "flock -n /run/app.cron rc-service app restart >" in found[2].text
    daemon = written(tmp_path, 'exec_start = ["/bin/app"]\ntimer = { on_calendar = "daily" }\n')
    assert "rc-service app status >/dev/null 2>&1 || { " in list(openrc.files(daemon, Options()))[2].text


def test_a_file_of_variables_is_not_written_over(tmp_path: Path) -> None:
    service = written(tmp_path, 'exec_start = ["/bin/app", "$A"]\nenvironment_file = "/etc/conf.d/app"\n')
    assert [file.path for file in openrc.files(service, Options())] == ["/etc/init.d/app"]


def test_commands(tmp_path: Path) -> None:
    made = openrc.commands(written(tmp_path, EXAMPLES["kept"]))
    assert made["enable"] == ("rc-update", "add", "app", "boot")
    assert made["reload"] == ("rc-service", "app", "reload")
    early = written(tmp_path, 'exec_start = ["/bin/true"]\nwanted_by = ["sysinit.target"]\n')
    assert openrc.commands(early)["disable"] == ("rc-update", "del", "app", "boot")
    firewall = 'exec_start = ["/bin/true"]\nwanted_by = ["multi-user.target"]\nbefore = ["network-pre.target"]\n'
    assert openrc.commands(written(tmp_path, firewall))["enable"] == ("rc-update", "add", "app", "boot")
    assert "enable" not in openrc.commands(written(tmp_path, SIMPLE))  # nothing wants it


SIMPLE = 'exec_start = ["/bin/app"]\n'


@pytest.mark.parametrize(
    ("lines", "key", "how"),
    [
        ('user = "app"', "User", NATIVE),
        ('user = "1000"', "User", RUNNER),
        ('group = "adm"', "Group", RUNNER),  # start-stop-daemon takes one with a user only
        ('supplementary_groups = ["adm"]', "SupplementaryGroups", RUNNER),
        ('working_directory = "-/srv"', "WorkingDirectory", RUNNER),
        ("limit_nproc = 5", "LimitNPROC", RUNNER),  # dash has no word for it
        ("limit_nofile = 5", "LimitNOFILE", SCRIPT),
        ('environment_file = "/etc/default/app"', "EnvironmentFile", RUNNER),
        ('restart = "always"', "Restart", RUNNER),  # after 100 ms, and what it prints is logged
        ('restart = "always"\nrestart_sec = 1', "Restart", RUNNER),
        ('restart = "always"\nrestart_sec = 1\nstandard_output = "null"', "Restart", NATIVE),
        ('restart = "always"\nrestart_sec = 1.5\nstandard_output = "null"', "RestartSec", RUNNER),
        ('restart = "on-failure"\nrestart_sec = 1\nstandard_output = "null"', "Restart", RUNNER),
        ('restart = "no"', "Restart", NATIVE),
        ('exec_reload = ["/bin/kill", "-USR1", "$MAINPID"]', "ExecReload", NATIVE),
        ('exec_start_pre = ["/bin/true"]', "ExecStartPre", RUNNER),
        ('exec_reload = ["/bin/kill", "-s", "$MAINPID"]', "ExecReload", NONE),
        ('exec_reload = ["/bin/kill", "-s", "$MAINPID"]\nrestart = "on-failure"', "ExecReload", RUNNER),
        ('standard_output = "append:/var/log/app.log"', "StandardOutput", NATIVE),
        ('standard_output = "file:/var/log/app.log"', "StandardOutput", RUNNER),
        ('syslog_identifier = "a b"', "SyslogIdentifier", RUNNER),
        ('timeout_stop_sec = "infinity"', "TimeoutStopSec", RUNNER),
        ('kill_mode = "process"', "KillMode", NATIVE),
        ('kill_mode = "mixed"', "KillMode", NATIVE),
        ('pid_file = "/run/a b.pid"\ntype = "forking"', "PIDFile", RUNNER),
        ('state_directory = ["a:b"]', "StateDirectory", RUNNER),
        ("nice = 0\nprivate_tmp = false", "PrivateTmp", SCRIPT),
        ('protect_system = "strict"', "ProtectSystem", RUNNER),
        ('type = "dbus"\nbus_name = "org.example.App"', "Type", RUNNER),
        ('binds_to = ["other.service"]', "BindsTo", NONE),
        ('also = ["app.timer"]\ntimer = { on_calendar = "daily" }', "Also", NATIVE),
        ('also = ["other.socket"]', "Also", NONE),
        ('requires = ["dev-sdb.device"]', "Requires", NONE),
    ],
)
def test_support(lines: str, key: str, how: str, tmp_path: Path) -> None:
    service = written(tmp_path, f"{SIMPLE}{lines}\n")
    found = openrc.support(service)[key]
    assert (found.how, bool(found.reason)) == (how, True), found
    if how != NONE:
        needs_runner = any(each.how == RUNNER for each in openrc.support(service).values())
        assert ("RUNNER" in script(service)) == needs_runner


def test_what_it_cannot_keep(tmp_path: Path) -> None:
    service = written(tmp_path, f'{SIMPLE}apparmor_profile = "app"\n')
    with pytest.raises(SettingsError, match=r"app.toml:2: a script for OpenRC cannot keep AppArmorProfile="):
        script(service)
    accepted = written(tmp_path, f'{SIMPLE}apparmor_profile = "app"\n[openrc]\nallow_loss = "AppArmorProfile"\n')
    assert "command=/bin/app" in script(accepted)


def test_what_has_run_is_not_reloaded(tmp_path: Path) -> None:
    reload = 'type = "oneshot"\nexec_reload = ["/bin/app", "reload"]\n'
    assert "reload" not in script(written(tmp_path, f"{SIMPLE}{reload}"))
    assert "\nreload() {" in script(written(tmp_path, f"{SIMPLE}{reload}remain_after_exit = true\n"))


def test_a_reload_that_nobody_can_do(tmp_path: Path) -> None:
    """The runner has become the program, and OpenRC sends signals only."""
    service = written(tmp_path, f'{SIMPLE}root_directory = "/srv"\nexec_reload = ["/bin/app", "reload"]\n')
    assert openrc.support(service)["ExecReload"].how == NONE


def test_without_the_runner_at_any_price(tmp_path: Path) -> None:
    service = written(tmp_path, f'{SIMPLE}restart = "on-failure"\nexec_start_pre = ["/bin/true"]\n')
    with pytest.raises(
        SettingsError, match=r"cannot keep ExecStartPre=.*, Restart=|cannot keep Restart=.*, ExecStartPre="
    ):
        list(openrc.files(service, Options(runner=False)))
    lost = frozenset(("Restart", "ExecStartPre"))
    (text, *_) = openrc.files(service, Options(runner=False, allow_loss=lost))
    assert "command=/bin/app" in text.text
    only = written(tmp_path, '[initkit]\ncallable = "package.module:main"\n')
    with pytest.raises(SettingsError, match="there is no program that OpenRC could start"):
        list(openrc.files(only, Options(runner=False, allow_loss=frozenset({"Callable"}))))


def test_its_own_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"app.toml:3: ned = .*no setting of \[openrc\] \(did you mean need\?\)"):
        script(written(tmp_path, f'{SIMPLE}[openrc]\nned = "net"\n'))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('bus_name = "org.example.App"', ["need dbus"]),
        ('wants = ["nss-lookup.target"]\nbefore = ["nss-lookup.target"]', ["provide dns"]),
        ('wants = ["time-sync.target"]\nbefore = ["time-sync.target"]', ["provide ntp-client"]),
        (
            'after = ["network-pre.target"]\nwants = ["network.target"]\nbefore = ["network.target"]',
            ["provide net"],
        ),
        ('wants = ["network-pre.target"]\nbefore = ["network-pre.target", "network.target"]', ["before net"]),
        ('alias = ["syslog.service"]\nrequires = ["syslog.socket"]', ["provide logger"]),
        (
            'wants = ["a.service"]\nrequires = ["b.service"]\nbefore = ["a.service", "b.service"]',
            ["before a b"],
        ),
        ('requires_mounts_for = ["/srv"]', ["after localmount netmount"]),
        ('requires = ["dbus.socket", "app.socket", "srv.mount"]', ["need dbus", "after localmount netmount"]),
    ],
)
def test_depend(lines: str, expected: list[str], tmp_path: Path) -> None:
    text = script(written(tmp_path, f"{SIMPLE}{lines}\n"))
    (depend,) = re.findall(r"^depend\(\) \{\n(.*?)^\}", text, re.M | re.S)
    assert [line.strip() for line in depend.splitlines()] == expected


def test_a_target_that_is_no_runlevel(tmp_path: Path) -> None:
    text = f'{SIMPLE}wanted_by = ["bluetooth.target"]\n'
    with pytest.raises(SettingsError, match=r"cannot keep WantedBy= \(no runlevel is like bluetooth.target: runlevel"):
        script(written(tmp_path, text))
    named = written(tmp_path, f'{text}[openrc]\nrunlevel = "bluetooth"\n')
    assert openrc.commands(named)["enable"] == ("rc-update", "add", "app", "bluetooth")
    assert script(named)
