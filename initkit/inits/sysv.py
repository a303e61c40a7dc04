"""SysV init: one LSB init script. LSB 5.0 "Init Script Actions"; Debian policy 9.3; insserv(8)."""

from __future__ import annotations

import math
import os

from initkit import plan
from initkit.errors import SettingsError
from initkit.inits import (
    ALLOW_LOSS,
    CALLED,
    NATIVE,
    NONE,
    RUNNER,
    SCRIPT,
    File,
    Options,
    Support,
    accepted,
    check_table,
    settings_path,
)
from initkit.inits.kinds import cron, tmpfiles
from initkit.plan import lsb, shell, sockets
from initkit.plan.process import pattern
from initkit.plan.step import quote
from initkit.settings import directives, specifiers, values
from initkit.settings.find import reference
from initkit.settings.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from initkit.settings.service import Entry

_SUPERVISES = "systemd's part is played by the runner"
_ON_THE_BUS = Support(RUNNER, "the runner waits for the name on the message bus")

#: What becomes of the directives that no step of the plan stands for. A function decides by the service's values.
#: Of a directive whose value asks for nothing.
AS_IS = "what it is without being said"

_TABLE: dict[str, Support | Callable[[Service], Support]] = {
    **dict.fromkeys(("Description", "Documentation"), Support(SCRIPT, "in the script's header")),
    **dict.fromkeys(("After", "Wants"), Support(SCRIPT, "Required-Start and Should-Start order the boot")),
    "Requires": lambda service: _requires(service),
    "Before": lambda service: _before(service),
    **dict.fromkeys(("RequiresMountsFor", "WantsMountsFor"), Support(SCRIPT, "$remote_fs is all of them")),
    "DefaultDependencies": Support(SCRIPT, "Required-Start says what has to be there"),
    **dict.fromkeys(("WantedBy", "RequiredBy"), lambda service: _wanted(service)),
    "Alias": Support(SCRIPT, "Provides has it as well"),
    "Conflicts": lambda service: _conflicts(service),
    "ExecStart": lambda service: _commands(service, "exec_start"),
    "ExecCondition": lambda service: _commands(service, "exec_condition"),
    "ExecStartPre": lambda service: _commands(service, "exec_start_pre"),
    "ExecStartPost": lambda service: _commands(service, "exec_start_post"),
    "ExecReload": lambda service: _reload(service),
    "ExecStop": lambda service: _commands(service, "exec_stop"),
    "ExecStopPost": lambda service: _commands(service, "exec_stop_post"),
    "Type": lambda service: _type(service),
    "BusName": lambda service: _ON_THE_BUS if service.type == "dbus" else Support(SCRIPT, "only Type=dbus asks for it"),
    "PIDFile": Support(SCRIPT, "the script's own PID file, or the program's"),
    "GuessMainPID": Support(SCRIPT, "the script never guesses"),
    "RemainAfterExit": lambda service: (
        Support(SCRIPT, "a stamp file in /run") if service.type == "oneshot" else Support(RUNNER, _SUPERVISES)
    ),
    **dict.fromkeys(
        ("KillSignal", "SendSIGHUP", "SendSIGKILL", "FinalKillSignal", "TimeoutStartSec", "TimeoutStopSec",
         "TimeoutSec", "RuntimeDirectoryPreserve", "SettleSec"),
        Support(SCRIPT, "start and stop do it"),
    ),
    **dict.fromkeys(("UserGecos", "UserHome", "UserID"), Support(NATIVE, "in sysusers.d, whatever the init")),
    "KillMode": lambda service: _kill_mode(service),
    **dict.fromkeys(
        ("Restart", "RestartSec", "RestartPreventExitStatus", "RestartForceExitStatus", "StartLimitIntervalSec",
         "StartLimitBurst", "SuccessExitStatus", "WatchdogSec", "WatchdogSignal", "NotifyAccess", "RuntimeMaxSec",
         "ReloadSignal", "RestartKillSignal", "RootDirectory", "Callable", "ControlGroup", "RestartSteps",
         "RestartMaxDelaySec", "RestartMode", "ExitType", "TimeoutAbortSec", "TimeoutStartFailureMode",
         "TimeoutStopFailureMode", "SuccessActionExitStatus", "FailureActionExitStatus", "LogCommand", "LogFile",
         "LogMaxSize", "LogMaxFiles", "NonBlocking", "FileDescriptorStoreMax", "FileDescriptorStorePreserve",
         "Sockets", "NotificationFd", "OnDemand", "JoinsNamespaceOf", "PermissionsStartOnly"),
        Support(RUNNER, "somebody has to be there while the program runs"),
    ),
    "StartLimitAction": lambda service: _action(service.start_limit_action),
    "SuccessAction": lambda service: _action(service.success_action),
    "FailureAction": lambda service: _action(service.failure_action),
    **dict.fromkeys(
        ("RefuseManualStart", "RefuseManualStop", "StopWhenUnneeded", "CollectMode"),
        Support(NONE, "a matter of systemd's own bookkeeping"),
    ),
    "Also": lambda service: _also(service),
    "DefaultInstance": Support(SCRIPT, AS_IS),  # a script is made for an instance that has been named
    **dict.fromkeys(
        ("BindsTo", "PartOf", "Requisite", "Upholds", "OnFailure", "OnSuccess", "PropagatesReloadTo",
         "ReloadPropagatedFrom", "PropagatesStopTo", "StopPropagatedFrom"),
        Support(NONE, "under SysV init nobody watches other services"),
    ),
}  # fmt: skip

