"""`initkit gen-unit`, `gen-init` and `gen`: the command line, and what is written runs from where it lies."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["gen-init", "app", "--allow-loss", "Foo"], "--allow-loss Foo: there is no such directive\n"),
        (["gen-init", "app", "--allow-loss", "Restrat"], "no such directive (did you mean Restart?)"),
        (["gen-unit", "app", "--allow-loss", "SetleSec"], "no such directive (did you mean SettleSec?)"),
        (["gen-unit", "app", "--systemd-version", "-5"], "expected a version of systemd such as 252, found '-5'"),
        (["gen-unit", "app", "--systemd-version", "0"], "expected a version of systemd such as 252, found '0'"),
        (["gen-unit", "app", "--systemd-version", "new"], "expected a version of systemd such as 252, found 'new'"),
        (["gen-unit", "app", "--template-dir", "/no/such"], "there is no directory '/no/such'"),
        (["new", "other", "--template-dir", "/no/such"], "there is no directory '/no/such'"),
        (["gen", "sysv", "app"], "required: --output-dir"),
        (["gen", "nonesuch", "app", "-o", "."], "unknown init 'nonesuch': expected one of openrc, systemd, sysv"),
    ],
)
def test_wrong_words(tmp_path: Path, initkit: Run, argv: list[str], said: str) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/true"]\n')
    ran = initkit(*argv)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (64, "", 1)
    assert said in ran.stderr
    assert os.listdir(tmp_path) == ["app.toml"]


@pytest.mark.parametrize("name", ["MemoryKSM", "memory_ksm"])
def test_a_loss_is_accepted_in_either_spelling(tmp_path: Path, initkit: Run, name: str) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/true"]\nmemory_ksm = true\n')
    assert initkit("gen-init", "app").returncode == 78
    assert initkit("gen-init", "app", "--allow-loss", name).returncode == 0
    # What the service does not set is no loss, and no fault either; nor are old spellings and initkit's own settings.
    more = [word for each in ("Nice", "settle_sec", "BindTo") for word in ("--allow-loss", each)]
    assert initkit("gen-init", "app", "--allow-loss", name, *more).returncode == 0


def test_all_files_of_an_init(tmp_path: Path, initkit: Run) -> None:
    (tmp_path / "app.toml").write_text('exec_start = ["/bin/true"]\n')
    ran = initkit("gen", "sysv", "app", "--output-dir", "out")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "out/etc/init.d/app\n", "")
    assert (tmp_path / "out/etc/init.d/app").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="init scripts are root's")
def test_a_script_finds_settings_that_lie_anywhere(
    tmp_path: Path, initkit: Run, program: Path, environment: dict[str, str]
) -> None:
    name = f"anywhere-{os.getpid()}"
    (tmp_path / f"{name}.toml").write_text(
        'exec_start = ["sleep", "1000"]\nrestart = "on-failure"\n[initkit]\nsettle_sec = 0.05\n'
    )
    script = initkit("gen-init", name).stdout
    assert f"SETTINGS='{tmp_path}/{name}.toml'" in script
    (tmp_path / "script").write_text(re.sub("^RUNNER=.*$", f"RUNNER='{program}'", script, flags=re.MULTILINE))

    def run(verb: str) -> int:
        argv = ["sh", str(tmp_path / "script"), verb]
        return subprocess.run(argv, env=environment, cwd="/var", timeout=60, check=False).returncode

    try:
        assert [run("start"), run("status")] == [0, 0]
    finally:
        assert run("stop") == 0
    assert run("status") == 3


def test_what_does_not_go_to_standard_output_is_named(tmp_path: Path, initkit: Run) -> None:
    (tmp_path / "app.toml").write_text(
        'exec_start = ["/bin/true"]\n[socket]\nlisten_stream = ["/run/app.sock"]\n[timer]\non_calendar = "daily"\n'
    )
    ran = initkit("gen-unit", "app")
    assert ran.stdout.endswith("[Service]\nExecStart=/bin/true\n")
    assert ran.stderr == "".join(
        f"initkit: /etc/systemd/system/app.{kind} belongs to it: `initkit gen systemd app --output-dir DIR` writes all"
        "\n"
        for kind in ("socket", "timer")
    )
    assert "/etc/cron.d/app belongs to it" in initkit("gen-init", "app").stderr
    ran = initkit("gen", "systemd", "app", "-o", "out")
    units = [f"out/etc/systemd/system/app.{kind}" for kind in ("service", "socket", "timer")]
    assert (ran.stdout.splitlines(), ran.stderr) == (units, "")
    assert (tmp_path / units[1]).read_text().endswith("\n[Socket]\nListenStream=/run/app.sock\n")
