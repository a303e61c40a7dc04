"""TOML and unit files: one text has one meaning in both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from initkit.errors import SettingsError
from initkit.inits import Options, systemd
from initkit.inits.render import toml as toml_text
from initkit.settings import directives, syntax
from initkit.settings.load import load, parse
from initkit.settings.service import Service

Load = Callable[[str], Service]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Settings in TOML, read."""

    def read_one(text: str) -> Service:
        path = tmp_path / "app.toml"
        path.write_text(text, encoding="utf-8")
        return load(str(path))

    return read_one


def values(service: Service) -> dict[str, Any]:
    """Every attribute of a service that comes from its settings."""
    found = {row.attribute: getattr(service, row.attribute) for row in Service.rows.values()}
    sets = ("success_exit_status", "cpu_affinity")
    found.update({name: set(found[name]) for name in sets})
    derived = ("type", "environment", "limits", "stop_timeout", "start_timeout", "pid_path")
    return {**found, **{name: getattr(service, name) for name in derived}}


def meaning(service: Service) -> list[tuple[str, str, str]]:
    """What the settings say, wherever they stand."""
    return sorted((entry.section, entry.key, entry.value) for entry in service.entries)


# --- both forms say the same ----------------------------------------------------------------------------------------

TOML = """\
description = "An app, 100 %% plain"
after = ["network.target", "db.service"]
wanted_by = "multi-user.target"
type = "notify"
exec_start_pre = [["/bin/mkdir", "-p", "/run/x"], ["-/bin/false"]]
exec_start = ["/usr/bin/app", "--name", "a b", "x\\"y", "it's", "", ";", "$HOME", "${X}y", "$$5", "tab\\there", "\\\\n"]
exec_reload = ["/bin/kill", "-HUP", "$MAINPID"]
restart = "on-failure"
restart_sec = 1.5
timeout_stop_sec = "1min 30s"
success_exit_status = [3, "SIGKILL"]
kill_signal = "SIGINT"
user = "daemon"
umask = "0027"
nice = -5
limit_nofile = "1024:4096"
limit_core = 0
no_new_privileges = true
private_tmp = true
send_sighup = false
environment_file = ["-/etc/default/app", "/etc/app env"]
supplementary_groups = ["adm", "tty"]
capability_bounding_set = ["~CAP_SYS_ADMIN CAP_NET_ADMIN"]
io_device_weight = ["/dev/sda 200"]
condition_path_exists = "!/etc/off"

[environment]
A = "b c"
B = "quo\\"te's"
C = "new\\nline"
D = 5
E = ""

[initkit]
settle_sec = "2s"

[sysv]
default_start = "2 3"
"""

UNIT = """\
[Unit]
Description=An app, 100 %% plain
After=network.target db.service
ConditionPathExists=!/etc/off
[Service]
Type=notify
ExecStartPre=/bin/mkdir -p /run/x
ExecStartPre=-/bin/false
ExecStart=/usr/bin/app --name "a b" x\\"y it\\'s "" \\; $HOME ${X}y $$5 tab\\there \\
   \\\\n
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1500ms
TimeoutStopSec=90
SuccessExitStatus=3 SIGKILL
KillSignal=2
User=daemon
UMask=27
Nice=-5
LimitNOFILE=1024:4096
LimitCORE=0
NoNewPrivileges=1
PrivateTmp=yes
SendSIGHUP=no
EnvironmentFile=-/etc/default/app
EnvironmentFile=/etc/app env
SupplementaryGroups=adm tty
CapabilityBoundingSet=~CAP_SYS_ADMIN CAP_NET_ADMIN
IODeviceWeight=/dev/sda 200
Environment="A=b c" "B=quo\\"te's" C=new\\nline
Environment=D=5 E=
X-Initkit-SettleSec=2
[Install]
WantedBy=multi-user.target
[X-Initkit-sysv]
DefaultStart=2 3
"""