#: Values that ask for nothing, of directives that are no rows of `Service`: booleans are "no" unless named here.
_TRUE_BY_DEFAULT = frozenset(
    ("SyslogLevelPrefix", "DefaultDependencies", "TasksAccounting", "MemoryAccounting", "MountAPIVFS")
)
_DEFAULTS = {
    "ProtectSystem": ("no", "false"), "ProtectHome": ("no", "false"), "RuntimeDirectoryPreserve": ("no",),
    "Slice": ("system.slice",), "SyslogFacility": ("daemon",), "SyslogLevel": ("info",), "TasksMax": ("infinity",),
    "MemoryMax": ("infinity",), "MemoryHigh": ("infinity",), "OOMPolicy": ("stop",), "KeyringMode": ("private",),
    "ProtectProc": ("default",), "DevicePolicy": ("auto",), "UtmpMode": ("init",),
}  # fmt: skip

#: What `[sysv]` may hold, as in the LSB header, and where the script finds things.
TABLE = {
    **lsb.TABLE,
    **CALLED,
    "DefaultFile": "what the script reads first, in sh, in place of /etc/default/NAME",
    **ALLOW_LOSS,
}

#: The last to be asked: any machine may have init scripts.
TEMPLATES = False
RUNS = "[ -d /etc/init.d ]"
SERVED_BY: dict[str, str] = {}


def support(service: Service) -> dict[str, Support]:
    """What becomes of every directive that the service sets."""
    found = service.settings()
    return {label: (_beside if each.unit else _support)(service, each) for label, each in found.items()}


def _beside(service: Service, entry: Entry) -> Support:
    """Of the sockets and the timer."""
    if entry.unit.endswith(".timer"):
        assert service.timer is not None
        reasons = (cron.refusal(service.timer, each) for each in service.timer.assignments(entry.key))
        reason = next(filter(None, reasons), "")
        return Support(NONE, reason) if reason else Support(SCRIPT, "cron(8) starts the service")
    reason = sockets.refusal(entry)
    return Support(NONE, reason) if reason else Support(RUNNER, "the runner opens the sockets, and keeps them open")


def _support(service: Service, entry: Entry) -> Support:
    key = entry.key
    if key.startswith("X-"):
        return Support(NATIVE, "ignored, as systemd does")
    if key not in ("Description", "Documentation") and _depends_on_host(service, key):
        return Support(RUNNER, "the value depends on the machine that the service runs on")
    if key.startswith(("Condition", "Assert")):
        return Support(RUNNER, "the runner looks before each start")
    if key not in ("Type", "KillMode") and _is_default(service, entry):
        return Support(SCRIPT, AS_IS)
    by_step = _steps(service).get(key)
    if by_step:
        return by_step
    found = _TABLE.get(key)
    if found is not None:
        return found if isinstance(found, Support) else found(service)
    return Support(NONE, "systemd only")


