"""The files that belong to no init: what they say, and what the programs that read them make of it."""

from __future__ import annotations

import os
import shutil
import string
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from initkit.errors import SettingsError
from initkit.inits import Options, kinds, render
from initkit.inits.kinds import logrotate, sysusers, tmpfiles
from initkit.settings import envfile
from initkit.settings.load import load
from initkit.settings.service import Service

Golden = Callable[[str, str], None]

EXAMPLES = {
    "weather": """
description = "The weather: today's, 100%% true"
exec_start = ["/usr/bin/weather", "--port", "${PORT}", "$OPTIONS"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "weather"
supplementary_groups = ["adm", "climate"]
state_directory = ["weather", "weather/old"]
logs_directory = ["weather"]
standard_error = "append:/var/log/weather-errors/err.log"
environment = { PORT = "80", GREETING = "it's $5\\nyes" }
environment_file = "-/etc/default/weather"
""",
    "forker": """
exec_start = ["/usr/sbin/forker"]
type = "forking"
pid_file = "/run/forker-main/a b%%c.pid"
user = "forker"
group = "forkers"
standard_output = "append:/var/log/it's [1]/out.log"
[initkit]
user_gecos = "Forks"
user_home = "/srv/f o"
user_id = 712
""",
}


def written(tmp_path: Path, text: str, name: str = "app") -> Service:
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return load(str(path))


def made(service: Service, *inits: str) -> dict[str, str]:
    """Kind -> text."""
    return {file.kind: file.text for file in kinds.files(service, Options(), inits or ("systemd", "sysv"))}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_they_say(name: str, tmp_path: Path, golden: Golden) -> None:
    service = written(tmp_path, EXAMPLES[name], name)
    for kind, text in made(service).items():
        golden(f"kinds/{name}.{kind}", text)


def test_where_they_belong(tmp_path: Path) -> None:
    found = kinds.files(written(tmp_path, EXAMPLES["weather"], "weather"), Options(), ("systemd",))
    paths = {file.path: file.config for file in found}
    assert paths == {
        "/usr/lib/sysusers.d/weather.conf": False,
        "/usr/lib/tmpfiles.d/weather.conf": False,
        "/etc/default/weather": True,
        "/etc/logrotate.d/weather": True,
    }


def test_a_service_may_need_none(tmp_path: Path) -> None:
    assert made(written(tmp_path, 'exec_start = ["/bin/true"]\n')) == {}
    path = tmp_path / "weather.toml"
    path.write_text(EXAMPLES["weather"])
    assert list(kinds.files(load(str(path), user=True), Options(), ("systemd",))) == []


# --- sysusers.d -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "users", "groups"),
    [
        ('user = "root"', [], []),
        ('user = "www-data"\ngroup = "adm"', [], []),
        ('user = "1000"\ngroup = "1000"', [], []),
        ('group = "crew"', [], ["crew"]),
        ('user = "app"', [("app", "")], []),
        ('user = "app"\ngroup = "app"', [("app", "")], []),
        ('user = "app"\ngroup = "crew"\nsupplementary_groups = ["deck", "audio"]', [("app", "crew")], ["crew", "deck"]),
        # Of a socket, also where the service runs as root, and of who may look.
        (
            '[socket]\nlisten_stream = 80\nsocket_group = "crew"\n[initkit]\ncontrol_group = "deck"',
            [],
            ["crew", "deck"],
        ),
        ('user = "app"\n[socket]\nlisten_stream = 80\nsocket_group = "app"', [("app", "")], []),
    ],
)
def test_who_is_made(lines: str, users: list[tuple[str, str]], groups: list[str], tmp_path: Path) -> None:
    service = written(tmp_path, f'exec_start = ["/bin/true"]\n{lines}\n')
    assert [(user.name, user.group) for user in sysusers.users(service, ("systemd",))] == users
    assert [group.name for group in sysusers.groups(service, ("systemd",))] == groups


def test_a_dynamic_user_is_made_for_other_inits_only(tmp_path: Path) -> None:
    service = written(tmp_path, 'exec_start = ["/bin/true"]\nuser = "app"\ndynamic_user = true\n')
    assert sysusers.users(service, ("systemd",)) == ()
    assert [user.name for user in sysusers.users(service, ("systemd", "sysv"))] == ["app"]


