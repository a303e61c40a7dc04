"""`initkit explain [APP]`: what each init makes of every setting, and why; without APP, of every directive there is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from initkit import inits
from initkit.cli import table
from initkit.cli.arguments import Parser
from initkit.errors import SettingsError
from initkit.inits import NATIVE, NONE, RUNNER, SCRIPT, Support
from initkit.settings import directives
from initkit.settings.directives import Directive
from initkit.settings.load import load
from initkit.settings.service import Entry, Service

#: init -> directive -> what becomes of it
Matrix = Mapping[str, Mapping[str, Support]]

_MEANING = {
    NATIVE: "the init itself does it",
    SCRIPT: "the generated script does it",
    RUNNER: "`initkit run` does it, called by the script",
    NONE: "it cannot be kept there",
}
_COLOURS = {NATIVE: "32", SCRIPT: "36", RUNNER: "33", NONE: "31"}

#: What a value of a kind, or of one directive, may look like, where the directive alone is asked about.
_SAMPLES = {
    "ACCESS": "main", "BOOLEAN": "yes", "CALLABLE": "package.module:function", "CONDITION": "/etc/hostname",
    "CPUAFFINITY": "0", "CPUSCHEDPRIO": "1", "ENVIRON": "NAME=value", "FILE": "-/etc/default/app",
    "IOPRIORITY": "1", "INPUT": "file:/dev/zero", "LIMIT": "1024", "MODE": "0700", "NANOSECONDS": "1", "NICE": "1",
    "OUTPUT": "journal", "OOMSCOREADJUST": "1", "PATH": "/srv", "SECONDS": "1", "SIGNAL": "SIGINT", "STATUS": "1",
    "UNIT [...]": "other.service", "UNSIGNED": "1", "BOUNDINGSET": "CAP_CHOWN", "FACILITY": "local0",
    "LEVEL": "warning", "MOUNTFLAG": "slave", "PATH [...]": "/srv", "PATH[:PATH[:OPTIONS]] [...]": "/srv:/mnt",
    "PERSONALITY": "x86", "SYSCALLS": "@system-service", "FAMILIES": "AF_UNIX", "ARCHS": "native", "ERRNO": "EPERM",
    "NAMESPACES": "yes", "SECUREBITS": "noroot", "BusName": "org.example.App",
    "CoredumpFilter": "all", "NUMAPolicy": "local", "MountAPIVFS": "yes", "PrivateMounts": "yes", "PrivateTmp": "yes",
    "PrivateUsers": "yes", "ProtectControlGroups": "yes", "ProtectHome": "yes", "ProtectHostname": "yes",
    "ProtectSystem": "full", "TemporaryFileSystem": "/srv", "ExecSearchPath": "/srv", "SetLoginEnvironment": "yes",
    "LoadCredential": "name:/srv/file", "SetCredential": "name:text", "ImportCredential": "name.*",
    "StandardInputText": "text", "StandardInputData": "dGV4dA==",
    "AllowedCPUs": "0", "AllowedMemoryNodes": "0", "CPUQuota": "50%", "CPUQuotaPeriodSec": "10ms",
    "CPUWeight": "50", "Delegate": "yes",
    "IODeviceLatencyTargetSec": "/dev/sda 10ms", "IODeviceWeight": "/dev/sda 50", "IOReadBandwidthMax": "/dev/sda 1M",
    "IOReadIOPSMax": "/dev/sda 1K", "IOWeight": "50", "IOWriteBandwidthMax": "/dev/sda 1M",
    "IOWriteIOPSMax": "/dev/sda 1K", "NUMAMask": "0", "Slice": "app.slice", "TTYColumns": "80", "TTYRows": "25",
    "TasksMax": "10",
    "Documentation": "man:app(1)", "OnCalendar": "daily",
    "RequiredBy": "multi-user.target", "WantedBy": "multi-user.target",
    "SOCKET [...]": "/run/app",
    "DynamicUser": "yes", "EnvironmentFile": "-/etc/default/app", "Group": "root", "LimitNICE": "1",
    "FileDescriptorStorePreserve": "restart", "NotificationFd": "3",
    "PIDFile": "/run/app.pid", "Restart": "on-failure", "RuntimeDirectoryPreserve": "yes",
    "FailureAction": "exit", "FailureActionExitStatus": "1", "StartLimitAction": "exit", "SuccessAction": "exit",
    "SuccessActionExitStatus": "1", "SupplementaryGroups": "root", "TimeoutAbortSec": "1",
    "TimeoutStopSec": "1", "Type": "exec", "User": "root", "WorkingDirectory": "/srv",
}  # fmt: skip


def main(verb: str, argv: list[str]) -> int:
    """Print the matrix."""
    parsed = parser(verb).parse_args(argv)
    names = tuple(parsed.init) or inits.names()
    modules = {name: inits.load(name) for name in names}
    if parsed.app is None or parsed.all:
        rows = every()
        matrix = {name: dict(_of_samples(module, rows)) for name, module in modules.items()}
        text = _json(None, matrix) if parsed.json else _table_of(rows, matrix)
    else:
        service = load(parsed.app, user=parsed.user)
        matrix = {name: dict(module.support(service.sample())) for name, module in modules.items()}
        text = _json(service, matrix) if parsed.json else _explanation(service, matrix)
    for line in text:
        print(line)
    return 0


def every() -> list[Directive]:
    """All rows; of sockets and timers only what is theirs alone."""
    beside = [row for kind in ("socket", "timer") for row in directives.every(f".{kind}")]
    alone = [row for row in beside if row.manual in ("systemd.socket(5)", "systemd.timer(5)")]
    return [*directives.every(), *alone, *directives.own()]


def parser(verb: str) -> Parser:
    """The command line of `initkit explain`."""
    made = Parser(
        prog=f"initkit {verb}",
        description="Show what each init makes of every setting, and why; without APP, of every directive.",
    )
    made.add_argument("app", nargs="?", help="a settings file, or the name of one in the load path")
    made.add_argument(
        "--init", action="append", default=[], metavar="NAME", help=f"only this: {', '.join(inits.names())}"
    )
    made.add_argument("--all", action="store_true", help="every directive there is, with a value such as it may have")
    made.add_argument("--json", action="store_true", help="for programs")
    made.add_argument("--user", action="store_true", help="for a user's own manager instead of the system's")
    return made


def _keys(service: Service) -> list[str]:
    """The directives that the settings set, in their order."""
    return list(service.settings())


def _explanation(service: Service, matrix: Matrix) -> Iterator[str]:
    keys = _keys(service)
    rows = [("SETTING", *(name.upper() for name in matrix))]
    rows += [(key, *(_how(found, key) for found in matrix.values())) for key in keys]
    yield f"{service.unit}: {service.path}"
    yield ""
    yield from map(_coloured, table.lines(rows))
    used = {_how(found, key) for found in matrix.values() for key in keys}
    yield ""
    yield from table.lines((how, about) for how, about in _MEANING.items() if how in used)
    for name, found in matrix.items():
        reasons = [(key, found[key].how, found[key].reason) for key in keys if key in found and found[key].reason]
        if reasons:
            yield from ("", f"{name}:")
            yield from table.lines(reasons)


def _how(found: Mapping[str, Support], key: str) -> str:
    return found[key].how if key in found else "-"


def _coloured(line: str) -> str:
    if not sys.stdout.isatty():
        return line
    head, *cells = line.split("  ")
    return "  ".join([head, *(_paint(cell) for cell in cells)])


def _paint(cell: str) -> str:
    colour = _COLOURS.get(cell.strip())
    return f"\x1b[{colour}m{cell}\x1b[0m" if colour else cell


def _json(service: Service | None, matrix: Matrix) -> Iterator[str]:
    import json

    keys = _keys(service) if service else dict.fromkeys(key for found in matrix.values() for key in found)
    settings = {key: {name: vars(found[key]) for name, found in matrix.items() if key in found} for key in keys}
    about = {"name": service.name, "path": service.path} if service else {}
    yield json.dumps({**about, "settings": settings}, indent=2, ensure_ascii=False)


def _table_of(rows: list[Directive], matrix: Matrix) -> Iterator[str]:
    """The directive table."""
    shown = [("DIRECTIVE", "TOML", "SECTION", "KIND", "SINCE", "MANUAL", *(name.upper() for name in matrix))]
    for row in rows:
        facts = (row.label, row.toml, row.section, row.kind, str(row.since or ""), row.manual)
        shown.append((*facts, *(_how(each, row.label) for each in matrix.values())))
    yield from map(_coloured, table.lines(shown, indent=""))


def _sample(row: Directive) -> str:
    if row.is_command:
        return "/bin/true"
    return _SAMPLES.get(row.name) or (row.choices[-1] if row.choices else _SAMPLES.get(row.kind, "app"))


def _of_samples(module: inits.Init, rows: list[Directive]) -> Iterator[tuple[str, Support]]:
    """What an init makes of each directive by itself; nothing where no value could be thought of."""
    for row in rows:
        unit = f".{row.section.lower()}" if row.label != row.name else ""
        entries = [Entry(row.section, row.name, _sample(row), unit=unit)]
        if row.label not in ("ExecStart", "Callable"):
            entries.append(Entry("Service", "ExecStart", "/bin/true"))
        try:
            found = module.support(Service("app", "/etc/initkit/app.toml", tuple(entries)))
        except SettingsError:
            continue
        if row.label in found:
            yield row.label, found[row.label]
