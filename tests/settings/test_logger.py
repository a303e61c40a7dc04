"""The settings of a service's logger."""

from __future__ import annotations

from pathlib import Path

import pytest

from initkit.errors import SettingsError
from initkit.settings.load import load
from initkit.settings.service import Service

START = 'exec_start = ["/bin/true"]\n'


def loaded(folder: Path, text: str, more: str = "") -> Service:
    path = folder / "app.toml"
    path.write_text(f"{START}{more}[initkit]\n{text}\n")
    return load(str(path))


def test_command(tmp_path: Path) -> None:
    service = loaded(tmp_path, 'log_command = ["s6-log", "n10", "a b", "%N", ";"]')
    assert service.has_logger
    assert service.log_command
    assert service.log_command.words == ("s6-log", "n10", "a b", "app", ";")


def test_the_same_in_a_unit(tmp_path: Path) -> None:
    path = tmp_path / "app.service"
    path.write_text(
        "[Service]\nExecStart=/bin/true\nX-Initkit-LogCommand=/bin/first\nX-Initkit-LogCommand=+/bin/logger 'a b'\n"
    )
    service = load(str(path))
    assert service.log_command
    assert (service.log_command.privileged, service.log_command.words) == (True, ("/bin/logger", "a b"))
    path.write_text("[Service]\nExecStart=/bin/true\nX-Initkit-LogCommand=/bin/first\nX-Initkit-LogCommand=\n")
    assert not load(str(path)).has_logger


def test_file(tmp_path: Path) -> None:
    service = loaded(tmp_path, 'log_file = "/var/log/%N/log"\nlog_max_size = "1.5M"\nlog_max_files = 3')
    assert (service.log_file, service.log_max_size, service.log_max_files) == ("/var/log/app/log", 1536 * 1024, 3)
    assert service.has_logger
    service = loaded(tmp_path, 'log_file = "/var/log/log"')
    assert (service.log_max_size, service.log_max_files) == (-1, 5)
    assert not loaded(tmp_path, "settle_sec = 1").has_logger


WRONG = {
    'log_command = ["/bin/a"]\nlog_file = "/log"': "log_command and log_file exclude each other",
    'log_max_size = "1M"': "which is not set",
    "log_max_files = 2": "which is not set",
    'log_file = "log"': "absolute",
    'log_file = "/log"\nlog_max_size = 0': "expected a size such as 10M",
    'log_file = "/log"\nlog_max_size = "big"': "expected a size such as",
    'log_file = "/log"\nlog_max_files = 0': "1 or more",
    'log_command = ["bin/a"]': "absolute path or a name",
    "log_command = 5": "expected a command",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        loaded(tmp_path, text)
    message = str(raised.value)
    assert WRONG[text] in message
    assert f"{tmp_path}/app.toml:{3 + text.count(chr(10)) if 'exclude' not in message else 3}: log_" in message


def test_two_commands(tmp_path: Path) -> None:
    path = tmp_path / "app.service"
    path.write_text("[Service]\nExecStart=/bin/true\nX-Initkit-LogCommand=/bin/a ; /bin/b\n")
    with pytest.raises(SettingsError, match="expected one command, found 2"):
        load(str(path))


@pytest.mark.parametrize("kind", ["journal", "append:/log", "null"])
def test_logger_that_gets_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SettingsError, match="sends all output elsewhere"):
        loaded(tmp_path, 'log_file = "/log"', f'standard_output = "{kind}"\n')
    loaded(tmp_path, 'log_file = "/log"', f'standard_error = "{kind}"\n')