@pytest.mark.parametrize("name", ["a b", "a.b", "é", "x" * 32, "_%"])
def test_names_that_no_package_can_make(name: str, tmp_path: Path) -> None:
    service = written(tmp_path, f'exec_start = ["/bin/true"]\nuser = "{name.replace("%", "%%")}"\n')
    with pytest.raises(SettingsError, match=r"app.toml:2: user = .* cannot be made by a package"):
        made(service)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('user_gecos = "a:b"', 'app.toml:3: user_gecos = "a:b": expected one line of text without a colon'),
        ('user_home = "here"', "expected an absolute path"),
        ("user_id = -1", "expected a user number"),
        ('user_id = "app"', "expected a user number"),
        ("user_id = 65535", "expected a user or group number"),
    ],
)
def test_settings_of_the_account(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        written(tmp_path, f'exec_start = ["/bin/true"]\n[initkit]\n{line}\n')
    assert said in str(caught.value)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def passwd(tmp_path: Path, text: str) -> dict[str, list[str]]:
    """What systemd-sysusers(8) makes of a file: the fields of each user it has made, in an empty root."""
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "etc").mkdir(parents=True)
    path = root / "usr/lib/sysusers.d/app.conf"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    done = subprocess.run(
        ["systemd-sysusers", f"--root={root}", "app.conf"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "not a valid" not in done.stderr and "Invalid" not in done.stderr, done.stderr
    groups = (line.split(":") for line in (root / "etc/group").read_text().splitlines())
    names = {fields[2]: fields[0] for fields in groups}
    lines = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    return {fields[0]: [*fields[:3], names[fields[3]], *fields[4:]] for fields in lines}


@needs_root
@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd-sysusers")
def test_systemd_sysusers_makes_them(tmp_path: Path) -> None:
    (weather,) = passwd(tmp_path, made(written(tmp_path, EXAMPLES["weather"], "weather"))["sysusers"]).values()
    assert weather[3:] == ["weather", "The weather today's, 100% true", "/var/lib/weather", "/usr/sbin/nologin"]
    (forker,) = passwd(tmp_path, made(written(tmp_path, EXAMPLES["forker"], "forker"))["sysusers"]).values()
    assert forker[2:] == ["712", "forkers", "Forks", "/srv/f o", "/usr/sbin/nologin"]


GECOS = st.text(st.sampled_from(string.ascii_letters + " '\"\\%$#,;é|"), max_size=12).map(lambda text: text.strip())
FEW = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@needs_root
@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd-sysusers")
@FEW
@given(st.lists(GECOS.filter(bool), min_size=1, max_size=20))
def test_any_gecos_arrives(tmp_path: Path, told: list[str]) -> None:
    lines = [f'u u{at} - {render.conf_word(text)} "/srv/%%\\\\"\n' for at, text in enumerate(told)]
    found = passwd(tmp_path, "".join(lines))
    assert [found[f"u{at}"][4:6] for at in range(len(told))] == [[text, "/srv/%\\"] for text in told]


# --- tmpfiles.d -----------------------------------------------------------------------------------------------------


def folders(service: Service) -> list[str]:
    return [folder.path for folder in tmpfiles.made_before(service)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('pid_file = "/run/app/app.pid"\ntype = "forking"', ["/run/app"]),
        ('pid_file = "/run/app/app.pid"', []),  # initkit's own
        ('pid_file = "/run/app.pid"\ntype = "forking"', []),
        ('pid_file = "/srv/app/app.pid"\ntype = "forking"', []),
        ('pid_file = "/run/app/app.pid"\ntype = "forking"\nruntime_directory = ["app"]', []),
        ('pid_file = "/run/app/app.pid"\ntype = "forking"\nruntime_directory = ["app/x"]', []),
        ('pid_file = "/run/app/x/app.pid"\ntype = "forking"\nruntime_directory = ["app"]', []),
        ('pid_file = "/run/app/app.pid"\ntype = "forking"\nruntime_directory = ["apple"]', ["/run/app"]),
        ('standard_output = "append:/var/log/app/out"\nstandard_error = "file:/var/log/app/err"', ["/var/log/app"]),
        ('standard_output = "append:/var/log/app/out"\nlogs_directory = ["app"]', []),
        ('standard_output = "append:/var/log/out"\nstandard_error = "append:/srv/x/err"', []),
    ],
)
def test_what_nobody_else_makes(lines: str, expected: list[str], tmp_path: Path) -> None:
    assert folders(written(tmp_path, f'exec_start = ["/bin/true"]\n{lines}\n')) == expected


_IN_PATHS = st.characters(blacklist_characters="/", blacklist_categories=("Cc", "Cs"))
PATHS = st.lists(st.text(_IN_PATHS, min_size=1, max_size=9)
                 | st.text(" '\"\\%*?[]{}$#", min_size=1, max_size=6), min_size=1, max_size=3)  # fmt: skip


@needs_root
@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="needs systemd-tmpfiles")
@FEW
@given(PATHS.filter(lambda parts: not {".", ".."} & {*parts}))
def test_any_path_is_made(tmp_path: Path, parts: list[str]) -> None:
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "run").mkdir(parents=True)
    conf = tmp_path / "app.conf"
    path = "/".join(("/run", *parts))
    conf.write_text(f"d {render.conf_word(path)} 0751 1 2 -\n")
    done = subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={root}", conf],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = (root / path[1:]).stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o751, 1, 2)


