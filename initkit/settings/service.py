"""`Service`: one service's settings, frozen, typed and resolved; the only thing that flows between initkit's parts."""

from __future__ import annotations

from initkit.errors import SettingsError
from initkit.settings import command, directives, syntax, values
from initkit.settings.record import Record
from initkit.settings.resources import Resources
from initkit.settings.rows import Many, One, Row
from initkit.settings.unit import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from initkit.settings.companions import Socket, Timer
    from initkit.settings.unit import Unit

#: The section of initkit's own settings: `[initkit]` in TOML, `X-Initkit-…` keys in a unit file.
OWN = "initkit"
_KEPT = (*directives.SECTIONS, OWN)


class Entry(Record):
    """One assignment, in a unit file's grammar whatever file it came from.

    `key` is the directive's name, `spelled` what the file calls it where that is something else; `line` is 1-based, 0
    when not known. `unit` is empty for the service itself; ".socket" and ".timer" for the socket and the timer of the
    service's name, "other.socket" for one that Sockets= names. `literal` is the value as TOML has it where that is no
    text.
    """

    section: str
    key: str
    value: str
    file: str = ""
    line: int = 0
    spelled: str = ""
    unit: str = ""
    literal: str = ""

    @property
    def where(self) -> str:
        """For messages: "file:line", "file" where the line is not known."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def label(self) -> str:
        """What it goes by among all settings of a service: "User", "Socket.ListenStream", "Timer.Unit"."""
        return f"{self.unit.rpartition('.')[2].capitalize()}.{self.key}" if self.unit else self.key

    @property
    def shown(self) -> str:
        """The value for messages: in quotes, on one line, not too long."""
        if self.literal:
            return self.literal
        text = '"' + "".join(char if char.isprintable() else repr(char)[1:-1] for char in self.value) + '"'
        return text if len(text) <= 100 else f"{text[:80]}…{text[-15:]}"

    def error(self, expected: str, hint: str = "") -> SettingsError:
        """The error that this assignment deserves."""
        return SettingsError(f"{self.spelled or self.key} = {self.shown}: {expected}", where=self.where, hint=hint)


class OptionalPath(Record):
    """A path with a leading `-`, which forgives its absence (EnvironmentFile=, WorkingDirectory=)."""

    path: str
    optional: bool = False


class Directory(Record):
    """A name under RuntimeDirectory= and its kin, with the symlinks that shall point to it."""

    path: str
    links: tuple[str, ...] = ()
    read_only: bool = False


def _words(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    return (expand(word) for word in syntax.split(text))


def _units(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    # Escapes are part of a unit's name: dev-disk-by\x2dlabel-data.device
    return (values.unit(word) for word in _words(text.replace("\\", "\\\\"), expand))


def _documents(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    return (values.document(word) for word in _words(text, expand))


def _names(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    return (values.variable(word) for word in _words(text, expand))


def _environment_files(text: str, expand: Callable[[str], str]) -> Iterator[OptionalPath]:
    yield _optional_path(expand(text))


def _optional_path(text: str) -> OptionalPath:
    return OptionalPath(values.path(text.removeprefix("-")), text.startswith("-"))


def _working_directory(text: str) -> OptionalPath:
    bare = text.removeprefix("-")
    return OptionalPath("~", text.startswith("-")) if bare == "~" else _optional_path(text)


def _groups(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    return (values.user(word) for word in _words(text, expand))


def _directories(text: str, expand: Callable[[str], str]) -> Iterator[Directory]:
    """Words, each `NAME[:LINK[:ro]]`."""
    for word in syntax.split(text):
        path, link, flags = (*expand(word).split(":", 2), "", "")[:3]
        if flags not in ("", "ro"):
            raise ValueError(f"expected ro after the second colon, found {flags!r}")
        yield Directory(_relative(path), (_relative(link),) if link else (), flags == "ro")


def _cpus(text: str, expand: Callable[[str], str]) -> Iterator[int]:
    return iter((-1,) if text == "numa" else values.cpu_set(text))  # -1: those of NUMAMask='s nodes


def _exits(text: str, expand: Callable[[str], str]) -> Iterator[tuple[str, int]]:
    found = values.exit_set(text)
    yield from (("status", status) for status in found.statuses)
    yield from (("signal", number) for number in found.signals)


def _timeout(text: str) -> float:
    return values.time_span(text) or values.INFINITY  # 0 is "no limit" for the timeouts of systemd.service(5)


def _count(text: str) -> int:
    return values.integer(text, 0, 2**32 - 1)


def _exit_status(text: str) -> int:
    return values.integer(text, 0, 255)


def _notification_fd(text: str) -> int:
    return values.integer(text, 3, 1023, what="a descriptor's number")


def _preserve(text: str) -> str:
    """A boolean, or "restart"."""
    try:
        return text if text == "restart" else ("yes" if values.boolean(text) else "no")
    except ValueError:
        raise ValueError("expected yes, no or restart") from None


def _pid_file(text: str) -> str:
    return values.path(text) if text.startswith("/") else _relative(text)


def _relative(text: str) -> str:
    path = values.path(f"/{text}")[1:]
    if not path or text.startswith("/"):
        raise ValueError(f"expected a path below the directory, without a leading slash, found {text!r}")
    return path


def _callable(text: str) -> str:
    module, colon, function = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        raise ValueError(f"expected package.module:function, found {text!r}")
    return text


class Stream(Record):
    """Where a standard stream goes: systemd.exec(5)'s word, and what stands after its colon."""

    kind: str
    target: str = ""


