"""`initkit explain`: every setting on every init, and why."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit import inits
from initkit.settings import directives

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SETTINGS = """\
description = "x"
exec_start = ["/bin/true"]
user = "daemon"
restart = "always"
mount_images = "/srv/image:/srv"
nice = ""

[sysv]
default_start = "2"

[socket]
description = "the socket"
listen_stream = 8080

[initkit]
settle_sec = 1
"""


@pytest.fixture
def settings(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(SETTINGS)


def matrix(text: str) -> dict[str, list[str]]:
    """The first table: directive -> a word an init."""
    rows = [line.split() for line in text.split("\n\n")[1].splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_every_setting_and_every_init(settings: None, initkit: Run) -> None:
    ran = initkit("explain", "app")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = matrix(ran.stdout)
    assert found.pop("SETTING") == [name.upper() for name in inits.names()]
    assert list(found) == [
        *("Description", "ExecStart", "User", "Restart", "MountImages", "SettleSec"),
        *("Socket.Description", "Socket.ListenStream"),
    ]
    systemd, sysv = (inits.names().index(name) for name in ("systemd", "sysv"))
    assert found["User"][systemd] == "native"
    assert found["User"][sysv] == "script"
    assert found["Restart"][sysv] == "runner"
    assert found["MountImages"][sysv] == "none"
    assert "\x1b" not in ran.stdout
    assert "`initkit run` does it" in ran.stdout


def test_below_it_the_reasons(settings: None, initkit: Run) -> None:
    text = initkit("explain", "app", "--init", "sysv").stdout
    assert "SYSTEMD" not in text
    reasons = text.partition("\nsysv:\n")[2].splitlines()
    assert any(line.split()[:2] == ["MountImages", "none"] and len(line.split()) > 2 for line in reasons)


def test_it_has_colours_on_a_terminal(tmp_path: Path, settings: None, environment: dict[str, str]) -> None:
    controller, terminal = pty.openpty()
    argv = [sys.executable, "-m", "initkit", "explain", "app"]
    subprocess.run(argv, cwd=tmp_path, env=environment, stdout=terminal, check=True)
    os.close(terminal)
    text = os.read(controller, 65536).decode()
    os.close(controller)
    assert "\x1b[32mnative" in text


def test_as_json(settings: None, initkit: Run) -> None:
    found = json.loads(initkit("explain", "app", "--json").stdout)
    assert found["name"] == "app"
    assert found["settings"]["MountImages"]["sysv"]["how"] == "none"
    assert found["settings"]["User"]["systemd"] == {"how": "native", "reason": "systemd.exec(5)"}


def test_without_an_app_it_shows_every_directive(initkit: Run) -> None:
    ran = initkit("explain")
    header, *lines = ran.stdout.splitlines()
    assert header.split() == ["DIRECTIVE", "TOML", "SECTION", "KIND", "SINCE", "MANUAL", "OPENRC", "SYSTEMD", "SYSV"]
    names = [line.split()[0] for line in lines]
    service, own = ([row.name for row in rows] for rows in (directives.every(), directives.own()))
    assert names[: len(service)] == service
    assert names[-len(own) :] == own
    beside = {name: line.split()[-2:] for name, line in zip(names, lines, strict=True) if "." in name}
    assert beside["Socket.ListenStream"] == ["native", "runner"]
    assert beside["Socket.ListenNetlink"] == ["native", "none"]
    assert beside["Timer.OnCalendar"][0] == "native"
    assert len(beside) > 80
    nice = next(line.split() for line in lines if line.startswith("Nice "))
    assert nice == ["Nice", "nice", "Service", "NICE", "systemd.exec(5)", "native", "native", "script"]
    how = {word for line in lines for word in line.split()[-2:]}
    assert how <= {"native", "script", "runner", "none"}


@pytest.mark.parametrize(("argv", "status"), [(["nothing"], 78), (["app", "--init", "nosuch"], 64), (["--bad"], 64)])
def test_wrong_words(settings: None, initkit: Run, argv: list[str], status: int) -> None:
    ran = initkit("explain", *argv)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert ran.stderr.count("\n") == 1
