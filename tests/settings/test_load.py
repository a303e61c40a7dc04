"""Files to services: what is read, what is refused, and how that is said."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from initkit.errors import InitkitError, SettingsError
from initkit.settings.load import load
from initkit.settings.service import Service

GOOD = "[Service]\nExecStart=/bin/true\n"


def fault(path: Path) -> str:
    """The one line that says what is wrong with a file."""
    with pytest.raises(SettingsError) as caught:
        load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.status == 78
    assert message.startswith(str(path.parent))
    return message.removeprefix(f"{path.parent}/")


def refused(tmp_path: Path, text: str | bytes, name: str = "app.service") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return fault(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[Service]\nExecStrat=/bin/a\n",
            ':2: unknown directive ExecStrat = "/bin/a" in [Service] (did you mean ExecStart=?)',
        ),
        ("[Service]\nexec_start=/bin/a\n", ':2: unknown directive exec_start = "/bin/a" in [Service] (did you mean'),
        ("[Unit]\nUser=a\n", ':2: User = "a": does not belong in [Unit] (move it to [Service])'),
        ("[Servce]\nUser=a\n", ":2: unknown section [Servce]: expected one of [Unit], [Service], [Install]"),
        (
            "[Service]\nX-Initkit-Setle=1\n",
            ':2: unknown setting X-Initkit-Setle = "1" (did you mean X-Initkit-SettleSec=?)',
        ),
        ("[X-Initkit-nosuch]\na=b\n", ":2: unknown section [X-Initkit-nosuch]"),
        ("User=a\n", ":1: expected a [Section] before the first setting"),
        ("[Service]\nnonsense\n", ":2: expected Key=value or [Section]"),
        ('[Service]\nExecStart=/bin/a "b\n', ':2: ExecStart = "/bin/a "b": expected a closing quote'),
        ("[Service]\nExecStart=bin/a\n", ':2: ExecStart = "bin/a": expected an absolute path'),
        ("[Service]\nExecStart=/bin/a \\\n  b \\\n  %!%e\n", ":2: ExecStart = "),
        ("[Service]\nExecStart=/bin/a\nWorkingDirectory=srv\n", ':3: WorkingDirectory = "srv": expected an absolute'),
        ("[Service]\nExecStart=/bin/a\nRestartSec=soon\n", ':3: RestartSec = "soon": expected a time span'),
        ("[Service]\nExecStart=/bin/a\nTimeoutSec=1 parsec\n", ':3: TimeoutSec = "1 parsec": expected a time span'),
        ("[Service]\nExecStart=/bin/a\nLimitNOFILE=2:1\n", ':3: LimitNOFILE = "2:1": expected a limit'),
        ("[Service]\nExecStart=/bin/a\nPrivateDevices=maybe\n", ':3: PrivateDevices = "maybe": expected yes or no'),
        (
            "[Service]\nType=oneshot\nExecStart=/bin/a\nExitType=cgroup\n",
            ':4: ExitType = "cgroup": not allowed for a service of type oneshot',
        ),
        (
            "[Service]\nExecStart=/bin/a\nRestartMode=x\n",
            ':3: RestartMode = "x": expected one of normal, direct, debug',
        ),
        ("[Service]\nUser=x\n", ": no program to run (expected exec_start = "),
        ("[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n", ':3: ExecStart = "/bin/b": expected one command'),
        ("# only a comment\n", ": no settings in it"),
        ("", ": empty, and so masked"),
        (b"[Service]\nExecStart=/bin/a\nUser=\xff\n", ":3: byte 0xff is not UTF-8"),
        ("[Service]\nExecStart=/bin/a\0b\n", ":2: expected UTF-8 text"),
    ],
)
def test_bad_units_are_named_on_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert refused(tmp_path, text).startswith(f"app.service{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'description = "\xff"\n', ":1: byte 0xff is not UTF-8"),
        (b"a = 1\0\n", ":1: not TOML: "),
        (b"", ": empty, and so masked"),
        (b"# nothing\n", ": no settings in it"),
        (b"x = " + b"[" * 100_000, ": arrays or tables are nested too deeply"),
    ],
)
def test_bad_toml_is_named_on_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    assert refused(tmp_path, text, "app.toml").startswith(f"app.toml{said}")


@pytest.mark.parametrize("suffix", ["toml", "service"])
def test_what_is_no_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"app.{suffix}"
    path.mkdir()
    assert fault(path) == f"app.{suffix}: cannot be read: Is a directory"
    path.rmdir()
    os.mkfifo(path)
    assert fault(path) == f"app.{suffix}: expected a regular file"
    path.unlink()
    path.symlink_to(path)
    assert fault(path) == f"app.{suffix}: cannot be read: Too many levels of symbolic links"
    path.unlink()
    path.symlink_to("nowhere")
    assert fault(path) == f"app.{suffix}: cannot be read: No such file or directory"
    path.unlink()
    path.symlink_to(os.devnull)
    assert fault(path) == f"app.{suffix}: masked: it is a symlink to /dev/null"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Service]\nNise=3\n", ':2: unknown directive Nise = "3" in [Service] (did you mean Nice=?)'),
        ("[Service]\nNice=300\n", ':2: Nice = "300": expected a nice level from -20 to 19'),
        ("nonsense\n", ":1: expected Key=value"),
    ],
)
def test_a_broken_drop_in_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "app.service").write_text(GOOD)
    (tmp_path / "app.service.d").mkdir()
    (tmp_path / "app.service.d/x.conf").write_text(text)
    assert fault(tmp_path / "app.service").startswith(f"app.service.d/x.conf{said}")


def test_a_dangling_drop_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(GOOD)
    (tmp_path / "app.service.d").mkdir()
    (tmp_path / "app.service.d/x.conf").symlink_to("nowhere")
    assert fault(tmp_path / "app.service") == "app.service.d/x.conf: cannot be read: No such file or directory"


def test_an_unreadable_file() -> None:
    user = os.geteuid()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to the user below
        path = Path(folder) / "app.service"
        path.write_text(GOOD)
        path.chmod(0)
        os.seteuid(user or 65534)  # root may read everything
        try:
            assert fault(path) == "app.service: cannot be read: Permission denied"
        finally:
            os.seteuid(user)


def test_any_bytes_give_a_service_or_one_line(tmp_path: Path) -> None:
    """Every prefix of a good file, and the file with every single byte damaged."""
    good = b'[Service]\nExecStart=/bin/a "b c"\nUser=x\n[Unit]\nAfter=y.service\n'
    path = tmp_path / "app.service"
    damaged = [good[:at] for at in range(len(good))]
    damaged += [
        good[:at] + bytes([byte]) + good[at + 1 :] for at in range(len(good)) for byte in (0, 10, 34, 37, 92, 255)
    ]
    for data in damaged:
        path.write_bytes(data)
        try:
            load(str(path))
        except InitkitError as error:
            assert "\n" not in str(error)


# --- what is good ---------------------------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> Service:
    path = tmp_path / "app.service"
    path.write_text(text)
    return load(str(path))


def test_an_empty_assignment_resets(tmp_path: Path) -> None:
    service = read(
        tmp_path, "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\nUser=x\nUser=\nNice=3\nNice=\n"
    )
    assert [command.path for command in service.exec_start] == ["/bin/b"]
    assert (service.account, service.nice) == ("", None)
    assert not service.has("User")


def test_dependencies_cannot_be_reset(tmp_path: Path) -> None:
    """systemd.unit(5), "dependencies (After=, etc.) cannot be reset to an empty list"."""
    service = read(
        tmp_path, GOOD + "[Unit]\nAfter=a.service\nAfter=\nAfter=b.service\n[Install]\nWantedBy=a.target\nWantedBy=\n"
    )
    assert (service.after, service.wanted_by) == (("a.service", "b.service"), ())


def test_old_names_are_those_they_became(tmp_path: Path) -> None:
    service = read(tmp_path, GOOD + "StartLimitInterval=5\nReadOnlyDirectories=/a\n[Unit]\nBindTo=b.service\n")
    assert (service.start_limit_interval, service.binds_to) == (5.0, ("b.service",))
    assert service.assignments("ReadOnlyPaths")[0].spelled == "ReadOnlyDirectories"


def test_timeout_sec_sets_both_and_the_last_assignment_counts(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).stop_timeout == 90
    one = read(tmp_path, GOOD + "TimeoutStopSec=1\nTimeoutSec=2\n")
    assert (one.start_timeout, one.stop_timeout) == (2, 2)
    other = read(tmp_path, GOOD + "TimeoutSec=2\nTimeoutStopSec=1\n")
    assert (other.start_timeout, other.stop_timeout) == (2, 1)
    assert read(tmp_path, GOOD + "TimeoutSec=0\n").stop_timeout == float("inf")


def test_what_systemd_ignores_is_kept_and_means_nothing(tmp_path: Path) -> None:
    service = read(tmp_path, GOOD + "X-Foo=bar\n[X-Other]\nUser=nobody\n")
    assert service.account == ""
    assert service.assignments("X-Foo")[0].value == "bar"


def test_tables_of_inits_do_not_mix_with_directives(tmp_path: Path) -> None:
    service = read(tmp_path, GOOD + "[X-Initkit-sysv]\nDescription=only there\n")
    assert service.description == ""
    assert [(each.key, each.value) for each in service.tables("sysv")] == [("Description", "only there")]


def test_newer_directives_go_through(tmp_path: Path) -> None:
    service = read(tmp_path, GOOD + "RestartMode=direct\nExitType=cgroup\nRestartSteps=3\nRestartMaxDelaySec=1min\n")
    assert [entry.key for entry in service.entries[1:]] == [
        "RestartMode",
        "ExitType",
        "RestartSteps",
        "RestartMaxDelaySec",
    ]


def test_all_faults_are_told(tmp_path: Path) -> None:
    from initkit.settings.load import parse

    path = tmp_path / "app.service"
    path.write_text("[Service]\nExecStart=x/y\nNice=99\nUMask=9\nRestartMode=x\n")
    assert [fault.where for fault in parse(str(path)).faults()] == [f"{path}:{line}" for line in (2, 3, 4, 5)]
