"""`initkit gen --for`: the tree of a package, and what is told about it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SETTINGS = """
exec_start = ["/usr/bin/app"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
user = "app"
logs_directory = ["app"]
restart = "on-failure"
environment_file = "-/etc/default/app"
wanted_by = ["multi-user.target"]
"""
PATHS = {
    "/usr/lib/systemd/system/app.service": 0o644,
    "/etc/init.d/app": 0o755,
    "/usr/lib/sysusers.d/app.conf": 0o644,
    "/etc/default/app": 0o644,
    "/etc/logrotate.d/app": 0o644,
    "/usr/lib/initkit/app.toml": 0o644,
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The settings of a service whose script needs the runner."""
    path = tmp_path / "app.toml"
    path.write_text(SETTINGS)
    return path


def tree(root: Path) -> dict[str, int]:
    """Path -> mode of every file."""
    files = (path for path in root.rglob("*") if not path.is_dir())
    return {f"/{path.relative_to(root)}": path.stat().st_mode & 0o7777 for path in files}


def test_the_tree(tmp_path: Path, app: Path, initkit: Run) -> None:
    old = os.umask(0o077)  # a package's directories are everybody's
    try:
        ran = initkit("gen", "--for", "systemd,sysv", "--root", "dest", "app")
    finally:
        os.umask(old)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [f"dest{path}" for path in PATHS]
    assert tree(tmp_path / "dest") == PATHS
    assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "dest").rglob("*") if path.is_dir()} == {0o755}
    # The script finds the settings by name where the package has them, and the runner where every package has it.
    script = (tmp_path / "dest/etc/init.d/app").read_text()
    assert "\nRUNNER='initkit'\nSETTINGS='app'\n" in script
    assert (tmp_path / "dest/usr/lib/initkit/app.toml").read_text() == SETTINGS


def test_the_settings_come_with_a_runner_only(tmp_path: Path, app: Path, initkit: Run) -> None:
    app.write_text('exec_start = ["/usr/bin/app"]\n')
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "app", "--json")
    assert sorted(tree(tmp_path / "dest")) == ["/etc/init.d/app", "/usr/lib/systemd/system/app.service"]
    assert json.loads(ran.stdout)["depends"] == []
    app.write_text('[initkit]\ncallable = "package.module:main"\n')
    ran = initkit("gen", "--for=systemd", "--root=other", "app", "--json")
    unit = (tmp_path / "other/usr/lib/systemd/system/app.service").read_text()
    assert "\nExecStart=initkit run /usr/lib/initkit/app.toml --foreground\n" in unit
    assert json.loads(ran.stdout)["depends"] == ["initkit"]


def test_drop_ins_come_along(tmp_path: Path, app: Path, initkit: Run) -> None:
    (tmp_path / "app.toml.d").mkdir()
    (tmp_path / "app.toml.d/more.toml").write_text("nice = 3\n")
    assert initkit("gen", "--for=sysv", "--root=dest", "app").returncode == 0
    assert (tmp_path / "dest/usr/lib/initkit/app.toml.d/more.toml").read_text() == "nice = 3\n"


def test_a_users_own_service(tmp_path: Path, app: Path, initkit: Run) -> None:
    app.write_text('exec_start = ["/usr/bin/app"]\nlogs_directory = ["app"]\n')
    ran = initkit("gen", "--user", "--for=systemd", "--root=dest", "app", "--json")
    assert list(tree(tmp_path / "dest")) == ["/usr/lib/systemd/user/app.service"]
    told = json.loads(ran.stdout)
    assert [told[key] for key in ("scripts", "directories", "purged")] == [{}, [], []]  # each user's are in a home


# --- losses ---------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_a_loss_is_accepted(tmp_path: Path, app: Path, initkit: Run) -> None:
    argv = ("gen", "--for", "systemd,sysv", "--root", "dest", "app")
    loss = 'apparmor_profile = "app"\n'
    app.write_text(loss + SETTINGS)
    ran = initkit(*argv)
    assert (ran.returncode, ran.stdout) == (78, "")
    assert "an init script cannot keep AppArmorProfile=" in ran.stderr
    assert not (tmp_path / "dest").exists()
    assert initkit(*argv, "--allow-loss", "apparmor_profile").returncode == 0
    for name in ("AppArmorProfile", "apparmor_profile"):
        app.write_text(f'{loss}{SETTINGS}[sysv]\nallow_loss = ["{name}"]\n')
        assert initkit(*argv).returncode == 0
        assert initkit("gen-init", "app").returncode == 0
    # By the settings for one init, for that one only.
    app.write_text(f'{loss}{SETTINGS}[systemd]\nallow_loss = ["AppArmorProfile"]\n')
    assert initkit(*argv).returncode == 78


