"""systemd units: what they say, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from initkit.errors import SettingsError
from initkit.inits import NATIVE, NONE, RUNNER, Options, Support, systemd
from initkit.settings.load import load
from initkit.settings.service import Service

Golden = Callable[[str, str], None]

EXAMPLES = Path(__file__).parents[1] / "examples"

# In TOML and in a unit file: both mean the same.
BY_HAND = {
    "words.toml": r"""
description = "a service of \"words\", 100%%"
exec_start = [
    "/bin/echo", "", " ", "it's", "say \"so\"", "a\\b", "$$HOME", "%%n", "%n", "two\nlines", ";", "#", "é🎉", "\u2028",
]
exec_start_pre = [["-/bin/true"], ["/bin/echo", ";"]]
environment = { EMPTY = "", QUOTES = "'\"", BLANKS = " a  b ", PERCENT = "%%", BACKSLASH = 'a\b\' }
working_directory = "/srv/a b"
log_extra_fields = ["ONE=a b"]
nice = -5
no_new_privileges = true
limit_nofile = "512:1024"
condition_path_exists = ["|!/nowhere", "|/etc"]
wanted_by = ["multi-user.target"]

[sysv]
provides = "words"

[initkit]
settle_sec = "2s"
""",
    "words.service": r"""
# Comments, blank lines and continuations go.
[Unit]
Description=a service of "words", \
    100%%

[Service]
ExecStart=/bin/echo "" ' ' it\'s \
    # in between
    "say \"so\"" two\nlines
ExecStart=
ExecStart=:/bin/echo 'it''s' "$HOME" %n
Environment=ONE=1 "TWO=2 2"
Environment="THREE=\x41"
X-Other=kept
X-Initkit-SettleSec=2s

[X-Section]
Key=kept

[X-Initkit-sysv]
Provides=words

[Install]
WantedBy=multi-user.target
""",
}


def written(name: str, text: str, tmp_path: Path) -> Service:
    path = tmp_path / name
    path.write_text(text)
    return load(str(path))


def unit(service: Service, **options: Any) -> str:
    (file,) = systemd.files(service, Options(**options))
    return file.text


@pytest.mark.parametrize("name", ["app", "nginx", "redis"])
def test_examples(name: str, golden: Golden) -> None:
    golden(f"systemd/{name}.service", unit(load(str(EXAMPLES / f"{name}.toml"))))


@pytest.mark.parametrize("name", BY_HAND)
def test_words(name: str, golden: Golden, tmp_path: Path) -> None:
    golden(f"systemd/{name}.service", unit(written(name, BY_HAND[name], tmp_path)))


@pytest.mark.parametrize("name", BY_HAND)
def test_a_unit_that_was_generated_is_its_own_unit(name: str, tmp_path: Path) -> None:
    once = unit(written(name, BY_HAND[name], tmp_path))
    twice = unit(written("words.service", once, tmp_path))
    assert twice.split("\n", 1)[1] == once.split("\n", 1)[1]  # but for the line that names the source


def test_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text('exec_start = ["/bin/true"]')
    service, users = load(str(path)), load(str(path), user=True)
    assert [(file.path, file.mode) for file in systemd.files(service, Options())] == [
        ("/etc/systemd/system/app.service", 0o644)
    ]
    assert [file.path for file in systemd.files(users, Options())] == ["/etc/systemd/user/app.service"]
    assert systemd.commands(service)["reload"] == ("systemctl", "reload", "app.service")
    assert systemd.commands(users)["enable"] == ("systemctl", "--user", "enable", "app.service")


def test_the_runner(tmp_path: Path) -> None:
    service = written("app.toml", 'exec_start = ["/bin/true"]\nuser = "daemon"\n', tmp_path)
    assert f"\nExecStart=initkit run {tmp_path}/app.toml --foreground\n" in unit(service, runner=True)
    text = unit(service, runner=True, runner_path="/opt/a b/bin/initkit")
    assert f'\nExecStart="/opt/a b/bin/initkit" run {tmp_path}/app.toml --foreground\n' in text
    assert "/bin/true" not in text
    assert "\nUser=daemon\n" in text


def test_a_path_of_settings_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "100% $HOME 'x'"
    folder.mkdir()
    text = unit(written("app.toml", 'exec_start = ["/bin/true"]\n', folder), runner=True)
    assert f"ExecStart=initkit run \"{tmp_path}/100%% $$HOME 'x'/app.toml\" --foreground" in text


def test_the_runner_of_an_instance(tmp_path: Path) -> None:
    (tmp_path / "app@.toml").write_text('exec_start = ["/bin/true"]\n')
    text = unit(load(str(tmp_path / "app@one.toml")), runner=True)
    assert f"\nExecStart=initkit run {tmp_path}/app@one.toml --foreground\n" in text


@pytest.mark.parametrize("logger", ['log_file = "/var/log/app"', 'log_command = ["logger", "-t", "app"]'])
def test_a_logger_needs_the_runner(tmp_path: Path, logger: str) -> None:
    """And nothing else does: all other settings stay systemd's own."""
    settings = f'exec_start = ["/bin/true"]\nuser = "daemon"\nrestart = "always"\n[initkit]\n{logger}\n'
    service = written("app.toml", settings, tmp_path)
    found = {key: each.how for key, each in systemd.support(service).items()}
    key = "LogFile" if "file" in logger else "LogCommand"
    assert found == {"ExecStart": NATIVE, "User": NATIVE, "Restart": NATIVE, key: RUNNER}
    text = unit(service)
    assert f"\nExecStart=initkit run {tmp_path}/app.toml --foreground\n" in text
    assert f"\nX-Initkit-{key}=" in text
    with pytest.raises(SettingsError, match=f"a unit cannot keep {key}="):
        unit(service, runner=False)
    assert "\nExecStart=/bin/true\n" in unit(service, allow_loss=frozenset((key,)))
    below = written("app.toml", f'exec_start = ["/bin/true"]\nroot_directory = "/srv"\n[initkit]\n{logger}\n', tmp_path)
    with pytest.raises(SettingsError, match="--allow-loss names"):
        unit(below)


def test_a_newline_is_turned_into_a_notification_by_the_runner(tmp_path: Path) -> None:
    service = written(
        "app.toml", 'exec_start = ["/bin/a"]\ntype = "notify"\n[initkit]\nnotification_fd = 3\n', tmp_path
    )
    assert systemd.support(service)["NotificationFd"].how == RUNNER
    text = unit(service)
    assert f"\nExecStart=initkit run {tmp_path}/app.toml --foreground\n" in text
    assert "\nNotifyAccess=all\n" in text


def test_a_callable_needs_the_runner(tmp_path: Path) -> None:
    service = written("app.toml", '[initkit]\ncallable = "package.module:main"\n', tmp_path)
    assert systemd.support(service)["Callable"].how == RUNNER
    assert unit(service).splitlines()[3:] == [
        "X-Initkit-Callable=package.module:main",
        f"ExecStart=initkit run {tmp_path}/app.toml --foreground",
    ]


def test_the_runner_and_another_root(tmp_path: Path) -> None:
    service = written("app.toml", 'exec_start = ["/bin/true"]\nroot_directory = "/srv/root"\n', tmp_path)
    assert "ExecStart=/bin/true" in unit(service)
    with pytest.raises(
        SettingsError, match=r'app.toml:2: root_directory = "/srv/root": the runner cannot be found below'
    ):
        unit(service, runner=True)


def test_the_runner_and_prefixes(tmp_path: Path) -> None:
    service = written("app.toml", 'exec_start = ["@-+:/bin/sh", "app"]\n', tmp_path)
    assert f"ExecStart=-+initkit run {tmp_path}/app.toml --foreground" in unit(service, runner=True)


def test_the_runner_and_several_programs(tmp_path: Path) -> None:
    text = 'type = "oneshot"\nexec_start = [["/bin/true"], ["/bin/false"]]\n'
    with pytest.raises(SettingsError, match="the runner becomes one program only"):
        unit(written("app.toml", text, tmp_path), runner=True)


VERSIONED = """\
type = "notify-reload"
exec_start = ["/bin/true"]
open_file = "/etc/hostname"
memory_limit = "1G"
standard_output = "append:/var/log/app"
standard_error = "truncate:/var/log/app.err"
"""


@pytest.mark.parametrize(
    ("version", "lost"),
    [
        (247, ["OpenFile", "StandardError", "Type"]),
        (252, ["OpenFile", "Type"]),
        (253, []),
        (0, []),
        (262, ["MemoryLimit"]),
    ],
)
def test_versions(version: int, lost: list[str], tmp_path: Path) -> None:
    service = written("app.toml", VERSIONED, tmp_path)
    support = systemd.support(service, version)
    assert sorted(key for key, each in support.items() if each.how != NATIVE) == lost
    if lost:
        with pytest.raises(SettingsError) as caught:
            unit(service, version=version)
        assert caught.value.status == 78
        assert all(f"{key}= (" in str(caught.value) and f"--allow-loss {key}" in str(caught.value) for key in lost)
    if len(lost) > 1:  # one is not enough
        with pytest.raises(SettingsError) as caught:
            unit(service, version=version, allow_loss=frozenset(lost[:1]))
        assert f"{lost[0]}=" not in str(caught.value)
    text = unit(service, version=version, allow_loss=frozenset(lost))
    assert [key for key in support if f"\n{key}=" not in text] == [key for key in support if key in lost]


def test_support_says_why(tmp_path: Path) -> None:
    support = systemd.support(written("words.toml", BY_HAND["words.toml"], tmp_path))
    assert support["ExecStart"] == Support(NATIVE, "systemd.service(5)")
    assert support["SettleSec"].how == NONE
    assert "Provides" not in support  # a table for another init


def test_a_template_of_the_user(tmp_path: Path) -> None:
    service = written("app.toml", 'exec_start = ["/bin/true"]\n', tmp_path)
    for folder in ("beside", "given"):
        templates = tmp_path / folder / "systemd"
        templates.mkdir(parents=True)
        (templates / "service.j2").write_text(f"# {folder} {{{{ service.unit | comment }}}}\n")
    (tmp_path / "beside").rename(tmp_path / "templates")
    assert unit(service) == "# beside app.service\n"
    assert unit(service, template_dir=str(tmp_path / "given")) == "# given app.service\n"
