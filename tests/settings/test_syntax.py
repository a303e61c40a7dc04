"""systemd.syntax(7): words and unit files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings import syntax
from initkit.settings.syntax import Line

WORDS = st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")))
TRICKY = st.text(st.sampled_from("ab \t\n\r\\'\"$%;#[]=x0u1U\xe9\u2028\x07\udcff\ufffe\U0001fffe"), max_size=30)

SPLITS = [
    ("", ()),
    (" \t ", ()),
    ("a", ("a",)),
    (" a  b\tc\nd\re ", ("a", "b", "c", "d", "e")),
    ("a\x0bb\u00a0c", ("a\x0bb\u00a0c",)),  # only four characters are blanks
    ('""', ("",)),
    ("'' a \"\"", ("", "a", "")),
    ("'a b' \"c d\"", ("a b", "c d")),
    ("a'b c'd\"e f\"g", ("ab cde fg",)),
    ("'it\"s' \"it's\"", ('it"s', "it's")),
    (r"\a\b\f\n\r\t\v\\\"\'\s", ("\a\b\f\n\r\t\v\\\"' ",)),
    (r"\x41\101\u0041\U00000041", ("AAAA",)),
    (r"\xc3\xa9 \303\251 \u00e9 \U000000e9", ("é",) * 4),
    (r"\xff", ("\udcff",)),
    (r"\xFfa", ("\udcffa",)),
    (r"\U0001f600", ("😀",)),
    (r"\ud800", ("\udced\udca0\udc80",)),  # no check in \u, as in systemd
    (r"\uffff", ("\uffff",)),
    (r"\Uffffffff", (r"\Uffffffff",)),
    (r"\U0001ffff", (r"\U0001ffff",)),
    (r"'\n' " + '"\\t"', ("\n", "\t")),
    (r"a\ b", ("a\\ b",)),  # an unknown escape stays, and its blank ends no word
    (r"\q \400 \x4 \x4g \u12 \8 \;", (r"\q", r"\400", r"\x4", r"\x4g", r"\u12", r"\8", r"\;")),
    ("a\\", ("a\\",)),
    (r"^\d+\.$", (r"^\d+\.$",)),
]


@pytest.mark.parametrize(("text", "words"), SPLITS)
def test_split(text: str, words: tuple[str, ...]) -> None:
    assert syntax.split(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one", ("one",)),
        ("'two two' too", ("two two", "too")),
        (r"a\ b\n", ("a bn",)),
        ("'never closed  ", ("never closed  ",)),
        ("a\\", ("a",)),
        (r'"a\"b"', ('a"b',)),
        ("", ()),
    ],
)
def test_split_as_the_value_of_a_variable(text: str, words: tuple[str, ...]) -> None:
    assert syntax.split(text, relax=True) == words


@pytest.mark.parametrize("text", ["'", '"a', "a'b", '"a\\', '"a\\"', "'a\\'"])
def test_split_wants_closing_quotes(text: str) -> None:
    with pytest.raises(ValueError, match="expected a closing quote"):
        syntax.split(text)


@pytest.mark.parametrize("text", ["a\0b", r"\x00", r"\000", r"\u0000", r"\U00000000"])
def test_split_refuses_nul(text: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        syntax.split(text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), ""),
        (("a", "b"), "a b"),
        (("",), '""'),
        (("a b",), '"a b"'),
        (("it's",), '"it\'s"'),
        (('say "hi"',), "'say \"hi\"'"),
        (('it\'s "so"',), r'''"it's \"so\""'''),
        (("a\\b",), r"a\\b"),
        (("a\nb", "\x07\x1b\x7f"), r"a\nb \a\x1b\x7f"),
        (("é😀", "\u00a0", "\udcff"), r"é😀 \u00a0 \xff"),
        (("\U0001fffe", "\ufdd0"), r"\xf0\x9f\xbf\xbe \xef\xb7\x90"),
        (("--opt=$X", "%h", ";", "#"), "--opt=$X %h ; #"),
    ],
)
def test_join(words: tuple[str, ...], text: str) -> None:
    assert syntax.join(words) == text
    assert syntax.split(text) == words


@given(WORDS)
def test_join_and_split(words: list[str]) -> None:
    text = syntax.join(words)
    assert syntax.split(text) == tuple(words)
    assert syntax.is_utf8(text)
    assert not any(char in text for char in "\n\r\0")
    assert not syntax.ends_open(text)


@given(st.lists(TRICKY))
def test_join_and_split_tricky_words(words: list[str]) -> None:
    assert syntax.split(syntax.join(words)) == tuple(words)


def test_join_refuses_nul_and_lone_surrogates() -> None:
    with pytest.raises(ValueError, match="NUL"):
        syntax.join(["a\0"])
    with pytest.raises(ValueError, match="lone surrogate"):
        syntax.join(["\ud800"])


@given(st.one_of(st.text(st.characters()), TRICKY), st.booleans())
def test_split_raises_only_value_errors(text: str, relax: bool) -> None:
    try:
        words = syntax.split(text, relax=relax)
    except ValueError:
        return
    assert all("\0" not in word for word in words)


UNIT = """\
\ufeff# a comment
; another one

[Section A]
KeyOne=value 1
KeyTwo=value 2

# a comment

[Section B]
Setting="something" "some thing" "…"
KeyTwo=value 2 \\
       value 2 continued

