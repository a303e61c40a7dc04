"""What a version of systemd does not know is refused, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from initkit.errors import SettingsError
from initkit.inits import Options, systemd
from initkit.settings.load import load

from .since import COMPANIONS, DIRECTIVES, OLD, PARTS, unit

OLDEST = 219


def made(line: str, folder: Path, version: int, *lost: str, **more: Any) -> str:
    """The units of an assignment for a version of systemd, one after the other."""
    for suffix, text in unit(line).items():
        (folder / f"since@.{suffix}").write_text(text)
    service = load(str(folder / "since@one.service"))
    options = Options(version=version, allow_loss=frozenset(lost), **more)
    return "".join(file.text for file in systemd.files(service, options))


def refused(line: str, folder: Path, version: int) -> str:
    with pytest.raises(SettingsError) as caught:
        made(line, folder, version)
    assert caught.value.status == 78
    return str(caught.value)


@pytest.mark.parametrize(("line", "since"), DIRECTIVES.items(), ids=str)
def test_directives(line: str, since: int, tmp_path: Path) -> None:
    assignment = line.partition("] ")[2]
    key = assignment.partition("=")[0]
    assert f"{key}= (systemd has it since version {since})" in refused(line, tmp_path, since - 1)
    assert f"\n{assignment}\n" in made(line, tmp_path, since)
    assert f"\n{key}=" not in made(line, tmp_path, since - 1, key)


@pytest.mark.parametrize("line", OLD)
def test_what_has_always_been_there(line: str, tmp_path: Path) -> None:
    assert line.rpartition("=")[2] in made(line, tmp_path, OLDEST)


@pytest.mark.parametrize(("line", "part"), {**PARTS, **COMPANIONS}.items(), ids=str)
def test_parts(line: str, part: tuple[int, str], tmp_path: Path) -> None:
    since, shown = part
    assignment = line.partition("] ")[2]
    message = refused(line, tmp_path, since - 1)
    assert f"systemd {since - 1} cannot keep " in message
    assert f"= (systemd knows {shown} since version {since})" in message
    assert "\n" not in message
    assert f"\n{assignment}\n" in made(line, tmp_path, since)
    assert f"\n{assignment}\n" in made(line, tmp_path, 0)


def test_an_older_name_is_written_for_an_older_systemd(tmp_path: Path) -> None:
    line = "[Unit] StartLimitIntervalSec=5\nStartLimitBurst=3\nFailureAction=reboot"
    assert "\n[Unit]\nStartLimitIntervalSec=5\nStartLimitBurst=3\nFailureAction=reboot\n" in made(line, tmp_path, 236)
    older = made(line, tmp_path, 219)
    assert "[Unit]" not in older
    assert "\nStartLimitInterval=5\nStartLimitBurst=3\nFailureAction=reboot\n" in older
    assert "FailureAction= (systemd has it since version 236)" in refused(line, tmp_path, 212)
    assert "\nReadOnlyDirectories=/etc\n" in made("[Service] ReadOnlyPaths=/etc", tmp_path, 230)


def test_a_timer_has_no_section_for_a_services_older_name(tmp_path: Path) -> None:
    line = "[Timer] OnCalendar=daily\n[Unit]\nFailureAction=reboot"
    assert "Timer.FailureAction= (systemd has it since version 236)" in refused(line, tmp_path, 219)


def test_the_latest_of_several_counts(tmp_path: Path) -> None:
    message = refused("[Service] ExecStart=+:/bin/echo %d", tmp_path, 230)
    assert "ExecStart= (systemd knows the specifier %d since version 251)" in message


def test_through_the_runner_its_own_line_counts(tmp_path: Path) -> None:
    """The runner knows the rest whatever systemd does; the prefixes that ask something of systemd stay."""
    runner = {"runner": True, "runner_path": "/usr/bin/initkit"}
    assert "\nExecStart=/usr/bin/initkit run " in made("[Service] ExecStart=:|echo %d", tmp_path, 219, **runner)
    with pytest.raises(SettingsError, match=r"ExecStart= \(systemd knows the prefix \+ since version 231\)"):
        made("[Service] ExecStart=+:/bin/true", tmp_path, 230, **runner)
    with pytest.raises(SettingsError, match="a program without its path since version 239"):
        made("[Service] ExecStart=/bin/true", tmp_path, 238, runner=True, runner_path="initkit")
