"""OpenRC: a script for openrc-run(8), in OpenRC's own words; where they do not suffice it calls the runner."""

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
    sysv,
)
from initkit.inits.kinds import cron, tmpfiles
from initkit.plan import depend, shell
from initkit.plan.step import quote
from initkit.settings import command, values
from initkit.settings.find import reference
from initkit.settings.service import Service
from initkit.settings.values import LIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

TEMPLATES = False
RUNS = "[ -e /run/openrc/softlevel ]"
#: Both have their scripts in /etc/init.d.
SERVED_BY = {"sysv": "OpenRC runs the LSB script; one that reads no LSB headers, unlike Debian's, needs its own"}

#: What `[openrc]` may hold: the words of depend(), the runlevel, and where the runner finds things.
TABLE = {**depend.TABLE, **CALLED, **ALLOW_LOSS}

_LOG = ("journal", "inherit", "syslog")
_DIRECTORIES = ("Runtime", "State", "Cache", "Logs", "Configuration")
_LONGEST = 2**31 // 1000

#: What becomes of directives while OpenRC keeps all of their values; a function says whether it does. Whatever else
#: there is the runner keeps, if a script for SysV init could.
_TABLE: dict[str, tuple[str, str, Callable[[Service], bool]]] = {
    **dict.fromkeys(("Description", "Documentation"), (NATIVE, "in the script's head", lambda _: True)),
    **dict.fromkeys(
        ("After", "Requires", "Wants", "RequiresMountsFor", "WantsMountsFor"),
        (NATIVE, "depend() orders the boot", lambda _: True),
    ),
    "Alias": (NATIVE, "depend() provides it", lambda _: True),
    "Also": (NATIVE, "its sockets and its timer are a part of it", lambda _: True),
    "Type": (NATIVE, "start-stop-daemon", lambda service: _type(service)),
    "ExecStart": (NATIVE, "command and command_args", lambda service: _is_plain(service)),
    "ExecReload": (NATIVE, "reload sends the signal", lambda service: _reload_signal(service) is not None),
    "PIDFile": (NATIVE, "pidfile", lambda service: _is_bare(service.pid_path)),
    "SettleSec": (NATIVE, "start-stop-daemon --wait", lambda _: True),
    "User": (NATIVE, "command_user", lambda service: not service.account.isdigit()),
    "Group": (NATIVE, "command_user", lambda service: bool(service.account) and not service.group.isdigit()),
    "UMask": (NATIVE, "umask", lambda _: True),
    "WorkingDirectory": (NATIVE, "directory", lambda service: _directory(service) is not None),
    "Nice": (NATIVE, "--nicelevel", lambda _: True),
    **dict.fromkeys(
        ("IOSchedulingClass", "IOSchedulingPriority"), (NATIVE, "--ionice", lambda service: bool(service.io_class))
    ),
    "NoNewPrivileges": (NATIVE, "no_new_privs", lambda _: True),
    "OOMScoreAdjust": (SCRIPT, "start_pre writes it to /proc", lambda _: True),
    "Environment": (NATIVE, "--env", lambda _: True),
    "IgnoreSIGPIPE": (SCRIPT, "start_pre ignores it", lambda _: True),
    **{
        f"Limit{name}": (SCRIPT, "ulimit in start_pre", lambda service: _ulimits(service) is not None)
        for name in LIMITS
    },
    **{f"{name}Directory": (NATIVE, "checkpath", lambda service: not _links(service)) for name in _DIRECTORIES},
    **{f"{name}DirectoryMode": (NATIVE, "checkpath", lambda _: True) for name in _DIRECTORIES},
    "RuntimeDirectoryPreserve": (SCRIPT, "stop_post removes it or does not", lambda _: True),
    **dict.fromkeys(
        ("StandardOutput", "StandardError"), (NATIVE, "output_log, output_logger", lambda service: _output(service))
    ),
    "SyslogIdentifier": (NATIVE, "output_logger", lambda service: _is_bare(service.syslog_identifier)),
    **dict.fromkeys(
        ("KillSignal", "SendSIGKILL", "TimeoutStopSec", "TimeoutSec"),
        (NATIVE, "retry", lambda service: not math.isinf(service.stop_timeout) and service.kill_signal < 32),
    ),
    "TimeoutStartSec": (NATIVE, "a start takes no time", lambda service: service.type != "forking"),
    "KillMode": (NATIVE, "rc_cgroup_cleanup", lambda service: service.kill_mode in ("mixed", "process")),
    **dict.fromkeys(
        ("Restart", "RestartSec", "StartLimitIntervalSec", "StartLimitBurst"),
        (NATIVE, "supervise-daemon", lambda service: service.restart == "no" or _respawns(service)),
    ),
}