def test_toml_and_unit_give_the_same_service(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(TOML)
    (tmp_path / "app.service").write_text(UNIT)
    one, other = load(str(tmp_path / "app.toml")), load(str(tmp_path / "app.service"))
    assert values(one) == values(other)
    assert [(each.key, each.value) for each in one.tables("sysv")] == [("DefaultStart", "2 3")]
    assert [(each.key, each.value) for each in other.tables("sysv")] == [("DefaultStart", "2 3")]
    assert one.exec_start[0].words[1:] == (
        "--name", "a b", 'x"y', "it's", "", ";", "$HOME", "${X}y", "$$5", "tab\there", "\\n",
    )  # fmt: skip
    assert one.environment == {"A": "b c", "B": "quo\"te's", "C": "new\nline", "D": "5", "E": ""}


def test_a_unit_written_from_settings_says_what_they_say(tmp_path: Path) -> None:
    """Unit, service, gen-unit, service: nothing is lost, tables of other inits and X- keys neither."""
    (tmp_path / "app.service").write_text(UNIT + "X-More=1\n[X-Else]\nkey=value\n")
    before = load(str(tmp_path / "app.service"))
    (unit,) = systemd.files(before, Options())
    again = tmp_path / "again"
    again.mkdir()
    (again / "app.service").write_text(unit.text)
    after = load(str(again / "app.service"))
    assert values(after) == values(before)
    assert meaning(after) == meaning(before)


# --- generated settings ---------------------------------------------------------------------------------------------

words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12).filter(
    syntax.is_utf8
)
plain = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), max_size=12).filter(
    lambda text: syntax.is_utf8(text) and not text.endswith("\\")
)
unspecified = words.map(lambda word: word.replace("%", "%%"))
commands = st.lists(unspecified, max_size=4).map(lambda rest: ["/bin/app", *rest])
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True)

#: TOML key -> values that it may have
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "description": plain.map(lambda text: text.replace("%", "%%")),
    "after": st.lists(st.sampled_from(["a.service", "b.target", "c@d.socket"]), max_size=3),
    "exec_stop": st.lists(commands, min_size=1, max_size=2),
    "environment": st.dictionaries(names, unspecified, max_size=3),
    "pass_environment": st.lists(names, max_size=3),
    "restart": st.sampled_from(["no", "on-failure", "always", ""]),
    "restart_sec": st.one_of(st.integers(0, 10**6), st.sampled_from(["5min 20s", "100ms", ""])),
    "umask": st.sampled_from(["0", "022", "0077", ""]),
    "nice": st.integers(-20, 19),
    "limit_nofile": st.one_of(st.integers(0, 2**40), st.just("infinity"), st.just("1:2")),
    "send_sighup": st.booleans(),
    "runtime_directory": st.lists(st.sampled_from(["a", "b/c", "d:e", "with blank"]), max_size=2),
    "standard_output": st.sampled_from(["null", "journal", "append:/var/log/a b.log", ""]),
    "working_directory": st.sampled_from(["/", "/srv", "-/nowhere", "~", ""]),
    "success_exit_status": st.lists(st.sampled_from([1, "TEMPFAIL", "SIGHUP"]), max_size=2, unique=True),
    "cpu_affinity": st.lists(st.sampled_from([0, "1-3", "5-7"]), max_size=2, unique=True),
}
all_settings = st.fixed_dictionaries({"exec_start": commands}, optional=VALUES)


