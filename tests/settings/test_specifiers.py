"""systemd.unit(5), "SPECIFIERS"; systemd-escape(1)."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings import specifiers
from initkit.settings.specifiers import expand, lookup_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = {"i": "one", "n": "app@one.service", "h": "100%n"}
ANY = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a%ib", "aoneb"),
        ("%i%i", "oneone"),
        ("%%i", "%i"),
        ("%%%i%%", "%one%"),
        ("%h", "100%n"),  # once only
        ("50%", "50%"),  # as systemd: what can be no specifier stays
        ("5% of", "5% of"),
        ("%-%é%", "%-%é%"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, TABLE.__getitem__) == expanded


def test_expand_names_the_unknown() -> None:
    with pytest.raises(ValueError) as caught:
        expand("a%Qb", TABLE.__getitem__)
    assert str(caught.value) == "expected a known specifier (or %% for \"%\"), found %Q in 'a%Qb'"


def test_used() -> None:
    assert specifiers.used("%i %n %% %%h %i %- %") == {"i", "n"}
    assert specifiers.used("none") == frozenset()


@given(ANY)
def test_escaped_text_arrives(text: str) -> None:
    assert expand(specifiers.escape(text), str.upper) == text
    assert not specifiers.used(specifiers.escape(text))


@given(st.text(st.characters()))
def test_expand_raises_only_value_errors(text: str) -> None:
    try:
        expand(text, TABLE.__getitem__)
    except ValueError:
        assert specifiers.used(text) - set(TABLE)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("foo", "foo"),
        ("Hallöchen, Meister", r"Hall\xc3\xb6chen\x2c\x20Meister"),  # systemd-escape(1)
        ("/foo/bar", "-foo-bar"),
        (".a.b", r"\x2ea.b"),
        ("a-b\\c:_d", r"a\x2db\x5cc:_d"),
        ("", ""),
    ],
)
def test_escape_name(text: str, name: str) -> None:
    assert specifiers.escape_name(text) == name
    assert specifiers.unescape_name(name) == text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "-"),
        ("/tmp/waldi/foobar/", "tmp-waldi-foobar"),
        ("/tmp//waldi/./foobar", "tmp-waldi-foobar"),
        ("/.a-b", r"\x2ea\x2db"),
        ("", "-"),
    ],
)
def test_escape_path(path: str, name: str) -> None:
    assert specifiers.escape_path(path) == name


@pytest.mark.parametrize("text", ["\\", "\\x", "\\x4", "\\xzz", "\\y41", "\\x00", "\\x²²", "a\\x4"])
def test_unescape_name_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected an escaped name"):
        specifiers.unescape_name(text)


@pytest.mark.parametrize("text", ["", "..", "a--b", "-a", "a-", "a-.-b", r"a-\x2e\x2e-b"])
def test_unescape_path_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected an escaped path"):
        specifiers.unescape_path(text)


def test_escape_path_refuses_dots() -> None:
    with pytest.raises(ValueError, match="expected a path without"):
        specifiers.escape_path("/a/../b")


@given(ANY)
def test_names_are_kept(text: str) -> None:
    name = specifiers.escape_name(text)
    assert specifiers.unescape_name(name) == text
    assert name.isascii()
    assert "/" not in name


@given(st.lists(ANY))
def test_paths_are_kept(parts: list[str]) -> None:
    path = "/" + "/".join(part for whole in parts for part in whole.split("/") if part not in ("", ".", ".."))
    assert specifiers.unescape_path(specifiers.escape_path(path)) == path


@given(st.text(st.characters()))
def test_unescape_raises_only_value_errors(text: str) -> None:
    for unescape in (specifiers.unescape_name, specifiers.unescape_path):
        try:
            unescape(text)
        except ValueError:
            continue


def test_as_systemd_escapes() -> None:
    if not shutil.which("systemd-escape"):
        pytest.skip("no systemd-escape to compare with")
    texts = ["foo", "/a-b/c", "é ü%$'\"", ".x.", "a\\b", "@:_.-", "tab\there"]
    said = subprocess.run(["systemd-escape", "--", *texts], capture_output=True, text=True, check=True).stdout
    assert " ".join(map(specifiers.escape_name, texts)) == said.strip()
    paths = ["/", "//a//b/./", "/.a", "/a b/é"]
    said = subprocess.run(["systemd-escape", "-p", "--", *paths], capture_output=True, text=True, check=True).stdout
    assert " ".join(map(specifiers.escape_path, paths)) == said.strip()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "app.service",
            {"n": "app.service", "N": "app", "p": "app", "i": "", "I": "", "j": "app", "J": "app", "f": "/app"},
        ),
        (
            r"my-app-x\x2dy@dev-a\x2db.c.service",
            {
                "N": r"my-app-x\x2dy@dev-a\x2db.c",
                "p": r"my-app-x\x2dy",
                "P": "my/app/x-y",
                "i": r"dev-a\x2db.c",
                "I": "dev/a-b.c",
                "j": r"x\x2dy",
                "J": "x-y",
                "f": "/dev/a-b.c",
            },
        ),
        ("app@.service", {"N": "app@", "p": "app", "i": "", "f": "/app"}),
        ("a@b@c.service", {"p": "a", "i": "b@c"}),
        ("app@-.service", {"I": "/", "f": "/"}),
    ],
)
def test_the_names_of_a_unit(name: str, found: dict[str, str]) -> None:
    lookup = lookup_for(name)
    assert {letter: lookup(letter) for letter in found} == found


def test_the_system_manager() -> None:
    lookup = lookup_for("a.service", fragment="/etc/initkit/a.toml", environ={})
    expected = "/run /var/lib /var/cache /var/log /etc /usr/share /tmp /var/tmp /run/credentials/a.service"
    assert expand("%t %S %C %L %E %D %T %V %d", lookup) == expected
    assert expand("%u %U %g %G %h", lookup) == "root 0 root 0 /root"
    assert expand("%s", lookup) == pwd.getpwuid(0).pw_shell
    assert expand("%y %Y", lookup) == "/etc/initkit/a.toml /etc/initkit"


def test_a_user_manager(tmp_path: Path) -> None:
    environ = {
        "HOME": "/h",
        "XDG_RUNTIME_DIR": "/run/user/5",
        "XDG_CACHE_HOME": "/c",
        "XDG_CONFIG_HOME": "relative",
        "TMPDIR": "/nowhere/at/all",
        "TMP": str(tmp_path),
    }
    lookup = lookup_for("a.service", user=True, environ=environ)
    assert expand("%t %S %C %L %E", lookup) == "/run/user/5 /h/.local/state /c /h/.local/state/log /h/.config"
    assert expand("%D", lookup) == "/h/.local/share"
    assert expand("%D", lookup_for("a.service", user=True, environ={"XDG_DATA_HOME": "/d"})) == "/d"
    assert expand("%T %V", lookup) == f"{tmp_path} {tmp_path}"
    assert expand("%d", lookup) == "/run/user/5/credentials/a.service"
    assert expand("%U %G", lookup) == f"{os.getuid()} {os.getgid()}"
    assert expand("%u %g %h %s", lookup)


def test_the_fragment_must_be_known() -> None:
    with pytest.raises(ValueError, match="expected a settings file for %y, found none"):
        lookup_for("a.service")("y")


def test_the_unknown_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        lookup_for("a.service")("Q")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    def put(contents: dict[str, str]) -> None:
        monkeypatch.setattr(specifiers, "_read", contents.__getitem__)
        monkeypatch.setattr("os.path.exists", contents.__contains__)

    return put


def test_the_machine(files: Callable[[dict[str, str]], None]) -> None:
    files(
        {
            "/usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\nIMAGE_ID=img\nIMAGE_VERSION=3\nBUILD_ID=b\n'
            "VARIANT_ID=v",
            "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "/proc/sys/kernel/random/boot_id": "01234567-89ab-cdef-0123-456789abcdef\n",
            "/etc/machine-info": 'PRETTY_HOSTNAME="The Machine"',
        }
    )
    lookup = lookup_for("a.service")
    assert expand("%o %w %M %A %B %W", lookup) == "debian 12 img 3 b v"
    assert expand("%m %b", lookup) == " ".join(["0123456789abcdef0123456789abcdef"] * 2)
    assert lookup("q") == "The Machine"
    assert (lookup("H"), lookup("v")) == (platform.node(), platform.release())
    assert lookup("l") == platform.node().partition(".")[0]


def test_a_machine_that_tells_nothing(files: Callable[[dict[str, str]], None]) -> None:
    files({})
    lookup = lookup_for("a.service")
    assert [lookup(letter) for letter in "owWMAB"] == [""] * 6
    assert lookup("q") == lookup("l")


def test_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        specifiers, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(2, "No such file")), raising=False
    )
    with pytest.raises(ValueError, match="cannot read /etc/machine-id: No such file"):
        lookup_for("a.service")("m")


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("x86_64", "x86-64"),
        ("i686", "x86"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("armv6b", "arm-be"),
        ("ppc64le", "ppc64-le"),
        ("riscv64", "riscv64"),
        ("s390x", "s390x"),
    ],
)
def test_architectures(monkeypatch: pytest.MonkeyPatch, machine: str, name: str) -> None:
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", "h", "1", "#1", machine)))
    assert lookup_for("a.service")("a") == name


def test_every_specifier_of_the_manual_is_known() -> None:
    lookup = lookup_for("a@b.service", fragment="/a")
    for letter in "aAbBCdDEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY":
        if letter not in specifiers.HOST:
            assert isinstance(lookup(letter), str)
    assert set("aAbBHlmMoqvwW") == specifiers.HOST