[Section C]
KeyThree=value 3\\
# this line is ignored
; this line is ignored too
       value 3 continued
"""


def test_read_the_examples_of_the_manual() -> None:
    assert list(syntax.read(UNIT)) == [
        Line(5, "Section A", "KeyOne", "value 1"),
        Line(6, "Section A", "KeyTwo", "value 2"),
        Line(11, "Section B", "Setting", '"something" "some thing" "…"'),
        Line(12, "Section B", "KeyTwo", "value 2         value 2 continued"),
        Line(16, "Section C", "KeyThree", "value 3        value 3 continued"),
    ]


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        ("A=b", [("A", "b")]),
        ("  A \t = \t b c \t", [("A", "b c")]),
        ("A=", [("A", "")]),
        ("A==b", [("A", "=b")]),
        ("A=b\r\nC=d\rE=f", [("A", "b"), ("C", "d"), ("E", "f")]),
        ("A=b # no comment", [("A", "b # no comment")]),
        ("A=b\\\\\nC=d", [("A", "b\\\\"), ("C", "d")]),  # an escaped backslash does not continue
        ("A=b\\\\\\\nC=d", [("A", "b\\\\ C=d")]),
        ("A=b\\\n\nC=d", [("A", "b"), ("C", "d")]),  # a blank line ends a continuation
        ("A=b\\\n[X]", [("A", "b [X]")]),
        ("A\\\n=b", [("A", "b")]),
        ("A=b \\ \nC=d", [("A", "b \\"), ("C", "d")]),  # the blank after the backslash undoes the continuation
        ("A=b\\", [("A", "b")]),
        ("#A=\\\nB=c", [("B", "c")]),  # a comment is not continued
        ("# caf\udce9\nA=b", [("A", "b")]),
        ("\\\nA=b", [("A", "b")]),
        ("A=\u00a0b", [("A", "\u00a0b")]),
        ("X-Initkit-A=b", [("X-Initkit-A", "b")]),
    ],
)
def test_read(body: str, pairs: list[tuple[str, str]]) -> None:
    assert [(line.key, line.value) for line in syntax.read("[Service]\n" + body)] == pairs


@pytest.mark.parametrize(
    ("text", "number", "message"),
    [
        ("A=b", 1, "expected a [Section] before the first setting, found 'A=b'"),
        ("[S]\n\nabc", 3, "expected Key=value or [Section], found 'abc'"),
        ("[S]\n=b", 2, "expected Key=value or [Section], found '=b'"),
        ("\n[S", 2, "expected a section header such as [Service], found '[S'"),
        ("[]", 1, "expected a section header such as [Service], found '[]'"),
        ("[S] # x", 1, "expected a section header such as [Service], found '[S] # x'"),
        ("[S]\nA=\udcff", 2, "expected UTF-8 text, found 'A=\\udcff'"),
        ("[S]\nA=a\\\nb\0", 3, "expected UTF-8 text, found 'b\\x00'"),
    ],
)
def test_read_faults(text: str, number: int, message: str) -> None:
    with pytest.raises(syntax.SyntaxFault) as caught:
        list(syntax.read(text))
    assert (caught.value.number, str(caught.value)) == (number, message)


@given(st.one_of(st.text(st.characters()), TRICKY, TRICKY.map("[S]\n".__add__)))
def test_read_raises_only_faults(text: str) -> None:
    try:
        lines = list(syntax.read(text))
    except syntax.SyntaxFault:
        return
    assert all(line.section and line.key and "\n" not in line.value for line in lines)


def test_write() -> None:
    pairs = [("Unit", "Description", "x"), ("Service", "A", "1"), ("Service", "A", ""), ("Unit", "B", "=")]
    assert syntax.write(pairs) == "[Unit]\nDescription=x\n\n[Service]\nA=1\nA=\n\n[Unit]\nB==\n"
    assert syntax.write([]) == ""


def kept(pairs: list[tuple[str, str, str]]) -> None:
    assert [(line.section, line.key, line.value) for line in syntax.read(syntax.write(pairs))] == pairs


@given(st.lists(st.tuples(st.sampled_from(["Unit", "Service", "X-Y"]), st.sampled_from(["A", "X-B"]), WORDS)))
def test_write_and_read(rows: list[tuple[str, str, list[str]]]) -> None:
    kept([(section, key, syntax.join(words)) for section, key, words in rows])


@given(st.lists(st.tuples(TRICKY, TRICKY, TRICKY)))
def test_write_gives_nothing_that_reads_otherwise(pairs: list[tuple[str, str, str]]) -> None:
    try:
        syntax.write(pairs)
    except ValueError:
        return
    kept(pairs)


@pytest.mark.parametrize("value", ["a\nB=c", "a\r", "a\0", "a\\", "a\\\\\\", " a", "a\t", "\udcff", "\ufffe"])
def test_write_refuses_values_that_break_out(value: str) -> None:
    with pytest.raises(ValueError, match=r"value|text"):
        syntax.write([("S", "A", value)])


@pytest.mark.parametrize(
    ("section", "key"), [("", "A"), ("S]\n[T", "A"), ("S", ""), ("S", "#A"), ("S", "A=b"), ("S", "[A"), ("S", "A B")]
)
def test_write_refuses_bad_names(section: str, key: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        syntax.write([(section, key, "x")])