# --- /etc/default ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("-/etc/default/app", True),
        ("/etc/sysconfig/app", True),
        ("/etc/conf.d/app", True),
        ("/etc/default/other", False),
        ("/etc/app/app", False),
        ("/srv/default/app", False),
    ],
)
def test_whose_file_of_defaults(file: str, expected: bool, tmp_path: Path) -> None:
    service = written(tmp_path, f'exec_start = ["/bin/true", "$A"]\nenvironment_file = "{file}"\n')
    assert ("default" in made(service)) == expected


@settings(max_examples=200, deadline=None, database=None)
@given(st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,5}\Z"), st.text("ab '\"\\$`#;=\n\r\té", max_size=12)))
def test_a_template_says_nothing_until_it_is_uncommented(variables: dict[str, str]) -> None:
    lines = [render.env_comment(value, name) for name, value in variables.items()]
    text = "\n".join(lines)
    assert envfile.parse(text) == {}
    plain = "\n".join(line.removeprefix("#") for line in text.split("\n"))
    given_up = {name for line, name in zip(lines, variables, strict=True) if line == f"#{name}="}
    assert envfile.parse(plain) == {name: "" if name in given_up else value for name, value in variables.items()}


# --- logrotate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", []),
        ('standard_output = "append:/var/log/app.log"', [("/var/log/app.log", True, ())]),
        ('standard_output = "file:/var/log/app.log"', []),
        ('standard_output = "append:/x/o"\nstandard_error = "append:/x/o"', [("/x/o", True, ())]),
        ('logs_directory = ["app"]', [("/var/log/app", True, ())]),
        ('logs_directory = ["app"]\nuser = "app"', [("/var/log/app", True, ("app", "app"))]),
        ('logs_directory = ["app"]\nuser = "app"\nexec_reload = ["/bin/true"]',
         [("/var/log/app", False, ("app", "app"))]),
        ('logs_directory = ["app"]\nuser = "app"\ngroup = "adm"\ntype = "notify-reload"',
         [("/var/log/app", False, ("app", "adm"))]),
        # One stanza for both: who writes what standard output goes to cannot open it anew.
        ('logs_directory = ["app"]\nuser = "app"\nexec_reload = ["/bin/true"]\n'
         'standard_output = "append:/var/log/app/out.log"', [("/var/log/app", True, ())]),
        ('logs_directory = ["app"]\nstandard_output = "append:/var/log/app/out.txt"',
         [("/var/log/app", True, ()), ("/var/log/app/out.txt", True, ())]),
        # Where others than root may write, logrotate does nothing unless it is told who it is.
        ('logs_directory = ["app"]\nlogs_directory_mode = "0775"\nuser = "app"\n'
         'standard_output = "append:/var/log/app/out.log"\nstandard_error = "append:/var/log/app/err"',
         [("/var/log/app", True, ("root", "app")), ("/var/log/app/err", True, ("root", "app"))]),
        ('logs_directory = ["app"]\nlogs_directory_mode = "2770"\ngroup = "crew"',
         [("/var/log/app", True, ("root", "crew"))]),
    ],
)  # fmt: skip
def test_what_is_rotated(lines: str, expected: list[object], tmp_path: Path) -> None:
    service = written(tmp_path, f'exec_start = ["/bin/true"]\n{lines}\n')
    assert [(each.path, each.copied, each.owner) for each in logrotate.stanzas(service)] == expected
    assert list(logrotate.left_out(service)) == [
        "/var/log/app.log: not rotated, because file: goes on writing where it was; append: would not"
        for _ in [0] if "file:" in lines
    ]  # fmt: skip