def _depends_on_host(service: Service, key: str) -> bool:
    return any(specifiers.used(each.value) & specifiers.HOST for each in service.assignments(key))


def _is_default(service: Service, entry: Entry) -> bool:
    row = Service.rows.get(entry.key)
    if row is not None:
        return bool(getattr(service, row.attribute) == row.default)
    known = directives.find(entry.section, entry.key)
    if known is not None and known.kind == "BOOLEAN" and entry.key in _TRUE_BY_DEFAULT:
        return values.boolean(entry.value)
    if entry.value.lower() in ("no", "false", "off", "n", "f"):
        return entry.key not in _TRUE_BY_DEFAULT
    return entry.value in _DEFAULTS.get(entry.key, ())


def _steps(service: Service) -> dict[str, Support]:
    """The directives that steps of the plan stand for, as the steps say of themselves."""
    found: dict[str, Support] = {}
    made = plan.before_exec(service)
    for kind in plan.every():
        here = [step for step in made if type(step) is kind]
        how = SCRIPT if all(step.shell() for step in here) else RUNNER
        for key in kind.directives:
            found[key] = (
                found[key] if key in found and found[key].how != SCRIPT else Support(how, kind.reason or kind.manual)
            )
    late = service.environment_files or service.pass_environment
    if late and any("=" in each for each in service.unset_environment):
        found["UnsetEnvironment"] = Support(RUNNER, "whether the variable has that value is known only when it starts")
    return found


def _type(service: Service) -> Support:
    if service.type in ("notify", "notify-reload"):
        return Support(RUNNER, "the runner serves the NOTIFY_SOCKET")
    if service.type == "dbus":
        return _ON_THE_BUS
    if service.type == "forking" and not service.pid_file:
        return Support(RUNNER, "without PIDFile= only a parent sees which process stays")
    return Support(SCRIPT, "start waits for what the type calls started")


def _kill_mode(service: Service) -> Support:
    if service.kill_mode in ("none", "process"):
        return Support(SCRIPT, "start and stop do it")
    return Support(SCRIPT, "stop does it; a process escapes that has left both the tree and the service's sessions")


def _action(action: str) -> Support:
    if action == "exit":
        return Support(RUNNER, "the service's manager ends with it")
    return Support(NONE, "initkit neither reboots nor powers off")


#: What a command after the main one is told: systemd.exec(5).
_TOLD_BY_PARENTS = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")


def _commands(service: Service, attribute: str) -> Support:
    for command in getattr(service, attribute):
        if command.via_shell:
            return Support(RUNNER, "the runner looks up the user's shell")
        if command.named and command.words[0] != command.path:
            return Support(RUNNER, "no shell gives a program another name (argv[0])")
        if "$" in command.words[0] and not command.no_env:
            return Support(RUNNER, "the program's name itself has a variable in it")
        if any(name in word for word in command.words for name in _TOLD_BY_PARENTS):
            return Support(RUNNER, "how the program ended only its parent knows")
    return Support(SCRIPT, "the script runs it with all the service's attributes")


def _reload(service: Service) -> Support:
    if not plan.needs_parent(service) and not all(step.shell() for step in plan.before_exec(service)):
        return Support(NONE, "the runner has become the program, and sh cannot give the command the same attributes")
    return _commands(service, "exec_reload")


def _requires(service: Service) -> Support:
    strange = lsb.unheard_of(service)
    if strange:
        return Support(NONE, f"no script stands for {strange}")
    return Support(SCRIPT, "Required-Start orders the boot")


def _before(service: Service) -> Support:
    if lsb.comes_late(service, _own(service)):
        return Support(NONE, "what it needs is there after the network only")
    return Support(SCRIPT, "X-Start-Before orders the boot")


def _wanted(service: Service) -> Support:
    if lsb.runlevels(service, _own(service)):
        return Support(SCRIPT, "Default-Start names the runlevels")
    unit = (*service.wanted_by, *service.required_by, "it")[0]
    return Support(NONE, f"no runlevel is like {unit}: default_start in [sysv] names some")


def _also(service: Service) -> Support:
    found = {word for entry in service.assignments("Also") for word in service.expand(entry.value).split()}
    if found <= {unit.unit for unit in service.units}:
        return Support(SCRIPT, "its sockets and its timer are a part of it")
    return Support(NONE, "under SysV init nobody enables other services")


