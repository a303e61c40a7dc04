"""systemd.exec(5), EnvironmentFile=."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings import envfile, syntax

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
TRICKY = st.text(st.sampled_from("ab \t\n\r\\'\"$`#;=\x07\xe9\u2028"), max_size=20)
VALUES = st.one_of(TRICKY, st.text().filter(lambda text: "\0" not in text and syntax.is_utf8(text)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("A=b", {"A": "b"}),
        ("A=b\nC=d\n", {"A": "b", "C": "d"}),
        ("# A=b\n;C=d\n  # E=f\n\nG=h", {"G": "h"}),
        ("A=b # no comment", {"A": "b # no comment"}),
        ("  A = b  c \t\r\n", {"A": "b  c"}),
        ("A=\nB= \nC=''", {"A": "", "B": "", "C": ""}),
        ("A=b=c", {"A": "b=c"}),
        ("no assignment\nA=b", {"A": "b"}),
        ("A=b\nA=c", {"A": "c"}),
        ("export A=b\n1A=b\nA-B=c\n=d\nC=e", {"C": "e"}),
        ("A=$B ${C} $(d) `e` %n", {"A": "$B ${C} $(d) `e` %n"}),
        # unquoted: quotes after the first character stay, a backslash keeps the next character
        ("A=b'c'\"d\"", {"A": "b'c'\"d\""}),
        (r"A=\b\\\$\'", {"A": "b\\$'"}),
        ("A=b\\\nc\\\n d", {"A": "bc d"}),
        ("A=\\\n b", {"A": " b"}),
        ("A=b\\ \nC=d", {"A": "b ", "C": "d"}),
        ("A=\\  \t\nC=d", {"A": " ", "C": "d"}),
        ("A=b\\", {"A": "b"}),
        # single quotes: verbatim
        ("A='b  \\n\\\\ $\" #\nc'  \nD=e", {"A": 'b  \\n\\\\ $" #\nc', "D": "e"}),
        ("A='b' 'c'", {"A": "bc"}),
        ("A='b'c 'd'", {"A": "bc 'd'"}),
        ("A='b", {"A": "b"}),
        # double quotes: as a shell's
        (r'A="\"\\\`\$\n\'"', {"A": "\"\\`$\\n\\'"}),
        ('A="b\nc\\\nd"', {"A": "b\ncd"}),
        ('A=" b "  ', {"A": " b "}),
        ("A=\"b\"'c'd", {"A": "bcd"}),
        ('A="b', {"A": "b"}),
        ('A="b\\', {"A": "b"}),
        ("#A=b\\\nC=d", {"C": "d"}),  # a comment is not continued (since systemd 254)
        ("A='b'\\\n c", {"A": "b c"}),
        ("='a\nC='\\'", {"C": "\\"}),  # a name cannot begin with "=": no value begins, and no quote
    ],
)
def test_parse(text: str, found: dict[str, str]) -> None:
    assert envfile.parse(text) == found


def test_pairs_tell_lines_and_what_is_left_out() -> None:
    text = "A='b\nc'\n\nexport D=e\nF=g\n"
    assert list(envfile.pairs(text)) == [(1, "A", "b\nc"), (4, "export D", "e"), (5, "F", "g")]


@pytest.mark.parametrize("text", ["A=\0", "A=\udcff", "A='\ufffe'"])
def test_parse_refuses_what_systemd_cannot_read(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        envfile.parse(text)


@given(st.dictionaries(NAMES, VALUES))
def test_write_and_parse(mapping: dict[str, str]) -> None:
    assert envfile.parse(envfile.write(mapping)) == mapping


def test_write_is_readable() -> None:
    mapping = {"A": "b", "C": "d e", "F": "it's $5", "G": "", "H": "#x", "URL": "http://x/?a=b"}
    assert envfile.write(mapping) == (
        "A=b\nC='d e'\nF=\"it's \\$5\"\nG=\nH='#x'\nURL=http://x/?a=b\n"
    )  # fmt: skip


@pytest.mark.parametrize("mapping", [{"": "x"}, {"A B": "x"}, {"1": "x"}, {"A": "\0"}, {"A": "\udcff"}, {"É": "x"}])
def test_write_refuses_what_systemd_would_not_take(mapping: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        envfile.write(mapping)


@given(st.one_of(st.text(st.characters()), TRICKY, TRICKY.map("A=".__add__)))
def test_parse_raises_only_value_errors(text: str) -> None:
    try:
        assert all(map(envfile.is_name, envfile.parse(text)))
    except ValueError:
        return
