"""Own checks of `initkit check`: what settings say that this machine has not, and what they hardly mean."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterable, Iterator

from initkit.cli.finding import ERROR, WARNING, Finding, about, effective, of_error
from initkit.errors import SettingsError
from initkit.plan import glob
from initkit.plan.process import search
from initkit.settings import addresses, command, directives, envfile, find, syntax
from initkit.settings.companions import Listen
from initkit.settings.load import decoded
from initkit.settings.service import Entry, OptionalPath, Service
from initkit.settings.unit import Unit

#: systemd.exec(5), "ENVIRONMENT VARIABLES": what a program may find without the settings saying so.
_GIVEN = frozenset((
    "PATH", "LANG", "USER", "LOGNAME", "HOME", "SHELL", "TERM", "INVOCATION_ID", "XDG_RUNTIME_DIR", "MAINPID",
    "MANAGERPID", "SYSTEMD_EXEC_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID",
    "WATCHDOG_USEC", "JOURNAL_STREAM", "LOG_NAMESPACE", "SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS", "PIDFILE",
    "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
    "CREDENTIALS_DIRECTORY", "MONITOR_SERVICE_RESULT", "MONITOR_EXIT_CODE", "MONITOR_EXIT_STATUS",
    "MONITOR_INVOCATION_ID", "MONITOR_UNIT", "REMOTE_ADDR", "REMOTE_PORT", "FDSTORE", "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE", "TRIGGER_UNIT", "TRIGGER_PATH", "SYSTEMD_ACTIVATION_UNIT",
))  # fmt: skip
_COMMANDS = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost",
             "LogCommand")  # fmt: skip
_INSTALLS = ("WantedBy", "RequiredBy", "UpheldBy", "Also")
_MADE = ("runtime", "state", "cache", "logs", "configuration")  # directories that the service gets


def findings(service: Service) -> Iterator[Finding]:
    """What the settings of a service, whose values are all sound, leave to be said."""
    yield from _dropins(service)
    for check in (
        *(_programs, _callable, _accounts, _paths, _environment_files, _literals, _twice, _outdated, _types),
        *(_sockets, _enabling),
    ):
        yield from check(service)


def _dropins(service: Service) -> Iterator[Finding]:
    suffix = os.path.splitext(service.path)[1]
    kind = ".toml" if suffix == ".toml" else ".conf"
    for path in find.passed_over(service.name, service.path, user=service.user):
        yield Finding(path, WARNING, f"passed over: drop-ins of a {suffix} file end in {kind}")


# --- what has to be there -------------------------------------------------------------------------------------------


def _programs(service: Service) -> Iterator[Finding]:
    for key in _COMMANDS:
        for entry in effective(service, key):
            for each in command.parse(entry.value, service.expand):
                fault = "" if each.via_shell else _unfit(service, each.path)
                if fault:
                    yield about(entry, WARNING if each.ignore_failure else ERROR, fault, each.path)


def _unfit(service: Service, path: str) -> str:
    """What keeps a program from being executed; "" for nothing."""
    root = service.root_directory.rstrip("/")
    if root and not path.startswith("/"):
        return ""  # looked for below the root, when it is there
    try:
        found = root + search(path)
    except FileNotFoundError as error:
        return str(error.strerror)
    if not os.path.exists(found):
        return "there is no such program"
    if os.path.isdir(found):
        return "expected a program, found a directory"
    if not os.access(found, os.X_OK):
        return "not executable"
    return _unfit_interpreter(root, found)


def _unfit_interpreter(root: str, path: str) -> str:
    """execve(2), "Interpreter scripts"."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return ""
    words = line[2:].split() if line.startswith(b"#!") else []
    if words and not os.path.exists(root + os.fsdecode(words[0])):
        return f"a script for {os.fsdecode(words[0])}, which is not there"
    return ""


def _callable(service: Service) -> Iterator[Finding]:
    if not service.callable:
        return
    import sys
    from importlib.util import find_spec

    package = service.callable.partition(":")[0].partition(".")[0]
    folder = os.path.dirname(service.path)
    sys.path.insert(0, folder)
    try:
        if find_spec(package) is None:
            text = f"there is no module {package} beside the settings or on Python's path"
            yield about(service.assignments("Callable")[-1], ERROR, text)
    finally:
        sys.path.remove(folder)


def _accounts(service: Service) -> Iterator[Finding]:
    if service.has("DynamicUser"):
        return
    wanted = (
        ("User", service.account, _is_user, "user"),
        ("Group", service.group, _is_group, "group"),
        *(("SupplementaryGroups", group, _is_group, "group") for group in service.supplementary_groups),
    )
    yield from _missing(service, wanted)
    for socket in service.sockets:
        wanted = (("SocketUser", socket.account, _is_user, "user"), ("SocketGroup", socket.group, _is_group, "group"))
        yield from _missing(socket, wanted)


