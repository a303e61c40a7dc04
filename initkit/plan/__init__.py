"""Settings to steps. Nothing here acts: a plan is a tuple that the runner performs and the generators print."""

from __future__ import annotations

import os

from initkit.plan import process, streams
from initkit.plan.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.plan.filters import Filter
    from initkit.settings.command import Command
    from initkit.settings.service import Service

#: What changes the service's view of the file system.
VIEW = (
    *("RootDirectory", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths"),
    *("BindReadOnlyPaths", "TemporaryFileSystem", "PrivateTmp", "PrivateDevices", "ProtectSystem", "ProtectHome"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectHostname"),
    *("ProtectProc", "ProcSubset", "PrivateMounts", "MountFlags", "MountAPIVFS", "PrivateNetwork", "PrivateIPC"),
    *("NetworkNamespacePath", "IPCNamespacePath"),
)

#: What filters system calls, for which a service's user has to keep a capability until the exec.
FILTERED = (
    *("RestrictAddressFamilies", "MemoryDenyWriteExecute", "RestrictRealtime", "RestrictSUIDSGID"),
    *("RestrictNamespaces", "ProtectHostname", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs"),
    *("ProtectClock", "PrivateDevices", "SystemCallArchitectures", "LockPersonality", "SystemCallLog"),
    *("SystemCallFilter", "DynamicUser"),
)

#: What takes capabilities away.
_BOUNDING = ("CapabilityBoundingSet", "PrivateDevices", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock")

#: What a service is told in secret.
CREDENTIALS = ("LoadCredential", "SetCredential", "ImportCredential")

#: What a control group has to be there for, which somebody removes.
RESOURCES = (
    *("MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemorySwapMax", "MemoryZSwapMax", "MemoryZSwapWriteback"),
    *("CPUWeight", "CPUQuota", "CPUQuotaPeriodSec", "TasksMax", "IOWeight", "IODeviceWeight"),
    *("IODeviceLatencyTargetSec", "IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax"),
    *("AllowedCPUs", "AllowedMemoryNodes", "OOMPolicy", "Delegate", "DelegateSubgroup", "Slice"),
)

#: The steps of a program's start, in systemd's order. A step with directives is only there when the settings set one of
#: them, and only then is its module imported.
_ORDER: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("resources", "ControlGroup", RESOURCES),
    ("process", "ResetSignals", ()),
    ("process", "ResetSignalMask", ()),
    ("process", "CloseDescriptors", ()),
    ("identity", "FindUser", ("User", "SetLoginEnvironment")),
    ("dynamic", "DynamicUser", ("DynamicUser",)),
    ("identity", "FindGroups", ("User", "Group", "SupplementaryGroups", "DynamicUser")),
    ("", "streams", ()),
    ("attributes", "OomScoreAdjust", ("OOMScoreAdjust",)),
    ("properties", "CoredumpFilter", ("CoredumpFilter",)),
    ("attributes", "Nice", ("Nice",)),
    ("attributes", "CpuScheduling", ("CPUSchedulingPolicy", "CPUSchedulingPriority", "CPUSchedulingResetOnFork")),
    ("attributes", "CpuAffinity", ("CPUAffinity",)),
    ("properties", "MemoryPolicy", ("NUMAPolicy",)),
    ("attributes", "IoScheduling", ("IOSchedulingClass", "IOSchedulingPriority")),
    ("properties", "TimerSlack", ("TimerSlackNSec",)),
    ("properties", "Personality", ("Personality",)),
    ("directories", "RuntimeDirectories", ("RuntimeDirectory",)),
    ("directories", "StateDirectories", ("StateDirectory",)),
    ("directories", "CacheDirectories", ("CacheDirectory",)),
    ("directories", "LogsDirectories", ("LogsDirectory",)),
    ("directories", "ConfigurationDirectories", ("ConfigurationDirectory",)),
    ("credentials", "Credentials", ("LoadCredential", "SetCredential", "ImportCredential")),
    ("process", "Environment", ()),
    ("process", "Umask", ()),
    ("properties", "Keyring", ("KeyringMode",)),
    ("compiled", "CompileFilters", FILTERED),
    ("namespaces", "OwnUsers", (*VIEW, "ProtectHostname", "PrivateUsers", "ReadOnlyDirectory")),
    ("namespaces", "Network", ("PrivateNetwork", "NetworkNamespacePath")),
    ("namespaces", "InterProcess", ("PrivateIPC", "IPCNamespacePath")),
    ("mounts", "FileSystemView", (*VIEW, "ReadOnlyDirectory", "DynamicUser")),
    ("mounts", "PrivilegedView", (*VIEW, "ReadOnlyDirectory", "DynamicUser")),
    ("namespaces", "HostName", ("ProtectHostname",)),
    ("identity", "ChangeGroup", ("User", "Group", "SupplementaryGroups", "DynamicUser")),
    ("namespaces", "Users", ("PrivateUsers",)),
    ("attributes", "Limits", ("Limit",)),
    ("capabilities", "BoundingSet", _BOUNDING),
    ("capabilities", "KeepCapabilities", ("AmbientCapabilities", "SecureBits", *FILTERED)),
    ("identity", "ChangeUser", ("User", "DynamicUser")),
    ("capabilities", "AmbientCapabilities", ("AmbientCapabilities",)),
    ("process", "ChangeDirectory", ()),
    ("capabilities", "SecureBits", ("SecureBits",)),
    ("capabilities", "NoNewPrivileges", ("NoNewPrivileges", "DynamicUser")),
    ("filters", "AddressFamilies", ("RestrictAddressFamilies",)),
    ("filters", "DenyWriteExecute", ("MemoryDenyWriteExecute",)),
    ("filters", "RestrictRealtime", ("RestrictRealtime",)),
    ("filters", "RestrictSetuid", ("RestrictSUIDSGID", "DynamicUser")),
    ("filters", "RestrictNamespaces", ("RestrictNamespaces",)),
    ("filters", "DenyHostName", ("ProtectHostname",)),
    ("filters", "DenySysctl", ("ProtectKernelTunables",)),
    ("filters", "DenyModules", ("ProtectKernelModules",)),
    ("filters", "DenyLog", ("ProtectKernelLogs",)),
    ("filters", "DenyClock", ("ProtectClock",)),
    ("filters", "DenyRawDevices", ("PrivateDevices",)),
    ("filters", "Architectures", ("SystemCallArchitectures",)),
    ("filters", "LockPersonality", ("LockPersonality",)),
    ("filters", "SystemCallLog", ("SystemCallLog",)),
    ("filters", "SystemCallFilter", ("SystemCallFilter",)),
)

#: Steps that a command with the prefix `+` is spared, and those that `!` spares it: systemd.service(5).
_UNPRIVILEGED = (
    *("ChangeGroup", "ChangeUser", "NoNewPrivileges", "FileSystemView", "Limits"),
    *("OwnUsers", "HostName", "Users", "CompileFilters"),
    *("AddressFamilies", "DenyWriteExecute", "RestrictRealtime", "RestrictSetuid", "RestrictNamespaces"),
    *("DenyHostName", "DenySysctl", "DenyModules", "DenyLog", "DenyClock", "DenyRawDevices", "Architectures"),
    *("LockPersonality", "SystemCallLog", "SystemCallFilter"),
    *("BoundingSet", "KeepCapabilities", "AmbientCapabilities", "SecureBits"),
)
_SETUID = ("ChangeGroup", "ChangeUser")
#: Steps that are only there where all of these are spared.
_INSTEAD = {"PrivilegedView": _UNPRIVILEGED}
#: Those that are left where systemd, which has started the runner, has applied the unit's settings itself.
_LEFT = ("ResetSignals", "ResetSignalMask", "CloseDescriptors", "Environment", "Umask", "ChangeDirectory")
_SANDBOX = tuple(name for _, name, _ in _ORDER if name not in _LEFT)
_APPLIED_ONCE = (
    *VIEW, *FILTERED, *_BOUNDING, *RESOURCES, "PrivateUsers", "AmbientCapabilities", "SecureBits", "DynamicUser",
    *CREDENTIALS, "KeyringMode",
)  # fmt: skip


def filtering(service: Service) -> Iterator[Filter]:
    """The steps that filter system calls."""
    for module, name, directives in _ORDER:
        if module == "filters" and any(service.has(each) for each in directives):
            step = _step(module, name).of(service)
            if step is not None:
                yield step  # type: ignore[misc]


def before_exec(service: Service, spared: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """The steps between the runner and any program of the service, without the exec."""
    return tuple(_steps(service, spared))


def main_program(service: Service, *, sandboxed: bool = False) -> tuple[Step, ...]:
    """The steps from the runner to the service's main program, in the order of their doing; without those of a sandbox
    that is there already."""
    done = _SANDBOX if sandboxed else ()
    if service.callable:
        return (*before_exec(service, done), process.Call(service.callable, os.path.dirname(service.path)))
    return program(service, service.exec_start[0], done)


def program(service: Service, command: Command, done: tuple[str, ...] = (), *, main: bool = True) -> tuple[Step, ...]:
    """The steps from the runner to one command of the service, ExecStart= (`main`) or another."""
    unrestricted = _UNPRIVILEGED if service.permissions_start_only and not main else ()
    steps = before_exec(service, (*spared(command), *unrestricted, *done))
    return (*_shell_of(service, command), *steps, process.Exec(command, service.exec_search_path))


def _shell_of(service: Service, command: Command) -> tuple[Step, ...]:
    if not command.via_shell:
        return ()
    from initkit.plan import identity

    return (identity.FindShell(service.account, service.dynamic_user),)


def has_sandbox(service: Service) -> bool:
    """Whether the service has settings that cannot be applied a second time from within."""
    return any(service.has(each) for each in _APPLIED_ONCE)


def spared(command: Command) -> tuple[str, ...]:
    """The steps that the command's prefix spares it."""
    return _UNPRIVILEGED if command.privileged else _SETUID if command.no_setuid else ()


def daemon(service: Service) -> tuple[Step, ...]:
    """daemon(7)'s fifteen steps, around those of the program or of its supervisor, each with who performs it."""
    from initkit.plan import daemonize as sysv

    # Step 13, to drop privileges, is among the program's own, and done by a supervisor's child.
    last = (sysv.Supervise(),) if needs_parent(service) else (*main_program(service),)
    return (
        sysv.CloseDescriptors(),
        sysv.ResetSignals(),
        sysv.ResetSignalMask(),
        sysv.SanitizeEnvironment(),
        sysv.Fork(),
        sysv.SetSid(),
        sysv.ForkAgain(),
        sysv.ExitFirstChild(),
        sysv.NullStreams(),
        sysv.ClearUmask(),
        sysv.RootAsDirectory(),
        sysv.WritePidFile(daemon_pid_path(service)),
        *last[:-1],
        sysv.NotifyLauncher(),
        last[-1],
        sysv.ExitLauncher(),
    )


#: Types whose program tells a parent, in one way or another, that it works.
TELLING = ("notify", "notify-reload", "oneshot", "forking", "dbus")
#: Settings that somebody has to be there for while the program runs.
PARENTAL = (
    *("ExecCondition", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost"),
    *("WatchdogSec", "RuntimeMaxSec", "RestartForceExitStatus", "SuccessExitStatus", "ControlGroup"),
    *("SuccessActionExitStatus", "FailureActionExitStatus", "LogCommand", "LogFile"),
    *RESOURCES[:-4],
    "Delegate",
)


def needs_parent(service: Service) -> bool:
    """Whether a process has to stay with the program: to restart it, to hear from it, or to clean up after it."""
    return any(True for _ in parental(service))


def parental(service: Service) -> Iterator[str]:
    """What a process has to stay with the program for: directives, and the service's sockets."""
    if service.restart != "no":
        yield "Restart"
    if service.type in TELLING:
        yield "Type"
    if service.notify_access not in ("", "none"):
        yield "NotifyAccess"
    if service.remain_after_exit:
        yield "RemainAfterExit"
    if service.exit_type != "main":
        yield "ExitType"
    if service.stop_failure_mode != "terminate":
        yield "TimeoutStopFailureMode"
    if service.fd_store_max > 0:
        yield "FileDescriptorStoreMax"
    if service.oom_policy_set in ("stop", "kill"):
        yield "OOMPolicy"
    yield from filter(service.has, PARENTAL)
    if joins(service):
        yield "JoinsNamespaceOf"
    yield from _leaving(service)
    yield from (socket.unit for socket in service.sockets)


#: What a program must not be run without.
_REFUSED = {
    "LoadCredentialEncrypted": "the key that it is encrypted with is systemd's",
    "SetCredentialEncrypted": "the key that it is encrypted with is systemd's",
    "PAMName": "a session of PAM's needs a process that stays beside the program to close it",
}


def verify(service: Service) -> None:
    """Check what no step stands for: that the runner can open the sockets, and what it would be a lie to pass over.

    Raises:
        SettingsError: for the first that systemd alone can.
    """
    for directive, reason in _REFUSED.items():
        if service.has(directive):
            raise service.assignments(directive)[-1].error(f"cannot be kept without systemd: {reason}")
    if service.sockets or service.has("Sockets"):
        from initkit.plan import sockets

        for fault in sockets.refusals(service):
            raise fault


def unkept(service: Service) -> list[str]:
    """The directives that ask for something which the runner does not do."""
    if all(entry.key in service.rows for entry in service.entries):
        return []
    from initkit.plan import losses

    return losses.of(service)


def unkept_note(service: Service) -> str:
    """Those in a line for people; "" where there are none."""
    names = ", ".join(f"{name}=" for name in unkept(service))
    return names and f"{service.name}: not kept outside systemd: {names}"


def leaves_something(service: Service) -> bool:
    """Whether there is something to remove when a life of the service ends."""
    return any(True for _ in _leaving(service))


def _leaving(service: Service) -> Iterator[str]:
    """The directives that have something made which does not outlive the program."""
    if service.dynamic_user:
        yield "DynamicUser"
    elif service.private_tmp == "yes":
        yield "PrivateTmp"
    if service.remove_ipc:
        yield "RemoveIPC"
    if service.runtime_directory:
        yield "RuntimeDirectory"
    yield from filter(service.has, CREDENTIALS)


def has_credentials(service: Service) -> bool:
    """Whether it is told something in secret: LoadCredential= and its kin."""
    return any(map(service.has, CREDENTIALS))


def shares_namespaces(service: Service) -> bool:
    """Whether several programs share what is the service's own: PrivateNetwork=, PrivateIPC=. An ordinary user's can
    not: there each is in a user namespace of its own."""
    if service.user or not (service.private_network or service.private_ipc):
        return False
    return len(service.exec_start) > 1 or any(map(service.has, (*PARENTAL[:5], "ExecReload")))


def joins(service: Service) -> bool:
    """Whether it shares with another service, where that runs, what is private to both: JoinsNamespaceOf=."""
    private = service.private_tmp == "yes" or service.private_network or service.private_ipc
    return bool(service.joins_namespace_of) and private and not service.user


def wants_group(service: Service) -> bool:
    """Whether the settings ask something of the service's control group."""
    return any(service.has(each) for each in RESOURCES)


def has_conditions(service: Service) -> bool:
    """Whether something has to hold before the service starts: Condition…= and Assert…=, systemd.unit(5)."""
    return any(
        entry.section == "Unit" and entry.key.startswith(("Condition", "Assert")) and entry.value
        for entry in service.entries
    )


def daemon_pid_path(service: Service) -> str:
    """The PID file of what `initkit run --daemon` leaves behind: the supervisor where one stays, else the program."""
    if needs_parent(service):
        return f"{service.runtime_root}/initkit/{service.name}.pid"
    return service.pid_path


def _steps(service: Service, spared: tuple[str, ...]) -> Iterator[Step]:
    for module, name, directives in _ORDER:
        if name == "streams" and (name not in spared or service.has_logger):
            yield from streams.streams(service)
        elif name in _INSTEAD and not set(_INSTEAD[name]) <= set(spared):
            continue
        elif name not in spared and (not directives or any(_sets(service, each) for each in directives)):
            step = _step(module, name).of(service)
            if step is not None:
                yield step


def _sets(service: Service, directive: str) -> bool:
    if directive == "ReadOnlyDirectory":
        return any(":ro" in entry.value for entry in service.entries if entry.key.endswith("Directory"))
    return bool(service.limits) if directive == "Limit" else service.has(directive)


def _step(module: str, name: str) -> type[Step]:
    found: type[Step] = getattr(__import__(f"initkit.plan.{module}", fromlist=[name]), name)
    return found


def every() -> Iterator[type[Step]]:
    """All step classes that directives can ask for: the support matrix is made of them."""
    yield streams.OpenStream
    for module, name, _ in _ORDER:
        if module and name not in _INSTEAD:
            yield _step(module, name)
