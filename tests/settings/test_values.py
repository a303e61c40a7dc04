"""The values of single settings."""

from __future__ import annotations

import resource
import shutil
import signal as python_signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initkit.settings import syntax, values
from initkit.settings.values import INFINITY, UNLIMITED, ExitSet

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
READ: list[tuple[Callable[[str], Any], str, Any]] = [
    *((values.boolean, text, True) for text in ("1", "yes", "y", "true", "t", "on", "YES", "True")),
    *((values.boolean, text, False) for text in ("0", "no", "n", "false", "f", "off", "Off")),
    (values.integer, "10", 10),
    (values.integer, "-0x1F", -31),
    (values.integer, " +012", 10),
    (values.integer, "0b11", 3),
    (values.integer, "0", 0),
    (values.nice, "-20", -20),
    (values.nice, "+5", 5),
    (values.oom_score, "-1000", -1000),
    (values.io_priority, "7", 7),
    (values.cpu_priority, "99", 99),
    (values.mode, "0755", 0o755),
    (values.mode, "7777", 0o7777),
    (values.mode, "0", 0),
    (values.percent, "50%", 50.0),
    (values.percent, "12.34%", 12.34),
    (values.percent, "5‰", 0.5),
    (values.percent, "1‱", 0.01),
    # systemd.time(7)
    (values.time_span, "2 h", 7200),
    (values.time_span, "2hours", 7200),
    (values.time_span, "48hr", 172_800),
    (values.time_span, "1y 12month", 31_557_600 * 2),
    (values.time_span, "55s500ms", 55.5),
    (values.time_span, "300ms20s 5day", 432_020.3),
    (values.time_span, "50", 50),
    (values.time_span, "5min 20s", 320),
    (values.time_span, "5m20", 320),
    (values.time_span, "1M", 2_629_800),
    (values.time_span, ".5s", 0.5),
    (values.time_span, "1.1234567s", 1.123456),
    (values.time_span, "3µs", 0.000003),
    (values.time_span, "3μs 4usec", 0.000007),
    (values.time_span, "0", 0),
    (values.time_span, " infinity ", INFINITY),
    (values.nanoseconds, "50us", 50_000),
    (values.nanoseconds, "100", 100),
    (values.nanoseconds, "1ms 5ns", 1_000_005),
    (values.size, "0", 0),
    (values.size, "1024", 1024),
    (values.size, "4K", 4096),
    (values.size, "1.5G", 3 * 512 * MIB),
    (values.size, "1G 512M", 3 * 512 * MIB),
    (values.size, "1T512B", 2**40 + 512),
    (values.size, "7E", 7 * 2**60),
    (values.size, "16P", 16 * 2**50),
    (values.size, "infinity", UNLIMITED),
    # signal(7)
    (values.signal, "SIGTERM", 15),
    (values.signal, "KILL", 9),
    (values.signal, "10", 10),
    (values.signal, "0x9", 9),
    (values.signal, "010", 8),
    (values.signal, "RTMIN", python_signal.SIGRTMIN),
    (values.signal, "SIGRTMIN+3", python_signal.SIGRTMIN + 3),
    (values.signal, "RTMAX-1", python_signal.SIGRTMAX - 1),
    (values.io_class, "best-effort", 2),
    (values.io_class, "3", 3),
    (values.cpu_policy, "rr", 2),
    (values.cpu_policy, "idle", 5),
    (values.cpu_set, "0-3,5 7", (0, 1, 2, 3, 5, 7)),
    (values.cpu_set, "7, 1", (1, 7)),
    (values.cpu_set, "", ()),
    # systemd.service(5), SuccessExitStatus=
    (values.exit_set, "TEMPFAIL 250 SIGKILL", ExitSet((75, 250), (9,))),
    (values.exit_set, "EX_DATAERR 9 USR1", ExitSet((9, 65), (python_signal.SIGUSR1,))),
    (values.exit_set, "", ExitSet()),
    (values.path, "/", "/"),
    (values.path, "//run/./app//", "/run/app"),
    (values.path, "/a b/é\udcff", "/a b/é\udcff"),
    (values.user, "www-data", "www-data"),
    (values.user, "0", "0"),
    (values.user, "john.doe@example.org", "john.doe@example.org"),
    (values.user, "user name", "user name"),
    (values.variable, "_A1", "_A1"),
    # systemd.exec(5), Environment=
    (
        values.environment,
        '"VAR1=word1 word2" VAR2=word3 "VAR3=$word 5 6"',
        (("VAR1", "word1 word2"), ("VAR2", "word3"), ("VAR3", "$word 5 6")),
    ),
    (values.environment, "A= B==", (("A", ""), ("B", "="))),
]


