"""Which files make up a service's settings: systemd.unit(5), "UNIT FILE LOAD PATH"."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit.errors import SettingsError, UsageError
from initkit.settings import find
from initkit.settings.load import load

Write = Callable[[str, str], Path]
PROGRAM = "[Service]\nExecStart=/bin/true\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file below the present directory, which has a load path below it: etc, run, usr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(find, "_SYSTEM_ROOTS", tuple(f"{tmp_path}/{root}" for root in ("etc", "run", "usr")))

    def write_one(path: str, text: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write_one


def found(app: str) -> str:
    """The main file of an app, below the present directory."""
    return os.path.relpath(find.locate(app).path)


def dropins(app: str) -> list[str]:
    return [os.path.relpath(path) for path in find.locate(app).dropins]


def test_a_name_is_looked_for_here_first_and_toml_goes_before_a_unit(write: Write) -> None:
    order = [
        "app.toml", "app.service", "etc/initkit/app.toml", "etc/systemd/system/app.service", "run/initkit/app.toml",
        "run/systemd/system/app.service", "usr/systemd/system/app.service",
    ]  # fmt: skip
    for path in order:
        write(path, PROGRAM)
    for path in order:
        assert found("app") == path
        os.unlink(path)
    with pytest.raises(SettingsError, match=r"a timer is read with its service: name app"):
        find.locate("app.timer")
    with pytest.raises(UsageError, match=r"a/b.socket: expected .* \(a socket is read with its service: name a/b\)"):
        find.locate("a/b.socket")
    with pytest.raises(SettingsError, match=r"no settings found for 'app': .* here, in .*etc/initkit.*initkit new app"):
        find.locate("app")


def test_a_path_is_taken_as_it_is(write: Write) -> None:
    write("app.toml", "")
    write("sub/app.service", PROGRAM)
    assert found("sub/app.service") == "sub/app.service"
    assert found("./sub/../sub/app.service") == "sub/app.service"
    with pytest.raises(SettingsError, match=r"^sub/no.service: no such file \(`initkit new no`"):
        find.locate("sub/no.service")


@pytest.mark.parametrize("app", ["", "a b", "-x", ".x", "ä", "a/b", "a/b.conf", "x" * 300])
def test_what_cannot_be_a_service(write: Write, app: str) -> None:
    with pytest.raises(UsageError) as caught:
        find.locate(app)
    assert caught.value.status == 64


def test_an_instance_has_its_own_file_or_its_template(write: Write) -> None:
    write("usr/systemd/system/app@.service", "[Service]\nExecStart=/bin/echo %i %n %p\n")
    service = load("app@one")
    assert (service.name, service.exec_start[0].words[1:]) == ("app@one", ("one", "app@one.service", "app"))
    assert load("usr/systemd/system/app@two.service").exec_start[0].words[1] == "two"
    # The instance's own file counts wherever it lies, also below the template's place.
    write("etc/systemd/system/app@.service", PROGRAM)
    write("usr/systemd/system/app@one.service", PROGRAM)
    assert found("app@one") == "usr/systemd/system/app@one.service"
    assert found("app@two") == "etc/systemd/system/app@.service"


def test_a_masked_service_is_none(write: Write, tmp_path: Path) -> None:
    write("usr/systemd/system/app.service", PROGRAM)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/app.service").symlink_to(os.devnull)
    with pytest.raises(SettingsError, match=r"etc/systemd/system/app.service: masked: it is a symlink to /dev/null$"):
        load("app")


def test_drop_ins_apply_by_file_name_whatever_their_folder(write: Write) -> None:
    write("usr/systemd/system/app.service", PROGRAM)
    write("usr/systemd/system/app.service.d/10-a.conf", "[Service]\nNice=1\n")
    write("etc/systemd/system/app.service.d/20-b.conf", "[Service]\nNice=2\n")
    write("run/systemd/system/app.service.d/30-c.conf", "[Service]\nNice=3\n")
    write("run/systemd/system/app.service.d/20-b.conf", "[Service]\nNice=9\n")
    write("run/systemd/system/app.service.d/README", "not one")
    assert dropins("app") == [
        "usr/systemd/system/app.service.d/10-a.conf",
        "etc/systemd/system/app.service.d/20-b.conf",
        "run/systemd/system/app.service.d/30-c.conf",
    ]
    assert load("app").nice == 3


def test_what_finds_settings_from_anywhere(write: Write, tmp_path: Path) -> None:
    for path in ("app.toml", "etc/initkit/app.toml", "usr/systemd/system/app.service", "at@.toml"):
        write(path, PROGRAM)
    here = str(tmp_path)
    assert find.reference("app", f"{here}/app.toml") == f"{here}/app.toml"
    assert find.reference("app", f"{here}/etc/initkit/app.toml") == "app"
    assert find.reference("app", f"{here}/usr/systemd/system/app.service") == "app"
    source = find.locate("at@x")
    assert find.reference(source.name, source.path) == f"{here}/at@x.toml"
    assert find.locate(f"{here}/at@x.toml") == source


def test_files_that_are_drop_ins_for_the_other_suffix(write: Write, tmp_path: Path) -> None:
    for path in ("app.toml", "app.toml.d/a.toml", "app.toml.d/b.conf", "app.toml.d/c~"):
        write(path, PROGRAM)
    for path in ("etc/initkit/web.service", "usr/initkit/web.service.d/d.toml", "usr/initkit/web.service.d/e.conf"):
        write(path, PROGRAM)
    assert list(find.passed_over("app", f"{tmp_path}/app.toml")) == [f"{tmp_path}/app.toml.d/b.conf"]
    web = find.locate("web")
    assert list(find.passed_over("web", web.path)) == [f"{tmp_path}/usr/initkit/web.service.d/d.toml"]
    assert dropins("web") == ["usr/initkit/web.service.d/e.conf"]


def test_drop_ins_of_prefixes_templates_and_all_services(write: Write) -> None:
    write("etc/systemd/system/a-b-c@.service", PROGRAM)
    for folder in ("service.d", "a-.service.d", "a-b-.service.d", "a-b-c@.service.d", "a-b-c@x.service.d"):
        write(f"etc/systemd/system/{folder}/{len(folder)}.conf", "[Unit]\nDescription=x\n")
        write(f"etc/systemd/system/{folder}/same.conf", f"[Unit]\nDescription={folder}\n")
    assert len(dropins("a-b-c@x")) == 6
    assert load("a-b-c@x").description == "a-b-c@x.service.d"
    assert load("a-b-c@y").description == "a-b-c@.service.d"


def test_a_masked_drop_in_hides_those_of_its_name(write: Write, tmp_path: Path) -> None:
    write("usr/systemd/system/app.service", PROGRAM)
    write("usr/systemd/system/app.service.d/x.conf", "[Service]\nNice=1\n")
    (tmp_path / "etc/systemd/system/app.service.d").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/app.service.d/x.conf").symlink_to(os.devnull)
    assert dropins("app") == []


def test_toml_has_toml_drop_ins_and_no_others(write: Write) -> None:
    write("app.toml", 'exec_start = ["/bin/true"]\nnice = 1\nafter = ["a.service"]\n')
    write("app.toml.d/b.toml", 'nice = 2\nafter = ["b.service"]\nexec_start = [[], ["/bin/false"]]\n')
    write("app.toml.d/c.conf", "[Service]\nNice=3\n")
    write("app.service.d/d.conf", "[Service]\nNice=4\n")
    service = load("app")
    assert (service.nice, service.after, service.exec_start[0].path) == (2, ("a.service", "b.service"), "/bin/false")


def test_a_users_own_folders_come_first(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    write("data/systemd/user/app.service", PROGRAM)
    write("etc/systemd/system/app.service", PROGRAM)
    assert os.path.relpath(find.locate("app", user=True).path) == "data/systemd/user/app.service"
    write("config/initkit/app.toml", 'exec_start = ["/bin/true"]\n')
    assert os.path.relpath(find.locate("app", user=True).path) == "config/initkit/app.toml"
    assert found("app") == "etc/systemd/system/app.service"


def test_where_settings_belong_is_told_whether_it_is_there_or_not(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{tmp_path}/config")
    write("usr/systemd/system/other.service", PROGRAM)
    for user, own in ((False, "etc"), (True, "config")):
        with pytest.raises(SettingsError) as caught:
            find.locate("app", user=user)
        told = str(caught.value)
        assert f"here, in {tmp_path}/{own}/initkit" in told
        assert f"{tmp_path}/etc/initkit" in told and f"{tmp_path}/usr/systemd/system" in told
        assert f"{tmp_path}/run" not in told
