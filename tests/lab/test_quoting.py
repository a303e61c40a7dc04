"""Words and variables of the settings reach the process byte for byte, whoever starts it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest

from initkit.settings import command, syntax
from initkit.settings.command import escape

from .machine import Machine, wait_until
from .ways import OPENRC, SYSTEMD, SYSV, Way

# Writes down what it got, then stays; a service's output goes elsewhere.
DUMPER = """\
#!/bin/sh
/bin/cat /proc/$$/environ >/run/dump.environ
/bin/cat /proc/$$/cmdline >/run/dump.unfinished
/bin/mv /run/dump.unfinished /run/dump.cmdline
exec /bin/sleep 1000000
"""
DUMP = "/usr/local/bin/dump"

WORDS = [
    *("", " ", "  two  blanks  ", " leading", "trailing ", "\t", "\ttab\t", "\n", "two\nlines", "\n\nthree\n\n"),
    *("'", '"', "''", '""', "it's", 'say "so"', "'\"'\"'", "\"'\\'", "`", "`id`", "$(id)", "${HOME}", "$HOME", "$"),
    *("$$", "$$$", "$1", "$@", "$*", "$?", "a$", "a$b", "${", "${}", "${A:-b}", "%", "%%", "%n", "%i%I", "100%"),
    *("\\", "\\\\", "\\n", "\\x41", "\\0", "a\\", "\\'", '\\"', "\\ ", "\\\n", "c:\\new\\table", "\\u00e9", "\\;"),
    *(";", ";;", "a;b", "; ", "#", "# no comment", "a #b", "&", "&&", "|", "||", ">", "<x", "2>&1", "(", ")", "{}"),
    *("{a,b}", "*", "?", "[a-z]", "/*", "~", "~root", "!", "!!", "!x", "-", "--", "-n", "-e", "--help", "=", "A=B"),
    *("=x", "+", "@", ":", "%%n", "%s%d", "é", "日本語", "🎉", "e\u0301", "\u00a0", "\u2028", "\u202e", "\ufeff"),
    *("\u0085", "\u200b", "\x01", "\x1b[31m", "\x7f", "\b", "\r\n", "\ufffd", "\ufffe", "\ufdd0", "\U0001ffff"),
    *("\U0010ffff", "[Service]", "ExecStart=/bin/true", "{{ 1 }}", "{% x %}", "x" * 5000),
]
ODD_BYTES = [b"\xff", b"\xc3", b"\xc3\x28", b"a\xe9b", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\\\xff", b"'\xff'"]

# systemd.exec(5): no control characters in a value but tabs and newlines, and no bytes but valid UTF-8.
CONTROL = {*map(chr, range(32)), "\x7f"} - {"\t", "\n"}
VALUES = [word for word in WORDS if syntax.is_utf8(word) and not CONTROL & {*word}]

ALPHABET = " \t\n'\"\\$%;#`*?[]{}()<>|&!~=:@,+-_/.aznxu01é日🎉\u2028"


def generated(count: int) -> list[str]:
    """The same words every time."""
    chance = random.Random(20)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(12))) for _ in range(count)]


@dataclass(frozen=True)
class Case:
    """Settings and what the process gets; `environment`: the variables looked at, None for one it must not have."""

    suffix: str
    settings: str
    words: list[bytes]
    environment: dict[str, bytes | None]


def toml(text: str) -> str:
    """A TOML string: JSON's differs in what it does about DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def in_toml(words: list[str], values: list[str]) -> Case:
    environment = {f"V{number}": value for number, value in enumerate(values)}
    arguments = ", ".join(toml(escape(word)) for word in words)
    lines = [f'exec_start = ["{DUMP}", {arguments}]', "[environment]"]
    lines += [f"{name} = {toml(value.replace('%', '%%'))}" for name, value in environment.items()]
    expected: dict[str, bytes | None] = {name: value.encode() for name, value in environment.items()}
    return Case(".toml", "\n".join(lines) + "\n", [word.encode() for word in words], expected)


def in_unit(words: list[bytes], values: list[str]) -> Case:
    environment = {f"V{number}": value for number, value in enumerate(values)}
    escaped = (escape(word.decode(errors="surrogateescape")) for word in words)
    lines = ["[Service]", f"ExecStart={command.write(command.Command('', DUMP, (DUMP, *escaped)))}"]
    assignments = (f"{name}={value.replace('%', '%%')}" for name, value in environment.items())
    lines += [f"Environment={syntax.quote(assignment)}" for assignment in assignments]
    expected: dict[str, bytes | None] = {name: value.encode() for name, value in environment.items()}
    return Case(".service", "\n".join(lines) + "\n", words, expected)