def _missing(unit: Unit, wanted: Iterable[tuple[str, str, Callable[[str], bool], str]]) -> Iterator[Finding]:
    for key, name, exists, what in wanted:
        if name and not name.isdigit() and not exists(name):
            yield about(unit.assignments(key)[-1], ERROR, f"there is no {what} {name} on this machine", name)


def _sockets(service: Service) -> Iterator[Finding]:
    """Units that Sockets= names and nobody has seen; addresses that are listened on twice."""
    there = {socket.unit for socket in service.sockets}
    for entry in service.assignments("Sockets"):
        for unit in syntax.split(entry.value):
            if service.expand(unit) not in there:
                yield about(entry, WARNING, "there is no such unit beside the settings: only systemd may find it", unit)
    seen: set[tuple[bool, object]] = set()
    for socket in service.sockets:
        for listened in socket.listens:
            place = (listened.kind == "datagram", listened.address or listened.path)
            if place in seen and not socket.reuse_port:
                yield Finding(socket.path, ERROR, f"{socket.unit}: {_shown(listened)} is listened on twice")
            seen.add(place)


def _enabling(service: Service) -> Iterator[Finding]:
    """A socket or a timer does nothing under systemd before something has started it: systemd.unit(5), [Install]."""
    pulled = {*service.requires, *service.wants, *service.binds_to, *service.upholds}
    for entry in service.assignments("Also"):
        pulled.update(map(service.expand, syntax.split(entry.value)))
    for entry in service.assignments("Sockets"):  # systemd.service(5): Wants= of each
        pulled.update(map(service.expand, syntax.split(entry.value)))
    for unit in (*service.sockets, *filter(None, (service.timer,))):
        if unit.unit not in pulled and not any(map(unit.has, _INSTALLS)):
            kind = unit.suffix[1:]
            wanted = f"WantedBy={kind}s.target in [Install]"
            if unit.path.endswith(".toml"):
                wanted = f'wanted_by = ["{kind}s.target"] in [{kind}]'
            where = next((each.where for each in unit.entries if each.where), unit.path)
            text = f"{unit.unit} cannot be enabled, and nothing else has systemd start it: expected {wanted}"
            yield Finding(where, WARNING, text)


def _shown(listened: Listen) -> str:
    return addresses.write(listened.address) if listened.address else listened.path


def _is_user(name: str) -> bool:
    return _has(pwd.getpwnam, name)


def _is_group(name: str) -> bool:
    return _has(grp.getgrnam, name)


