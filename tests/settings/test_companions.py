"""A service's sockets and its timer: in a TOML table, in units beside it; the same meaning in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from initkit.errors import SettingsError
from initkit.settings import directives, syntax
from initkit.settings.addresses import IPV6, UNIX, Address
from initkit.settings.companions import Listen, Socket, Timer
from initkit.settings.load import load, parse
from initkit.settings.service import Service

SERVICE = "[Service]\nExecStart=/bin/true\n"
TOML = 'exec_start = ["/bin/true"]\n'


def unit(tmp_path: Path, socket: str = "", timer: str = "", service: str = SERVICE, name: str = "app") -> Service:
    """A service in unit files."""
    (tmp_path / f"{name}.service").write_text(service)
    for suffix, text in (("socket", socket), ("timer", timer)):
        if text:
            (tmp_path / f"{name}.{suffix}").write_text(text)
    return load(str(tmp_path / f"{name}.service"))


def toml(tmp_path: Path, text: str, name: str = "app") -> Service:
    path = tmp_path / f"{name}.toml"
    path.write_text(TOML + text)
    return load(str(path))


def the_socket(service: Service) -> Socket:
    (found,) = service.sockets
    return found


def the_timer(service: Service) -> Timer:
    assert service.timer is not None
    return service.timer


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_socket_beside_a_unit(tmp_path: Path) -> None:
    service = unit(
        tmp_path,
        "[Unit]\nDescription=the socket\n[Socket]\nListenStream=/run/%p.sock\nListenDatagram=53\nSocketMode=0600\n"
        "SocketUser=root\nFileDescriptorName=main\nX-Other=1\n[Install]\nWantedBy=sockets.target\n",
    )
    found = the_socket(service)
    assert (found.unit, found.path) == ("app.socket", str(tmp_path / "app.socket"))
    assert found.listens == (
        Listen("stream", "/run/app.sock", Address(UNIX, "/run/app.sock")),
        Listen("datagram", "", Address(IPV6, "", 53)),
    )
    assert (found.mode, found.account, found.descriptor_name, found.backlog) == (0o600, "root", "main", 2**32 - 1)
    assert (service.description, service.wanted_by) == ("", ())
    assert service.timer is None
    assert all(entry.section in ("Unit", "Service", "Install") for entry in service.entries)


def test_a_table_of_toml(tmp_path: Path) -> None:
    service = toml(
        tmp_path,
        'description = "the service"\n[socket]\nlisten_stream = [8080, "@app"]\nno_delay = true\n'
        'description = "the socket"\nwanted_by = ["sockets.target"]\n'
        '[timer]\non_calendar = ["daily", "Mon 12:00"]\npersistent = true\non_boot_sec = 90\n',
    )
    found, timer = the_socket(service), the_timer(service)
    assert [each.address for each in found.listens] == [Address(IPV6, "", 8080), Address(UNIX, "@app")]
    assert (found.no_delay, found.descriptor_name, found.path) == (True, "app.socket", service.path)
    assert [(each.key, each.value) for each in timer.elapses] == [
        ("OnCalendar", "daily"), ("OnCalendar", "Mon 12:00"), ("OnBootSec", "90"),
    ]  # fmt: skip
    assert (timer.persistent, timer.unit) == (True, "app.timer")
    assert service.description == "the service"
    assert [unit.unit for unit in service.units] == ["app.service", "app.socket", "app.timer"]
    assert {"Socket.ListenStream", "Timer.OnCalendar", "Description", "Socket.Description"} <= set(service.settings())


def test_drop_ins_add_to_them(tmp_path: Path) -> None:
    files = {
        "app.socket.d/a.conf": "[Socket]\nListenStream=2\n",
        "app.timer.d/b.conf": "[Timer]\nOnCalendar=\nOnBootSec=5\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    service = unit(tmp_path, "[Socket]\nListenStream=1\n", "[Timer]\nOnCalendar=daily\n")
    assert [each.address for each in the_socket(service).listens] == [Address(IPV6, "", 1), Address(IPV6, "", 2)]
    assert [each.key for each in the_timer(service).elapses] == ["OnBootSec"]
    (tmp_path / "other.toml.d").mkdir()
    (tmp_path / "other.toml.d/a.toml").write_text("[socket]\nlisten_stream = 2\n")
    other = toml(tmp_path, "[socket]\nlisten_stream = 1\n", "other")
    assert len(the_socket(other).listens) == 2


def test_an_empty_assignment_of_any_kind_resets_all_addresses(tmp_path: Path) -> None:
    service = unit(tmp_path, "[Socket]\nListenStream=1\nListenDatagram=2\nListenFIFO=\nListenStream=3\n")
    assert [each.address for each in the_socket(service).listens] == [Address(IPV6, "", 3)]


def test_sockets_names_more_of_them(tmp_path: Path) -> None:
    (tmp_path / "admin.socket").write_text("[Socket]\nListenStream=2\n")
    service = unit(
        tmp_path, "[Socket]\nListenStream=1\n", service=SERVICE + "Sockets=app.socket admin.socket absent.socket\n"
    )
    assert [each.unit for each in service.sockets] == ["app.socket", "admin.socket"]
    assert [each.descriptor_name for each in service.sockets] == ["app.socket", "admin.socket"]


def test_what_is_about_another_service_is_passed_over(tmp_path: Path) -> None:
    service = unit(
        tmp_path, "[Socket]\nListenStream=1\nService=other.service\n", "[Timer]\nOnBootSec=1\nUnit=other.service\n"
    )
    assert (service.sockets, service.timer) == ((), None)
    (tmp_path / "app.socket").write_text("[Socket]\nListenStream=1\nService=app.service\n")
    assert len(load(service.path).sockets) == 1


def test_a_masked_one_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "app.socket").symlink_to("/dev/null")
    (tmp_path / "app.timer").write_text("")
    service = unit(tmp_path)
    assert (service.sockets, service.timer) == ((), None)


def test_templates(tmp_path: Path) -> None:
    (tmp_path / "app@.service").write_text(SERVICE)
    (tmp_path / "app@.socket").write_text("[Socket]\nListenStream=/run/%i.sock\n")
    (found,) = load(str(tmp_path / "app@one.service")).sockets
    assert (found.unit, found.listens[0].path) == ("app@one.socket", "/run/one.sock")
    (tmp_path / "app@.socket").unlink()
    (tmp_path / "app.socket").write_text("[Socket]\nListenStream=80\nAccept=yes\n")
    (found,) = load(str(tmp_path / "app@.service")).sockets
    assert (found.unit, found.accept) == ("app.socket", True)


# --- refusing -------------------------------------------------------------------------------------------------------


def fault(path: Path) -> str:
    """The one line that says what is wrong."""
    with pytest.raises(SettingsError) as caught:
        load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.status == 78
    return message.removeprefix(f"{path.parent}/")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Socket]\nListenStraem=1\n", ':2: unknown directive ListenStraem = "1" in [Socket] (did you'),
        ("[Service]\nExecStart=/bin/a\n", ":2: unknown section [Service]: expected one of [Socket], [Unit], [Install]"),
        ("[Unit]\nListenStream=1\n", ':2: ListenStream = "1": does not belong in [Unit] (move it to [Socket])'),
        ("[Socket]\nX-Other=1\nListenStream=0\n", ':3: ListenStream = "0": expected a port from 1 to 65535'),
        ("[Socket]\nX-Initkit-SettleSec=1\n", ':2: unknown setting X-Initkit-SettleSec = "1" (it belongs to the serv'),
        ("[X-Initkit-sysv]\na=1\n", ":2: unknown section [X-Initkit-sysv]: expected one of [Socket]"),
        ("[Socket]\nListenStream=app.sock\n", ':2: ListenStream = "app.sock": expected a /path, an @name, a port'),
        ("[Socket]\nListenSequentialPacket=80\n", ':2: ListenSequentialPacket = "80": expected a /path or an @name'),
        ("[Socket]\nListenFIFO=x\n", ':2: ListenFIFO = "x": expected an absolute path'),
        ("[Socket]\nListenNetlink=audit x\n", ':2: ListenNetlink = "audit x": expected a Netlink group'),
        ("[Socket]\nListenStream=1\nSocketMode=9\n", ':3: SocketMode = "9": expected '),
        ("[Socket]\nListenStream=1\nBindIPv6Only=maybe\n", ':3: BindIPv6Only = "maybe": expected one of default, both'),
        ("[Socket]\nListenStream=1\nFileDescriptorName=a:b\n", ':3: FileDescriptorName = "a:b": expected at most 255'),
        ("[Socket]\nListenStream=1\nNoDelay=maybe\n", ':3: NoDelay = "maybe": expected yes or no'),
        ("[Socket]\nListenStream=1\nBacklog=-1\n", ':3: Backlog = "-1": expected a whole number from 0'),
        ("[Socket]\nListenStream=1\nMaxConnections=x\n", ':3: MaxConnections = "x": expected a whole number'),
        ("[Socket]\nListenStream=1\nIPTOS=fast\n", ':3: IPTOS = "fast": expected a number or one of low-delay'),
        ("[Socket]\nListenStream=1\nReceiveBuffer=x\n", ':3: ReceiveBuffer = "x": expected a size'),
        ("[Socket]\nListenStream=1\nLimitNOFILE=x\n", ':3: LimitNOFILE = "x": expected a limit'),
        ("[Socket]\nListenStream=1\nAccept=yes\n", ""),  # it is app@.service's
        ("[Socket]\nListenStream=1\nSymlinks=/a\n", ':3: Symlinks = "/a": expected exactly one socket or FIFO'),
        ("[Socket]\nSocketMode=0600\n", ": app.socket: nothing to listen on (expected listen_stream"),
        ("[Socket]\nListenStream=1\nService=x\n", ""),
    ],
)  # fmt: skip
def test_bad_sockets_are_named_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "app.service").write_text(SERVICE)
    (tmp_path / "app.socket").write_text(text)
    if said:
        assert fault(tmp_path / "app.service").startswith(f"app.socket{said}")
    else:
        assert load(str(tmp_path / "app.service")).sockets == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Timer]\nOnCalendar=dayly\n", ':2: OnCalendar = "dayly": expected a calendar event'),
        ("[Timer]\nOnBootSec=soon\n", ':2: OnBootSec = "soon": expected a time span'),
        ("[Timer]\nOnBootSec=1\nPersistent=x\n", ':3: Persistent = "x": expected yes or no'),
        ("[Timer]\nOnBootSec=1\nUnit=\nUnit=app.timer\n", ""),
        ("[Timer]\nPersistent=yes\n", ": app.timer: it never elapses"),
        ("[Socket]\nListenStream=1\n", ":2: unknown section [Socket]: expected one of [Timer], [Unit], [Install]"),
    ],
)
def test_bad_timers_are_named_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "app.service").write_text(SERVICE)
    (tmp_path / "app.timer").write_text(text)
    if said:
        assert fault(tmp_path / "app.service").startswith(f"app.timer{said}")
    else:
        assert load(str(tmp_path / "app.service")).timer is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[socket]\nlisten_straem = 1", ':3: unknown directive listen_straem = "1" in [socket] (did you'),
        ("[socket]\nlisten_stream = true", ':3: listen_stream = true: expected an address such as 8080'),
        ("[socket]\nlisten_stream = [80, 0]", ':3: listen_stream = "0": expected a port'),
        ("[socket]\nsocket_mode = 600", ':3: socket_mode = "600": expected an octal mode in quotes'),
        ('[socket]\nlisten_stream = 1\nno_delay = "x"', ':4: no_delay = "x": expected yes or no'),
        ('[socket]\nlisten_stream = 1\nservice = "x.service"', ':4: service = "x.service": expected app.service'),
        ("[socket]\nlisten_stream = 1\nexec_start_pre = 5", ':4: exec_start_pre = "5": expected a command'),
        ("[timer]\non_calendar = 5", ':3: on_calendar = "5": expected a calendar event'),
        ('[timer]\non_boot_sec = 5\nunit = "x.service"', ':4: unit = "x.service": expected app.service'),
        ("[timer]\nlisten_stream = 1", ":3: unknown directive listen_stream"),
        ("[Socket]\nlisten_stream = 1", ":2: unknown table [Socket] (directives stand at the top level; "),
        ("[socket]\n", ""),
        ("socket = 5", ""),
    ],
)  # fmt: skip
def test_bad_tables_are_named_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "app.toml"
    path.write_text(f"{TOML}{text}\n")
    if said:
        assert fault(path).startswith(f"app.toml{said}")
    elif text == "[socket]\n":
        assert load(str(path)).sockets == ()
    else:
        assert fault(path).startswith('app.toml:2: unknown directive socket = "5"')


def test_all_faults_are_told(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/true\nNice=99\n")
    (tmp_path / "app.socket").write_text("[Socket]\nListenStream=x\nBacklog=x\n")
    (tmp_path / "app.timer").write_text("[Timer]\nOnCalendar=x\n")
    found = [fault.where.removeprefix(f"{tmp_path}/") for fault in parse(str(tmp_path / "app.service")).faults()]
    assert found == ["app.service:3", "app.socket:2", "app.socket:3", "app.timer:2"]


# --- the same in both forms -----------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from([80, "127.0.0.1:80", "[::1]:80", "/run/a b.sock", "@a'b", "vsock::5", "/run/%p.sock"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "listen_stream": st.lists(ADDRESSES, max_size=3),
    "listen_datagram": st.lists(ADDRESSES, max_size=2) | ADDRESSES,
    "listen_fifo": st.sampled_from(["/run/fifo", "", "/run/a b"]),
    "socket_mode": st.sampled_from(["0600", "", "666"]),
    "socket_user": st.sampled_from(["root", "nobody", "0"]),
    "no_delay": st.booleans(),
    "backlog": st.integers(0, 5000),
    "keep_alive_time_sec": st.sampled_from([5, "5min", 1.5]),
    "receive_buffer": st.sampled_from(["64K", 4096]),
    "symlinks": st.lists(st.sampled_from(["/run/a", "/run/b c"]), max_size=2),
    "file_descriptor_name": st.sampled_from(["web", "a b", "%p-x"]),
    "bind_ipv6_only": st.sampled_from(["both", "ipv6-only", ""]),
    "description": st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters="%\\"), max_size=9),
    "exec_start_pre": st.lists(st.sampled_from(["a", "b c", "'"]), max_size=2).map(lambda words: ["/bin/true", *words]),
}
TIMES: dict[str, st.SearchStrategy[Any]] = {
    "on_calendar": st.lists(st.sampled_from(["daily", "Mon..Fri *-*-1,15 03:00"]), max_size=2) | st.just("weekly"),
    "on_boot_sec": st.sampled_from([5, 1.5, "5min 3s", ["1", "2"], ""]),
    "persistent": st.booleans(),
    "unit": st.sampled_from(["app.service", ""]),
}


def as_toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_unit(kind: str, chosen: dict[str, Any]) -> str:
    """As somebody might write it by hand."""
    lines: dict[str, list[str]] = {section: [] for section in directives.SECTIONS_OF[kind]}
    for key, value in chosen.items():
        row = directives.find_toml(key, kind)
        assert row is not None
        if row.is_command or (row.is_words and isinstance(value, list)):
            texts = [" ".join(map(syntax.quote, value))]
        else:
            texts = [str(each) for each in (value if isinstance(value, list) else [value])]
        lines[row.section] += [f"{row.name}={text}" for text in texts or [""]]
    return "".join(f"[{section}]\n" + "".join(f"{line}\n" for line in texts) for section, texts in lines.items())


def meaning(of: Socket | Timer) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(of, row.attribute) for name, row in type(of).rows.items()}
    found["what"] = of.listens if isinstance(of, Socket) else [(each.key, each.value) for each in of.elapses]
    found["description"] = [each.value for each in of.assignments("Description")]
    return found


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(socket=st.fixed_dictionaries({}, optional=VALUES), timer=st.fixed_dictionaries({}, optional=TIMES))
def test_any_settings_mean_the_same_in_both_forms(
    tmp_path: Path, socket: dict[str, Any], timer: dict[str, Any]
) -> None:
    socket = {**socket, "socket_group": "root"}
    timer = {**timer, "wake_system": False}
    tables = "".join(
        f"[{name}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in chosen.items())
        for name, chosen in (("socket", socket), ("timer", timer))
    )
    (tmp_path / "app.toml").write_text(TOML + tables)
    (tmp_path / "app.service").write_text(SERVICE)
    (tmp_path / "app.socket").write_text(as_unit(".socket", socket))
    (tmp_path / "app.timer").write_text(as_unit(".timer", timer))
    one, other = parse(str(tmp_path / "app.toml")), parse(str(tmp_path / "app.service"))
    assert meaning(the_socket(one)) == meaning(the_socket(other))
    assert meaning(the_timer(one)) == meaning(the_timer(other))


@pytest.mark.parametrize("suffix", [".socket", ".timer"])
def test_every_directive_can_be_spelled(suffix: str) -> None:
    for row in directives.every(suffix):
        found = directives.find_toml(row.toml, suffix)
        assert found is not None
        assert (found.section, found.name) == (row.section, row.name)
