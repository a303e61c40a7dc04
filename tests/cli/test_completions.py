"""Completions, in the shells that they are for: what a line has become when TAB was pressed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from initkit.cli import VERBS

CHECKOUT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")
#: What is typed -> what it becomes.
LINES = {
    "initkit try-r": "initkit try-restart",
    "initkit sche": "initkit schema",
    "initkit --ver": "initkit --version",
    "initkit run --fore": "initkit run --foreground",
    "initkit run --dr": "initkit run --dry-run",
    "initkit kill --who": "initkit kill --whom",
    "initkit kill --whom ma": "initkit kill --whom main",
    "initkit kill -s WIN": "initkit kill -s WINCH",
    "initkit check --init sys": "initkit check --init sys",  # systemd or sysv
    "initkit check --init syste": "initkit check --init systemd",
    "initkit start wea": "initkit start weather",
    "initkit run --daemon wea": "initkit run --daemon weather",
    "initkit stop back": "initkit stop backup",
    "initkit start ./wea": "initkit start ./weather.toml",
    "initkit start folder/de": "initkit start folder/deep.service",
    "initkit start tunn": "initkit start tunn",  # a template is no service
    "initkit start note": "initkit start note",
    "initkit gen-unit --template-dir fol": "initkit gen-unit --template-dir folder",
}
#: Verbs less their last letter, where that is no other's beginning.
UNMISTAKABLE = {
    f"initkit {verb[:-1]}": f"initkit {verb}"
    for verb in VERBS
    if sum(other.startswith(verb[:-1]) for other in VERBS) == 1
}


_BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
#: What is printed of a line; what is typed is echoed with a quote behind its bracket.
_PRINTED = re.compile(rb"\[BEGIN\]\[([^\n]*?)\]\[END\]")


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the file for each shell, which the shells look through for a command's completions."""
    folder = tmp_path_factory.mktemp("share") / "completions"
    subprocess.run([sys.executable, CHECKOUT / "packaging/completions/completions.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with settings in it, and some in the user's part of the load path."""
    home = tmp_path_factory.mktemp("home")
    (home / "folder").mkdir()
    (home / "bin").mkdir()
    (home / "bin/initkit").symlink_to("/bin/true")
    (home / "config/initkit").mkdir(parents=True)
    for file in (
        "weather.toml",
        "tunnel@.service",
        "notes.txt",
        "folder/deep.service",
        "config/initkit/backup.service",
    ):
        (home / file).write_text("")
    return home


@pytest.fixture(scope="module", params=SHELLS)
def become(request: pytest.FixtureRequest, completions: Path, home: Path) -> dict[str, str]:
    """What becomes of each line when TAB is pressed, in a shell."""
    shell = request.param
    if shutil.which(shell) is None or (shell == "bash" and not os.path.exists(_BASH_COMPLETION)):
        what = "bash with bash-completion" if shell == "bash" else shell
        if os.environ.get("INITKIT_REQUIRE_LAB") == "1":
            pytest.fail(f"{what} is required")
        pytest.skip(f"needs {what}")
    environment = {
        # fish loads completions only of commands that are there.
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "BASH_COMPLETION_USER_DIR": str(completions.parent),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }
    lines = [*LINES, *UNMISTAKABLE]
    if shell == "fish":
        return dict(zip(lines, in_fish(lines, completions, environment, home), strict=True))
    if shell == "bash":
        argv, start = ["bash", "--norc", "--noprofile", "-i"], f". {_BASH_COMPLETION}\n"
    else:
        argv = ["zsh", "-f", "-i"]
        start = f"bindkey -e; unsetopt beep; fpath+=({completions}); autoload -Uz compinit; compinit -u -D\n"
    return dict(zip(lines, typed(argv, start, lines, environment, home), strict=True))


def typed(argv: list[str], start: str, lines: list[str], environment: dict[str, str], home: Path) -> list[str]:
    """Have an interactive shell print, instead of running them, the lines that TAB has completed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execvpe(argv[0], argv, environment)
    os.write(terminal, start.encode())
    output = b""
    for count, line in enumerate(lines, start=1):  # one at a time: a terminal holds 4096 bytes
        to_begin, to_end = "\x01", "\x05"
        os.write(terminal, f"{line}\t{to_begin}printf '[%s]' BEGIN {to_end} END\n".encode())
        while len(_PRINTED.findall(output)) < count:
            assert select.select([terminal], [], [], 30)[0], output
            output += os.read(terminal, 65536)
    os.kill(pid, signal.SIGHUP)
    os.close(terminal)
    os.waitpid(pid, 0)
    return [words.decode().replace("][", " ").removesuffix("/") for words in _PRINTED.findall(output)]


def in_fish(lines: list[str], completions: Path, environment: dict[str, str], home: Path) -> Iterator[str]:
    """The same in fish, which itself tells the candidates."""
    script = f"set --global fish_complete_path {completions}\n"
    script += "".join(f"complete -C '{line}'; echo END\n" for line in lines)
    argv = ["fish", "--no-config", "-c", script]
    done = subprocess.run(argv, cwd=home, env=environment, capture_output=True, text=True, check=True)
    for line, output in zip(lines, done.stdout.split("END\n"), strict=False):
        *before, word = line.split(" ")
        candidates = {candidate.partition("\t")[0].removesuffix("/") for candidate in output.splitlines()}
        found = [candidate for candidate in candidates if candidate.startswith(word)]  # fish has fancies beyond these
        yield " ".join([*before, *found]) if len(found) == 1 else line


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_a_line(line: str, expected: str, become: dict[str, str]) -> None:
    assert become[line] == expected


def test_every_verb_is_known(become: dict[str, str]) -> None:
    assert {line: become[line] for line in UNMISTAKABLE} == UNMISTAKABLE