def _conflicts(service: Service) -> Support:
    found = {word for entry in service.assignments("Conflicts") for word in entry.value.split()}
    if found <= {"shutdown.target"}:
        return Support(SCRIPT, "Default-Stop names the runlevels")
    return Support(NONE, "under SysV init nobody stops other services")


def commands(service: Service) -> dict[str, tuple[str, ...]]:
    """update-rc.d(8) and service(8)."""
    verbs = ("start", "stop", "restart", "reload", "status")
    return {
        "enable": ("update-rc.d", service.name, "defaults"),
        "disable": ("update-rc.d", service.name, "remove"),
        **{verb: ("service", service.name, verb) for verb in verbs},
    }


def files(service: Service, options: Options) -> Iterator[File]:
    """The init script: standalone where it can be, else one that calls the runner to start.

    Raises:
        SettingsError: naming the settings that it cannot keep and that may not be dropped.
    """
    from initkit.inits.render import render

    service.demand_instance()
    _check_table(service)
    found = support(service)
    allowed = accepted(service, "sysv", options)
    through_runner = any(each.how == RUNNER for key, each in found.items() if key not in allowed)
    if options.runner is not None:
        through_runner = options.runner
    kept = without_losses(service, found, allowed, through_runner)
    text = render("sysv/script", kept, options.template_dir, **_view(kept, through_runner, options))
    yield File(f"/etc/init.d/{service.name}", text, 0o755, kind="script", init="sysv", runner=through_runner)
    yield from cron.files(kept, options, "sysv", f"service {quote(kept.name)} start")


def _own(service: Service) -> dict[str, str]:
    """What `[sysv]` says, by key. Lists add up, and an empty assignment resets them: systemd.syntax(7)."""
    own: dict[str, str] = {}
    for entry in service.tables("sysv"):
        before = own.get(entry.key, "") if entry.key in lsb.LISTS and entry.value else ""
        own[entry.key] = f"{before} {entry.value}".strip()
    return own


def _check_table(service: Service) -> None:
    check_table(service, "sysv", TABLE)
    for entry in service.tables("sysv"):
        if entry.key in ("DefaultStart", "DefaultStop"):
            strange = next((each for each in entry.value.split() if each not in lsb.RUNLEVELS), "")
            if strange:
                raise entry.error(f"expected runlevels ({' '.join(lsb.RUNLEVELS)}), found {strange!r}")


def without_losses(
    service: Service,
    found: dict[str, Support],
    allowed: frozenset[str],
    through_runner: bool,
    what: str = "an init script",
) -> Service:
    """The service without what the script cannot keep, all of which must have been accepted.

    Raises:
        SettingsError: when not.
    """
    kinds = (NONE,) if through_runner else (NONE, RUNNER)
    lost = {key: each for key, each in found.items() if each.how in kinds}
    refused = [key for key in lost if key not in allowed]
    if refused:
        where = service.settings()[refused[0]].where
        told = ", ".join(f"{key}= ({lost[key].reason})" for key in refused)
        hint = " ".join(["accept it with", *(f"--allow-loss {key}" for key in refused)])
        raise SettingsError(f"{what} cannot keep {told}", where=where, hint=hint)
    kept = tuple(entry for entry in service.written if entry.label not in lost)
    return Service(service.name, service.path, kept, user=service.user)