def test_a_systemd_that_does_not_know_it_yet(tmp_path: Path, app: Path, initkit: Run) -> None:
    app.write_text('exec_start = ["/usr/bin/app"]\nopen_file = "/etc/hostname"\n[systemd]\nallow_loss = "open_file"\n')
    assert initkit("gen", "--for=systemd", "--root=dest", "--systemd-version=252", "app").returncode == 0
    assert "OpenFile" not in (tmp_path / "dest/usr/lib/systemd/system/app.service").read_text().split("[X-")[0]


def test_a_loss_that_is_no_directive(app: Path, initkit: Run) -> None:
    app.write_text(f'{SETTINGS}[sysv]\nallow_loss = ["ProtectSytem"]\n')
    ran = initkit("gen", "--for=sysv", "--root=dest", "app")
    assert (ran.returncode, ran.stderr) == (
        78,
        f'initkit: {app}:10: allow_loss = "ProtectSytem": there is no such directive (did you mean ProtectSystem?)\n',
    )


# --- what cannot be written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--for=systemd", "app"], "required: --root"),
        (["--for=systemd,nonesuch", "--root=dest", "app"], "unknown init 'nonesuch': expected one of "),
        (["--for=", "--root=dest", "app"], "unknown init ''"),
        (["--for=systemd", "--root=dest", "--format=fpm", "app"], "--format fpm needs --scripts DIR"),
        (["--for=systemd", "--root=dest", "--format=rpm", "app"], "invalid choice: 'rpm'"),
    ],
)
def test_wrong_words(tmp_path: Path, app: Path, initkit: Run, argv: list[str], said: str) -> None:
    ran = initkit("gen", *argv)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (64, "", 1)
    assert said in ran.stderr
    assert os.listdir(tmp_path) == ["app.toml"]


def test_all_or_none(tmp_path: Path, app: Path, initkit: Run) -> None:
    """A directory stands where the last file has to go."""
    (tmp_path / "dest/usr/lib/initkit").mkdir(parents=True)
    (tmp_path / "dest/usr/lib/initkit").chmod(0o555)
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "app")
    assert (ran.returncode, ran.stdout) == (73, "")
    assert ran.stderr == "initkit: dest/usr/lib/initkit/app.toml: cannot be written: Permission denied\n"
    assert tree(tmp_path / "dest") == {}


def test_a_file_is_replaced_whole(tmp_path: Path, app: Path, initkit: Run) -> None:
    """What somebody has open, or linked to, stays as it is."""
    argv = ("gen", "--for=systemd,sysv", "--root=dest", "app")
    initkit(*argv)
    unit = tmp_path / "dest/usr/lib/systemd/system/app.service"
    os.link(unit, tmp_path / "kept")
    unit.write_text("edited")
    initkit(*argv)
    assert (tmp_path / "kept").read_text() == "edited"
    assert unit.read_text().startswith("# app.service: generated")


@pytest.mark.parametrize("link", ["usr", "usr/lib/systemd", "etc/init.d"])
def test_a_link_does_not_lead_out_of_the_tree(link: str, tmp_path: Path, app: Path, initkit: Run) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "dest" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "app")
    assert (ran.returncode, ran.stdout) == (73, "")
    assert f"dest/{link} is a symbolic link that leads out of dest, to {outside}\n" in ran.stderr
    assert list(outside.iterdir()) == []


def test_a_link_within_the_tree_is_followed(tmp_path: Path, app: Path, initkit: Run) -> None:
    (tmp_path / "dest/lib").mkdir(parents=True)
    (tmp_path / "dest/usr").mkdir()
    (tmp_path / "dest/usr/lib").symlink_to("../lib")
    assert initkit("gen", "--for=systemd", "--root=dest", "app").returncode == 0
    assert (tmp_path / "dest/lib/systemd/system/app.service").is_file()


# --- what is told ---------------------------------------------------------------------------------------------------


def test_json(tmp_path: Path, app: Path, initkit: Run) -> None:
    ran = initkit("gen", "--for", "systemd,sysv", "--root", "dest", "--json", "app")
    told = json.loads(ran.stdout)
    assert {file["path"]: int(file["mode"], 8) for file in told["files"]} == PATHS
    assert {file["path"] for file in told["files"] if file["config"]} == {path for path in PATHS if path[:5] == "/etc/"}
    assert [(file["kind"], file["init"]) for file in told["files"]] == [
        ("unit", "systemd"), ("script", "sysv"), ("sysusers", ""), ("default", ""), ("logrotate", ""), ("settings", ""),
    ]  # fmt: skip
    assert told["users"] == [
        {"name": "app", "uid": None, "group": "app", "gecos": "app", "home": "/", "shell": "/usr/sbin/nologin"}
    ]
    assert told["directories"] == [
        {"path": "/var/log/app", "mode": "0755", "user": "app", "group": "app", "made_by": "start"}
    ]
    assert (told["name"], told["root"], told["depends"]) == ("app", str(tmp_path / "dest"), ["initkit"])
    assert list(told["scripts"]) == ["after-install", "before-remove", "after-remove"]
    assert "\n    systemd-sysusers app.conf\n" in told["scripts"]["after-install"]
    assert "\n    update-rc.d app defaults\n" in told["scripts"]["after-install"]