def support(service: Service) -> dict[str, Support]:
    """What becomes of every directive that the service sets."""
    return {label: _support(service, label, found) for label, found in sysv.support(service).items()}


def _support(service: Service, label: str, elsewhere: Support) -> Support:
    if label == "Before":
        return Support(NATIVE, "depend() orders the boot")
    if label in ("WantedBy", "RequiredBy"):
        return _wanted(service)
    how, reason, keeps = _TABLE.get(label, ("", "", lambda _: False))
    if elsewhere.how != NONE and how and keeps(service):
        return Support(how, reason)
    if label.startswith("Timer.") or elsewhere.how == NONE:
        return Support(elsewhere.how, elsewhere.reason.replace("SysV init", "OpenRC"))
    if elsewhere.reason == sysv.AS_IS or elsewhere.how == NATIVE:
        return elsewhere
    if label == "ExecReload" and not plan.needs_parent(service):
        return Support(NONE, "OpenRC sends a signal and nothing else, and the runner has become the program")
    return Support(RUNNER, "more than OpenRC says by itself")


def _wanted(service: Service) -> Support:
    if depend.runlevel(service):
        return Support(NATIVE, "the runlevel it is added to")
    unit = (*service.wanted_by, *service.required_by, "it")[0]
    return Support(NONE, f"no runlevel is like {unit}: runlevel in [openrc] names one")


def _is_bare(text: str) -> bool:
    """Whether it may stand anywhere in the shell of openrc-run, which quotes little."""
    return quote(text) == text


def _type(service: Service) -> bool:
    return service.type in ("simple", "exec", "idle") or (service.type == "forking" and bool(service.pid_file))


def _is_plain(service: Service) -> bool:
    """Whether start-stop-daemon's own arguments say it all: no variables that are known late only, no prefix."""
    (each,) = service.exec_start if len(service.exec_start) == 1 else (None,)
    if each is None or set(each.prefix) - set("-:") or not _is_bare(each.path) or "=" in each.path:
        return False
    return each.no_env or not shell.named(service)


def _arguments(service: Service) -> tuple[str, ...]:
    each = service.exec_start[0]
    known, _ = shell.known_environment(service)
    return each.words[1:] if each.no_env else command.expand(each.words[1:], known)


def _reload_signal(service: Service) -> str | None:
    """The signal that ExecReload= sends to the main process; None where it does something else."""
    words = [word for each in service.exec_reload for word in each.words]
    if len(service.exec_reload) != 1 or len(words) != 3 or os.path.basename(words[0]) != "kill":
        return None
    try:
        number = values.signal(words[1].removeprefix("-"))
    except ValueError:
        return None
    return sysv.signal_name(number) if words[1][0] == "-" and words[2] in ("$MAINPID", "${MAINPID}") else None


def _directory(service: Service) -> str | None:
    where = service.working_directory
    return None if where.optional or not where.path.startswith("/") else where.path


def _ulimits(service: Service) -> list[str] | None:
    """The statements that set the limits; None where sh has no word for one of them."""
    for step in plan.before_exec(service):
        if step.name == "limits":
            form = step.shell()
            return None if form is None or form.prefix else form.statement.splitlines()
    return []


