"""`initkit check`: one line a finding, and what could not be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Check = Callable[..., list[str]]

GOOD = 'exec_start = ["/bin/true"]\n'


@pytest.fixture
def check(tmp_path: Path, initkit: Run) -> Check:
    """The findings in settings, without the directory in front; the exit status is asserted to fit."""

    def run(text: str, *argv: str, name: str = "app.toml", **more: str) -> list[str]:
        (tmp_path / name).write_text(text)
        ran = initkit("check", name, *argv, **more)
        found = [line.removeprefix(f"{tmp_path}/") for line in ran.stdout.splitlines()]
        wrong = any(": error: " in line for line in found)
        assert ran.returncode == (78 if wrong else 0), ran.stdout + ran.stderr
        assert ran.stderr.count("\n") == 1
        assert all(line.startswith(f"{tmp_path}/") for line in ran.stdout.splitlines())
        return found

    return run


def test_nothing_to_say(check: Check) -> None:
    assert [line for line in check(GOOD) if ": note: " not in line] == []


def test_settings_that_cannot_be_read(check: Check) -> None:
    assert check('exec_strat = ["/bin/true"]\n') == [
        "app.toml:1: error: unknown directive exec_strat = \"['/bin/true']\" (did you mean exec_start?)"
    ]
    assert check("x = \n")[0].startswith("app.toml:1: error: not TOML: ")


def test_every_wrong_value_is_told(check: Check) -> None:
    found = check('exec_start = ["bin/x"]\nnice = 99\numask = "9"\n')
    assert [line.partition(": error: ")[0] for line in found] == ["app.toml:1", "app.toml:2", "app.toml:3"]


def test_sockets_and_a_timer_are_judged(check: Check, tmp_path: Path) -> None:
    found = check(
        GOOD
        + '[socket]\nlisten_stream = [80, 80]\nsocket_user = "nobody-there"\n\n[timer]\non_calendar = "daily UTC"\n'
    )
    assert 'app.toml:4: error: socket_user = "nobody-there": there is no user nobody-there on this machine' in found
    assert "app.toml: error: app.socket: 80 is listened on twice" in found
    assert any(line.startswith('app.toml:7: warning: on_calendar = "daily UTC": sysv cannot keep it') for line in found)
    assert check(GOOD + "[socket]\nlisten_stream = 0\n")[0].startswith('app.toml:3: error: listen_stream = "0"')
    text = "[Service]\nExecStart=/bin/true\nSockets=a.socket b.socket\n"
    (tmp_path / "a.socket").write_text("[Socket]\nListenStream=80\nBacklog=1\nBacklog=2\n")
    found = check(text, "--init", "systemd", name="other.service")
    assert 'other.service:3: warning: Sockets = "b.socket": there is no such unit beside the settings: only ' in str(
        found
    )
    assert any(line.startswith('a.socket:4: warning: Backlog = "2": assigned already in line 3') for line in found)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('exec_start = ["/no/such", "x"]', ':1: error: exec_start = "/no/such": there is no such program'),
        (
            'exec_start = ["no-such-program"]',
            ':1: error: exec_start = "no-such-program": no such program in /usr/local/sbin:',
        ),
        ('exec_start = ["/etc/passwd"]', ':1: error: exec_start = "/etc/passwd": not executable'),
        ('exec_start = ["/etc"]', ':1: error: exec_start = "/etc": expected a program, found a directory'),
        (GOOD + 'exec_stop = ["-/no/such"]', ':2: warning: exec_stop = "/no/such": there is no such program'),
        (GOOD + 'user = "no-such-user"', ':2: error: user = "no-such-user": there is no user no-such-user on this'),
        (GOOD + 'group = "no-such-group"', ':2: error: group = "no-such-group": there is no group'),
        (
            GOOD + 'supplementary_groups = ["adm", "no-such"]',
            ':2: error: supplementary_groups = "no-such": there is no',
        ),
        (
            GOOD + 'working_directory = "/no/such"',
            ':2: error: working_directory = "/no/such": there is no such directory',
        ),
        (GOOD + 'root_directory = "/no/such"', ':2: error: root_directory = "/no/such": there is no such directory'),
        (GOOD + 'environment_file = "/no/such"', ':2: error: environment_file = "/no/such": there is no such file'),
        (GOOD + 'environment_file = "/no/such*"', ":2: error: environment_file = "),
        (
            GOOD + 'standard_input = "file:/no/such"',
            ':2: error: standard_input = "file:/no/such": there is no such file',
        ),
        (GOOD + 'standard_output = "append:/no/such"', ":2: error: standard_output = "),
        (GOOD + 'type = "forking"', ':2: warning: type = "forking": without pid_file'),
        (GOOD + 'type = "notify"\nnotify_access = "none"', ":3: warning: notify_access = "),
        (GOOD + "cpu_shares = 5", ':2: warning: cpu_shares = "5": systemd 258 does not have it any more'),
        (
            '[initkit]\ncallable = "no_such_module:main"',
            ':2: error: callable = "no_such_module:main": there is no module',
        ),
        ('exec_start = ["/bin/echo", "100%"]', ':1: warning: exec_start = "100%": a "%" here looks like plain text'),
        ('exec_start = ["/bin/date", "+%H:%M"]', ':1: warning: exec_start = "+'),
        ('exec_start = ["/bin/echo", "$5"]', ':1: warning: exec_start = "$5": all of this is taken for one variable'),
        (
            'exec_start = ["/bin/echo", "$A/b"]',
            ':1: warning: exec_start = "$A/b": all of this is taken for one variable',
        ),
        ('exec_start = ["/bin/echo", "a$b"]', ':1: warning: exec_start = "a$b": a "$" here looks like plain text'),
        ('exec_start = ["/bin/echo", "$NO"]', ':1: warning: exec_start = "$NO": no setting sets $NO'),
        ('exec_start = ["/bin/echo", "x${NO}"]', ':1: warning: exec_start = "x${NO}": no setting sets $NO'),
        (
            GOOD + 'environment = { A = "$PATH:/x" }',
            ':2: warning: environment = "A=$PATH:/x": variables are not expanded',
        ),
        (GOOD + 'environment = { A = "$$5" }', ':2: warning: environment = "A=$$5": variables are not expanded'),
        (GOOD + 'environment = { A = "5%" }', ':2: warning: environment = "A=5%": a "%" here looks like plain text'),
        (GOOD + "memory_ksm = true", ":2: warning: memory_ksm = true: sysv cannot keep it: "),
        (GOOD + "[sysv]\ndefault_strat = 2", ":3: error: "),
        (GOOD + '[sysv]\ndefault_start = "2 9"', ':3: error: default_start = "2 9": expected runlevels (0 1 2 3 4 5'),
        (GOOD + "[systemd]\nx = 1", ':3: error: x = "1": no setting of [systemd]'),
    ],
)
def test_findings(check: Check, text: str, finding: str) -> None:
    found = check(text + "\n")
    assert any(line.startswith(f"app.toml{finding}") for line in found), found


@pytest.mark.parametrize(
    "text",
    [
        'exec_start = ["/bin/echo", "50%%", "$$5", "%n", "${HOME}", "$MAINPID", "%%%%"]',
        'exec_start = [":/bin/echo", "$5", "$A/b", "${NO}"]',
        'exec_start = ["/bin/echo", "$A", "${B}", "$C"]\nenvironment = { A = "1", B = "2" }\npass_environment = "C"',
        GOOD + 'environment = { A = "it costs $5, or 5%%" }',
        GOOD + '[socket]\nlisten_stream = 80\nwanted_by = "sockets.target"',
        GOOD + '[timer]\non_boot_sec = 5\nwanted_by = "timers.target"',
        GOOD + 'wants = "app.socket"\n[socket]\nlisten_stream = 80',
        GOOD + 'requires = "app.socket"\n[socket]\nlisten_stream = 80',  # which systemd has to find
        'exec_start = ["true"]\nenvironment_file = "-/no/such"\nworking_directory = "-/no/such"',
        'exec_start = ["/bin/true"]\nuser = "0"\nworking_directory = "~"',
    ],
)
def test_no_findings(check: Check, text: str) -> None:
    assert [line for line in check(text + "\n", "--init", "systemd") if ": note: " not in line] == []


def test_an_environment_file_is_read(tmp_path: Path, check: Check) -> None:
    (tmp_path / "env").write_text("GOOD=1\n2BAD=x\n")
    found = check(f'exec_start = ["/bin/echo", "$GOOD", "$OTHER"]\nenvironment_file = "{tmp_path}/env"\n')
    assert 'env:2: warning: "2BAD" is no name of a variable: the line is passed over' in found
    assert [line for line in found if "no setting sets" in line and "$OTHER" in line]
    assert not [line for line in found if "no setting sets $GOOD" in line]


def test_a_script_needs_its_interpreter(tmp_path: Path, check: Check) -> None:
    (tmp_path / "x").write_text("#! /no/such/python -u\n")
    (tmp_path / "x").chmod(0o755)
    found = check(f'exec_start = ["{tmp_path}/x"]\n')
    assert found[0].endswith('/x": a script for /no/such/python, which is not there')


def test_a_value_given_twice(check: Check) -> None:
    found = check(
        "[Service]\nExecStart=/bin/true\nNice=1\nEnvironment=A=1\nEnvironment=B=1\nNice=2\n", name="app.service"
    )
    assert found[0] == 'app.service:6: warning: Nice = "2": assigned already in line 3: the last one counts'


def test_strict_makes_errors_of_warnings(check: Check) -> None:
    text = 'exec_start = ["/bin/echo", "100%"]\n'
    assert ": warning: " in check(text)[0]
    assert ": error: " in check(text, "--strict")[0]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_itself_is_asked(check: Check) -> None:
    found = check(GOOD + 'socket_bind_allow = "nonsense"\n', "--init", "systemd")
    assert any(line.startswith("app.toml:2: ") and "systemd-analyze verify: " in line for line in found), found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_calls_the_initkit_that_checks(tmp_path: Path, environment: dict[str, str], program: Path) -> None:
    (tmp_path / "mod.py").write_text("def main(): pass\n")
    (tmp_path / "app.toml").write_text('[initkit]\ncallable = "mod:main"\n')
    argv = [program, "check", "app", "--init", "systemd"]
    ran = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [("app.toml", "x.conf", "a .toml file end in .toml"), ("app.service", "x.toml", "a .service file end in .conf")],
)
def test_drop_ins_that_are_none(tmp_path: Path, check: Check, name: str, other: str, told: str) -> None:
    (tmp_path / f"{name}.d").mkdir()
    (tmp_path / f"{name}.d/{other}").write_text("")
    found = check(GOOD if name == "app.toml" else "[Service]\nExecStart=/bin/true\n", name=name)
    assert found[0] == f"{name}.d/{other}: warning: passed over: drop-ins of {told}"


def test_what_could_not_be_run_is_said(tmp_path: Path, check: Check) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    found = check(GOOD, PATH=str(tools))
    for tool in ("systemd-analyze", "ShellCheck", "checkbashisms"):
        assert any(f": note: {tool} is not installed" in line for line in found), found


def test_nothing_is_left_behind(tmp_path: Path, check: Check) -> None:
    (tmp_path / "tmp").mkdir()
    check(GOOD, TMPDIR=str(tmp_path / "tmp"))
    assert os.listdir(tmp_path / "tmp") == []


def test_everything_that_cannot_be_read_is_told(check: Check, tmp_path: Path) -> None:
    (tmp_path / "app.toml.d").mkdir()
    (tmp_path / "app.toml.d/x.toml").write_text("bar = 1\n")
    found = check('exec_strat = ["/bin/x"]\nnice = 99\n[socket]\nfoo = 1\nlisten_stream = 0\n[nope]\na = 1\nb = 2\n')
    places = [line.partition(": error: ")[0] for line in found]
    assert places == ["app.toml:1", "app.toml:4", "app.toml:6", "app.toml.d/x.toml:1", "app.toml:2", "app.toml:5"]
    found = check("[Service]\nExecStrat=/bin/x\nNice=99\n[Nope]\nA=1\n", name="other.service")
    assert [line.partition(": error: ")[0] for line in found] == [f"other.service:{line}" for line in (2, 5, 3)]


def test_what_cannot_be_enabled(check: Check, tmp_path: Path) -> None:
    found = check(GOOD + "[socket]\nlisten_stream = 80\n[timer]\non_boot_sec = 5\n", "--init", "systemd")
    for line, kind in ((3, "socket"), (5, "timer")):
        told = (
            f"app.toml:{line}: warning: app.{kind} cannot be enabled, and nothing else has systemd start it: expected "
        )
        assert f'{told}wanted_by = ["{kind}s.target"] in [{kind}]' in found
    (tmp_path / "other.timer").write_text("[Timer]\nOnBootSec=5\n")
    (found_in_unit,) = (
        line
        for line in check("[Service]\nExecStart=/bin/true\n", "--init", "systemd", name="other.service")
        if ": warning: " in line
    )
    assert found_in_unit.startswith("other.timer:2: ") and "WantedBy=timers.target in [Install]" in found_in_unit


@pytest.mark.parametrize("name", ["at", "m4"])
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="ShellCheck is not installed")
def test_a_service_may_be_called_as_a_program_is(check: Check, name: str) -> None:
    assert [line for line in check(GOOD, name=f"{name}.toml") if "ShellCheck" in line] == []


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="ShellCheck is not installed")
def test_paths_may_have_any_characters(check: Check, tmp_path: Path) -> None:
    program = tmp_path / "a $b"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = check(
        f'exec_start = ["{program}"]\nenvironment_file = "-/etc/a $b"\nruntime_directory = ["x$y"]\n'
        f'pid_file = "/run/a $b.pid"\nstandard_output = "append:{tmp_path}/a $b"\n'
    )
    assert [line for line in found if ": note: " not in line] == []
