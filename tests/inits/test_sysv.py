"""The SysV script: what it says, and what it does under every shell."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from initkit.errors import SettingsError
from initkit.inits import RUNNER, SCRIPT, Options, kinds, openrc, sysv
from initkit.settings.load import load
from initkit.settings.service import Service

from .scripts import FORKING, Lab, alive, array, python, shells, wait_until

GOLDEN = Path(__file__).parent.parent / "golden"

EXAMPLES = {
    "simple.toml": """
description = "An example"
documentation = ["https://example.org/app"]
exec_start = ["/usr/bin/app", "--port", "8080"]
user = "www-data"
after = ["network-online.target", "postgresql.service"]
wants = ["network-online.target"]
wanted_by = ["multi-user.target"]
""",
    "web.service": """
[Unit]
Description=A web server
After=network-online.target remote-fs.target nss-lookup.target
Wants=network-online.target

[Service]
Type=forking
PIDFile=/run/nginx.pid
ExecStartPre=/usr/sbin/nginx -t -q -g 'daemon on; master_process on;'
ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'
ExecReload=/usr/sbin/nginx -g 'daemon on; master_process on;' -s reload
ExecStop=-/sbin/start-stop-daemon --quiet --stop --retry QUIT/5 --pidfile /run/nginx.pid
TimeoutStopSec=5
KillMode=mixed

[Install]
WantedBy=multi-user.target
""",
    "rules.service": """
[Unit]
Description=Rules of the packet filter
DefaultDependencies=no
Before=network.target firewalld.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/rules --load
ExecStart=-/sbin/rules --check
ExecStop=/sbin/rules --flush

[Install]
WantedBy=sysinit.target
""",
    "ready.service": """
[Unit]
Description=A service that says READY
Requires=redis.service

[Service]
Type=notify
ExecStart=/usr/bin/app
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
WatchdogSec=30

[Install]
WantedBy=multi-user.target
""",
    "function.toml": """
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "www-data"
wanted_by = ["multi-user.target"]

[initkit]
callable = "package.module:function"
""",
    "hostile.toml": r"""
