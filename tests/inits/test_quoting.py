"""Any argument and any variable reaches the program as it was written, through the script and every shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from initkit.inits import Options, sysv
from initkit.plan import shell as shell_of
from initkit.settings import command, envfile, syntax
from initkit.settings.load import load
from initkit.settings.service import Entry, Service

from .scripts import SHELLS, Lab, array, python, shells

TEMPLATES = Path(__file__).parent.parent.parent / "templates" / "sysv"

WORDS = [
    "", " ", "  two  blanks  ", "\t", "\n", "a\nb", "\n\n", "trailing newline\n", "\r", "\r\n", "'", "''", "it's",
    '"', '""', '"quoted"', "'\"'", "\\", "\\\\", "a\\", "\\n", "\\'", "$", "$$", "$HOME", "${HOME}", "$(reboot)",
    "`reboot`", "$1", "$@", "%", "%%", "%n", "%s%d", ";", "a;b", "#", "#a", "a#b", "&", "&&", "|", "||", "<", ">",
    ">>/etc/passwd", "(", ")", "{a,b}", "*", "?", "[a-z]", "/*", "~", "~root", "!", "!!", "-", "--", "-n", "-e",
    "A=b", "=", "^", "\x01", "\x07", "\x1b[31m", "\x7f", "\x80", "é", "日本語", "\U0001f600", "\u2028", "\ufeff",
    "\udcff", "\udcc3(", "a" * 3000, "\\$x", '\\"', "$'\\n'",
]  # fmt: skip
VALUES = [word for word in WORDS if "\udcff" not in word and "\udcc3" not in word]
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30) | st.text(
    "ab '\"\\$`%;#*?[]{}()<>|&!~=\n\t\r-", max_size=12
)
FEW, MANY = (
    settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    for count in (5, 60)
)
AWKS = [words for words in (["mawk"], ["gawk"], ["busybox", "awk"], ["original-awk"]) if shutil.which(words[0])]


def made(lab: Lab, words: Sequence[str], environment: Mapping[str, str]) -> None:
    """The script of a service with these words and variables, given as entries: TOML itself knows no lone bytes."""
    assignments = (f"{name}={value}".replace("%", "%%") for name, value in environment.items())
    entries = [
        Entry("Service", "ExecStart", command.write(_literal(["/usr/bin/env", "python3", str(lab.program()), *words]))),
        Entry("Service", "PIDFile", str(lab.pid_file)),
        Entry("initkit", "SettleSec", "0.05"),
        Entry("sysv", "DefaultFile", str(lab.folder / "default")),
        *(Entry("Service", "Environment", syntax.join([each])) for each in assignments),
    ]
    service = Service(lab.name, str(lab.folder / "app.toml"), tuple(entries), user=os.geteuid() != 0)
    (file,) = sysv.files(service, Options(runner=False))
    lab.script.write_bytes(file.text.encode("utf-8", "surrogateescape"))


def _literal(words: Sequence[str]) -> command.Command:
    escaped = tuple(map(command.escape, words))
    return command.Command("", escaped[0], escaped)


def arrived(lab: Lab) -> tuple[list[bytes], dict[bytes, bytes]]:
    """What the program got: its arguments and its variables."""
    lab.told.unlink(missing_ok=True)
    lab.run("start", check=0)
    told = lab.report()
    lab.run("stop", check=0)
    argv = [bytes.fromhex(word) for word in told["argv"]]
    return argv, {bytes.fromhex(name): bytes.fromhex(value) for name, value in told["environment"].items()}


@pytest.fixture(params=shells())
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, request.param)
    yield made
    made.clean()


def test_hostile_words_arrive(lab: Lab) -> None:
    environment = {f"V{at}": word for at, word in enumerate(VALUES)}
    made(lab, WORDS, environment)
    argv, got = arrived(lab)
    assert argv == [os.fsencode(word) for word in WORDS]
    assert {name: os.fsdecode(got[name.encode()]) for name in environment} == environment


@pytest.mark.parametrize("name", shells())
def test_any_word_arrives(name: str, tmp_path: Path) -> None:
    lab = Lab(tmp_path, name)

    @FEW
    @given(st.lists(TEXT, max_size=40), st.dictionaries(st.from_regex(r"\AX[A-Z0-9_]{0,5}\Z"), TEXT, max_size=20))
    def check(words: list[str], environment: dict[str, str]) -> None:
        made(lab, words, environment)
        argv, got = arrived(lab)
        assert argv == [os.fsencode(word) for word in words]
        assert {name: os.fsdecode(got[name.encode()]) for name in environment} == environment

    try:
        check()
    finally:
        lab.clean()


def test_a_program_whose_path_looks_like_an_assignment(lab: Lab) -> None:
    program = lab.folder / "A=b c" / "it's"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {lab.program()} "$0" "$@"\n')
    program.chmod(0o755)
    lab.generate(f"exec_start = {array([program, 'C=d'])}")
    argv, _ = arrived(lab)
    assert argv == [os.fsencode(program), b"C=d"]


def test_user_text_stays_in_its_comment(lab: Lab) -> None:
    program = lab.program()
    lab.generate(
        f"exec_start = {python(program)}\n"
        r'description = "\u2028reboot\u0085reboot `reboot` $(reboot) \u000breboot"'
        '\ndocumentation = ["https://example.org/"]'
    )
    arrived(lab)
    text = lab.script.read_text()
    assert not [line for line in text.splitlines() if line.startswith("reboot")]


# --- variables ------------------------------------------------------------------------------------------------------


def test_variables_of_commands(lab: Lab) -> None:
    (lab.folder / "env").write_text("LIST=one \"two  three\" 'fo\\\"ur' \nPLAIN='a  b*'\nEMPTY=\nFOO=of the file\n")
    words = ["$LIST", "${LIST}", "<${PLAIN}>", "$PLAIN", "$EMPTY", "${EMPTY}", "$UNSET", "${UNSET}", "$$x", "${FOO}"]
    words += ["x$FOO", "${X:-y}"]
    program = lab.program()
    commands = '", "'.join(["/usr/bin/env", "python3", "-I", str(program), *words])
    lab.generate(
        f'exec_start = ["{commands}"]\nenvironment = {{FOO = "static"}}\n'
        f'environment_file = ["{lab.folder}/env", "-/nonexistent"]\n'
        'unset_environment = ["PLAIN"]\npass_environment = ["TERM"]'
    )
    argv, environment = arrived(lab)
    files = envfile.parse((lab.folder / "env").read_text())
    files.pop("PLAIN")
    expected = command.expand(words, {**files})
    assert [word.decode() for word in argv] == list(expected)
    assert environment[b"FOO"] == b"of the file" and b"PLAIN" not in environment and environment[b"TERM"] == b"dumb"


def test_a_missing_environment_file(lab: Lab) -> None:
    lab.generate(f'exec_start = {python(lab.program())}\nenvironment_file = ["{lab.folder}/none"]')
    assert "none: cannot be read" in lab.run("start", check=6).stdout


def test_static_variables_are_expanded_now(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(
        'exec_start = ["/bin/app", "$A", "${A}", "$B", "${C}"]\nenvironment = {A = "x  \'y z\'"}\n'
    )
    service = load(str(tmp_path / "app.toml"))
    call = shell_of.call(service, service.exec_start[0])
    assert call.words == """/bin/app x 'y z' 'x  '\\''y z'\\''' ''"""


def _helper(name: str, awk: Sequence[str]) -> str:
    """The text of a helper function, with `awk` meaning one particular awk."""
    text = (TEMPLATES / f"{name}.j2").read_text()
    return f'awk() {{ {shlex.join(awk)} "$@"; }}\ncomplain() {{ echo "$*" >&2; }}\n{text}\n'


def evaluated(shell: str, text: str, call: str, *arguments: str) -> list[bytes]:
    """The words that the function prints for eval, as the shell takes them."""
    script = f'{text}words=$({call}) || exit 9\neval "set -- $words"\nfor word; do printf "%s\\0" "$word"; done\n'
    done = subprocess.run(
        [*SHELLS[shell], "-c", script, "sh", *arguments],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split(b"\0")[:-1]


FILES = [
    "A=b", "A=b\n", " A = b \nB=c", "#A=b\n;B=c\nC=d", "A='b'\"c\" d ", "A=b\\\nc", "A=\"b\\\nc\\\"\\x\\$\"",
    "A='b\nc'", "A=", "A=''", "A=b # c", "=b\nA=c", "1A=b", "A B=c", "A=\"b", "A='b", "A=b\\", "A=b\\ ", "A=b\\ \\ ",
    "A=b\rB=c", "A=b\r\nB=c\r\n", "A", "A\nB=c", "export A=b", "A=$B`c`", "A='it'\\''s'", "A=\"'\"", "A=b'c'",
    "A=1\nA=2", "# c \\\nA=b", "A=é日", "A=\\\\", "\ufeffA=b", "A=b\n\n\nB=c", "A=\\'b\\'", "A=' b '", "A=  'b'  ",
    "A=b\tc\t",
]  # fmt: skip


@pytest.mark.parametrize("awk", AWKS, ids=lambda words: words[0])
@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_environment_files_are_read_as_systemd_does(awk: list[str], shell: str, tmp_path: Path) -> None:
    text = _helper("environment_file", awk)
    path = tmp_path / "env"
    pieces = ["A", "B=", "'", '"', "\\", "\n", " ", "\t", "=", "#", ";", "$", "`", "x y", "\r", "é", "A=", "\\\n"]
    texts = st.lists(st.sampled_from(pieces), max_size=14).map("".join)

    def check(content: str) -> None:
        path.write_text(content, newline="")
        got = dict(word.split(b"=", 1) for word in evaluated(shell, text, 'environment_file "$1"', str(path)))
        expected = envfile.parse(content)
        assert got == {name.encode(): value.encode() for name, value in expected.items()}, content

    for content in FILES:
        check(content)
    MANY(given(texts)(check))()


@pytest.mark.parametrize("awk", AWKS, ids=lambda words: words[0])
def test_values_are_split_as_systemd_does(awk: list[str], tmp_path: Path) -> None:
    text = _helper("split_words", awk)

    def check(value: str) -> None:
        got = evaluated("dash", text, 'split_words "$1"', value)
        assert got == [word.encode() for word in syntax.split(value, relax=True)], value

    for value in ["", " ", "a b", "a 'b c' d", "'a", '"a\\"b" c', "\\ a", "a\\", "''", "a''b \"\"", "a\tb\nc", "*"]:
        check(value)
    hostile = st.text("ab '\"\\\t\n$*é", max_size=10)
    MANY(given(hostile)(check))()