def test_a_path_that_logrotate_cannot_be_told(tmp_path: Path) -> None:
    service = written(tmp_path, 'exec_start = ["/bin/true"]\nstandard_output = "append:/var/log/{a}"\n')
    with pytest.raises(SettingsError, match=r"app.toml:2: standard_output = .*takes no braces"):
        made(service)


needs_logrotate = pytest.mark.skipif(not shutil.which("logrotate"), reason="needs logrotate")


def rotate(tmp_path: Path, text: str, *options: str) -> str:
    conf = tmp_path / "rotate.conf"
    conf.write_text(text)
    conf.chmod(0o644)
    argv = ["logrotate", *options, f"--state={tmp_path}/state", str(conf)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "error:" not in done.stderr, done.stderr
    return done.stderr


@needs_logrotate
@needs_root
def test_logrotate_understands_it(tmp_path: Path) -> None:
    for name in EXAMPLES:
        text = made(written(tmp_path, EXAMPLES[name], name))["logrotate"]
        rotate(tmp_path, text.replace("su weather weather", "su daemon daemon"), "--debug")


NAMES = st.text(
    st.characters(blacklist_characters="/{}", blacklist_categories=("Cc", "Cs")), min_size=1, max_size=9
) | st.text(" '\"\\%*?[]$#,;", min_size=1, max_size=6)


@needs_logrotate
@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(NAMES.filter(lambda name: name not in (".", "..")))
def test_any_file_is_rotated_and_no_other(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "logs" / name
    shutil.rmtree(tmp_path / "logs", ignore_errors=True)
    folder.mkdir(parents=True, mode=0o755)
    log, other = folder / name, folder / "other"
    log.write_text("x")
    other.write_text("x")
    rotate(tmp_path, f"{render.logrotate_path(str(log))} {{\n    copytruncate\n    rotate 1\n}}\n", "--force")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: "", f"{name}.1": "x", "other": "x"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, as pytest's own are not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_logrotate
@needs_root
@pytest.mark.parametrize("running", [True, False])
def test_the_program_is_asked_to_reload(open_folder: Path, running: bool) -> None:
    """By whichever of the inits runs here, if it says that the service runs; with root's privileges."""
    tmp_path = open_folder
    service = written(tmp_path, EXAMPLES["weather"], "weather")
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    shutil.chown(logs, "daemon", "daemon")
    (logs / "a.log").write_text("x")
    shutil.chown(logs / "a.log", "daemon", "daemon")
    service_program = tmp_path / "service"
    verbs = 'case $2 in status) exit "$STATUS" ;; esac'
    service_program.write_text(f'#!/bin/sh\necho "$1 $2 $(id -u)" >>"{tmp_path}/calls"\n{verbs}\n')
    service_program.chmod(0o755)
    text = made(service, "sysv")["logrotate"].replace("/var/log/weather/", f"{logs}/")
    text = text.replace("su weather weather", "su daemon daemon").replace(
        "service weather", f"{service_program} weather"
    )
    os.environ["STATUS"] = "0" if running else "3"
    try:
        rotate(tmp_path, text, "--force")
    finally:
        del os.environ["STATUS"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["weather status 0", "weather reload 0"][: 1 + running]
    assert (logs / "a.log.1").exists()
