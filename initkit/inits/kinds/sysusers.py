"""The accounts of a service: sysusers.d(5), from User= and what names a group."""

from __future__ import annotations

from initkit.inits import File
from initkit.inits.kinds import source
from initkit.settings import values
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import Options
    from initkit.settings.service import Service
    from initkit.settings.unit import Unit

NO_SHELL = "/usr/sbin/nologin"

#: Accounts that are there by policy, which packages therefore do not make: Debian's base-passwd, systemd's basic.conf.
_USERS = frozenset((
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup",
    "list", "irc", "_apt", "nobody",
))  # fmt: skip
_GROUPS = _USERS | frozenset((
    "adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip",
    "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "nogroup", "wheel", "input",
    "kvm", "render", "systemd-journal",
))  # fmt: skip


class Group(Record):
    """A system group that has to be there."""

    name: str


class User(Record):
    """A system user that has to be there: passwd(5). `group` is its own where it is empty, `uid` None for any."""

    name: str
    group: str
    uid: int | None
    gecos: str
    home: str
    shell: str = NO_SHELL


def users(service: Service, inits: tuple[str, ...]) -> tuple[User, ...]:
    """User=, unless it is a number, there by policy, or made by systemd for each run (DynamicUser=)."""
    name = service.account
    if not name or name.isdigit() or name in _USERS or (inits == ("systemd",) and _is_dynamic(service)):
        return ()
    _check(service, "User", name)
    group = "" if service.group == name else service.group
    return (User(name, group, service.user_id, _gecos(service), _home(service)),)


def groups(service: Service, inits: tuple[str, ...]) -> tuple[Group, ...]:
    """Group=, SupplementaryGroups=, SocketGroup= and [initkit] control_group, but those that come with the user."""
    made = {user.name for user in users(service, inits)}
    if inits == ("systemd",) and _is_dynamic(service):
        made |= {service.group}
    wanted: list[tuple[str, Unit, str]] = [
        *((name, service, "SupplementaryGroups") for name in service.supplementary_groups),
        (service.group, service, "Group"),
        *((socket.group, socket, "SocketGroup") for socket in service.sockets),
        (service.control_group, service, "ControlGroup"),
    ]
    found = [each for each in wanted if each[0] and not each[0].isdigit() and each[0] not in _GROUPS | made]
    for name, unit, key in found:
        _check(unit, key, name)
    return tuple(map(Group, sorted({name for name, _, _ in found})))


def primary_group(service: Service) -> str:
    """The group of the service's files where it is known before the machine is: Group=, else the user's own."""
    return service.group or ("" if service.account in _USERS - {"www-data"} else service.account)


def _check(unit: Unit, key: str, name: str) -> None:
    """https://systemd.io/USER_NAMES: what every tool that makes accounts takes."""
    plain = name.replace("_", "a").replace("-", "a")
    if not (plain.isascii() and plain.isalnum() and name[0].isidentifier() and len(name) <= 31):
        expected = f"{name!r} cannot be made by a package: expected letters, digits, _ and -, no more than 31"
        raise unit.assignments(key)[-1].error(expected)


def _is_dynamic(service: Service) -> bool:
    return service.has("DynamicUser") and values.boolean(service.assignments("DynamicUser")[-1].value)


def _gecos(service: Service) -> str:
    """What the settings say, else the description as far as passwd(5) can hold it."""
    told = service.user_gecos or "".join(char if char.isprintable() else " " for char in service.title)
    return " ".join(told.replace(":", " ").split()) or service.name


def _home(service: Service) -> str:
    if service.user_home:
        return service.user_home
    return f"{service.expand('%S')}/{service.state_directory[0].path}" if service.state_directory else "/"


def files(service: Service, options: Options, inits: tuple[str, ...]) -> Iterator[File]:
    """/usr/lib/sysusers.d/NAME.conf, where there is an account to make."""
    from initkit.inits.render import render

    wanted = {"users": users(service, inits), "groups": groups(service, inits)}
    if any(wanted.values()):
        text = render("kinds/sysusers", service, options.template_dir, source=source(service), **wanted)
        yield File(f"/usr/lib/sysusers.d/{service.name}.conf", text, kind="sysusers")
