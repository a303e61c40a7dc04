"""`initkit schema`: what it accepts and what the reader accepts."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from initkit import inits
from initkit.cli.schema import schema
from initkit.errors import SettingsError
from initkit.settings import directives
from initkit.settings.load import load

Run = Callable[..., "subprocess.CompletedProcess[str]"]
EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.toml"))


def accepts(document: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(document))


def test_it_is_a_schema_and_says_so(initkit: Run) -> None:
    ran = initkit("schema")
    printed = json.loads(ran.stdout)
    assert printed == json.loads(json.dumps(schema()))
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(printed)


def test_every_directive_is_described() -> None:
    properties = schema()["properties"]
    for row in directives.every():
        described = properties[row.toml]["description"]
        assert described.startswith(f"{row.name}=, {row.manual}: ")
    assert "since systemd 254" in properties["restart_mode"]["description"]
    tables = {"initkit", "socket", "timer", *inits.names()}
    assert set(properties) == {row.toml for row in directives.every()} | tables
    for kind in ("socket", "timer"):
        assert set(properties[kind]["properties"]) == {row.toml for row in directives.every(f".{kind}")}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    assert accepts(tomllib.loads(path.read_text()))
    load(str(path))


def test_what_new_writes_is_valid(tmp_path: Path, initkit: Run) -> None:
    initkit("new", "app")
    initkit("new", "other", "--", "sleep", "5")
    for name in ("app", "other"):
        assert accepts(tomllib.loads((tmp_path / f"{name}.toml").read_text()))


GOOD = [
    'exec_start = ["/bin/a"]', 'exec_start = [["/bin/a"], ["/bin/b"]]\ntype = "oneshot"', "nice = 5", 'nice = "5"',
    'umask = "0027"', "restart_sec = 1.5", 'restart_sec = "1min"', "send_sighup = true", 'send_sighup = "no"',
    'after = "a.service"', 'after = ["a.service"]', 'kill_signal = "SIGINT"', "kill_signal = 2",
    "environment = { A = 1, B = \"x\" }", 'environment = ["A=1"]', 'restart = ""', "limit_nofile = 5",
    "private_tmp = true", 'private_tmp = "yes"', "condition_first_boot = true", "memory_max = 100",
    "[initkit]\nsettle_sec = 3", '[sysv]\ndefault_start = "2"', "restrict_namespaces = true",
    'cpu_affinity = [0, "1-2"]', '[initkit]\nlog_command = ["/bin/logger", "-t", "a b"]',
    '[initkit]\nlog_file = "/var/log/a"\nlog_max_size = "10M"\nlog_max_files = 3',
    "[socket]\nlisten_stream = 80",
    '[socket]\nlisten_stream = [80, "@a"]\nno_delay = true',
    '[socket]\nlisten_fifo = "/run/a"\nsocket_mode = "0600"', '[timer]\non_calendar = "daily"\npersistent = true',
    '[timer]\non_boot_sec = [5, "1min"]',
]  # fmt: skip
BAD = [
    'exec_strat = ["/bin/a"]', 'exec_start = "/bin/a"', "exec_start = [1]", "nice = 50", "nice = true", "umask = 27",
    'umask = "9"', 'restart = "sometimes"', "restart = true", 'type = "x"', "send_sighup = 5", 'send_sighup = "maybe"',
    "description = 5", "environment = { A = [1] }", 'environment = { "A B" = "x" }', "working_directory = []x",
    "[initkit]\nnothing = 3", '[Service]\nUser = "x"', "restart_sec = -1", "after = 5", "user = { a = 1 }",
    "[socket]\nlisten_stream = true", "[socket]\nlisten_straem = 1", '[socket]\nlisten_stream = 1\nsocket_mode = 600',
    '[socket]\nlisten_stream = 1\nbind_ipv6_only = "x"', "[timer]\non_calendar = 5", "[timer]\non_boot_sec = -5",
    'io_scheduling_class = "x"', 'restart_mode = "x"', "[initkit]\nsettle_sec = true",
    '[initkit]\nlog_command = "logger"', '[initkit]\nlog_command = [["logger"]]', "[initkit]\nlog_file = 5",
]  # fmt: skip


@pytest.mark.parametrize("init", inits.names())
def test_the_table_of_an_init(init: str) -> None:
    assert accepts(tomllib.loads(f'[{init}]\nallow_loss = ["Restart"]'))
    assert not accepts(tomllib.loads(f'[{init}]\nallow_los = ["Restart"]'))


@pytest.mark.parametrize("text", GOOD)
def test_what_the_reader_takes_is_valid(tmp_path: Path, text: str) -> None:
    text = text if "exec_start" in text else f'exec_start = ["/bin/a"]\n{text}'
    (tmp_path / "app.toml").write_text(text)
    load(str(tmp_path / "app.toml"))
    assert accepts(tomllib.loads(text))


@pytest.mark.parametrize("text", BAD)
def test_what_the_reader_refuses_is_not(tmp_path: Path, text: str) -> None:
    text = text if "exec_start" in text else f'exec_start = ["/bin/a"]\n{text}'
    (tmp_path / "app.toml").write_text(text)
    with pytest.raises(SettingsError):
        load(str(tmp_path / "app.toml"))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert not accepts(document)