_INPUTS = ("null", "tty", "tty-force", "tty-fail", "data", "socket", "fd", "file")
_OUTPUTS = ("inherit", "null", "tty", "journal", "kmsg", "journal+console", "kmsg+console", "socket", "fd", "file",
            "append", "truncate", "syslog", "syslog+console")  # fmt: skip
_FILES = ("file", "append", "truncate")


def _input(text: str) -> Stream:
    return _stream(text, _INPUTS)


def _output(text: str) -> Stream:
    return _stream(text, _OUTPUTS)


def _stream(text: str, kinds: tuple[str, ...]) -> Stream:
    kind, colon, target = text.partition(":")
    if kind not in kinds or (colon and kind not in ("fd", *_FILES)):
        known = ", ".join(f"{each}:PATH" if each in _FILES else each for each in kinds)
        raise ValueError(f"expected one of {known}")
    if kind in _FILES:
        if not colon:
            raise ValueError(f"expected {kind}:PATH with an absolute path")
        return Stream(kind, values.path(target))
    return Stream(kind, target)


def _text(text: str) -> str:
    return text


class Directories(Many[Directory]):
    """Directories of the service's own: as systemd has them, parents first and each once."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _directories)

    def value(self, service: Unit) -> tuple[Directory, ...]:
        merged: dict[str, Directory] = {}
        for each in super().value(service):
            before = merged.get(each.path, each)
            links = tuple(dict.fromkeys((*before.links, *each.links)))
            merged[each.path] = Directory(each.path, links, before.read_only or each.read_only)
        return tuple(sorted(merged.values(), key=lambda each: each.path.split("/")))


class OneCommand(Row["command.Command | None"]):
    """A single command line; None where there is none."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)

    def add(self, so_far: object, text: str, expand: Callable[[str], str]) -> command.Command:
        found = command.parse(text, expand)
        if len(found) > 1:
            raise ValueError(f"expected one command, found {len(found)}")
        return found[0]


def _log_size(text: str) -> int:
    size = values.size(text)
    if size == 0:
        raise ValueError(f"expected a size such as 10M, found {text!r}")
    return size


def _log_files(text: str) -> int:
    return values.integer(text, 1, what="how many files there may be")


def _gecos(text: str) -> str:
    if ":" in text or not text.isprintable():
        raise ValueError("expected one line of text without a colon, as passwd(5) has it")
    return text


