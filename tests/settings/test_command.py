"""systemd.service(5), "COMMAND LINES"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings import command, specifiers, syntax
from initkit.settings.command import Command

WORD = st.one_of(
    st.binary(max_size=10).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
    st.text(st.sampled_from("ab ;\\'\"$%{}-@:+!\n"), max_size=8),
)
PATH = st.text(st.sampled_from("ab /;'\"\\-@+!:.é"), min_size=1, max_size=10).map("/x".__add__)
PREFIX = st.sampled_from(["", "-", "@", ":", "+", "!", "!!", "-@", "-:!!", "@:+", "-@:+"])


def argvs(text: str, **environment: str) -> list[tuple[str, ...]]:
    return [found.argv(environment) for found in command.parse(text)]


def test_the_examples_of_the_manual() -> None:
    assert argvs("echo $ONE $TWO ${TWO}", ONE="one", TWO="two two") == [("echo", "one", "two", "two", "two two")]

    environment = dict(word.split("=", 1) for word in syntax.split("ONE='one' \"TWO='two two' too\" THREE="))
    # The manual says 'one' with its quotes for the first, but quotes in mid-word are quotes: systemd 252 passes one.
    assert argvs("/bin/echo ${ONE} ${TWO} ${THREE}", **environment) == [("/bin/echo", "one", "'two two' too", "")]
    assert argvs("/bin/echo $ONE $TWO $THREE", **environment) == [("/bin/echo", "one", "two two", "too")]

    assert argvs("sh -c 'dmesg | tac'") == [("sh", "-c", "dmesg | tac")]
    assert argvs('echo one ; echo "two two"') == [("echo", "one"), ("echo", "two two")]
    assert argvs("echo / >/dev/null & \\;  ls") == [("echo", "/", ">/dev/null", "&", ";", "ls")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/bin/a", Command("", "/bin/a", ("/bin/a",))),
        ("  a  b ", Command("", "a", ("a", "b"))),
        ("-/bin/a b", Command("-", "/bin/a", ("/bin/a", "b"))),
        ("@/bin/a b c", Command("@", "/bin/a", ("b", "c"))),
        ("!!:@-/a b", Command("-@:!!", "/a", ("b",))),
        ("+-/a", Command("-+", "/a", ("/a",))),
        ("!-!/a", Command("-!!", "/a", ("/a",))),
        ("--a", Command("-", "-a", ("-a",))),  # each prefix counts once
        ("+!a", Command("+", "!a", ("!a",))),
        ("!!!a", Command("!!", "!a", ("!a",))),
        ('"-/a b" c', Command("-", "/a b", ("/a b", "c"))),
        ('-"/a b"', Command("-", "/a b", ("/a b",))),
        ("//a/./b", Command("", "/a/b", ("//a/./b",))),
        ("/a \";\" ';' \\; \\;x ;x x;", Command("", "/a", ("/a", ";", ";", ";", "\\;x", ";x", "x;"))),
        ("/a ;", Command("", "/a", ("/a",))),
        ("; /a", Command("", "/a", ("/a",))),
        ('";" /a', Command("", "/a", ("/a",))),  # as systemd does with a first word
        ("/a $X ${Y} $$ %n", Command("", "/a", ("/a", "$X", "${Y}", "$$", "%n"))),
        ("%h/bin/a", Command("", "%h/bin/a", ("%h/bin/a",))),
        (r"/a \x41\n", Command("", "/a", ("/a", "A\n"))),
        ("|a b", Command("|", "/bin/sh", ("a", "b"))),
        ("|-@'a b' */c/", Command("-@|", "/bin/sh", ("a b", "*/c/"))),
        ("|", Command("|", "/bin/sh", ())),
        ("@| a", Command("@|", "/bin/sh", ("a",))),
        ("||a", Command("|", "/bin/sh", ("|a",))),
    ],
)
def test_parse(text: str, found: Command) -> None:
    assert command.parse(text) == (found,)


def test_parse_several() -> None:
    found = command.parse("-/a b ; /c ;\t@d e f")
    assert [one.prefix for one in found] == ["-", "", "@"]
    assert [one.words for one in found] == [("/a", "b"), ("/c",), ("e", "f")]


def test_parse_expands_specifiers_after_unquoting() -> None:
    lookup = {"h": "/home/a b", "i": "it's"}.__getitem__
    (found,) = command.parse("%h//run '%i' %%", lambda text: specifiers.expand(text, lookup))
    assert found == Command("", "/home/a b/run", ("/home/a b//run", "it's", "%"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a command such as /usr/bin/app --option, found ''"),
        (" ; ", "expected a command such as /usr/bin/app --option, found ' ; '"),
        ("-", "expected the path of a program, found an empty one"),
        ('"" a', "expected the path of a program, found an empty one"),
        ("./a", "expected an absolute path or a name without a slash, found './a'"),
        ("bin/a", "expected an absolute path or a name without a slash, found 'bin/a'"),
        ("/bin/", "expected the path of a program, found the directory '/bin/'"),
        ("..", "expected the path of a program, found the directory '..'"),
        ("/.", "expected the path of a program, found the directory '/.'"),
        ("@/a", "expected a word after '@/a' to name the process, found none"),
        (r"/a\n", "expected the path of a program without control characters, found '/a\\n'"),
        ("/a 'b", "expected a closing quote ', found none in \"/a 'b\""),
    ],
)
def test_parse_faults(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        command.parse(text)
    assert str(caught.value) == message


def test_properties() -> None:
    (all_of,) = command.parse("-@:+/a b")
    assert (all_of.ignore_failure, all_of.named, all_of.no_env, all_of.privileged) == (True,) * 4
    (plain,) = command.parse("/a")
    assert not any((plain.ignore_failure, plain.named, plain.no_env, plain.privileged, plain.no_setuid, plain.ambient))
    (once,) = command.parse("!/a")
    (twice,) = command.parse("!!/a")
    assert (once.no_setuid, once.ambient, twice.no_setuid, twice.ambient) == (True, False, False, True)
    assert argvs(":/a $X ${X} $$", X="b c") == [("/a", "$X", "${X}", "$$")]


def test_what_a_shell_is_given() -> None:
    """As systemd 262 does: the words with blanks between them, quoted by nobody."""
    environment = {"X": "1  2", "Y": "a b"}
    (found,) = command.parse("|echo 'two  three' '' ${X} $Y $$Z '*'")
    assert found.argv(environment, "/bin/zsh") == ("/bin/zsh", "-c", "echo two  three  1  2 a b $Z *")
    assert found.program == "echo"
    (found,) = command.parse(":@|echo $X")
    assert found.argv(environment, "/bin/zsh") == ("-/bin/zsh", "-c", "echo $X")
    (found,) = command.parse("@|")
    assert found.argv(environment) == ("-/bin/sh",)
    assert argvs("|") == [("/bin/sh",)]


@given(st.sampled_from(["|", "-|", "@|", "-@:!!|"]), st.lists(WORD))
def test_write_and_parse_what_a_shell_is_given(prefix: str, words: list[str]) -> None:
    found = Command(prefix, "/bin/sh", tuple(words))
    assert command.parse(command.write(found)) == (found,)
    assert command.parse(command.write_all([found, found])) == (found, found)


@given(PREFIX, PATH, st.lists(WORD))
def test_write_and_parse(prefix: str, path: str, words: list[str]) -> None:
    words = ["argv0" if "@" in prefix else path, *words]
    try:
        path = command.check_path(path)
    except ValueError:
        return
    given_command = Command(prefix, path, tuple(words))
    text = command.write(given_command)
    assert command.parse(text) == (given_command,)
    assert command.parse(command.write_all([given_command, given_command])) == (given_command, given_command)
    assert syntax.write([("Service", "ExecStart", text)])  # one sound line


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Command("-", "/a b", ("/a b", "c d", "", ";")), '"-/a b" "c d" "" \\;'),
        (Command("@", "/a", ("b",)), "@/a b"),
        (Command("", "sh", ("sh", "-c", "echo '$X' \"y\"")), r'''sh -c "echo '$X' \"y\""'''),
    ],
)
def test_write(found: Command, text: str) -> None:
    assert command.write(found) == text


@pytest.mark.parametrize(
    "found",
    [
        Command("", "-a", ("-a",)),
        Command("", ";", (";",)),
        Command("", "/a", ("b",)),
        Command("", "/a", ()),
        Command("@", "/a", ()),
        Command("", "/a\n", ("/a\n",)),
        Command("!-", "/a", ("/a",)),
    ],
)
def test_write_refuses_what_no_line_says(found: Command) -> None:
    with pytest.raises(ValueError, match="expected"):
        command.write(found)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("plain", ("plain",)),
        ("$X", ("x", "y z")),
        ("${X}", ("x 'y z'",)),
        ("a${X}b${X}", ("ax 'y z'bx 'y z'",)),
        ("a$X", ("a$X",)),
        ("$X/a", ()),  # the whole word is taken for a name
        ("$UNSET", ()),
        ("${UNSET}", ("",)),
        ("a${UNSET}b", ("ab",)),
        ("$EMPTY", ()),
        ("${EMPTY}", ("",)),
        ("$", ()),
        ("$$", ("$",)),
        ("$$X", ("$X",)),
        ("a$$b$$$$", ("a$b$$",)),
        ("$${X}", ("${X}",)),
        ("a$", ("a$",)),
        ("a$ b", ("a$ b",)),
        ("${X", ("${X",)),
        ("a${}b", ("ab",)),
        ("${X:-d}${X:+a}", ("${X:-d}${X:+a}",)),
        ("${X:-${X}}$$", ("${X:-x 'y z'}$",)),
        ("$ODD", ("never closed ",)),
        ("$BACK", ("a b",)),
        ("", ("",)),
    ],
)
def test_expand(word: str, words: tuple[str, ...]) -> None:
    environment = {"X": "x 'y z'", "EMPTY": "", "ODD": "'never closed ", "BACK": "a\\ b"}
    assert command.expand([word], environment) == words


@given(st.lists(WORD), st.dictionaries(st.sampled_from("abA"), WORD))
def test_escaped_words_arrive(words: list[str], environment: dict[str, str]) -> None:
    text = command.write(Command("", "/x", ("/x", *map(command.escape, words))))
    (found,) = command.parse(text, lambda word: specifiers.expand(word, str.upper))
    assert found.argv(environment) == ("/x", *words)


@given(st.one_of(st.text(st.characters()), st.text(st.sampled_from("a/ ;\\'\"$%{}-@:+!"))))
def test_parse_raises_only_value_errors(text: str) -> None:
    try:
        found = command.parse(text)
    except ValueError:
        return
    for one in found:
        one.argv({"a": "b 'c"})
