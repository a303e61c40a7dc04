"""The manual pages: they are whole, they agree with the program, and man(1) has nothing to say against them."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from initkit import inits
from initkit.cli import VERBS, explain, parsers_of
from initkit.run.interface import DESCRIPTION
from initkit.settings import directives

CHECKOUT = Path(__file__).resolve().parents[2]


def write(folder: Path, **environment: str) -> dict[str, bytes]:
    """Run the generator; returns file name -> content."""
    program = [sys.executable, CHECKOUT / "packaging/man/pages.py", folder]
    subprocess.run(program, check=True, env={**os.environ, **environment}, cwd=folder.parent)
    return {page.name: page.read_bytes() for page in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages lie."""
    folder = tmp_path_factory.mktemp("made") / "man"
    write(folder)
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, str]:
    """Page -> what a reader sees of it. Skips where there is no man(1)."""
    if shutil.which("man") is None:
        if os.environ.get("INITKIT_REQUIRE_LAB") == "1":
            pytest.fail("man is required")
        pytest.skip("needs man")
    return {page.name: man(page, "--no-hyphenation", "--no-justification").stdout for page in folder.iterdir()}


def man(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "200"}
    argv = ["man", "--warnings", "-E", "UTF-8", *options, "-l", page]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


def test_the_pages(folder: Path) -> None:
    pages = {page.name for page in folder.iterdir()}
    assert {"initkit.1", "initkit-run.1", "initkit-control.1", "initkit.toml.5", "initkit-varlink.7"} <= pages


def test_man_has_no_warnings(folder: Path, shown: dict[str, str]) -> None:
    for page in folder.iterdir():
        assert man(page, "-Tutf8", "-Z").stderr == "", page


def test_every_page_says_what_it_is(shown: dict[str, str]) -> None:
    for page, text in shown.items():
        name, _, section = page.rpartition(".")
        assert text.split()[0] == f"{name}({section})"
        assert re.search(rf"^ +{re.escape(name)} - .", text, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_on_one_page(verb: str, shown: dict[str, str]) -> None:
    about = re.search(rf"^ {{7}}{verb}\n? +.*See initkit-([a-z]+)\(1\)", shown["initkit.1"], re.MULTILINE)
    assert about, "it is not in initkit(1)"
    pages = [page for page, text in shown.items() if re.search(rf"^ +initkit {verb}( |$)", text, re.MULTILINE)]
    assert f"initkit-{about[1]}.1" in pages
    for option in {option for parser in parsers_of(verb) for option in options(parser)}:
        assert re.search(rf"^ +(-.*)?{option}\b", shown[f"initkit-{about[1]}.1"], re.MULTILINE), option


def test_every_directive_is_there(shown: dict[str, str]) -> None:
    """Its type, the first systemd that has it, and what becomes of it under every init."""
    text = " ".join(shown["initkit.toml.5"].split())
    kept = [rf"; {init}: (?:native|script|runner|none)(?: \(.{{1,300}}?\))?" for init in inits.names()]
    for row in explain.every():
        since = f", since systemd {row.since}" if row.since else ""
        gone = f", not in systemd {row.gone} any more" if row.gone else ""
        facts = f"{row.name}= in [{row.section}], {row.manual}{since}{gone}: {row.expected.replace('`', '')}"
        assert f" {row.toml} " in text
        assert re.search(re.escape(facts) + r"\.? " + "".join(kept).removeprefix("; "), text), facts


def test_the_tables_for_one_init(shown: dict[str, str]) -> None:
    text = " ".join(shown["initkit.toml.5"].split())
    for init in inits.names():
        found = re.findall(rf"((?:\w+, )*\w+) in \[{init}\] [A-Z]", text)
        keys = [directives.snake(key) for key in inits.load(init).TABLE]
        assert sorted(", ".join(found).split(", ")) == sorted(keys)


def test_what_the_inits_make_of_it(shown: dict[str, str]) -> None:
    text = " ".join(shown["initkit.toml.5"].split())
    assert re.search(r" umask UMask= in \[Service\], [^:]*: .*? systemd: native; sysv: script ", text)
    assert re.search(r" watchdog_sec WatchdogSec= .*? systemd: native; sysv: runner \(", text)
    assert re.search(r" protect_home ProtectHome= .*? sysv: none \(systemd only\)", text)


def test_every_member_of_the_interface_is_there(shown: dict[str, str]) -> None:
    text = shown["initkit-varlink.7"]
    for line in filter(None, DESCRIPTION.splitlines()[2:]):
        assert " ".join(line.removeprefix("# ").strip().split()[:3]).lower() in text.lower(), line


def test_two_runs_are_the_same(folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", COLUMNS="40", HOME=str(tmp_path), PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    assert other == {page.name: page.read_bytes() for page in folder.iterdir()}