@pytest.mark.parametrize(("parse", "text", "value"), READ)
def test_parse(parse: Callable[[str], Any], text: str, value: object) -> None:
    assert parse(text) == value


REFUSED: list[tuple[Callable[[str], Any], str, str]] = [
    (values.boolean, "maybe", "expected yes or no, found 'maybe'"),
    (values.boolean, "", "expected yes or no, found ''"),
    (values.integer, "ten", "expected a whole number, found 'ten'"),
    (values.integer, "", "expected a whole number, found ''"),
    (values.integer, "1_0", "expected a whole number, found '1_0'"),
    (values.integer, "1 ", "expected a whole number, found '1 '"),
    (values.integer, "08", "expected a whole number, found '08'"),
    (values.integer, "--1", "expected a whole number, found '--1'"),
    (values.integer, "٣", "expected a whole number, found '٣'"),
    (values.nice, "20", "expected a nice level from -20 to 19, found '20'"),
    (values.oom_score, "1001", "expected an OOM score adjustment from -1000 to 1000, found '1001'"),
    (values.io_priority, "8", "expected an I/O priority from 0 to 7, found '8'"),
    (values.cpu_priority, "100", "expected a scheduling priority from 0 to 99, found '100'"),
    (values.mode, "0o755", "expected an access mode in octal such as 0755, found '0o755'"),
    (values.mode, "10000", "expected an access mode in octal such as 0755, found '10000'"),
    (values.percent, "101%", "expected a percentage such as 50%, 100% or less, found '101%'"),
    (values.percent, "1.234%", "expected a percentage such as 50%, 100% or less, found '1.234%'"),
    (values.percent, "50", "expected a percentage such as 50%, 100% or less, found '50'"),
    *(
        (values.time_span, text, f"expected a time span such as 5min 20s, found {text!r}")
        for text in (
            "",
            "fast",
            "-5",
            "-0",
            "12.34.56",
            "3.sec",
            "5 mon",
            "5 foo",
            "1.",
            "infinity 5",
            "584542y",
            "+ 3",
        )
    ),
    (values.time_span, "9223372036854775808us", "expected a time span such as 5min 20s, found '9223372036854775808us'"),
    (values.nanoseconds, "infinity", "expected a finite time span such as 50us, found 'infinity'"),
    *(
        (values.size, text, f"expected a size such as 512M or infinity, found {text!r}")
        for text in ("", "-1", "1KB", "1M 1G", "5 3", "1 k", "big", "16E", ".5G")
    ),
    *(
        (values.signal, text, f"expected a signal such as SIGTERM, found {text!r}")
        for text in ("", "0", "65", "SIGFOO", "sigterm", "SIG15", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "EXIT")
    ),
    (
        values.io_class,
        "rt",
        "expected an I/O scheduling class (none, realtime, best-effort, idle), found 'rt'",
    ),
    (values.cpu_policy, "4", "expected a scheduling policy (other, fifo, rr, batch, idle), found '4'"),
    *(
        (values.cpu_set, text, f"expected CPUs such as 0-3,5, found {text!r}")
        for text in ("3-0", "a", "-1", "8192", "1-")
    ),
    *(
        (
            values.exit_set,
            f"0 {word}",
            f"expected an exit status (0 to 255, or a name such as TEMPFAIL) or a signal, found {word!r}",
        )
        for word in ("FOO", "EX_")
    ),
    (values.exit_set, "256", "expected an exit status from 0 to 255, found '256'"),
    (values.path, "run/app", "expected an absolute path, found 'run/app'"),
    (values.path, "", "expected an absolute path, found ''"),
    (values.path, "/run/../x", "expected a path without \"..\" in it, found '/run/../x'"),
    (values.path, "/\0", "expected a path that Linux can have, found '/\\x00'"),
    *(
        (values.user, text, f"expected the name of a user or group, found {text!r}")
        for text in ("", "a:b", "a/b", "-1")
    ),
    *(
        (values.user, text, f"expected the name of a user or group, found {text!r}")
        for text in (".", "a\n", " a", "\udcff")
    ),
    *(
        (values.user, text, f"expected a user or group number, found {text!r}")
        for text in ("007", "65535", "4294967295", "4294967296", "7" * 5000)
    ),
    (values.variable, "1A", "expected the name of an environment variable, found '1A'"),
    (values.environment, "A=b C", "expected NAME=value, found 'C'"),
    (values.environment, "É=b", "expected NAME=value, found 'É=b'"),
    (values.environment, r"A=\q", r"expected an escape such as \n or \x20, found \q in 'A=\\q'"),
    (values.environment, r"A=\xff", "expected UTF-8 text as the value of A, found '\\udcff'"),
]


