"""Whatever goes wrong is one line and an exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Run

GOOD = 'exec_start = ["/bin/true"]\n'


def refused(initkit: Run, *argv: str) -> tuple[int, str]:
    made = initkit(*argv)
    assert made.stdout == ""
    assert made.stderr.startswith("initkit: ")
    assert made.stderr.count("\n") == 1
    assert made.stderr.rstrip("\n").isprintable()
    return made.returncode, made.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nice = " + "9" * 5000, "a number is too long"),
        ("nice = 0x" + "f" * 20000, "nice"),
        ("x = " + "[" * 5000, "nested too deeply"),
        ("[sysv" + ".sysv" * 3000 + "]\na = 1", ""),
        (GOOD + '"a\\nb" = 1', "unknown directive a\\nb"),
        (GOOD + '[initkit]\n"a\\u001bb" = 1', "unknown setting a\\x1bb"),
        (GOOD + '[sysv]\n"a\\nb" = 1', "expected the name of a setting"),
    ],
    ids=["digits", "hex", "brackets", "tables", "key", "own key", "init key"],
)
def test_odd_settings(tmp_path: Path, initkit: Run, text: str, said: str) -> None:
    (tmp_path / "app.toml").write_text(text)
    status, line = refused(initkit, "gen-unit", "app")
    assert status == 78
    assert said in line


@pytest.mark.parametrize("template", ["{{ 1/0 }}", "{{ nothing }}", "{% if %}", "{% include 'systemd/service.j2' %}"])
def test_a_wrong_template(tmp_path: Path, initkit: Run, template: str) -> None:
    (tmp_path / "app.toml").write_text(GOOD)
    (tmp_path / "templates/systemd").mkdir(parents=True)
    (tmp_path / "templates/systemd/service.j2").write_text(template)
    status, line = refused(initkit, "gen-unit", "app")
    assert status == 1
    assert "service.j2" in line


def test_an_environment_file_that_is_none(tmp_path: Path, initkit: Run) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "app.toml").write_text(f'{GOOD}environment_file = "{tmp_path}/fifo"\n')
    status, line = refused(initkit, "run", "app", "--foreground")
    assert status == 78
    assert "expected a regular file" in line


@pytest.mark.parametrize("verb", ["schema", "--help"])
def test_nobody_takes_the_output(verb: str, environment: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        made = subprocess.run(
            [sys.executable, "-m", "initkit", verb], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (made.returncode, made.stderr) == (74, "initkit: standard output: No space left on device\n")


def test_output_is_closed(environment: dict[str, str]) -> None:
    made = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "initkit", "schema"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (made.returncode, made.stderr) == (74, "initkit: standard output is closed\n")


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", [("status",), ("--help",), ("schema",)])
def test_standard_output_takes_nothing(words: tuple[str, ...], buffered: str) -> None:
    with open("/dev/full", "wb") as full:
        made = subprocess.run(
            [sys.executable, "-m", "initkit", *words],
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (made.returncode, made.stderr) == (74, "initkit: standard output: No space left on device\n")