def _view(service: Service, through_runner: bool, options: Options) -> dict[str, Any]:
    """What the template needs beside the service."""
    own = _own(service)
    supervised = through_runner and plan.needs_parent(service)
    default_file = own.get("DefaultFile", f"/etc/default/{service.name}")
    listed = [] if through_runner else [*shell.every_command(service)]
    if through_runner and not supervised:
        listed = [*service.exec_reload]
    chains = {each.name: each for each in (shell.chain(service, command) for command in listed)}
    # A program may write PIDFile= itself, or be its owner: what has to be certain is in a file of its own. That is the
    # runner's, too, so that a script finds what one of the other kind has started: the settings of another version.
    record = f"{service.runtime_root}/initkit/{service.name}.pid"
    oneshot = service.type == "oneshot" and not supervised
    named = service.has("PIDFile") and not supervised and not oneshot
    # A manager looks after PIDFile= by itself; /run/NAME.pid may be there of another version.
    pid_file = service.pid_path if named or not (oneshot or service.has("PIDFile")) else record
    runs = len(listed) > (0 if through_runner or service.type in ("oneshot", "forking") else 1)
    return {
        "source": os.path.basename(service.path),
        "header": lsb.header(service, own),
        "runner": own.get("Runner", options.runner_path) if through_runner else "",
        "settings": own.get("Settings") or reference(service.name, settings_path(service, options), user=service.user),
        "supervised": supervised,
        "pid_file": pid_file,
        "record": record,
        "nothing_left": '[ -z "$(ls -d "$record" "$pid_file" 2>/dev/null)" ]' if named else '[ ! -e "$record" ]',
        "lock": f"{service.runtime_root}/initkit/{service.name}.init",
        "checks_folder": named,
        "writes_record": not through_runner and not oneshot,
        "default_file": default_file,
        "sources_default_file": all(file.path != default_file for file in service.environment_files),
        "pid_folders": [each for each in tmpfiles.made_before(service) if each.kind == "pid"],
        "start_timeout": _seconds(service.start_timeout),
        "stop_timeout": stop_timeout(service, supervised),
        "kill_signal": signal_name(service.kill_signal),
        "final_signal": signal_name(service.final_kill_signal),
        "kill_mode": service.kill_mode,
        "chains": list(chains.values()),
        "calls": {name: [shell.call(service, each) for each in found] for name, found in _called(service, listed)},
        "programs": _programs(service, through_runner),
        "tools": list(dict.fromkeys(tool for each in chains.values() for tool in each.tools)),
        "setpriv": _setpriv(chains.values()),
        "variables": shell.assigned(service) if listed else (),
        "reloads": bool(service.exec_reload) or service.type == "notify-reload",
        "kept_directories": preserved(service),
        "active": "has_run" if oneshot and service.remain_after_exit else "running",
        "runs": runs,
        "keeps_rest": runs and not through_runner and service.kill_mode in ("control-group", "mixed"),
        "runtime_directories": [f"{service.runtime_root}/{each.path}" for each in service.runtime_directory],
        "environment_patterns": [pattern(file) for file in service.environment_files],
    }


def _setpriv(chains: Iterable[shell.Chain]) -> str:
    """What changes the user: "" where nothing has to, "setpriv" only, or something "else" where it is missing."""
    found = {each.setpriv for each in chains}
    return "setpriv" if "setpriv" in found else "else" if "else" in found else ""


def _called(service: Service, listed: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    for attribute in ("exec_condition", "exec_start_pre", "exec_start", "exec_start_post", "exec_reload", "exec_stop",
                      "exec_stop_post"):  # fmt: skip
        yield attribute, [each for each in getattr(service, attribute) if each in listed]


def _programs(service: Service, through_runner: bool) -> list[str]:
    """What has to be installed for a start: LSB's exit status 5. One of several commands may be missing after "-"."""
    needed = [each for each in service.exec_start if service.type != "oneshot" or not each.ignore_failure]
    return [] if through_runner else list(dict.fromkeys(each.words[0] for each in needed))


def preserved(service: Service) -> str:
    """RuntimeDirectoryPreserve=."""
    found = service.assignments("RuntimeDirectoryPreserve")
    return found[-1].value if found else "no"


def _seconds(span: float) -> str:
    return "infinity" if math.isinf(span) else str(math.ceil(span))


def stop_timeout(service: Service, supervised: bool) -> str:
    """Under a supervisor all stages together, and a moment more: ExecStop=, signals, SIGKILL, ExecStopPost=, logger."""
    ends = bool(service.exec_stop) + bool(service.exec_stop_post) + service.has_logger
    stages = 2 + ends if supervised else 1
    return _seconds(service.stop_timeout * stages + (5 if supervised else 0))


def signal_name(number: int) -> str:
    """A signal for kill(1): its name without SIG, a number where that is not portable."""
    name = values.write_signal(number).removeprefix("SIG")
    return name if name.isalnum() and not name.startswith("RT") else str(number)