@pytest.mark.parametrize(("parse", "text", "message"), REFUSED)
def test_refused(parse: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("parse", sorted({row[0] for row in READ}, key=repr))
@settings(max_examples=60)
@given(text=st.one_of(st.text(st.characters()), st.text(st.sampled_from("0123456789.-+:%KMGsminRT ,=\\'x~²٣"))))
def test_parsers_raise_only_value_errors(parse: Callable[[str], Any], text: str) -> None:
    try:
        parse(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "parse", [values.integer, values.time_span, values.size, values.signal, values.user, values.mode]
)
def test_very_long_numbers(parse: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=r"expected .* found"):
        parse("7" * 5000)


PATHS = st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), max_size=8)).map(
    lambda parts: "/" + "/".join(part for part in parts if part not in ("", ".", ".."))
)
TEXT = st.text().filter(lambda text: "\0" not in text and syntax.is_utf8(text))
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
STATUSES = st.lists(st.integers(0, 255)).map(lambda found: tuple(sorted(set(found))))
SIGNALS = st.lists(st.integers(1, 64)).map(
    lambda found: tuple(sorted(number for number in set(found) if number not in (32, 33)))
)

KEPT: list[tuple[Callable[[str], Any], Callable[[Any], str], st.SearchStrategy[Any]]] = [
    (values.boolean, values.write_boolean, st.booleans()),
    (values.integer, values.write_integer, st.integers(-(10**20), 10**20)),
    (values.nice, values.write_nice, st.integers(-20, 19)),
    (values.mode, values.write_mode, st.integers(0, 0o7777)),
    (values.percent, values.write_percent, st.integers(0, 10_000).map(lambda number: number / 100)),
    (values.time_span, values.write_time_span, st.integers(0, 2**52).map(lambda number: number / 1_000_000)),
    (values.time_span, values.write_time_span, st.just(INFINITY)),
    (values.nanoseconds, values.write_nanoseconds, st.integers(0, 2**52)),
    (values.size, values.write_size, st.one_of(st.integers(-1, 2**64 - 1), st.integers(0, 2**20).map((2**40).__mul__))),
    (values.signal, values.write_signal, st.integers(1, 64)),
    (values.io_class, values.write_io_class, st.integers(0, 3)),
    (values.cpu_policy, values.write_cpu_policy, st.sampled_from([0, 1, 2, 3, 5])),
    (values.cpu_set, values.write_cpu_set, st.sets(st.integers(0, 200)).map(lambda cpus: tuple(sorted(cpus)))),
    (values.exit_set, values.write_exit_set, st.builds(ExitSet, STATUSES, SIGNALS)),
    (values.path, values.write_path, PATHS),
    (values.environment, values.write_environment, st.lists(st.tuples(NAMES, TEXT)).map(tuple)),
]


@pytest.mark.parametrize("seconds", [0.000001, 1.5, 4441512284.306289, 4503599627.370495])
def test_a_time_span_is_written_to_the_microsecond(seconds: float) -> None:
    assert values.time_span(values.write_time_span(seconds)) == seconds


@pytest.mark.parametrize(("parse", "write", "strategy"), KEPT, ids=lambda part: getattr(part, "__name__", ""))
@given(data=st.data())
def test_write_and_parse(
    parse: Callable[[str], Any], write: Callable[[Any], str], strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(strategy)
    text = write(value)
    assert parse(text) == value
    if parse is not values.path:  # which has no escapes: a path may hold what no line can
        syntax.write([("S", "K", text)])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (values.write_time_span(320), "5min 20s"),
        (values.write_time_span(0), "0"),
        (values.write_time_span(0.1), "100ms"),
        (values.write_time_span(INFINITY), "infinity"),
        (values.write_size(3 * 512 * MIB), "1536M"),
        (values.write_size(1000), "1000"),
        (values.write_size(UNLIMITED), "infinity"),
        (values.write_mode(0o22), "0022"),
        (values.write_percent(12.5), "12.5%"),
        (values.write_percent(100), "100%"),
        (values.write_signal(15), "SIGTERM"),
        (values.write_signal(python_signal.SIGRTMIN + 3), "SIGRTMIN+3"),
        (values.write_cpu_set([7, 3, 2, 1, 0, 5]), "0-3,5,7"),
        (values.write_exit_set(ExitSet((75,), (15,))), "75 SIGTERM"),
        (values.write_environment([("A", "b c"), ("D", "")]), '"A=b c" D='),
        (values.write_nanoseconds(50_000), "50us"),
    ],
)
def test_written(text: str, written: str) -> None:
    assert text == written