def test_a_piece_of_nfpms_configuration(tmp_path: Path, app: Path, initkit: Run) -> None:
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "--scripts=hooks", "--format=nfpm", "app")
    told = json.loads(ran.stdout)
    for content in told["contents"]:
        assert Path(content["src"]).stat().st_mode & 0o7777 == content["file_info"]["mode"] == PATHS[content["dst"]]
        assert content.get("type") == ("config|noreplace" if content["dst"].startswith("/etc/") else None)
    assert told["depends"] == ["initkit"]
    hooks = {name: Path(path) for name, path in told["scripts"].items()}
    assert list(hooks) == ["postinstall", "preremove", "postremove"]
    assert all(path.stat().st_mode & 0o7777 == 0o755 for path in hooks.values())


def test_options_of_fpm(tmp_path: Path, app: Path, initkit: Run) -> None:
    ran = initkit("gen", "--for=systemd,sysv", "--root=a dest", "--scripts=hooks", "--format=fpm", "app")
    words = subprocess.run(
        ["sh", "-c", f'printf "%s\\n" {ran.stdout}'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    hooks = tmp_path / "hooks"
    assert words == [
        *("-s", "dir", "-C", f"{tmp_path}/a dest"),
        *("--config-files", "/etc/init.d/app", "--config-files", "/etc/default/app"),
        *("--config-files", "/etc/logrotate.d/app", "--depends", "initkit"),
        *("--after-install", f"{hooks}/after-install", "--before-remove", f"{hooks}/before-remove"),
        *("--after-remove", f"{hooks}/after-remove"),
    ]


def test_one_script_for_both(tmp_path: Path, app: Path, initkit: Run) -> None:
    told = json.loads(initkit("gen", "--for=systemd,sysv,openrc", "--root=dest", "--json", "app").stdout)
    assert {file["path"]: int(file["mode"], 8) for file in told["files"]} == PATHS
    assert told["notes"] == [
        "OpenRC runs the LSB script; one that reads no LSB headers, unlike Debian's, needs its own"
    ]
    assert "rc-service app reload" in (tmp_path / "dest/etc/logrotate.d/app").read_text()
    told = json.loads(initkit("gen", "--for=openrc", "--root=other", "--json", "app").stdout)
    assert [file["kind"] for file in told["files"]][:2] == ["script", "conf"]
    assert "rc-update add app default" in told["scripts"]["after-install"]


def test_what_should_be_known(app: Path, initkit: Run) -> None:
    app.write_text('exec_start = ["/bin/true"]\nstandard_output = "truncate:/var/log/app.log"\n')
    told = json.loads(initkit("gen", "--for=systemd", "--root=dest", "--json", "app").stdout)
    assert told["notes"] == [
        "/var/log/app.log: not rotated, because truncate: goes on writing where it was; append: would not"
    ]
    ran = initkit("gen", "--for=systemd", "--root=dest", "app")
    assert (ran.stdout, ran.stderr) == ("dest/usr/lib/systemd/system/app.service\n", f"initkit: {told['notes'][0]}\n")


@pytest.mark.parametrize("inits", ["systemd", "sysv", "openrc", "systemd,sysv,openrc"])
def test_the_scripts_are_sound(inits: str, tmp_path: Path, app: Path, initkit: Run) -> None:
    text = 'type = "forking"\npid_file = "/run/it\'s/app.pid"\ngroup = "crew"\nstate_directory = ["it\'s"]\n'
    app.write_text(text + SETTINGS.replace('restart = "on-failure"', "nice = 3"))
    assert initkit("gen", f"--for={inits}", "--root=dest", "--scripts=hooks", "app").returncode == 0
    for script in (tmp_path / "hooks").iterdir():
        for argv in (("sh", "-n"), ("shellcheck", "--shell=sh"), ("checkbashisms",)):
            done = subprocess.run([*argv, script], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), script


def test_sockets_and_timers_come_along(tmp_path: Path, initkit: Run) -> None:
    """In a package of a service whose settings are units: also their drop-ins."""
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "app.socket").write_text("[Socket]\nListenStream=/run/app.sock\n")
    (tmp_path / "app.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    (tmp_path / "app.socket.d").mkdir()
    (tmp_path / "app.socket.d/more.conf").write_text("[Socket]\nSocketMode=0600\n")
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "--json", "app")
    assert list(tree(tmp_path / "dest")) and json.loads(ran.stdout)["depends"] == ["initkit"]
    assert set(tree(tmp_path / "dest")) == {
        *(f"/usr/lib/systemd/system/app.{kind}" for kind in ("service", "socket", "timer")),
        *(f"/usr/lib/initkit/app.{kind}" for kind in ("service", "socket", "timer", "socket.d/more.conf")),
        *("/etc/init.d/app", "/etc/cron.d/app"),
    }
    assert json.loads(ran.stdout)["notes"] == [
        "/etc/cron.d/app: needs a cron that reads this folder; busybox's does not"
    ]
    script = json.loads(ran.stdout)["scripts"]["after-install"]
    assert "preset app.socket app.timer app.service" in script


def test_what_each_instance_has_of_its_own(tmp_path: Path, initkit: Run) -> None:
    """A package of a template neither makes it nor rotates it, and above all does not remove it."""
    (tmp_path / "app@.service").write_text(
        "[Unit]\nDescription=App for %i\n[Service]\nExecStart=/bin/true %i\nUser=app\nStateDirectory=%i\n"
        "CacheDirectory=nginx%i\nCacheDirectory=app\nLogsDirectory=app/%I\nStandardOutput=append:/var/log/app/%i.log\n"
        "EnvironmentFile=-/etc/default/app\nEnvironment=A=1 B=%n\n"
    )
    ran = initkit("gen", "--for=systemd", "--root=dest", "--json", "app@.service")
    assert (ran.returncode, ran.stderr) == (0, "")
    told = json.loads(ran.stdout)
    assert [file["kind"] for file in told["files"]] == ["unit", "sysusers", "default"]
    assert told["purged"] == [each["path"] for each in told["directories"]] == ["/var/cache/app"]
    assert told["users"][0]["gecos"] == "app@"
    own = [note.partition(": another for each instance")[0] for note in told["notes"]]
    assert own[:3] == ["StateDirectory=%i", "CacheDirectory=nginx%i", "LogsDirectory=app/%I"]
    assert own[3:] == ["StandardOutput=append:/var/log/app/%i.log"]


def test_what_each_machine_has_of_its_own(app: Path, initkit: Run) -> None:
    app.write_text('exec_start = ["/bin/true"]\nstate_directory = ["app", "app-%H"]\nlogs_directory = ["%m"]\n')
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "--json", "app")
    assert json.loads(ran.stdout)["purged"] == ["/var/lib/app"]
    assert [note.partition(": another for")[0] for note in json.loads(ran.stdout)["notes"]] == [
        "StateDirectory=app-%H", "LogsDirectory=%m"
    ]  # fmt: skip


