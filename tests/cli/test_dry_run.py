"""`initkit run APP --dry-run`: the plan, and nothing run."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.cases import every

from initkit import inits
from initkit.cli import dry_run, explain
from initkit.errors import SettingsError
from initkit.settings.load import load

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SETTINGS = """\
description = "An app"
exec_start = ["/bin/sh", "-c", "touch ran", "a b", "$WORD", "x${NAME}y", "$$"]
exec_stop = ["/bin/echo", "bye"]
user = "daemon"
umask = "0027"
limit_nofile = "10:infinity"
environment = { A = "b c" }
environment_file = "-/nowhere"
root_directory = "/srv"
standard_output = "append:/var/log/an app.log"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "app.toml"
    path.write_text(SETTINGS)
    return path


def steps(text: str, title: str) -> list[list[str]]:
    """The words of each line of a table."""
    part = text.partition(f"{title}:\n")[2].partition("\n\n")[0]
    return [line.split() for line in part.splitlines()]


def test_every_step_is_shown_and_none_is_done(tmp_path: Path, settings: Path, initkit: Run) -> None:
    ran = initkit("run", "app", "--dry-run", "--foreground")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[0] == "app.service: An app"
    assert f"settings  {settings}" in lines
    assert "mode      supervise (--foreground)" in lines
    assert "because   ExecStop=: needs a parent" in lines
    header, *rows = steps(ran.stdout, "The program")
    assert header == ["#", "STEP", "VALUES", "MANUAL"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    names = [row[1] for row in rows]
    for name in (
        "reset_signals",
        "close_fds",
        "stdio",
        "environment",
        "umask",
        "limits",
        "groups",
        "file_system_view",
        "user",
        "exec",
    ):
        assert name in names
    assert names[-1] == "exec"
    assert names.index("limits") < names.index("user") < names.index("exec")
    text = ran.stdout
    assert "mask=0027" in text
    assert "limits=[NOFILE=10:infinity]" in text
    assert "assignments=['A=b c']" in text
    assert "files=[-/nowhere]" in text
    assert "output append:/var/log/an app.log" in text
    assert "systemd.exec(5) UMask=" in text
    assert "umask 0027" in text
    assert "command ulimit -Sn 10 || exit 205" in text
    assert "exec /bin/sh -c 'touch ran' 'a b' $WORD \"x${NAME}y\" \"\\$\"" in text
    assert "by the runner only" in text  # another view of the file system has no form in sh
    assert "ExecStop  /bin/echo bye" in text
    assert os.listdir(tmp_path) == ["app.toml"]


def test_a_command_of_the_users_shell(tmp_path: Path, initkit: Run) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=|echo one 'two  words'\nUser=daemon\n")
    ran = initkit("run", "app", "--dry-run", "--foreground")
    assert (ran.returncode, ran.stderr) == (0, "")
    first, *_, last = steps(ran.stdout, "The program")[1:]
    assert first[1:4] == ["find_shell", "dynamic=no", "user=daemon"]
    assert " ".join(last).endswith('exec | echo one "two words" systemd.service(5) ExecStart=')
    assert steps(ran.stdout, "The program, in a script")[-1][1:] == ["by", "the", "runner", "only"]


def test_the_columns_are_aligned(settings: Path, initkit: Run) -> None:
    ran = initkit("run", "app", "--dry-run")
    rows = ran.stdout.partition("The program:\n")[2].partition("\n\n")[0].splitlines()
    for word in ("STEP", "VALUES", "MANUAL"):
        column = rows[0].index(word)
        assert all(row[column - 1 : column] in (" ", "") for row in rows)


def test_a_long_value_makes_no_column_wider(tmp_path: Path, initkit: Run) -> None:
    paths = " ".join(f"/some/folder{n}" for n in range(40))
    (tmp_path / "app.service").write_text(
        f"[Service]\nExecStart=/bin/true\nReadOnlyPaths={paths}\nSystemCallFilter=~@privileged @resources:EPERM\n"
    )
    ran = initkit("run", "app", "--dry-run", "--foreground")
    rows = ran.stdout.partition("The program:\n")[2].partition("\n\n")[0].splitlines()
    assert [len(row) > 200 for row in rows].count(True) == 1
    assert "words=['~@privileged' '~@resources:EPERM']" in ran.stdout


def test_the_daemon_is_shown_with_who_does_what(settings: Path, initkit: Run) -> None:
    ran = initkit("run", "app", "--dry-run", "--daemon")
    assert "mode      daemon (--daemon)" in ran.stdout
    rows = steps(ran.stdout, "The daemon")
    who = {row[1]: row[-1] for row in rows[1:]}
    assert (who["fork"], who["setsid"], who["fork_again"], who["pid_file"]) == ("launcher", "child", "child", "daemon")
    assert who["exit_launcher"] == "launcher"
    for step in range(1, 16):
        assert f"daemon(7) step {step}" in ran.stdout


def test_who_called_decides(tmp_path: Path, settings: Path, initkit: Run, environment: dict[str, str]) -> None:
    settings.write_text('exec_start = ["/bin/true"]\n')
    by_script = initkit("run", "app", "--dry-run").stdout
    assert "mode      daemon (started by a script: none of the others)" in by_script
    assert "because   nothing needs a parent: initkit becomes the program" in by_script
    by_supervisor = initkit("run", "app", "--dry-run", SUPERVISOR_ENABLED="1").stdout
    assert "mode      exec (started by a supervisor: SUPERVISOR_ENABLED is set)" in by_supervisor
    controller, terminal = pty.openpty()
    argv = [sys.executable, "-m", "initkit", "run", "app", "--dry-run"]
    ran = subprocess.run(
        argv, cwd=tmp_path, env=environment, stdin=terminal, stdout=subprocess.PIPE, text=True, check=True
    )
    os.close(controller)
    os.close(terminal)
    assert "mode      exec (started by a person: standard input or error is a terminal)" in ran.stdout


def test_systemd_looks_after_its_own(tmp_path: Path, settings: Path, environment: dict[str, str]) -> None:
    """SYSTEMD_EXEC_PID is the process's own pid, as exec(2) keeps it."""
    script = 'SYSTEMD_EXEC_PID=$$ exec "$0" -m initkit run app --dry-run'
    argv = ["/bin/sh", "-c", script, sys.executable]
    ran = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "mode      exec (started by systemd: SYSTEMD_EXEC_PID is this process)" in ran.stdout
    assert "because   systemd itself looks after the program" in ran.stdout


def test_several_commands_and_a_callable(tmp_path: Path, initkit: Run) -> None:
    (tmp_path / "many.toml").write_text('type = "oneshot"\nexec_start = [["/bin/a"], ["-/bin/b", "c"]]\n')
    text = initkit("run", "many", "--dry-run").stdout
    assert "The program 1 of 2:" in text
    assert "-/bin/b c" in text
    (tmp_path / "call.toml").write_text('[initkit]\ncallable = "json.tool:main"\n')
    text = initkit("run", "call", "--dry-run").stdout
    assert "function=json.tool:main" in text
    assert "by the runner only" in text


def test_wrong_settings_print_no_plan(tmp_path: Path, initkit: Run) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/true"]\nnice = 99\n')
    ran = initkit("run", "app", "--dry-run")
    assert (ran.returncode, ran.stdout) == (78, "")
    assert (
        ran.stderr
        == f"initkit: {tmp_path}/app.toml:2: nice = \"99\": expected a nice level from -20 to 19, found '99'\n"
    )


def test_every_setting_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the suite of self-checking units sets: the plan of it, and what each init makes of it."""
    modules = {name: inits.load(name) for name in inits.names()}
    shown = 0
    for case in every():
        path = tmp_path / "app.service"
        path.write_text(case.unit)
        try:
            service = load(str(path))
        except SettingsError:
            continue
        assert dry_run.show(service, "--foreground") == 0
        assert "".join(explain._explanation(service, {n: dict(each.support(service)) for n, each in modules.items()}))
        shown += 1
    assert shown > 300
    text = capsys.readouterr().out
    assert "supervise" in text
    assert not re.search(r"[A-Z]\w+\(\w+=", text)  # what Python makes of a record


@pytest.mark.parametrize("argv", [("run", "--foreground"), ("run", "--dry-run"), ("start",), ("gen-init",), ("up",)])
def test_templates_are_not_run(initkit: Run, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "app@.service").write_text("[Unit]\nBindsTo=%i.mount\n[Service]\nUser=%i\nExecStart=/bin/echo\n")
    done = initkit(argv[0], "./app@.service", *argv[1:])
    assert done.returncode == 78
    assert "a template" in done.stderr and "such as app@1" in done.stderr
    assert initkit("gen-unit", "./app@.service").returncode == 0
    assert "BindsTo" in initkit("explain", "./app@.service").stdout
    assert "[Service]" not in initkit("check", "--init", "systemd", "./app@.service").stdout


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("[Service]\nPrivateTmp=yes", "PrivateTmp="),
        ("[Unit]\nJoinsNamespaceOf=a.service\n[Service]\nPrivateIPC=yes", "J"),
    ],
)
def test_why_a_parent_stays(tmp_path: Path, initkit: Run, settings: str, reason: str) -> None:
    (tmp_path / "app.service").write_text(f"{settings}\nExecStart=/bin/true\n")
    ran = initkit("run", "app", "--dry-run", "--foreground")
    because = next(line for line in ran.stdout.splitlines() if line.startswith("because"))
    assert because.startswith(f"because   {reason}") and because.endswith(": needs a parent")


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ("RuntimeDirectory=x", "RuntimeDirectory="),
        ("PrivateTmp=yes", "PrivateTmp="),
        ("PrivateTmp=no\nRestart=no\nType=simple\nRemoveIPC=yes\nUser=daemon", "RemoveIPC="),
        ("FileDescriptorStoreMax=1\nOOMPolicy=kill", "FileDescriptorStoreMax=, OOMPolicy=kill"),
        ("Restart=always\nSetCredential=a:b", "Restart=always, SetCredential="),
        ("Type=oneshot", "Type=oneshot"),
    ],
)
def test_what_needs_a_parent_is_named(initkit: Run, tmp_path: Path, settings: str, because: str) -> None:
    (tmp_path / "app.service").write_text(f"[Service]\nExecStart=/bin/true\n{settings}\n")
    shown = initkit("run", "app", "--foreground", "--dry-run").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("because"))
    assert line.partition("because")[2].strip() == f"{because}: needs a parent"


def test_a_dynamic_user_is_a_reason(initkit: Run, tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/true\nDynamicUser=yes\n")
    assert "DynamicUser=" in initkit("run", "app", "--foreground", "--dry-run").stdout.partition(": needs a parent")[0]