def as_toml(value: Any) -> str:
    """A value of TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    return str(value).lower() if isinstance(value, bool | int) else toml_text(value)


def as_unit(chosen: dict[str, Any]) -> str:
    """The same settings as somebody might write a unit by hand: everything quoted that may be."""
    lines: dict[str, list[str]] = {section: [] for section in directives.SECTIONS}
    for key, value in chosen.items():
        row = directives.find_toml(key)
        assert row is not None
        lines[row.section] += [f"{row.name}={text}" for text in right_hand_sides(row, value)]
    return "\n".join(line for section, all_of in lines.items() for line in [f"[{section}]", *all_of]) + "\n"


def right_hand_sides(row: directives.Directive, value: Any) -> list[str]:
    if value in ([], {}, ""):
        return [""]
    if row.is_command:
        listed = value if isinstance(value[0], list) else [value]
        return [" ".join(r"\;" if word == ";" else quoted(word) for word in each) for each in listed]
    if isinstance(value, dict):
        return [" ".join(quoted(f"{name}={each}") for name, each in value.items())]
    if isinstance(value, list):
        return [" ".join(quoted(str(each)) for each in value)]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def quoted(word: str) -> str:
    """In single quotes, each byte that is no plain one as an escape."""
    return "'" + "".join(f"\\x{b:02x}" if b < 0x20 or b > 0x7E or b in b"\\'" else chr(b) for b in word.encode()) + "'"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=all_settings)
def test_any_settings_mean_the_same_in_both_forms(tmp_path: Path, chosen: dict[str, Any]) -> None:
    (tmp_path / "app.toml").write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in chosen.items()))
    (tmp_path / "app.service").write_text(as_unit(chosen))
    one, other = parse(str(tmp_path / "app.toml")), parse(str(tmp_path / "app.service"))
    assert values(one) == values(other)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=all_settings)
def test_any_settings_survive_gen_unit(tmp_path: Path, chosen: dict[str, Any]) -> None:
    path = tmp_path / "app.toml"
    path.write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in chosen.items()))
    before = parse(str(path))
    (unit,) = systemd.files(before, Options())
    (tmp_path / "app.service").write_text(unit.text)
    after = parse(str(tmp_path / "app.service"))
    assert values(after) == values(before)
    assert meaning(after) == meaning(before)


# --- TOML's own forms -----------------------------------------------------------------------------------------------


def test_an_empty_item_resets(read: Load) -> None:
    service = read('exec_start = [["/bin/a"], [], ["/bin/b"]]\npass_environment = ["A", "", "B"]\n')
    assert [command.path for command in service.exec_start] == ["/bin/b"]
    assert service.pass_environment == ("B",)


def test_a_list_may_be_one_string(read: Load) -> None:
    service = read('exec_start = ["/bin/a"]\nafter = "a.service b.service"\n')
    assert service.after == ("a.service", "b.service")


def test_every_directive_can_be_spelled() -> None:
    for row in directives.every():
        found = directives.find_toml(row.toml)
        assert found is not None
        assert (found.section, found.name) == (row.section, row.name)


@pytest.mark.parametrize("name", ["restart_mode", "exit_type", "restart_steps", "restart_max_delay_sec", "memory_max"])
def test_newer_directives_are_known(name: str) -> None:
    assert directives.find_toml(name) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('exec_strat = ["/bin/a"]', ":1: unknown directive exec_strat = \"['/bin/a']\" (did you mean exec_start?)"),
        ('ExecStart = "/bin/a"', ':1: unknown directive ExecStart = "/bin/a" (did you mean exec_start?)'),
        (
            "[Service]",
            ":1: unknown table [Service] (directives stand at the top level; "
            "tables are [socket], [timer], [initkit] and one per init)",
        ),
        ("[initkit]\nsettle = 1", ':2: unknown setting settle = "1" in [initkit] (did you mean settle_sec?)'),
        (
            'exec_start = "/bin/a -b"',
            ':1: exec_start = "/bin/a -b": expected a command such as ["/usr/bin/app", "--flag"]',
        ),
        ('exec_start = [["/bin/a"], "b"]', ":1: exec_start = "),
        ("umask = 27", ':1: umask = "27": expected an octal mode in quotes such as "0027"'),
        ("description = 5", ':1: description = "5": expected a string'),
        ("restart = true", ":1: restart = true: expected one of no, on-success"),
        ('type = "forkin"', ':1: type = "forkin": expected one of simple, exec, forking'),
        ("send_sighup = 3", ':1: send_sighup = "3": expected true or false'),
        ('restart_sec = "5 parsecs"', ':1: restart_sec = "5 parsecs": expected a time span such as 5min 20s'),
        ("start_limit_burst = -3", ':1: start_limit_burst = "-3": expected a whole number from 0 to 4294967295'),
        ("nice = true", ":1: nice = true: expected a number from -20 to 19"),
        ("kill_mode = true", ":1: kill_mode = true: expected one of control-group"),
        ("nice = 1\ninitkit = { foo = 3 }", ':2: unknown setting foo = "3" in [initkit]'),
        ('exec_start = ["/bin/a"]\nsocket = { listen_stream = 0 }', ':2: listen_stream = "0": expected a port'),
        ('nice = "high"', ':1: nice = "high": expected a nice level from -20 to 19'),
        ('working_directory = "srv"', ':1: working_directory = "srv": expected an absolute path'),
        ('exec_start = ["bin/app"]', ':1: exec_start = "bin/app": expected an absolute path'),
        ('exec_start = ["/bin/a", "%!", "%e"]', ":1: exec_start = "),
        ('exec_start = ["/bin/a", "\\u0000"]', ":1: exec_start = "),
        ('description = "a\\nb"', ':1: description = "a\\nb": expected one line'),
        ('description = "ends \\\\"', ":1: description = "),
        ('environment = { "A B" = "c" }', ":1: environment = "),
        ("environment = { A = [1] }", ':1: environment.A = "[1]": expected a string'),
        ('user = "a:b"', ':1: user = "a:b": expected the name of a user'),
        ('standard_output = "append:x"', ':1: standard_output = "append:x": expected an absolute path'),
        ('standard_input = "journal"', ':1: standard_input = "journal": expected one of null, tty'),
        ('limit_nofile = "many"', ':1: limit_nofile = "many": expected'),
        ('on_failure_job_mode = "0644"', ':1: on_failure_job_mode = "0644": expected one of fail, replace'),
        ("nice = 1\nnice = 2", ":2: nice: assigned twice, first in line 1 (keep one of them)"),
        ("nice = 1\n[initkit]\n[initkit]", ":3: [initkit]: assigned twice"),
        ('description = "open', ":1: not TOML: "),
        ("=", ":1: not TOML: "),
        ('type = "dbus"\nexec_start = ["/bin/a"]', ':1: type = "dbus": expected bus_name = '),
        ('type = "oneshot"\nexec_start = ["/bin/a"]\nrestart = "always"', ':3: restart = "always": not allowed'),
        (
            'exec_start = [["/bin/a"], ["/bin/b"]]',
            ':1: exec_start = "/bin/b": expected one command for a service of type',
        ),
        (
            'exec_start = ["/bin/a"]\n[initkit]\ncallable = "a:b"',
            ':3: callable = "a:b": callable and exec_start exclude',
        ),
        ('[initkit]\ncallable = "nonsense"', ':2: callable = "nonsense": expected package.module:function'),
        ('description = "nothing to run"', ": no program to run (expected exec_start = "),
    ],
)
def test_bad_input_is_named_on_one_line(read: Load, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text + "\n")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/app.toml{said}")
    assert "\n" not in message
    assert caught.value.status == 78


def test_lines_are_found_in_a_real_file(read: Load) -> None:
    with pytest.raises(SettingsError, match=r"app.toml:8: umask = "):
        read('# nice = 3\nexec_start = [\n  "/bin/a",\n  "[x]",\n]\nexec_stop = [\n  ["/bin/b"],]\numask = "9"\n')


def test_a_byte_order_mark_is_passed_over(read: Load) -> None:
    service = read('\ufeffexec_start = ["/bin/a"]\nnice = 3\n')
    assert (service.nice, service.assignments("Nice")[0].line) == (3, 2)
