"""`Service`: frozen, typed, with systemd's defaults."""

from __future__ import annotations

import pytest

from initkit.errors import SettingsError
from initkit.settings.service import Directory, Entry, OptionalPath, Service, Stream


def service(*assignments: str, name: str = "app", user: bool = False) -> Service:
    """A service of assignments such as "User=x", all in [Service]."""
    entries = [
        Entry("Service", key, value, "app.service", 1)
        for key, _, value in (each.partition("=") for each in assignments)
    ]
    return Service(name, "/etc/initkit/app.service", tuple(entries), user=user)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="frozen"):
        service().description = "x"  # type: ignore[misc]


def test_the_defaults_are_those_of_systemd() -> None:
    plain = service("ExecStart=/bin/true")
    assert (plain.type, plain.restart, plain.restart_sec, plain.umask) == ("simple", "no", 0.1, 0o022)
    assert (plain.kill_mode, plain.kill_signal, plain.final_kill_signal) == ("control-group", 15, 9)
    assert (plain.start_timeout, plain.stop_timeout, plain.watchdog) == (90.0, 90.0, 0.0)
    assert (plain.working_directory, plain.standard_input) == (OptionalPath("/"), Stream("null"))
    assert plain.pid_path == "/run/app.pid"
    assert (plain.start_limit_interval, plain.start_limit_burst) == (10.0, 5)
    assert plain.limits == {}


def test_without_a_program_it_is_oneshot_and_has_all_the_time() -> None:
    assert service("ExecStop=/bin/true").type == "oneshot"
    assert service("Type=oneshot", "ExecStart=/bin/true").start_timeout == float("inf")


def test_with_a_bus_name_it_is_of_type_dbus() -> None:
    assert service("BusName=org.example.%p", "ExecStart=/bin/true").type == "dbus"
    assert service("BusName=org.example.%p", "ExecStart=/bin/true").bus_name == "org.example.app"
    assert service("BusName=org.example.App", "Type=exec", "ExecStart=/bin/true").type == "exec"


def test_specifiers_are_expanded_where_systemd_does() -> None:
    found = service("User=%p", "PIDFile=%t/%n.pid", "ExecStart=/bin/%p %i 100%%", "Environment=A=%N", name="app@x")
    assert (found.account, found.pid_file) == ("app", "/run/app@x.service.pid")
    assert (found.exec_start[0].path, found.exec_start[0].words[1:]) == ("/bin/app", ("x", "100%"))
    assert found.environment == {"A": "app@x"}


def test_lists_add_up_and_the_last_single_value_counts() -> None:
    found = service("Nice=1", "Nice=2", "Environment=A=1 B=2", "Environment=A=3", "RuntimeDirectory=a b:c")
    assert (found.nice, found.environment) == (2, {"A": "3", "B": "2"})
    assert found.runtime_directory == (Directory("a"), Directory("b", ("c",)))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("LimitNOFILE=5", {"NOFILE": (5, 5)}),
        ("LimitNOFILE=5:6", {"NOFILE": (5, 6)}),
        ("LimitCORE=infinity", {"CORE": (-1, -1)}),
        ("LimitAS=1K:1M", {"AS": (1024, 1048576)}),
    ],
)
def test_limits(text: str, limit: dict[str, tuple[int, int]]) -> None:
    assert service(text).limits == limit
    assert service(text, f"{text.partition('=')[0]}=").limits == {}


def test_the_pid_file_of_a_user_is_below_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    assert service("PIDFile=x/y.pid", user=True).pid_path == "/run/user/5/x/y.pid"
    assert service(user=True).pid_path == "/run/user/5/app.pid"
    assert service("PIDFile=y.pid").pid_path == "/run/y.pid"


def test_messages_show_the_value_on_one_line() -> None:
    assert Entry("Service", "User", "a\nb\té").shown == '"a\\nb\\té"'
    assert len(Entry("Service", "User", "x" * 5000).shown) <= 100
    assert str(Entry("Service", "User", "x", "f", 3, "user").error("wrong", "hint")) == 'f:3: user = "x": wrong (hint)'


def test_a_template_is_judged_by_an_instance_of_it() -> None:
    service("User=%i", "ExecStart=/bin/true", name="app@").verify()
    with pytest.raises(SettingsError, match="expected the name of a user"):
        service("User=a:%i", "ExecStart=/bin/true", name="app@").verify()