@pytest.mark.parametrize(
    ("name", "text", "value", "written"),
    [
        ("NOFILE", "1024", (1024, 1024), "1024"),
        ("LimitNOFILE", "1024:524288", (1024, 524_288), "1024:524288"),
        ("NOFILE", "infinity", (UNLIMITED, UNLIMITED), "infinity"),
        ("NPROC", "100:infinity", (100, UNLIMITED), "100:infinity"),
        ("AS", "4G:16G", (4 * 2**30, 16 * 2**30), "4G:16G"),
        ("CORE", "0", (0, 0), "0"),
        ("MEMLOCK", "1.5M", (3 * 2**19, 3 * 2**19), "1536K"),
        ("CPU", "10min", (600, 600), "10min"),
        ("CPU", "1500ms:1min", (2, 60), "2s:1min"),  # rounded up
        ("RTTIME", "500ms", (500_000, 500_000), "500ms"),
        ("RTTIME", "100", (100, 100), "100us"),
        ("NICE", "+5", (15, 15), "15"),
        ("NICE", "-5", (25, 25), "25"),
        ("NICE", "-20", (40, 40), "40"),
        ("NICE", "0:40", (0, 40), "0:40"),
    ],
)
def test_limits(name: str, text: str, value: tuple[int, int], written: str) -> None:
    assert values.limit(name, text) == value
    assert values.write_limit(name, value) == written
    assert values.limit(name, written) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("NOFILE", "1:0", "expected a limit, or soft:hard with the soft one not above the hard one, found '1:0'"),
        ("NOFILE", "infinity:0", "expected a limit, or soft:hard with the soft one not above the hard one"),
        ("NOFILE", "1:", "expected a limit, or soft:hard with the soft one not above the hard one"),
        ("NOFILE", ":1", "expected a limit from 0 to 9223372036854775807, found '', in the limit ':1'"),
        ("NOFILE", "1M", "expected a limit from 0 to"),
        ("NICE", "+20", "expected a nice level from 0 to 19, found '20'"),
        ("NICE", "41", "expected a limit from 0 to 40"),
        ("AS", "lots", "expected a size such as 512M or infinity, found 'lots'"),
        ("CPU", "1:2:3", "expected a time span such as 5min 20s, found '2:3', in the limit '1:2:3'"),
    ],
)
def test_refused_limits(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        values.limit(name, text)
    assert str(caught.value).startswith(message)


@given(st.sampled_from(sorted(values.LIMITS - {"NICE"})), st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)))
def test_write_and_parse_limits(name: str, pair: tuple[int, int]) -> None:
    value = (min(pair), max(pair))
    assert values.limit(name, values.write_limit(name, value)) == value


def test_limits_are_those_of_linux() -> None:
    known = {name.removeprefix("RLIMIT_") for name in dir(resource) if name.startswith("RLIMIT_")} - {"OFILE"}
    assert known <= values.LIMITS
    assert resource.RLIM_INFINITY == UNLIMITED


def test_signals_are_those_of_this_machine() -> None:
    for name, number in values.SIGNALS.items():
        assert getattr(python_signal, f"SIG{name}", number) == number


def differential(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool} to compare with")


def test_time_spans_as_systemd_reads_them() -> None:
    differential("systemd-analyze")
    texts = [text for parse, text, _ in READ + REFUSED if parse is values.time_span and text and text != "infinity 5"]
    texts += [
        "1h30",
        "5d5h",
        "1 2 3",
        "0.0000019s",
        "1.5y",
        "2w.5d",
        "+5s +3",
        "1ms1us",
        "1.999999999min",
        "5 min",
        "1us1",
    ]
    for text in texts:
        found = subprocess.run(
            ["systemd-analyze", "timespan", "--", text],
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C.UTF-8"},
        )
        said = [line.rpartition(" ")[2] for line in found.stdout.splitlines() if "s: " in line]
        try:
            span = values.time_span(text)
            mine = [str(2**64 - 1 if span == INFINITY else round(span * 1_000_000))]
        except ValueError:
            mine = []
        assert mine == said[:1], text


def test_exit_statuses_as_systemd_names_them() -> None:
    differential("systemd-analyze")
    found = subprocess.run(["systemd-analyze", "exit-status"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this systemd-analyze knows no exit-status")
    rows = [line.split() for line in found.stdout.splitlines()[1:]]
    said = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[1].isdigit()}
    assert {name: number for name, number in values.EXIT_STATUSES.items() if name in said} == said