def _links(service: Service) -> bool:
    return any(each.links for name in _DIRECTORIES for each in getattr(service, f"{name.lower()}_directory"))


def _output(service: Service) -> bool:
    streams = (service.standard_output, service.standard_error)
    kinds = ("null", "append") if service.type == "forking" else (*_LOG, "null", "append")
    return all(each is None or each.kind in kinds for each in streams)


def _respawns(service: Service) -> bool:
    """Whether supervise-daemon does exactly what is asked for."""
    whole = all(span == int(span) for span in (service.restart_sec, service.start_limit_interval))
    logged = service.standard_output is None or service.standard_output.kind in _LOG
    counts = service.start_limit_burst > 1 and service.start_limit_interval > 0
    simple = service.type in ("simple", "exec") and not service.no_new_privileges
    return service.restart == "always" and whole and counts and simple and not logged


def commands(service: Service) -> dict[str, tuple[str, ...]]:
    """rc-update(8) and rc-service(8). What is in no runlevel is not enabled either."""
    verbs = ("start", "stop", "restart", "reload", "status")
    made: dict[str, tuple[str, ...]] = {verb: ("rc-service", service.name, verb) for verb in verbs}
    level = depend.runlevel(service)
    if level:
        made |= {
            verb: ("rc-update", word, service.name, level) for verb, word in (("enable", "add"), ("disable", "del"))
        }
    return made


def files(service: Service, options: Options) -> Iterator[File]:
    """The script, and what an administrator may set for it.

    Raises:
        SettingsError: naming the settings that it cannot keep and that may not be dropped.
    """
    from initkit.inits.render import render

    service.demand_instance()
    check_table(service, "openrc", TABLE)
    found, allowed = support(service), accepted(service, "openrc", options)
    through_runner = any(each.how == RUNNER for key, each in found.items() if key not in allowed)
    if options.runner is not None:
        through_runner = options.runner
    kept = sysv.without_losses(service, found, allowed, through_runner, "a script for OpenRC")
    if not through_runner and not _is_plain(kept):
        raise SettingsError("there is no program that OpenRC could start without the runner", where=service.path)
    view = {**_common(kept), **(_runner(kept, options) if through_runner else _native(kept))}
    text = render("openrc/script", kept, options.template_dir, **view)
    yield File(f"/etc/init.d/{service.name}", text, 0o755, kind="script", init="openrc", runner=through_runner)
    conf = f"/etc/conf.d/{service.name}"
    if conf not in (each.path for each in kept.environment_files):  # which has the service's variables then
        text = render("openrc/conf", kept, options.template_dir, **view)
        yield File(conf, text, kind="conf", init="openrc")
    yield from cron.files(kept, options, "openrc", _again(kept))


def _again(service: Service) -> str:
    """What starts it once more, in sh: OpenRC takes for started what it has started, also when that has ended."""
    call = f"rc-service {quote(service.name)}"
    if service.runs_once:
        return f"{call} restart"
    return f"{call} status >/dev/null 2>&1 || {{ {call} stop >/dev/null 2>&1; {call} start; }}"


def _common(service: Service) -> dict[str, Any]:
    return {
        "source": os.path.basename(service.path),
        "depend": list(depend.lines(service)),
        "runlevel": depend.runlevel(service),
        "reload": _reload_signal(service),
        "reloads": not service.runs_once and (bool(service.exec_reload) or service.type == "notify-reload"),
    }