VARIABLES = Case(
    ".toml",
    f"""\
exec_start = [
    "{DUMP}", "$ONE", "${{ONE}}", "a${{ONE}}b", "a$ONE", "$ONE/b", "$$ONE", "$$$$", "$TWO", "${{TWO}}",
    "${{TWO}}${{ONE}}", "$UNSET", "${{UNSET}}", "a${{UNSET}}b", "$EMPTY", "${{EMPTY}}", "$QUOTED", "${{QUOTED}}",
    "$STAR", "${{STAR}}", "a$", "${{", "${{ONE", "${{PERCENT}}", "$DOLLAR", "${{DOLLAR}}", "$BACKSLASH",
    "${{NEWLINE}}", "$NEWLINE",
]
[environment]
ONE = "1"
TWO = " two  words "
EMPTY = ""
QUOTED = "'a b' \\"c\\" d"
STAR = "* [a-z] ?"
PERCENT = "%%n"
DOLLAR = "$ONE ${{ONE}}"
BACKSLASH = 'a\\b \\n'
NEWLINE = "a\\nb"
""",
    [
        *(b"1", b"1", b"a1b", b"a$ONE", b"$ONE", b"$$", b"two", b"words", b" two  words ", b" two  words 1"),
        *(b"", b"ab", b"", b"a b", b"c", b"d", b"'a b' \"c\" d", b"*", b"[a-z]", b"?", b"* [a-z] ?", b"a$"),
        *(b"${", b"${ONE", b"%n", b"$ONE", b"${ONE}", b"$ONE ${ONE}", b"ab", b"n", b"a\nb", b"a", b"b"),
    ],
    {"ONE": b"1", "TWO": b" two  words ", "QUOTED": b"'a b' \"c\" d", "PERCENT": b"%n", "BACKSLASH": b"a\\b \\n"},
)

ENVIRONMENT_FILE = """\
# a comment
; and another
ONE=1
TWO=  two  words\x20\x20
THREE="three # no comment" # nor this
FOUR='four \\n $HOME "x" \\'
FIVE=a\\
b \\n\\t\\\\ $HOME `id` 'q' "r"
SIX="a\\
b"
SEVEN="line one
 line two"
EIGHT=a"b  c"d'e  f'
NINE=\\$HOME \\"x\\" \\\x20
TEN="\\$HOME \\" \\\\ \\n \\` `id` $(id)"
ELEVEN='one''two' "three"four
EMPTY=
QUOTED_EMPTY=""
  INDENTED  =  x
export EXPORTED=1
BAD-NAME=1
1BAD=2
SEMICOLON=a;b #c
=nothing
no equals sign
UNICODE=é\u2028日🎉
TAB=\ta\tb\t
CARRIAGE_RETURN=a\r
ONE=2
LAST="without an end
"""
FROM_FILE = Case(
    ".toml",
    f'exec_start = ["{DUMP}", "${{SEVEN}}", "$SEVEN"]\nenvironment_file = "/srv/environment"\n',
    [b"line one\n line two", b"line", b"one", b"line", b"two"],
    {
        "ONE": b"2",
        "TWO": b"two  words",
        "THREE": b"three # no comment# nor this",
        "FOUR": b'four \\n $HOME "x" \\',
        "FIVE": b"ab nt\\ $HOME `id` 'q' \"r\"",
        "SIX": b"ab",
        "SEVEN": b"line one\n line two",
        "EIGHT": b"a\"b  c\"d'e  f'",
        "NINE": b'$HOME "x"  ',
        "TEN": b'$HOME " \\ \\n ` `id` $(id)',
        "ELEVEN": b"onetwothreefour",
        "EMPTY": b"",
        "QUOTED_EMPTY": b"",
        "INDENTED": b"x",
        "SEMICOLON": b"a;b #c",
        "UNICODE": "é\u2028日🎉".encode(),
        "TAB": b"a\tb",
        "CARRIAGE_RETURN": b"a",
        "LAST": b"without an end\n",
        **dict.fromkeys(("EXPORTED", "export EXPORTED", "BAD-NAME", "1BAD", "")),
    },
)

CASES = {
    "toml": lambda: in_toml(WORDS, VALUES),
    "unit": lambda: in_unit([*(word.encode() for word in WORDS), *ODD_BYTES], VALUES),
    "generated": lambda: in_toml(generated(400), generated(100)),
    "variables": lambda: VARIABLES,
    "file": lambda: FROM_FILE,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", SYSTEMD, ids=str)
def test_systemd(systemd_machine: Machine, way: Way, case: str) -> None:
    check(systemd_machine, way, CASES[case]())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", SYSV, ids=str)
def test_sysv(sysv_machine: Machine, way: Way, case: str) -> None:
    check(sysv_machine, way, CASES[case]())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", OPENRC, ids=str)
def test_openrc(openrc_machine: Machine, way: Way, case: str) -> None:
    check(openrc_machine, way, CASES[case]())


def check(machine: Machine, way: Way, case: Case) -> None:
    """Start a service of the settings, and compare what it says to have got."""
    if not machine.exists("/usr/bin/initkit"):
        machine.install_initkit()
    machine.write(DUMP, DUMPER, mode=0o755)
    path = f"/srv/dumped{case.suffix}"
    machine.write(path, case.settings)
    machine.write("/srv/environment", ENVIRONMENT_FILE)
    machine.sh("rm -f /run/dump.*")
    way.start(machine, path)
    try:
        wait_until(lambda: machine.exists("/run/dump.cmdline"), what="the dump")
        shell, program, *words = dumped(machine, "cmdline")
        assert (shell, program) == (b"/bin/sh", DUMP.encode())
        assert words == case.words
        variables = dict(each.split(b"=", 1) for each in dumped(machine, "environ"))
        assert {name: variables.get(name.encode()) for name in case.environment} == case.environment
    finally:
        way.stop(machine, "dumped")
        wait_until(lambda: "/bin/sleep 1000000" not in machine.pids().values(), what="the end of the service")


def dumped(machine: Machine, what: str) -> list[bytes]:
    return machine.run_bytes("cat", f"/run/dump.{what}").stdout.split(b"\0")[:-1]