# --- called otherwise than the file ---------------------------------------------------------------------------------


def test_another_name(tmp_path: Path, app: Path, initkit: Run) -> None:
    """As in debian/, where the package's name stands before what a file is for."""
    path = app.rename(tmp_path / "app.initkit.toml")
    (tmp_path / "app.initkit.toml.d").mkdir()
    (tmp_path / "app.initkit.toml.d/more.toml").write_text("nice = 3\n")
    ran = initkit("gen", "--for=systemd,sysv", "--root=dest", "--name=app", "--json", str(path))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert tree(tmp_path / "dest") == {**PATHS, "/usr/lib/initkit/app.toml.d/more.toml": 0o644}
    assert "\nSETTINGS='app'\n" in (tmp_path / "dest/etc/init.d/app").read_text()
    assert {file["path"] for file in json.loads(ran.stdout)["files"] if file["runner"]} == {"/etc/init.d/app"}
    path.write_text('[initkit]\ncallable = "package.module:main"\n')
    assert initkit("gen", "--for=systemd", "--root=other", "--name=app", str(path)).returncode == 0
    unit = (tmp_path / "other/usr/lib/systemd/system/app.service").read_text()
    assert "\nExecStart=initkit run /usr/lib/initkit/app.toml --foreground\n" in unit


def test_a_name_that_is_none(app: Path, initkit: Run) -> None:
    ran = initkit("gen", "--for=systemd", "--root=dest", "--name=a/b", "app")
    assert ran.returncode == 64
    assert ran.stderr.startswith("initkit: 'a/b' cannot be a service's name: ")


def test_what_a_purge_removes(tmp_path: Path, app: Path, initkit: Run) -> None:
    """What the service has written, not what it is told or what is gone with the machine's next start."""
    kinds = ("runtime", "state", "cache", "logs", "configuration")
    app.write_text('exec_start = ["/bin/true"]\n' + "".join(f'{kind}_directory = ["a/b"]\n' for kind in kinds))
    told = json.loads(initkit("gen", "--for=systemd", "--root=dest", "--json", "app").stdout)
    assert told["purged"] == ["/var/lib/a/b", "/var/cache/a/b", "/var/log/a/b"]