description = "a\t### END INIT INFO $(reboot) `reboot`"
exec_start_pre = ["-+/bin/echo", "it's $FOO", "; reboot", "$OPTIONS"]
exec_start = ["/opt/a=b/it's", "$$(reboot)", "`reboot`", "${FOO}'${BAR}", "", "\t", "%%n", "*", "$OPTIONS", "\\"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
environment = { FOO = "a 'b' \"c\" $$d", BAR = "*" }
environment_file = ["-/etc/default/hostile", "/etc/it's/*.conf"]
pass_environment = ["LANG"]
unset_environment = ["BAR", "TZ"]
user = "www-data"
group = "adm"
supplementary_groups = ["video"]
working_directory = "-~"
nice = 5
limit_nofile = "1024:4096"
oom_score_adjust = -5
io_scheduling_class = "idle"
cpu_scheduling_policy = "batch"
cpu_affinity = ["0"]
runtime_directory = ["hostile"]
state_directory = ["hostile/it's"]
standard_input = "null"
standard_output = "append:/var/log/it's.log"
no_new_privileges = true
send_sighup = true
kill_signal = "SIGINT"
wanted_by = ["multi-user.target"]
""",
}


def example(name: str, folder: Path) -> Service:
    (folder / name).write_text(EXAMPLES[name])
    return load(str(folder / name))


def script(service: Service, **options: object) -> str:
    (file,) = sysv.files(service, Options(**options))
    return file.text


# --- what it says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden(name: str, tmp_path: Path, golden) -> None:
    made = example(name, tmp_path)
    installed = Service(made.name, f"/etc/initkit/{name}", made.entries)
    golden(f"sysv/{name.partition('.')[0]}", script(installed))


@pytest.mark.parametrize("tool", [["shellcheck", "-s", "sh"], ["checkbashisms"]], ids=lambda words: words[0])
def test_linters_find_nothing(tool: list[str], tmp_path: Path) -> None:
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    made = []
    for name in EXAMPLES:
        path = tmp_path / name.partition(".")[0]
        path.write_text(script(example(name, tmp_path)))
        made.append(str(path))
    done = subprocess.run([*tool, *made], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_it_belongs(tmp_path: Path) -> None:
    (file,) = sysv.files(example("simple.toml", tmp_path), Options())
    assert (file.path, file.mode) == ("/etc/init.d/simple", 0o755)


def header(text: str) -> dict[str, str]:
    block = text.partition("### BEGIN INIT INFO\n")[2].partition("### END INIT INFO\n")[0]
    return dict(re.findall(r"^# ([\w-]+):\s*(.*)$", block, re.MULTILINE))


def test_header(tmp_path: Path) -> None:
    assert header(script(example("simple.toml", tmp_path))) == {
        "Provides": "simple",
        "Required-Start": "$remote_fs $syslog $network",
        "Required-Stop": "$remote_fs $syslog $network",
        "Should-Start": "postgresql",
        "Should-Stop": "postgresql",
        "Default-Start": "2 3 4 5",
        "Default-Stop": "0 1 6",
        "Short-Description": "An example",
        "Description": "An example",
    }


def test_header_of_an_early_service(tmp_path: Path) -> None:
    found = header(script(example("rules.service", tmp_path)))
    assert (found["Required-Start"], found["Default-Start"]) == ("$local_fs", "S")
    assert found["X-Start-Before"] == found["X-Stop-After"] == "$network firewalld"


def boot(tmp_path: Path, lines: str) -> tuple[str, ...]:
    """When its script is run, by its header."""
    (tmp_path / "app.toml").write_text(f'exec_start = ["/bin/app"]\nwanted_by = ["multi-user.target"]\n{lines}\n')
    found = header(script(load(str(tmp_path / "app.toml"))))
    return tuple(
        found.get(field, "") for field in ("Required-Start", "Should-Start", "X-Start-Before", "Default-Start")
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # A name server, a clock and a log daemon do not wait for what they are themselves.
        (
            'wants = ["nss-lookup.target"]\nbefore = ["nss-lookup.target"]\nafter = ["network.target"]',
            ("$remote_fs $syslog $network", "", "", "2 3 4 5"),
        ),
        (
            'wants = ["time-sync.target"]\nbefore = ["time-sync.target"]',
            ("$remote_fs $syslog", "", "", "2 3 4 5"),
        ),
        ('alias = ["syslog.service"]\nrequires = ["syslog.socket"]', ("$remote_fs", "", "", "2 3 4 5")),
        (
            'wants = ["network.target"]\nbefore = ["network.target"]',  # it brings the network up
            ("$remote_fs $syslog", "", "", "2 3 4 5"),
        ),
        # The network is there when the numbered runlevels begin.
        ('wants = ["network-pre.target"]\nbefore = ["network-pre.target"]', ("$local_fs", "", "$network", "S")),
        ('after = ["a.service"]\nbefore = ["network.target"]', ("$local_fs", "a", "$network", "S")),
        # What is started after it is not waited for, also where it is pulled in.
        (
            'wants = ["a.service"]\nrequires = ["b.service"]\nbefore = ["a.service", "b.service"]',
            ("$remote_fs $syslog", "", "a b", "2 3 4 5"),
        ),
        # A service's script opens its sockets as well; the file systems are mounted together.
        (
            'requires = ["dbus.socket", "app.socket"]\nafter = ["a.socket"]',
            ("$remote_fs $syslog dbus", "a", "", "2 3 4 5"),
        ),
        (
            'wants = ["systemd-networkd.service", "more.socket"]\nafter = ["systemd-journald.socket"]\n'
            "[socket]\nlisten_stream = 80",
            ("$remote_fs $syslog", "more", "", "2 3 4 5"),
        ),
        ('requires = ["srv.mount"]\ndefault_dependencies = false', ("$local_fs $remote_fs", "", "", "2 3 4 5")),
        ('requires_mounts_for = ["/srv"]\ndefault_dependencies = false', ("$local_fs $remote_fs", "", "", "2 3 4 5")),
    ],
)
def test_when_it_is_started(lines: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    assert boot(tmp_path, lines) == expected


@pytest.mark.parametrize(
    ("lines", "told", "reason"),
    [
        (
            'before = ["network-pre.target"]\nrequires = ["dbus.service"]',
            'default_start = "2 3"\nstart_before = "other"',
            "cannot keep Before= (what it needs is there after the network only)",
        ),
        (
            'requires = ["network.target", "systemd-networkd.service"]',
            'default_start = "2 3"\nallow_loss = "Requires"',
            "cannot keep Requires= (no script stands for systemd-networkd.service)",
        ),
        (
            'requires = ["dev-sdb.device"]',
            'default_start = "2 3"\nallow_loss = "Requires"',
            "cannot keep Requires= (no script stands for dev-sdb.device)",
        ),
        (
            'wanted_by = ["bluetooth.target"]',
            'default_start = "2 3"',
            "cannot keep WantedBy= (no runlevel is like bluetooth.target: default_start in [sysv] names some)",
        ),
    ],
)
def test_what_no_header_can_say(lines: str, told: str, reason: str, tmp_path: Path) -> None:
    """Unless the settings say themselves what it shall be."""
    wanted = "" if "wanted_by" in lines else 'wanted_by = ["multi-user.target"]\n'
    text = f'exec_start = ["/bin/app"]\n{wanted}{lines}\n'
    (tmp_path / "app.toml").write_text(text)
    with pytest.raises(SettingsError, match=re.escape(reason)):
        script(load(str(tmp_path / "app.toml")))
    (tmp_path / "app.toml").write_text(f"{text}[sysv]\n{told}\n")
    assert header(script(load(str(tmp_path / "app.toml"))))["Default-Start"] == "2 3"


def test_header_of_one_that_has_a_name_on_the_bus(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/app"]\nbus_name = "org.example.App"\n')
    found = header(script(load(str(tmp_path / "app.toml"))))
    assert found["Required-Start"] == found["Required-Stop"] == "$remote_fs $syslog dbus"


def test_nothing_of_this_machine_is_in_a_file_for_another(tmp_path: Path) -> None:
    text = "[Unit]\nDescription=%p of %i on %H, 100%%\n[Service]\nExecStart=/bin/app\nUser=app\n"
    (tmp_path / "app@.service").write_text(text)
    service = load(str(tmp_path / "app@one.service"))
    files = [*sysv.files(service, Options()), *openrc.files(service, Options()), *kinds.files(service, Options(), ())]
    assert [file.text.replace("%%", "%").count("app of one on %H, 100%") for file in files] == [3, 1, 0, 1]
    assert not [file.path for file in files if f"on {os.uname().nodename}" in file.text]


def test_header_by_the_table(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(
        'exec_start = ["/bin/app"]\n[sysv]\nprovides = "app other"\nrequired_start = ["$all"]\ndefault_start = "3 5"\n'
        'should_start = "x"\nshort_description = "Other"\n'
    )
    found = header(script(load(str(tmp_path / "app.toml"))))
    assert found["Provides"] == "app other"
    assert (found["Required-Start"], found["Required-Stop"], found["Should-Start"]) == ("$all", "$all", "x")
    assert (found["Default-Start"], found["Short-Description"]) == ("3 5", "Other")


def test_lists_in_the_table_add_up(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(
        'exec_start = ["/bin/app"]\n[sysv]\nshould_start = ["$named", "$time"]\ndefault_start = [2, 3]\n'
        'required_start = ["x", "", "y"]\nshort_description = ["a", "b"]\n'
    )
    found = header(script(load(str(tmp_path / "app.toml"))))
    assert (found["Should-Start"], found["Default-Start"], found["Required-Start"]) == ("$named $time", "2 3", "y")
    assert found["Short-Description"] == "b"


def test_unknown_key_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/app"]\n[sysv]\nrequierd_start = "x"\n')
    with pytest.raises(SettingsError, match=r"app.toml:3: requierd_start .*did you mean required_start"):
        script(load(str(tmp_path / "app.toml")))


def test_an_instance_needs_no_instance_by_default(tmp_path: Path) -> None:
    (tmp_path / "app@.toml").write_text('exec_start = ["/bin/app", "%i"]\ndefault_instance = "one"\n')
    assert "two" in script(load(str(tmp_path / "app@two.toml")))


# --- nothing is dropped silently ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("UMask=077", SCRIPT), ("User=root", SCRIPT), ("LimitNOFILE=10", SCRIPT), ("RootDirectory=/srv", RUNNER),
        ("Type=notify", RUNNER), ("Type=exec", SCRIPT), ("Type=forking", RUNNER), ("Restart=always", RUNNER),
        ("Restart=no", SCRIPT), ("WatchdogSec=3", RUNNER), ("WatchdogSec=0", SCRIPT), ("ProtectSystem=full", RUNNER),
        ("ProtectSystem=no", SCRIPT), ("PrivateTmp=yes", RUNNER), ("AppArmorProfile=x", "none"),
        ("PrivateTmp=no", SCRIPT), ("KillMode=mixed", SCRIPT),
        ("StandardOutput=tty", RUNNER), ("StandardOutput=socket", RUNNER), ("StandardOutput=null", SCRIPT),
        ("Environment=A=%H", RUNNER), ("Environment=A=%n", SCRIPT), ("Environment=A=%%H", SCRIPT),
        ("ExecStartPre=@/bin/sh -sh", RUNNER), ("ExecStartPre=-+/bin/sh", SCRIPT), ("MemoryMax=1G", RUNNER),
        ("ExecStartPre=|true", RUNNER),
        ("Delegate=yes", RUNNER),
        ("RestartSteps=3", RUNNER), ("RestartSteps=0", SCRIPT), ("RestartMaxDelaySec=1min", RUNNER),
        ("RestartMode=direct", RUNNER), ("RestartMode=normal", SCRIPT), ("ExitType=cgroup", RUNNER),
        ("TimeoutAbortSec=3", RUNNER), ("TimeoutStopFailureMode=abort", RUNNER),
        ("TimeoutStartFailureMode=terminate", SCRIPT), ("GuessMainPID=no", SCRIPT), ("FailureAction=exit", RUNNER),
        ("FailureAction=reboot", "none"), ("FailureAction=none", SCRIPT), ("StartLimitAction=exit-force", "none"),
        ("ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT'", RUNNER), ("ExecStop=/bin/echo ${EXIT_CODE}", RUNNER),
        ("ExecStopPost=/bin/echo $MAINPID", SCRIPT), ("RemainAfterExit=yes", RUNNER),
        ("X-Other=1", "native"), ("X-Initkit-LogCommand=/bin/logger", RUNNER), ("X-Initkit-LogFile=/log", RUNNER),
    ],
)  # fmt: skip
def test_support(line: str, how: str, tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(f"[Service]\nExecStart=/bin/app\n{line}\n")
    found = sysv.support(load(str(tmp_path / "app.service")))[line.partition("=")[0].removeprefix("X-Initkit-")]
    assert found.how == how and found.reason


def test_the_runner_is_called_when_a_setting_needs_it(tmp_path: Path) -> None:
    assert '"$RUNNER" run "$SETTINGS" --daemon' in script(example("ready.service", tmp_path))
    assert "RUNNER" not in script(example("simple.toml", tmp_path))
    assert "RUNNER" in script(example("simple.toml", tmp_path), runner=True)


def test_a_display_manager_is_started_by_its_other_name(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/app"]\nalias = ["display-manager.service"]\n')
    service = load(str(tmp_path / "app.toml"))
    assert header(script(service))["Default-Start"] == "2 3 4 5"
    assert openrc.commands(service)["enable"] == ("rc-update", "add", "app", "default")


@pytest.mark.parametrize(
    ("target", "runlevels", "level"),
    [
        ("graphical.target", "2 3 4 5", "default"),
        ("remote-fs.target", "2 3 4 5", "default"),
        ("getty.target", "2 3 4 5", "default"),
        ("basic.target", "S", "boot"),
    ],
)
def test_what_a_boot_comes_to(target: str, runlevels: str, level: str, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(f'exec_start = ["/bin/app"]\nwanted_by = ["{target}"]\n')
    service = load(str(tmp_path / "app.toml"))
    assert header(script(service))["Default-Start"] == runlevels
    assert openrc.commands(service)["enable"] == ("rc-update", "add", "app", level)


def test_what_comes_along(tmp_path: Path) -> None:
    for also, how in (("app.socket", SCRIPT), ("app.socket other.socket", "none")):
        text = f'exec_start = ["/bin/app"]\nalso = "{also}"\n[socket]\nlisten_stream = 80\n'
        (tmp_path / "app.toml").write_text(text)
        assert sysv.support(load(str(tmp_path / "app.toml")))["Also"].how == how


def test_sockets_need_the_runner(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/app\n")
    (tmp_path / "app.socket").write_text("[Socket]\nListenStream=80\nNoDelay=yes\n[Install]\nWantedBy=sockets.target\n")
    service = load(str(tmp_path / "app.service"))
    found = sysv.support(service)
    assert {key: each.how for key, each in found.items() if key.startswith("Socket.")} == {
        "Socket.ListenStream": RUNNER, "Socket.NoDelay": RUNNER, "Socket.WantedBy": RUNNER,
    }  # fmt: skip
    assert '"$RUNNER" run "$SETTINGS" --daemon' in script(service)
    assert header(script(service))["Default-Start"] == "2 3 4 5"  # which opens the sockets
    assert openrc.commands(service)["enable"] == ("rc-update", "add", "app", "default")
    with pytest.raises(SettingsError, match=r"app.socket:2: .*Socket.ListenStream= "):
        script(service, runner=False)


@pytest.mark.parametrize("line", ["ListenNetlink=audit", "SmackLabel=x", "ExecStartPre=/bin/true"])
def test_socket_settings_that_cannot_be_kept(line: str, tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/app\n")
    (tmp_path / "app.socket").write_text(f"[Socket]\nListenStream=80\n{line}\n")
    service = load(str(tmp_path / "app.service"))
    key = "Socket." + line.partition("=")[0]
    with pytest.raises(SettingsError, match=rf"app.socket:3: .*{key}= .*--allow-loss {key}"):
        script(service)
    assert "RUNNER" in script(service, allow_loss=frozenset((key,)))


def test_a_service_with_a_socket_is_started_and_stopped(dash: Lab) -> None:
    path = dash.folder / "s.sock"
    options = Options(runner_path=str(dash.runner()))
    settings = (
        f'exec_start = {array([sys.executable, str(dash.program())])}\n[socket]\nlisten_stream = "{path}"\n'
        "remove_on_stop = true\n"
    )
    dash.generate(settings, options=options)
    dash.run("start", check=0)
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(path))
    wait_until(dash.told.exists)
    told = json.loads(dash.told.read_text())
    assert 3 in told["fds"]
    dash.run("status", check=0)
    dash.run("stop", check=0)
    assert not path.exists()
    assert not alive(told["pid"])


def settings_of(service: Service) -> str:
    """How the script names the settings to the runner."""
    return re.findall(r"^SETTINGS=(.*)$", script(service, runner=True), re.MULTILINE)[0]


def test_the_runner_finds_the_settings_again(tmp_path: Path) -> None:
    (tmp_path / "at@.toml").write_text('exec_start = ["/bin/app"]\n')
    elsewhere = example("simple.toml", tmp_path)
    assert settings_of(elsewhere) == f"'{tmp_path}/simple.toml'"
    for path in ("/etc/initkit/simple.toml", "/usr/lib/systemd/system/simple.service"):
        assert settings_of(Service("simple", path, elsewhere.entries)) == "'simple'"
    assert settings_of(load(str(tmp_path / "at@one.toml"))) == f"'{tmp_path}/at@one.toml'"
    (tmp_path / "simple.toml").write_text(f'{EXAMPLES["simple.toml"]}[sysv]\nsettings = "other"\n')
    assert settings_of(load(str(tmp_path / "simple.toml"))) == "'other'"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
@pytest.mark.parametrize("runner", [True, False])
def test_a_service_called_as_a_command_is(runner: bool, tmp_path: Path) -> None:
    (tmp_path / "cal.toml").write_text('exec_start = ["/bin/x", "$A", "${B}"]\nenvironment = { A = "cal", B = "" }\n')
    (tmp_path / "cal").write_text(script(load(str(tmp_path / "cal.toml")), runner=runner))
    done = subprocess.run(["shellcheck", "-s", "sh", tmp_path / "cal"], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_a_reload_that_nobody_could_run(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/a\nRootDirectory=/srv\nExecReload=/b\n")
    with pytest.raises(SettingsError, match=r"app.service:4: .*ExecReload="):
        script(load(str(tmp_path / "app.service")))


def test_a_forced_loss_names_every_setting(tmp_path: Path) -> None:
    service = example("ready.service", tmp_path)
    with pytest.raises(SettingsError, match=r"ready.service:7: .*Type= .*Restart= .*WatchdogSec= ") as caught:
        script(service, runner=False)
    assert caught.value.status == 78
    assert caught.value.hint == "accept it with --allow-loss Type --allow-loss Restart --allow-loss WatchdogSec"
    text = script(service, runner=False, allow_loss=frozenset(("Type", "Restart", "WatchdogSec")))
    assert "RUNNER" not in text


def test_what_nobody_can_keep_is_an_error_with_the_runner_as_well(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/app\nAppArmorProfile=app\n")
    service = load(str(tmp_path / "app.service"))
    with pytest.raises(SettingsError, match=r"app.service:3: .*AppArmorProfile="):
        script(service, runner=True)
    script(service, allow_loss=frozenset(("AppArmorProfile",)))


# --- what it does ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=shells())
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, request.param)
    yield made
    made.clean()


@pytest.fixture
def dash(tmp_path: Path) -> Iterator[Lab]:
    """For what no shell does otherwise."""
    made = Lab(tmp_path, "dash")
    yield made
    made.clean()


def simple(lab: Lab, more: str = "", program: str = "", **named: str) -> None:
    lab.generate(f"exec_start = {python(lab.program(more=program))}\n{more}", **named)


def test_lsb_sequence(lab: Lab) -> None:
    """Pacemaker's, and the rest of LSB's exit codes."""
    simple(lab)
    lab.run("status", check=3)
    lab.run("start", check=0)
    lab.run("status", check=0)
    first = lab.pid
    lab.run("start", check=0)
    assert lab.pid == first
    lab.run("restart", check=0)
    assert not alive(first)
    second = lab.pid
    lab.run("try-restart", check=0)
    lab.run("force-reload", check=0)
    assert not alive(second) and alive(lab.pid)
    lab.run("reload", check=3)
    third = lab.pid
    lab.run("stop", check=0)
    assert not alive(third) and not lab.pid_file.exists()
    lab.run("status", check=3)
    lab.run("stop", check=0)
    lab.run("try-restart", check=0)
    lab.run("status", check=3)
    lab.run("bogus", check=2)
    assert not list(lab.processes())


def test_how_the_program_is_started(lab: Lab) -> None:
    simple(lab, 'umask = "0027"\nworking_directory = "/usr"\nnice = 3\nenvironment = {A = "b"}')
    lab.run("start", check=0)
    told = lab.report()
    assert told["pid"] == lab.pid
    assert (told["cwd"], told["umask"], told["nice"], told["sid"]) == ("/usr", 0o027, 3, True)
    assert told["fds"][:3] == [0, 1, 2] and len(told["fds"]) <= 4
    # Python itself ignores SIGPIPE and SIGXFSZ
    assert set(told["ignored"]) <= {signal.SIGPIPE, signal.SIGXFSZ}
    environment = {bytes.fromhex(name): bytes.fromhex(value) for name, value in told["environment"].items()}
    assert environment.pop(b"LC_CTYPE", b"C.UTF-8") == b"C.UTF-8"  # Python's own
    assert environment == {b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", b"A": b"b"}
    lab.run("stop", check=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_another_user(lab: Lab) -> None:
    told = lab.folder / "told"
    probe = f"exec_start = {array(['/bin/sh', '-c', 'id -u; id -g; id -G; ulimit -n; env | sort; exec sleep 1000'])}"
    lab.generate(
        f'{probe}\nuser = "daemon"\ngroup = "mail"\nsupplementary_groups = ["video"]\nlimit_nofile = 321\n'
        f'runtime_directory = ["initkit-test-{os.getpid()}"]\nstandard_output = "file:{told}"\n'
        'working_directory = "/srv"'
    )
    lab.run("start", check=0)
    runtime = Path(f"/run/initkit-test-{os.getpid()}")
    assert runtime.stat().st_uid == 1 and runtime.group() == "mail"
    wait_until(lambda: told.exists() and "\nUSER=daemon\n" in told.read_text())  # the last that sort(1) has
    lines = told.read_text().splitlines()
    assert lines[:2] == ["1", "8"] and set(lines[2].split()) == {"8", "44"} and lines[3] == "321"
    assert {"USER=daemon", "LOGNAME=daemon", "HOME=/usr/sbin", f"RUNTIME_DIRECTORY={runtime}"} <= set(lines[4:])
    lab.run("stop", check=0)
    assert not runtime.exists()


def test_a_program_that_dies_at_once(lab: Lab) -> None:
    program = lab.executable("program", "exit 7")
    lab.generate(f"exec_start = {array([program])}\n[initkit]\nsettle_sec = 10")
    done = lab.run("start", check=1)
    assert "exit status 7" in done.stdout
    lab.run("status", check=3)


def test_a_program_that_is_not_there(dash: Lab) -> None:
    dash.generate(f"exec_start = {array([dash.folder / 'none'])}")
    assert "none is not installed" in dash.run("start", check=5).stdout


def test_a_command_may_be_missing_after_a_dash(lab: Lab) -> None:
    note = lab.executable("note", f'echo "$1" >>{lab.folder}/notes')
    missing = '["-/no/such/program"], ["-no-such-program"]'
    lab.generate(
        f'type = "oneshot"\nexec_start_pre = [{missing}]\nexec_start = [{missing}, {array([note, "1"])}]\n'
        f"exec_stop_post = [{missing}]"
    )
    lab.run("start", check=0)
    assert (lab.folder / "notes").read_text() == "1\n"


def test_a_program_that_died_later(lab: Lab) -> None:
    simple(lab, program="import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1000; :', sys.argv[0]])")
    lab.run("start", check=0)
    lab.report()
    wait_until(lambda: len(list(lab.processes())) == 2)
    os.kill(lab.pid, signal.SIGKILL)
    wait_until(lambda: not alive(lab.pid))
    lab.run("status", check=1)
    lab.run("start", check=0)
    lab.report()
    wait_until(lambda: len(list(lab.processes())) == 2)  # what the first one left is gone
    lab.run("stop", check=0)
    assert not list(lab.processes())


STRANGERS = {
    "garbage": "\x00\xff no pid at all",
    "empty": "",
    "negative": "-1\n",
    "zero": "0\n",
    "one": "1\n",
    "huge": "99999999999999999999999\n",
    "gone": "4194303\n1 00000000-0000-0000-0000-000000000000\n",
    "recycled": "{pid}\n1 {boot}\n",
    "recycled for a session": "{pid}\n1 {boot}\n/autogroup-0\n",
    "of another boot": "{pid}\n{born} 00000000-0000-0000-0000-000000000000\n{group}\n",
    "bare": "{pid}\n",
}


def born(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def stranger() -> Iterator[list[int]]:
    """A session of somebody else: its leader, and a child of the leader's."""
    command = ["sh", "-c", "sleep 1000 & echo $!; exec sleep 1001 >/dev/null"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as leader:
        assert leader.stdout
        pids = [leader.pid, int(leader.stdout.readline())]
        try:
            yield pids
        finally:
            for pid in pids:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kind", "shell", "type_"),
    [
        *((kind, "dash", "simple") for kind in STRANGERS),
        *((kind, "dash", "forking") for kind in ("garbage", "recycled for a session", "of another boot", "bare")),
        *(("garbage", shell, "simple") for shell in shells()[1:]),
    ],
)
def test_a_pid_file_that_names_a_stranger(
    tmp_path: Path, kind: str, shell: str, type_: str, stranger: list[int]
) -> None:
    lab = Lab(tmp_path, shell)
    program = FORKING.format(pid_file=str(lab.pid_file)) if type_ == "forking" else ""
    simple(lab, f'type = "{type_}"', program=program)
    group = Path(f"/proc/{stranger[0]}/autogroup")
    text = STRANGERS[kind].format(
        pid=stranger[0], born=born(stranger[0]), boot=BOOT, group=group.read_text().split()[0] if group.exists() else ""
    )

    def plant() -> None:
        lab.record.parent.mkdir(exist_ok=True)
        for path in (lab.pid_file, lab.record):
            path.write_text(text)
        lab.record.with_suffix(".register").write_text(f"boot {BOOT}\nmanager {stranger[0]} 1 /run/initkit/app.sock\n")

    try:
        plant()
        lab.run("status", check=1)
        lab.run("stop", check=0)
        assert all(map(alive, stranger))
        plant()
        lab.run("start", check=0)
        assert alive(lab.pid) and lab.pid not in stranger
        lab.run("stop", check=0)
        assert all(map(alive, stranger))
    finally:
        lab.clean()


def test_a_session_of_somebody_else(dash: Lab, stranger: list[int]) -> None:
    """The main process is dead, its number was given to a stranger that led a session and died as well."""
    simple(dash)
    os.kill(stranger[0], signal.SIGKILL)
    wait_until(lambda: not alive(stranger[0]))
    dash.record.write_text(f"{stranger[0]}\n1 {BOOT}\n/autogroup-0\n")
    dash.run("stop", check=0)
    assert alive(stranger[1])


def test_a_number_that_is_given_again_during_a_stop(lab: Lab, stranger: list[int]) -> None:
    """Whoever descends from a later bearer of a member's number is none of the family."""
    simple(lab)
    functions = lab.script.read_text().partition('[ "${1-}" = status ]')[0]

    def family(word: str) -> list[str]:
        lab.script.write_text(f'{functions}\nfamily=" {word} "\ngrow_family\necho "$family"\n')
        found = lab.run("start", check=0).stdout.split()
        return [each for each in found if each[0] != "/"]

    child = f"{stranger[1]}:{born(stranger[1])}"
    member = f"{stranger[0]}:{born(stranger[0])}"
    assert family(member) == [member, child]
    assert family(f"{stranger[0]}:1") == [f"{stranger[0]}:1"]


def test_the_session_of_the_script_is_never_the_service(lab: Lab) -> None:
    simple(lab)
    lab.run("start", check=0)
    tie = lab.record.read_text().splitlines()[2]
    ours = Path("/proc/self/autogroup")
    if ours.exists():
        # The kernel's first autogroup, of those for whom no session was ever made, has no name.
        own = ours.read_text().split()[:1]
        assert [tie] == Path(f"/proc/{lab.pid}/autogroup").read_text().split()[:1] != own
    lab.run("stop", check=0)


def test_a_pid_file_that_others_may_write(dash: Lab) -> None:
    simple(dash)
    dash.folder.chmod(0o777)
    assert "others may write" in dash.run("start", check=4).stdout
    dash.folder.chmod(0o700)
    dash.pid_file.symlink_to("/dev/null")
    assert "symbolic link" in dash.run("status", check=4).stdout


def test_a_folder_that_is_a_link(dash: Lab) -> None:
    """As /var/run is one to /run: what counts are the folders above the real one, and those that lead to it."""
    link, real = dash.folder / "link", dash.folder / "open" / "real"
    real.mkdir(parents=True)
    link.symlink_to(real)
    dash.pid_file = link / "sub" / "app.pid"
    simple(dash)
    dash.run("start", check=0)
    assert (real / "sub" / "app.pid").exists()
    dash.run("stop", check=0)
    real.parent.chmod(0o777)
    assert f"others may write to {real.parent}," in dash.run("start", check=4).stdout


# --- one at a time --------------------------------------------------------------------------------------------------


def at_once(lab: Lab, verb: str, count: int) -> list[int]:
    """The exit statuses of that many runs at the same moment."""
    with ThreadPoolExecutor(count) as pool:
        return [done.returncode for done in pool.map(lambda _: lab.run(verb), range(count))]


def locks(lab: Lab) -> list[Path]:
    return [*lab.lock.parent.glob(f"{lab.lock.name}*")]


@pytest.mark.parametrize(("shell", "stale"), [*((shell, False) for shell in shells()), ("dash", True), ("mksh", True)])
def test_starts_at_the_same_moment(tmp_path: Path, shell: str, stale: bool) -> None:
    lab = Lab(tmp_path, shell)
    started = lab.folder / "started"
    simple(lab, program=f"open({str(started)!r}, 'a').write('x')")
    if stale:  # two holders died one after the other, and another in the last life of the machine
        first, second = f"{os.getpid()}:1:{BOOT}", "1:0:00000000-0000-0000-0000-000000000000"
        lab.lock.symlink_to(first)
        Path(f"{lab.lock}.{first}").symlink_to(second)
    try:
        assert at_once(lab, "start", 20) == [0] * 20
        lab.report()
        wait_until(lambda: started.exists() and started.read_text())
        assert started.read_text() == "x" and list(lab.processes()) == [lab.pid]
        assert not locks(lab)
        assert at_once(lab, "stop", 10) == [0] * 10
        assert not list(lab.processes()) and not locks(lab)
    finally:
        lab.clean()


def test_a_stop_waits_for_the_start(dash: Lab) -> None:
    gate = dash.folder / "gate"
    waits = dash.executable("waits", f"while [ ! -e {gate} ]; do sleep 0.01; done")
    simple(dash, f"exec_start_pre = {array([waits])}")
    with ThreadPoolExecutor(2) as pool:
        start = pool.submit(dash.run, "start")
        wait_until(lambda: locks(dash))
        wait_until(lambda: list(dash.processes()))
        stop = pool.submit(dash.run, "stop")
        gate.touch()
        assert (start.result().returncode, stop.result().returncode) == (0, 0)
    dash.run("status", check=3)


def test_a_start_that_was_killed_blocks_nobody(dash: Lab) -> None:
    gate = dash.folder / "gate"
    waits = dash.executable("waits", f"while [ ! -e {gate} ]; do sleep 0.01; done")
    simple(dash, f"exec_start_pre = {array([waits])}")
    with subprocess.Popen(["dash", str(dash.script), "start"], stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: locks(dash) and list(dash.processes()))
        first.kill()
    assert locks(dash)
    gate.touch()
    dash.run("start", check=0)
    dash.run("stop", check=0)
    assert not locks(dash)


# --- where there is little but busybox ------------------------------------------------------------------------------


class Bare:
    """A root file system with busybox alone, and one start-stop-daemon: Alpine, embedded systems, an initramfs."""

    def __init__(self, root: Path, daemon: str) -> None:
        self.root, self.daemon = root, daemon
        root.chmod(0o755)
        for folder in ("bin", "etc", "proc", "dev", "run", "tmp", "srv"):
            (root / folder).mkdir()
        self.copy("busybox", "/bin/busybox")
        listed = subprocess.run(["busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        for applet in listed:
            if applet != "busybox" and (applet != "start-stop-daemon" or daemon == "busybox"):
                (root / "bin" / applet).symlink_to("busybox")
        (root / "usr").mkdir()
        (root / "usr" / "bin").symlink_to("../bin")
        if daemon == "dpkg":
            self.copy("start-stop-daemon", "/bin/start-stop-daemon")
        (root / "etc" / "passwd").write_text("root::0:0::/root:/bin/sh\ndaemon::1:1::/srv:/bin/sh\n")
        (root / "etc" / "group").write_text("root::0:\ndaemon::1:\nmail::8:\nvideo::44:daemon\n")

    def copy(self, program: str, name: str) -> None:
        """The program and what it is linked with."""
        source = shutil.which(program)
        assert source
        lines = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout.splitlines()
        libraries = {word: word for line in lines for word in line.split() if word.startswith("/")}
        for path, target in {source: name, **libraries}.items():
            (self.root / target.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, self.root / target.lstrip("/"))

    def generate(self, settings: str) -> None:
        (self.root / "app.toml").write_text(f"{settings}\n[initkit]\nsettle_sec = 0.1\n")
        (file,) = sysv.files(load(str(self.root / "app.toml")), Options(runner=False))
        (self.root / "app").write_text(file.text)

    def run(self, verb: str, *, check: int) -> str:
        enter = 'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /bin/sh /app "$1"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", enter, str(self.root), verb],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
            check=False,
        )  # fmt: skip
        assert done.returncode == check, f"{verb}: {done.returncode}, not {check}: {done.stdout}"
        return done.stdout

    @property
    def pid(self) -> int:
        return int((self.root / "run" / "app.pid").read_text().split()[0])


@pytest.fixture(params=["busybox", "dpkg", "none"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bare]:
    needed = ["busybox", "unshare", *(["start-stop-daemon"] if request.param == "dpkg" else [])]
    if os.geteuid() != 0 or not all(map(shutil.which, needed)):
        pytest.skip(f"needs root and {', '.join(needed)}")
    made = Bare(tmp_path, request.param)
    yield made
    if (made.root / "run" / "app.pid").exists():
        made.run("stop", check=0)


TELLS = ["/bin/sh", "-c", "id -u; id -g; id -G; ulimit -n; ulimit -Hn; ulimit -c; pwd; env; echo; exec sleep 1000"]


def test_another_user_on_a_bare_system(bare: Bare) -> None:
    bare.generate(
        f'exec_start = {array(TELLS)}\nuser = "daemon"\ngroup = "mail"\nworking_directory = "/srv"\n'
        'limit_nofile = "100:200"\nlimit_core = 0\nno_new_privileges = true\nstandard_output = "file:/tmp/told"'
    )
    if bare.daemon == "none":
        assert "start-stop-daemon(8) of dpkg or busybox" in bare.run("start", check=5)
        return
    for verb, status in (("status", 3), ("start", 0), ("status", 0), ("start", 0)):
        bare.run(verb, check=status)
    path = bare.root / "tmp" / "told"
    wait_until(lambda: path.exists() and path.read_text().endswith("\n\n"))
    told = path.read_text().splitlines()[:-1]
    assert told[:2] == ["1", "8"] and set(told[2].split()) == {"8", "44"}
    assert told[3:7] == ["100", "200", "0", "/srv"]
    names = {line.partition("=")[0] for line in told[7:]} - {"PWD", "SHLVL", "OLDPWD", "_"}  # the shell's own
    assert names == {"PATH", "USER", "LOGNAME", "HOME", "SHELL"}
    main = bare.pid
    kernel = Path(f"/proc/{main}/status").read_text()
    assert "NoNewPrivs:\t1" in kernel and "Uid:\t1\t1\t1\t1" in kernel and "Gid:\t8\t8\t8\t8" in kernel
    bare.run("stop", check=0)
    assert not alive(main)
    bare.run("status", check=3)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('user = "daemon"\nsupplementary_groups = ["mail"]', "setpriv(1) of util-linux is not installed"),
        ('group = "mail"', "setpriv(1) of util-linux is not installed"),
        ("limit_nproc = 10", "prlimit(1) is not installed"),
    ],
)
def test_what_a_bare_system_cannot_do(bare: Bare, setting: str, told: str) -> None:
    bare.generate(f"exec_start = {array(TELLS)}\n{setting}")
    assert told in bare.run("start", check=5)
    bare.run("status", check=3)


LIMITS = {
    "as": "1073741824:2147483648", "core": "0", "cpu": "100:200", "data": "1073741824", "fsize": "infinity",
    "memlock": "32768:65536", "nofile": "100:200", "stack": "4194304:8388608", "nproc": "1000", "sigpending": "77",
}  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_limits(lab: Lab) -> None:
    simple(lab, "\n".join(f'limit_{name} = "{value}"' for name, value in LIMITS.items()))
    lab.run("start", check=0)
    lab.report()  # they are set before it is executed
    for name, value in LIMITS.items():
        soft, _, hard = value.replace("infinity", "-1").partition(":")
        found = resource.prlimit(lab.pid, getattr(resource, f"RLIMIT_{name.upper()}", 11))  # 11: RLIMIT_SIGPENDING
        assert found == (int(soft), int(hard or soft)), name
    lab.run("stop", check=0)


def test_stop_reaches_every_descendant(lab: Lab) -> None:
    simple(
        lab,
        "timeout_stop_sec = 1",
        program="""
import subprocess
import sys
subprocess.Popen([sys.executable, "-c", "import os, time; os.fork() or os.setsid(); time.sleep(1000)", sys.argv[0]])
subprocess.Popen(["sh", "-c", "sleep 1000 & exec setsid sh -c 'sleep 1000; :' $0", sys.argv[0]])
subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep 1000 & sleep 1001; :", sys.argv[0]])
""",
    )
    lab.run("start", check=0)
    lab.report()
    wait_until(lambda: len(list(lab.processes())) >= 5)
    lab.run("stop", check=0)
    left = [pid for pid in lab.processes() if alive(pid)]
    assert not left, left


@pytest.mark.parametrize(
    ("settings", "dies"),
    [('kill_mode = "process"', False), ('kill_mode = "mixed"', True), ("", True), ('kill_signal = "SIGINT"', True)],
)
def test_kill_modes(dash: Lab, settings: str, dies: bool) -> None:
    simple(dash, settings, program="import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1000; :', sys.argv[0]])")
    dash.run("start", check=0)
    dash.report()
    wait_until(lambda: len(list(dash.processes())) == 2)
    main = dash.pid
    dash.run("stop", check=0)
    assert not alive(main)
    assert bool(list(dash.processes())) is not dies


def test_a_program_that_ignores_signals(dash: Lab) -> None:
    simple(dash, "timeout_stop_sec = 1", program="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    dash.run("start", check=0)
    dash.report()
    main = dash.pid
    dash.run("stop", check=0)
    assert not alive(main)


def test_commands_around_the_program(lab: Lab) -> None:
    journal = lab.folder / "journal"
    note = lab.executable("note", f'echo "$* ${{MAINPID:-none}}" >>{journal}')
    fails = lab.executable("fails", "exit 1")
    simple(
        lab,
        f"""
exec_start_pre = [{array([note, "pre"])}, {array([f"-{fails}"])}]
exec_start_post = ["{note}", "post", "$MAINPID"]
exec_reload = ["{note}", "reload", "<${{MAINPID}}>"]
exec_stop = ["{note}", "stop"]
exec_stop_post = ["{note}", "after"]
""",
    )
    lab.run("reload", check=7)
    lab.run("start", check=0)
    pid = lab.pid
    lab.run("reload", check=0)
    lab.run("force-reload", check=0)
    lab.run("stop", check=0)
    assert journal.read_text().splitlines() == [
        "pre none", f"post {pid} {pid}", *[f"reload <{pid}> {pid}"] * 2, f"stop {pid}", "after none",
    ]  # fmt: skip


def test_a_command_before_that_fails(dash: Lab) -> None:
    fails = dash.executable("fails", "exit 1")
    simple(dash, f"exec_start_pre = {array([fails])}")
    dash.run("start", check=1)
    dash.run("status", check=3)
    assert not dash.told.exists()


def test_a_condition_that_does_not_hold(dash: Lab) -> None:
    fails = dash.executable("fails", "exit 1")
    simple(dash, f"exec_condition = {array([fails])}")
    assert "skipped" in dash.run("start", check=0).stdout
    dash.run("status", check=3)


def test_a_command_that_takes_too_long(dash: Lab) -> None:
    simple(dash, f"exec_start_pre = {array(['/bin/sleep', '1000'])}\ntimeout_start_sec = 1")
    assert "takes too long" in dash.run("start", check=1).stdout


def test_each_command_has_the_whole_time(dash: Lab) -> None:
    pre = ", ".join([array(["/bin/sleep", "1.4"])] * 3)
    simple(dash, f"exec_start_pre = [{pre}]\ntimeout_start_sec = 3")
    dash.run("start", check=0)
    dash.run("stop", check=0)


def test_forking(lab: Lab) -> None:
    simple(lab, 'type = "forking"', program=FORKING.format(pid_file=str(lab.pid_file)))
    lab.run("start", check=0)
    first = lab.pid
    assert lab.pid_file.read_text() == f"{first}\n"
    lab.run("status", check=0)
    lab.run("start", check=0)
    assert lab.pid == first
    lab.run("stop", check=0)
    assert not alive(first) and not list(lab.processes())
    lab.run("status", check=3)


def test_forking_that_fails(dash: Lab) -> None:
    simple(dash, 'type = "forking"\ntimeout_start_sec = 1', program="sys.exit(3)")
    dash.run("start", check=1)
    simple(dash, 'type = "forking"\ntimeout_start_sec = 1', program="sys.exit(0)")
    assert "no process of this start" in dash.run("start", check=1).stdout


def test_oneshot(lab: Lab) -> None:
    journal = lab.folder / "journal"
    note = lab.executable("note", f'echo "$1" >>{journal}')
    lab.generate(
        f'type = "oneshot"\nremain_after_exit = true\nexec_start = [{array([note, "1"])}, {array([note, "2"])}]\n'
        f"exec_stop = {array([note, '3'])}"
    )
    lab.run("status", check=3)
    lab.run("start", check=0)
    lab.run("start", check=0)
    lab.run("status", check=0)
    lab.run("stop", check=0)
    lab.run("status", check=3)
    assert journal.read_text() == "1\n2\n3\n"


def test_the_default_file(dash: Lab) -> None:
    (dash.folder / "default").write_text("STOP_TIMEOUT=1\n")
    simple(dash, "timeout_stop_sec = 25", program="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    dash.run("start", check=0)
    dash.report()
    dash.run("stop", check=0)


def test_output_in_files(lab: Lab) -> None:
    program = lab.executable("program", "echo out; echo err >&2; exec sleep 1000")
    lab.generate(
        f'exec_start = {array([program])}\nstandard_output = "append:{lab.folder}/o u t"\n'
        f'standard_error = "truncate:{lab.folder}/err"'
    )
    out, err = lab.folder / "o u t", lab.folder / "err"
    for count in (1, 2):
        lab.run("start", check=0)
        wait_until(lambda: out.read_text() == "out\n" * count and err.read_text() == "err\n")  # noqa: B023
        lab.run("stop", check=0)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ('type = "oneshot"\nremain_after_exit = true\nexec_start = LEAVES', 0),
        ('type = "oneshot"\nexec_start = LEAVES', 0),
        ('type = "oneshot"\nexec_start = [LEAVES, ["/bin/false"]]', 1),
        ('exec_start_pre = LEAVES\nexec_start = ["/bin/sleep", "1000"]', 0),
        ('exec_start_pre = [LEAVES, ["/bin/false"]]\nexec_start = ["/bin/sleep", "1000"]', 1),
        ('exec_start_post = LEAVES\nexec_start = ["/bin/sleep", "1000"]', 0),
        ('exec_start_post = [LEAVES, ["/bin/false"]]\nexec_start = ["/bin/sleep", "1000"]', 1),
        ('type = "forking"\ntimeout_start_sec = "1s"\nexec_start = LEAVES', 1),
        ('kill_mode = "mixed"\nexec_start_pre = LEAVES\nexec_start = ["/bin/sleep", "1000"]', 0),
    ],
)
def test_what_commands_leave_is_ended(dash: Lab, settings: str, status: int) -> None:
    """By the stop; by the start when that fails, or is all that there is to the service."""
    pids = dash.folder / "pids"
    leaves = array(["/bin/sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! >>{pids}"])
    dash.generate(settings.replace("LEAVES", leaves))
    dash.run("start", check=status)
    (left,) = map(int, pids.read_text().split())
    assert alive(left) == (status == 0 and ("remain" in settings or "oneshot" not in settings))
    dash.run("stop", check=0)
    assert not alive(left)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_user_without_an_entry_has_no_home(lab: Lab) -> None:
    """As the runner has it."""
    lab.generate(f"exec_start = {python(lab.program())}\n" + 'user = "54321"\nworking_directory = "~"\n')
    assert "exit status 200" in lab.run("start", check=1).stdout
    assert not lab.told.exists()