def _has(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True


def _paths(service: Service) -> Iterator[Finding]:
    root = service.root_directory
    if root != "/" and not os.path.isdir(root):
        yield about(service.assignments("RootDirectory")[-1], ERROR, "there is no such directory")
        return
    where = service.working_directory
    made = where.optional or where.path in ("~", *_own_directories(service))
    if service.has("WorkingDirectory") and not made and not os.path.isdir(root.rstrip("/") + where.path):
        yield about(service.assignments("WorkingDirectory")[-1], ERROR, "there is no such directory")
    for key, stream in (
        ("StandardInput", service.standard_input),
        ("StandardOutput", service.standard_output),
        ("StandardError", service.standard_error),
    ):
        if stream and stream.target.startswith("/"):
            yield from _target(service, service.assignments(key)[-1], stream.target, read=key == "StandardInput")
    # The logger is started as the other programs are, behind LogsDirectory= and its kin.
    if service.log_file and os.path.dirname(service.log_file) not in _own_directories(service):
        yield from _target(service, service.assignments("LogFile")[-1], service.log_file, read=False)


def _target(service: Service, entry: Entry, path: str, *, read: bool) -> Iterator[Finding]:
    if read and not os.path.exists(path):
        yield about(entry, ERROR, "there is no such file")
    elif not read and os.path.isdir(path):
        yield about(entry, ERROR, "expected a file, found a directory")
    elif not read and not os.path.isdir(os.path.dirname(path)):
        # Streams are opened before LogsDirectory= and its kin are made, yet those are there from the second start on.
        how = WARNING if os.path.dirname(path) in _own_directories(service) else ERROR
        yield about(entry, how, f"there is no directory {os.path.dirname(path)}")


def _own_directories(service: Service) -> Iterator[str]:
    roots = dict(zip(_MADE, ("%t", "%S", "%C", "%L", "%E"), strict=True))
    for kind in _MADE:
        for each in getattr(service, f"{kind}_directory"):
            yield f"{service.expand(roots[kind])}/{each.path}"


def _environment_files(service: Service) -> Iterator[Finding]:
    for entry in effective(service, "EnvironmentFile"):
        for file in _files_of(service, entry):
            paths = glob.paths(file.path) if any(char in file.path for char in "*?[") else [file.path]
            if not file.optional and not any(map(os.path.isfile, paths)):
                yield about(entry, ERROR, 'there is no such file; a leading "-" forgives that')
            for path in filter(os.path.isfile, paths):
                yield from _environment_file(path)


def _files_of(service: Service, entry: Entry) -> tuple[OptionalPath, ...]:
    return Service(service.name, service.path, (entry,), user=service.user).environment_files


def _environment_file(path: str) -> Iterator[Finding]:
    try:
        for number, name, _ in envfile.pairs(decoded(path)):
            if not envfile.is_name(name):
                shown = Entry("", "", name).shown
                yield Finding(f"{path}:{number}", WARNING, f"{shown} is no name of a variable: the line is passed over")
    except SettingsError as fault:
        yield of_error(fault)
    except ValueError as fault:
        yield Finding(path, ERROR, str(fault))


# --- what looks as if something else were meant ---------------------------------------------------------------------


def _literals(service: Service) -> Iterator[Finding]:
    known = _known_variables(service)
    for key in _COMMANDS:
        for entry in effective(service, key):
            for each in command.parse(entry.value):
                for word in each.words:
                    yield from _percent(entry, word)
                    if not each.no_env and word != each.path:  # where "$" is plain
                        yield from _dollar(entry, word, known)
    for entry in effective(service, "Environment"):
        for word in syntax.split(entry.value):
            yield from _percent(entry, word)
            if any(not after or after[0] == "{" or envfile.is_name(after[0]) for after in word.split("$")[1:]):
                yield about(entry, WARNING, "variables are not expanded here: the $ stays as it is", word)


def _percent(entry: Entry, word: str) -> Iterator[Finding]:
    rest = word.replace("%%", "")
    if any(not _is_specifier(piece[:1]) for piece in rest.split("%")[1:]):
        yield about(entry, WARNING, 'a "%" here looks like plain text, which is "%%"', word)
    elif word.startswith("+%") or rest.count("%") > 2:  # date(1), printf(3)
        yield about(entry, WARNING, 'each "%" here is a specifier of systemd.unit(5); plain text is "%%"', word)


def _is_specifier(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


def _dollar(entry: Entry, word: str, known: frozenset[str] | None) -> Iterator[Finding]:
    """systemd.service(5), "COMMAND LINES"."""
    rest = word.replace("$$", "")
    if "$" not in rest:
        return
    braced = _braced(rest)
    bare = rest[1:] if word.startswith("$") and not word.startswith(("${", "$$")) else ""
    if bare and not envfile.is_name(bare):
        name = _leading_name(bare)
        or_so = f', with a variable "${{{name}}}{bare[len(name) :]}"' if name else ""
        text = f'all of this is taken for one variable, and vanishes; plain text is "$$"{or_so}'
        yield about(entry, WARNING, text, word)
    elif not bare and rest.count("$") > len(braced):
        yield about(entry, WARNING, 'a "$" here looks like plain text, which is "$$"; a variable is "${NAME}"', word)
    for name in (bare, *braced):
        if known is not None and envfile.is_name(name) and name not in known:
            yield about(entry, WARNING, f'no setting sets ${name}, and so it is empty; plain text is "$$"', word)


def _leading_name(text: str) -> str:
    """The name of a variable that a text begins with."""
    end = next((at for at in range(len(text)) if not envfile.is_name(text[: at + 1])), len(text))
    return text[:end]


def _braced(word: str) -> list[str]:
    """The names in `${NAME}`."""
    return [part.partition("}")[0] for part in word.split("${")[1:] if "}" in part]


def _known_variables(service: Service) -> frozenset[str] | None:
    """Names that may be set; None where an environment file cannot be read, so that nobody can know."""
    names = {*_GIVEN, *service.environment, *service.pass_environment}
    for file in service.environment_files:
        try:
            names.update(envfile.parse(decoded(file.path)))
        except (SettingsError, ValueError):  # its own check has said so
            return None
    return frozenset(names)


def _twice(service: Service) -> Iterator[Finding]:
    seen: dict[tuple[str, str], Entry] = {}
    for entry in service.written:
        row = directives.find(entry.section, entry.key)
        if row is None or row.is_list or row.is_command or not entry.value:
            continue
        before = seen.get((entry.file, entry.label))
        if before:
            yield about(entry, WARNING, f"assigned already in line {before.line}: the last one counts")
        seen[entry.file, entry.label] = entry


def _outdated(service: Service) -> Iterator[Finding]:
    for entry in _first_of_each(service.written):
        row = directives.find(entry.section, entry.key)
        if row is not None and row.gone:
            yield about(entry, WARNING, f"systemd {row.gone} does not have it any more")


def _first_of_each(entries: Iterable[Entry]) -> Iterator[Entry]:
    seen: set[str] = set()
    for entry in entries:
        if entry.label not in seen:
            seen.add(entry.label)
            yield entry


def _types(service: Service) -> Iterator[Finding]:
    if service.type == "forking" and not service.pid_file:
        yield about(service.assignments("Type")[-1], WARNING, "without pid_file (PIDFile=) the main process is guessed")
    if service.type.startswith("notify") and service.notify_access == "none":
        yield about(
            service.assignments("NotifyAccess")[-1], WARNING, f"a service of type {service.type} has to be heard"
        )
