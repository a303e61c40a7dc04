"""The values of directives that have only a few: by the kind that systemd's own table tells, else by the directive."""

from __future__ import annotations

#: systemd.unit(5), FailureAction=
_ACTIONS = (
    "none", "reboot", "reboot-force", "reboot-immediate", "poweroff", "poweroff-force", "poweroff-immediate", "exit",
    "exit-force", "soft-reboot", "soft-reboot-force", "kexec", "kexec-force", "halt", "halt-force", "halt-immediate",
)  # fmt: skip
#: systemctl(1), --job-mode=
_JOB_MODES = (
    "fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements",
    "triggering", "restart-dependencies", "lenient",
)  # fmt: skip
#: syslog(3)
_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    *(f"local{number}" for number in range(8)),
)  # fmt: skip

#: A directive's name goes before its kind: systemd calls job modes MODE, as it does access modes.
CHOICES: dict[str, tuple[str, ...]] = {
    "ACCESS": ("none", "main", "exec", "all"),
    "ACTION": _ACTIONS,
    "CPUSCHEDPOLICY": ("other", "batch", "idle", "fifo", "rr"),
    "FACILITY": _FACILITIES,
    "IOCLASS": ("none", "realtime", "best-effort", "idle"),
    "KILLMODE": ("control-group", "mixed", "process", "none"),
    "LEVEL": ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"),
    "POLICY": ("auto", "closed", "strict"),
    "SOCKETBIND": ("default", "both", "ipv6-only"),
    "SERVICEEXITTYPE": ("main", "cgroup"),
    "SERVICERESTART": ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"),
    "SERVICERESTARTMODE": ("normal", "direct", "debug"),
    "SERVICETYPE": ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"),
    "TIMEOUTMODE": ("terminate", "abort", "kill"),
    "CollectMode": ("inactive", "inactive-or-failed"),
    "JobTimeoutAction": _ACTIONS,
    "KeyringMode": ("inherit", "private", "shared"),
    "ManagedOOMMemoryPressure": ("auto", "kill"),
    "ManagedOOMPreference": ("none", "avoid", "omit"),
    "ManagedOOMSwap": ("auto", "kill"),
    "OOMPolicy": ("continue", "stop", "kill"),
    "OnFailureJobMode": _JOB_MODES,
    "OnSuccessJobMode": _JOB_MODES,
    "ProcSubset": ("all", "pid"),
    "SocketProtocol": ("udplite", "sctp", "mptcp"),
    "Timestamping": ("off", "us", "usec", "µs", "ns", "nsec"),
    "ProtectProc": ("noaccess", "invisible", "ptraceable", "default"),
    "UtmpMode": ("init", "login", "user"),
}

#: Kinds whose values may also be numbers: sched(7), ioprio_set(2), syslog(3).
NUMBERED = frozenset(("CPUSCHEDPOLICY", "FACILITY", "IOCLASS", "LEVEL"))