class _Words:
    """Words as openrc-run wants them in its variables: it splits what is in them at blanks, takes it for patterns, and
    only then has the shell read it. So whatever is not bare has a variable of its own."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str]] = []

    def text(self, words: Iterable[str]) -> str:
        return " ".join(word if _is_bare(word) else self._hold(word) for word in words)

    def _hold(self, word: str) -> str:
        self.held.append((f"word_{len(self.held) + 1}", word))
        return f'"${self.held[-1][0]}"'


def _native(service: Service) -> dict[str, Any]:
    """What the template needs where OpenRC starts the program itself."""
    words = _Words()
    streams = _streams(service)
    program = service.exec_start[0].path
    wrapper: tuple[str, ...] = ()
    if service.account:  # PAM has its own idea of a user's umask: pam_umask(8)
        wrapper = ("-c", f'umask {service.umask:04o} && exec "$0" "$@"', program)
    arguments = words.text([*wrapper, *_arguments(service)])
    options = words.text(_options(service))
    return {
        "runner": "",
        "command": "/bin/sh" if service.account else program,
        "arguments": arguments,
        "options": options,
        "directory": words.text([_directory(service) or "/"]),
        "user": words.text(filter(None, [":".join(filter(None, (service.account, service.group)))])),
        "logs": {name: words.text([target]) for name, kind, target in streams if kind == "append"},
        # What a forking program says before it is ready openrc-run shows.
        "loggers": [name for name, kind, _ in streams if kind in _LOG and service.type != "forking"],
        "identifier": service.syslog_identifier or service.name,
        "held": words.held,
        "pid_file": service.pid_path,
        "supervised": service.restart != "no",
        "retry": _retry(service),
        "ulimits": _ulimits(service) or [],
        "folders": list(_folders(service)),
        "removed": _removed(service),
    }


def _folders(service: Service) -> Iterator[dict[str, Any]]:
    """What start_pre makes. checkpath makes no parents."""
    roots = {service.expand(f"%{letter}") for letter in "tSCLE"}
    for each in (*tmpfiles.made_at_start(service), *tmpfiles.made_before(service)):
        if each.kind != "output":
            parent, owner = os.path.dirname(each.path), each.user or "root"
            owner += f":{each.group}" if each.group else ""
            yield {"path": each.path, "mode": each.mode, "owner": owner, "parent": "" if parent in roots else parent}


def _options(service: Service) -> Iterator[str]:
    """start-stop-daemon's, or supervise-daemon's, that openrc-run has no variable for."""
    if service.nice is not None:
        yield from ("--nicelevel", str(service.nice))
    if service.io_class:
        yield from ("--ionice", f"{service.io_class}:{4 if service.io_priority is None else service.io_priority}")
    if service.restart == "no" and service.type != "forking":
        yield from ("--wait", str(math.ceil(service.settle * 1000)))
    known, _ = shell.known_environment(service)
    for name, value in known.items():
        if name not in ("USER", "LOGNAME") or name in service.environment:  # OpenRC sets them itself
            yield from ("--env", f"{name}={value}")


def _streams(service: Service) -> list[tuple[str, str, str]]:
    """("output" or "error", kind, target); standard error goes where standard output does unless it is said."""
    output, error = service.standard_output, service.standard_error
    kind, target = (output.kind, output.target) if output else ("journal", "")
    other = (error.kind, error.target) if error and error.kind != "inherit" else (kind, target)
    return [("output", kind, target), ("error", *other)]


def _retry(service: Service) -> str:
    signal = f"SIG{sysv.signal_name(service.kill_signal)}/{math.ceil(service.stop_timeout)}"
    return f"{signal}/SIGKILL/10" if service.send_sigkill else signal


def _removed(service: Service) -> list[str]:
    if sysv.preserved(service) != "no":
        return []
    return [f"{service.runtime_root}/{each.path}" for each in service.runtime_directory]


def _runner(service: Service, options: Options) -> dict[str, Any]:
    """What the template needs where the runner starts the program."""
    own = {entry.key: entry.value for entry in service.tables("openrc")}
    stop_timeout = sysv.stop_timeout(service, True)
    return {
        "runner": own.get("Runner", options.runner_path),
        "settings": own.get("Settings") or reference(service.name, settings_path(service, options), user=service.user),
        "pid_file": plan.daemon_pid_path(service),
        "parent": plan.needs_parent(service),
        "once": service.runs_once,
        "retry": f"SIGTERM/{_LONGEST if stop_timeout == 'infinity' else stop_timeout}/SIGKILL/10",
    }