def _uid(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("expected a user number")
    return int(values.user(text))


class Service(Resources):
    """One service's settings.

    Every attribute below is a row: the directive's value, typed, with specifiers expanded and systemd's default where
    the settings are silent. A value that cannot be read raises `SettingsError` when it is first asked for; `verify`
    asks for all of them.

    `name` is the unit's name without its suffix ("app", "app@one"), `path` the settings file, `user` whether this is
    a service of an ordinary user's rather than the system's. What the settings say of its sockets and of its timer is
    apart: `sockets`, `timer`.
    """

    suffix = ".service"

    # systemd.unit(5)
    description = One("Description", _text, "", expand=True)
    documentation = Many("Documentation", _documents)
    after = Many("After", _units)
    before = Many("Before", _units)
    requires = Many("Requires", _units)
    wants = Many("Wants", _units)
    binds_to = Many("BindsTo", _units)
    part_of = Many("PartOf", _units)
    requisite = Many("Requisite", _units)
    conflicts = Many("Conflicts", _units)
    joins_namespace_of = Many("JoinsNamespaceOf", _units)
    upholds = Many("Upholds", _units)
    on_success = Many("OnSuccess", _units)
    on_failure = Many("OnFailure", _units)
    propagates_reload_to = Many("PropagatesReloadTo", _units)
    reload_propagated_from = Many("ReloadPropagatedFrom", _units)
    propagates_stop_to = Many("PropagatesStopTo", _units)
    stop_propagated_from = Many("StopPropagatedFrom", _units)
    start_limit_interval = One("StartLimitIntervalSec", values.time_span, 10.0)
    start_limit_burst = One("StartLimitBurst", _count, 5)
    start_limit_action = One("StartLimitAction", directives.action, "none")
    success_action = One("SuccessAction", directives.action, "none")
    failure_action = One("FailureAction", directives.action, "none")
    success_action_exit_status = One[int | None]("SuccessActionExitStatus", _exit_status, None)
    failure_action_exit_status = One[int | None]("FailureActionExitStatus", _exit_status, None)
    wanted_by = Many("WantedBy", _units)
    required_by = Many("RequiredBy", _units)

    # systemd.service(5)
    type_set = One("Type", directives.service_type, "")
    bus_name = One("BusName", values.bus_name, "", expand=True)
    exec_start = Many("ExecStart", command.parse)
    exec_condition = Many("ExecCondition", command.parse)
    exec_start_pre = Many("ExecStartPre", command.parse)
    exec_start_post = Many("ExecStartPost", command.parse)
    exec_reload = Many("ExecReload", command.parse)
    exec_stop = Many("ExecStop", command.parse)
    exec_stop_post = Many("ExecStopPost", command.parse)
    pid_file = One("PIDFile", _pid_file, "", expand=True)
    remain_after_exit = One("RemainAfterExit", values.boolean, False)
    restart = One("Restart", directives.restart, "no")
    restart_sec = One("RestartSec", values.time_span, 0.1)
    restart_steps = One("RestartSteps", _count, 0)
    restart_max_delay = One("RestartMaxDelaySec", values.time_span, float("inf"))
    restart_mode = One("RestartMode", directives.restart_mode, "normal")
    exit_type = One("ExitType", directives.exit_type, "main")
    guess_main_pid = One("GuessMainPID", values.boolean, True)
    timeout_start = One("TimeoutStartSec", _timeout, 90.0)
    timeout_stop = One("TimeoutStopSec", _timeout, 90.0)
    timeout_both = One("TimeoutSec", _timeout, 90.0)
    timeout_abort = One[float | None]("TimeoutAbortSec", values.time_span, None)
    start_failure_mode = One("TimeoutStartFailureMode", directives.failure_mode, "terminate")
    stop_failure_mode = One("TimeoutStopFailureMode", directives.failure_mode, "terminate")
    runtime_max = One("RuntimeMaxSec", values.time_span, float("inf"))
    watchdog = One("WatchdogSec", values.time_span, 0.0)
    success_exit_status = Many("SuccessExitStatus", _exits)
    restart_prevent_exit_status = Many("RestartPreventExitStatus", _exits)
    restart_force_exit_status = Many("RestartForceExitStatus", _exits)
    notify_access = One("NotifyAccess", directives.notify_access, "")
    non_blocking = One("NonBlocking", values.boolean, False)
    fd_store_max = One("FileDescriptorStoreMax", _count, 0)
    fd_store_preserve = One("FileDescriptorStorePreserve", _preserve, "restart")

    # systemd.kill(5)
    kill_mode = One("KillMode", directives.kill_mode, "control-group")
    kill_signal = One("KillSignal", values.signal, values.signal("SIGTERM"))
    restart_kill_signal = One("RestartKillSignal", values.signal, 0)
    final_kill_signal = One("FinalKillSignal", values.signal, values.signal("SIGKILL"))
    watchdog_signal = One("WatchdogSignal", values.signal, values.signal("SIGABRT"))
    reload_signal = One("ReloadSignal", values.signal, values.signal("SIGHUP"))
    send_sighup = One("SendSIGHUP", values.boolean, False)
    send_sigkill = One("SendSIGKILL", values.boolean, True)

    # systemd.exec(5)
    account = One("User", values.user, "", expand=True)
    group = One("Group", values.user, "", expand=True)
    permissions_start_only = One("PermissionsStartOnly", values.boolean, False)
    supplementary_groups = Many("SupplementaryGroups", _groups)
    umask = One("UMask", values.mode, 0o022)
    working_directory = One("WorkingDirectory", _working_directory, OptionalPath("/"), expand=True)
    root_directory = One("RootDirectory", values.path, "/", expand=True)
    environment_words = Many("Environment", values.environment)
    environment_files = Many("EnvironmentFile", _environment_files)
    pass_environment = Many("PassEnvironment", _names)
    unset_environment = Many("UnsetEnvironment", _words)
    nice = One[int | None]("Nice", values.nice, None)
    oom_score_adjust = One[int | None]("OOMScoreAdjust", values.oom_score, None)
    io_class = One[int | None]("IOSchedulingClass", values.io_class, None)
    io_priority = One[int | None]("IOSchedulingPriority", values.io_priority, None)
    cpu_policy = One[int | None]("CPUSchedulingPolicy", values.cpu_policy, None)
    cpu_priority = One[int | None]("CPUSchedulingPriority", values.cpu_priority, None)
    cpu_reset_on_fork = One("CPUSchedulingResetOnFork", values.boolean, False)
    cpu_affinity = Many("CPUAffinity", _cpus)
    standard_input = One("StandardInput", _input, Stream("null"), expand=True)
    standard_output = One[Stream | None]("StandardOutput", _output, None, expand=True)
    standard_error = One[Stream | None]("StandardError", _output, None, expand=True)
    tty_path = One("TTYPath", values.path, "/dev/console", expand=True)
    syslog_identifier = One("SyslogIdentifier", _text, "", expand=True)
    ignore_sigpipe = One("IgnoreSIGPIPE", values.boolean, True)
    runtime_directory = Directories("RuntimeDirectory")
    state_directory = Directories("StateDirectory")
    cache_directory = Directories("CacheDirectory")
    logs_directory = Directories("LogsDirectory")
    configuration_directory = Directories("ConfigurationDirectory")
    runtime_directory_mode = One("RuntimeDirectoryMode", values.mode, 0o755)
    state_directory_mode = One("StateDirectoryMode", values.mode, 0o755)
    cache_directory_mode = One("CacheDirectoryMode", values.mode, 0o755)
    logs_directory_mode = One("LogsDirectoryMode", values.mode, 0o755)
    configuration_directory_mode = One("ConfigurationDirectoryMode", values.mode, 0o755)

    # initkit's own
    callable = One("Callable", _callable, "")
    settle = One("SettleSec", values.time_span, 0.5)
    control_group = One("ControlGroup", values.user, "", expand=True)
    log_command = OneCommand("LogCommand")
    log_file = One("LogFile", values.path, "", expand=True)
    log_max_size = One("LogMaxSize", _log_size, values.UNLIMITED)
    log_max_files = One("LogMaxFiles", _log_files, 5)
    notification_fd = One("NotificationFd", _notification_fd, 0)
    on_demand = One("OnDemand", values.boolean, False)
    user_gecos = One("UserGecos", _gecos, "", expand=True)
    user_home = One("UserHome", values.path, "", expand=True)
    user_id = One[int | None]("UserID", _uid, None)

    def __init__(self, name: str, path: str, entries: tuple[Entry, ...], *, user: bool = False) -> None:
        super().__init__(name, path, tuple(entry for entry in entries if not entry.unit), user=user)
        self.__dict__["written"] = entries

    if TYPE_CHECKING:
        written: tuple[Entry, ...]  # all there is, also about its sockets and its timer

    def is_meant_by(self, entry: Entry) -> bool:
        """Whether it is a directive or a setting of initkit's own: the tables of single inits have names of theirs."""
        return entry.section in _KEPT

    def keeps_private(self, directories: str) -> bool:
        """Whether the service's directories of this kind ("state_directory") are below "private": DynamicUser=."""
        never = directories == "configuration_directory" or (
            directories == "runtime_directory" and not self.runtime_directory_preserve
        )
        return self.dynamic_user and not never

    @property
    def type(self) -> str:
        """Type=, with systemd's default: dbus with BusName=, oneshot when there is no ExecStart=, else simple."""
        if self.type_set:
            return self.type_set
        if self.bus_name:
            return "dbus"
        return "simple" if self.exec_start or self.callable else "oneshot"

    @property
    def title(self) -> str:
        """Description=, else the name, for files that another machine may get."""
        told = self.assignments("Description")
        return self.expand_portably(told[-1].value) if told and told[-1].value else self.name

    @property
    def runs_once(self) -> bool:
        """Whether it is inactive again when its commands have ended, so that it can be started anew."""
        return self.type == "oneshot" and not self.remain_after_exit

    @property
    def oom_policy(self) -> str:
        """OOMPolicy=, with systemd's default: continue where the control group is handed over, else stop."""
        return self.oom_policy_set or ("stop" if self.delegate is None else "continue")

    @property
    def environment(self) -> dict[str, str]:
        """Environment=: the last assignment of a name counts."""
        return dict(self.environment_words)

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """LimitX= by X ("NOFILE"): (soft, hard), -1 for "infinity"."""
        found = ((name, self._limit(f"Limit{name}")) for name in sorted(values.LIMITS))
        return {name: limit for name, limit in found if limit is not None}

    def _limit(self, key: str) -> tuple[int, int] | None:
        """The last assignment counts, also an empty one."""
        limit = None
        for entry in self.assignments(key):
            limit = parsed(entry, lambda text: values.limit(key, text)) if entry.value else None
        return limit

    @property
    def stop_timeout(self) -> float:
        """TimeoutStopSec= in seconds, `inf` for none."""
        return self._timeout("TimeoutStopSec") or 90.0

    @property
    def abort_timeout(self) -> float:
        """TimeoutAbortSec= in seconds, else TimeoutStopSec=."""
        return self.stop_timeout if self.timeout_abort is None else self.timeout_abort

    @property
    def start_timeout(self) -> float:
        """TimeoutStartSec= in seconds, `inf` for none; a oneshot service has none by default."""
        return self._timeout("TimeoutStartSec") or (values.INFINITY if self.type == "oneshot" else 90.0)

    def _timeout(self, key: str) -> float | None:
        """The timeout, where the settings have one: TimeoutSec= sets both, and the last assignment counts."""
        last = next((each for each in reversed(self.entries) if each.key in (key, "TimeoutSec") and each.value), None)
        if last is None:
            return None
        if last.key == "TimeoutSec":
            return self.timeout_both
        return self.timeout_stop if key == "TimeoutStopSec" else self.timeout_start

    @property
    def pid_path(self) -> str:
        """The PID file: PIDFile=, else NAME.pid in the runtime directory."""
        path = self.pid_file or f"{self.name}.pid"
        return path if path.startswith("/") else f"{self.runtime_root}/{path}"

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """Its socket, and those that Sockets= names, as far as they are in the settings."""
        found = self.__dict__.get("_sockets")
        if found is None:
            found = self.__dict__["_sockets"] = tuple(self._companions("socket"))
        return tuple(found)

    @property
    def timer(self) -> Timer | None:
        """What starts it at set times."""
        if "_timer" not in self.__dict__:
            self.__dict__["_timer"] = next(self._companions("timer"), None)
        found: Timer | None = self.__dict__["_timer"]
        return found

    def _companions(self, kind: str) -> Iterator[Any]:
        names = dict.fromkeys(each.unit for each in self.written if each.unit.endswith(f".{kind}"))
        for unit in names:
            from initkit.settings import companions  # most services have none

            own = tuple(each for each in self.written if each.unit == unit)
            yield companions.KINDS[kind](self, unit, own)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The service itself, its sockets and its timer."""
        return (self, *self.sockets, *filter(None, (self.timer,)))

    def settings(self) -> dict[str, Entry]:
        """Every directive that has a value, by `Entry.label` -> the assignment that counts."""
        return {
            each.label: each
            for unit in self.units
            for each in unit.entries
            if unit.is_meant_by(each) and unit.has(each.key)
        }

    def tables(self, init: str) -> list[Entry]:
        """The settings for one init only: TOML's `[sysv]` and its like."""
        return [entry for entry in self.entries if entry.section == init]

    def sample(self) -> Service:
        """The service, or an instance of it when it is a template: systemd.unit(5)."""
        if not self.name.endswith("@"):
            return self
        return Service(f"{self.name}instance", self.path, self.written, user=self.user)

    def demand_instance(self) -> None:
        """Check that it can be run.

        Raises:
            SettingsError: it is a template.
        """
        if self.name.endswith("@"):
            hint = f"name one of its instances, such as {self.name}1"
            raise SettingsError("a template, which has to be instantiated", where=self.path, hint=hint)

    def verify(self) -> None:
        """Check every value, and that they make a service.

        Raises:
            SettingsError: for the first that cannot be used.
        """
        for fault in self.faults():
            raise fault

    def faults(self) -> Iterator[SettingsError]:
        """Everything that keeps these settings from being used: wrong values, then what does not make a service."""
        if self.name.endswith("@"):  # what it says is meant for its instances
            yield from self.sample().faults()
            return
        found = False
        for fault in self.wrong_values():
            found = True
            yield fault
        if not found:
            try:
                self._verify_start()
                self._verify_type()
                self._verify_logger()
            except SettingsError as fault:
                yield fault
        for unit in (*self.sockets, *filter(None, (self.timer,))):
            yield from unit.faults()

    def _verify_start(self) -> None:
        if self.callable:
            if self.exec_start:
                raise self.assignments("Callable")[-1].error("callable and exec_start exclude each other", "keep one")
            return
        if not self.exec_start and not (self.type == "oneshot" and (self.exec_stop or self.has("SuccessAction"))):
            hint = 'expected exec_start = ["/path/to/program"] (ExecStart=)'
            raise SettingsError("no program to run", where=self.path, hint=hint)
        if len(self.exec_start) > 1 and self.type != "oneshot":
            raise self.assignments("ExecStart")[-1].error(
                f"expected one command for a service of type {self.type}, found {len(self.exec_start)}",
                'only type = "oneshot" has several; an empty ExecStart= (in TOML [[], ["/new"]]) drops the ones before',
            )

    def _verify_type(self) -> None:
        """What systemd.service(5) refuses."""
        if self.type == "dbus" and not self.bus_name:
            raise self.assignments("Type")[-1].error('expected bus_name = "…" (BusName=) with this type')
        if self.type == "oneshot" and self.restart in ("always", "on-success"):
            raise self.assignments("Restart")[-1].error("not allowed for a service of type oneshot")
        if self.type == "oneshot" and self.exit_type == "cgroup":
            raise self.assignments("ExitType")[-1].error("not allowed for a service of type oneshot")
        self._verify_descriptors()

    @property
    def has_logger(self) -> bool:
        """Whether a process of the service's own reads its output: LogCommand=, LogFile=."""
        return self.has("LogCommand") or self.has("LogFile")

    def _verify_logger(self) -> None:
        """There is one logger at most, and it has something to read."""
        for key in ("LogMaxSize", "LogMaxFiles"):
            if self.has(key) and not self.has("LogFile"):
                raise self.assignments(key)[-1].error('says how log_file = "…" (LogFile=) is kept, which is not set')
        if not self.has_logger:
            return
        last = self.assignments("LogCommand" if self.has("LogCommand") else "LogFile")[-1]
        if self.has("LogCommand") and self.has("LogFile"):
            raise last.error("log_command and log_file exclude each other", "keep one")
        if self.standard_output:  # which the errors follow, where they do not go elsewhere themselves
            raise last.error(
                f"gets nothing: StandardOutput={self.standard_output.kind} sends all output elsewhere",
                "leave standard_output out, or log_command and log_file",
            )

    def _verify_descriptors(self) -> None:
        """What the settings of initkit's own about sockets and descriptors take for granted."""
        if self.on_demand and not self.sockets:
            raise self.assignments("OnDemand")[-1].error("expected a socket to wait at", "add a table [socket]")
        if not self.notification_fd:
            return
        entry = self.assignments("NotificationFd")[-1]
        if self.type not in ("notify", "notify-reload"):
            raise entry.error(f'expected type = "notify", found "{self.type}"')
        first = 3 + sum(len(socket.listens) for socket in self.sockets) + self.fd_store_max
        if self.notification_fd < first:
            raise entry.error(f"expected {first} or more: those below are sockets and stored descriptors")
