"""The directive table: every directive systemd knows, its spellings, and the check for values nothing here acts on."""

from __future__ import annotations

import os

from initkit.settings.choices import CHOICES, NUMBERED
from initkit.settings.facts import FACTS, GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Sections of a service's settings, in the order they are written.
SECTIONS = ("Unit", "Service", "Install")
#: The same for each kind of unit that a service's settings may hold; the first that has a name is meant in TOML.
SECTIONS_OF = {".service": SECTIONS, ".socket": ("Socket", "Unit", "Install"), ".timer": ("Timer", "Unit", "Install")}

#: TOML names that the rule in `snake` would spell in a way nobody would guess.
_SPELLED = {
    "UMask": "umask",
    "TimerSlackNSec": "timer_slack_nsec",
    "SELinuxContext": "selinux_context",
    "AppArmorProfile": "apparmor_profile",
    "MountAPIVFS": "mount_api_vfs",
    "TTYVHangup": "tty_vhangup",
    "TTYVTDisallocate": "tty_vt_disallocate",
    "BlockIOAccounting": "block_io_accounting",
    "RestrictSUIDSGID": "restrict_suid_sgid",
    "AssertCPUs": "assert_cpus",
    "ConditionCPUs": "condition_cpus",
    "AllowedCPUs": "allowed_cpus",
    "StartupAllowedCPUs": "startup_allowed_cpus",
    "PrivatePIDs": "private_pids",
    "MemoryZSwapMax": "memory_zswap_max",
    "StartupMemoryZSwapMax": "startup_memory_zswap_max",
    "MemoryZSwapWriteback": "memory_zswap_writeback",
    "RootMStack": "root_mstack",
    "BindIPv6Only": "bind_ipv6_only",
    "IPTOS": "ip_tos",
    "IPTTL": "ip_ttl",
    "PassPIDFD": "pass_pidfd",
    "SELinuxContextFromNet": "selinux_context_from_net",
    "SmackLabelIPIn": "smack_label_ip_in",
    "XAttrAccept": "xattr_accept",
    "XAttrEntryPoint": "xattr_entry_point",
    "XAttrListen": "xattr_listen",
}

#: Spellings of one directive that systemd keeps for compatibility: (old section, old name) -> (section, name).
_RENAMED = {
    ("Service", "StartLimitInterval"): ("Unit", "StartLimitIntervalSec"),
    ("Unit", "StartLimitInterval"): ("Unit", "StartLimitIntervalSec"),
    ("Service", "StartLimitBurst"): ("Unit", "StartLimitBurst"),
    ("Service", "StartLimitAction"): ("Unit", "StartLimitAction"),
    ("Service", "FailureAction"): ("Unit", "FailureAction"),
    ("Service", "RebootArgument"): ("Unit", "RebootArgument"),
    ("Unit", "BindTo"): ("Unit", "BindsTo"),
    ("Unit", "PropagateReloadTo"): ("Unit", "PropagatesReloadTo"),
    ("Unit", "PropagateReloadFrom"): ("Unit", "ReloadPropagatedFrom"),
    **{
        (section, f"{start}Directories"): (section, f"{start}Paths")
        for section in ("Service", "Socket")
        for start in ("ReadOnly", "ReadWrite", "Inaccessible")
    },
}

#: initkit's own settings, as rows of the same table: name -> (kind, since, manual).
_OWN = {
    "Callable": ("CALLABLE", 0, "initkit.toml(5)"),
    "SettleSec": ("SECONDS", 0, "initkit.toml(5)"),
    "ControlGroup": ("STRING", 0, "initkit.toml(5)"),
    "LogCommand": ("COMMAND", 0, "initkit.toml(5)"),
    "LogFile": ("PATH", 0, "initkit.toml(5)"),
    "LogMaxSize": ("LIMIT", 0, "initkit.toml(5)"),
    "LogMaxFiles": ("UNSIGNED", 0, "initkit.toml(5)"),
    "NotificationFd": ("UNSIGNED", 0, "initkit.toml(5)"),
    "OnDemand": ("BOOLEAN", 0, "initkit.toml(5)"),
    "UserGecos": ("STRING", 0, "initkit.toml(5)"),
    "UserHome": ("PATH", 0, "initkit.toml(5)"),
    "UserID": ("UNSIGNED", 0, "initkit.toml(5)"),
}

#: Directives of which every assignment adds to the ones before it, and the kinds of which all directives do.
_LISTS = frozenset((
    "Documentation", "EnvironmentFile", "Environment", "PassEnvironment", "UnsetEnvironment", "SupplementaryGroups",
    "CPUAffinity", "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory",
    "SuccessExitStatus", "RestartPreventExitStatus", "RestartForceExitStatus", "SystemCallFilter", "SystemCallLog",
    "SystemCallArchitectures", "RestrictAddressFamilies", "RestrictFileSystems", "RestrictNamespaces",
    "DelegateNamespaces", "RestrictNetworkInterfaces", "CapabilityBoundingSet", "AmbientCapabilities", "DeviceAllow",
    "IPAddressAllow", "IPAddressDeny", "IPIngressFilterPath", "IPEgressFilterPath", "SocketBindAllow",
    "SocketBindDeny", "LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted",
    "ImportCredential", "TemporaryFileSystem", "StandardInputText", "StandardInputData", "LogExtraFields",
    "LogFilterPatterns", "ExecSearchPath", "Sockets", "OpenFile", "BPFProgram", "Delegate", "DisableControllers",
    "MountImages", "ExtensionImages", "RootImageOptions", "NFTSet", "RefreshOnReload", "Alias", "WantedBy",
    "RequiredBy", "UpheldBy", "Also", "IODeviceWeight", "IODeviceLatencyTargetSec", "IOReadBandwidthMax",
    "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax", "BlockIODeviceWeight", "BlockIOReadBandwidth",
    "BlockIOWriteBandwidth", "SecureBits", "AllowedCPUs", "AllowedMemoryNodes", "StartupAllowedCPUs",
    "StartupAllowedMemoryNodes", "BPFDelegateAttachments", "BPFDelegateCommands", "BPFDelegateMaps",
    "BPFDelegatePrograms", "Symlinks", "OnActiveSec", "OnBootSec", "OnCalendar", "OnStartupSec", "OnUnitActiveSec",
    "OnUnitInactiveSec",
))  # fmt: skip

#: Lists whose one assignment holds one item as it stands, so that nothing in it is quoted: the rest of the line is one
#: value, or "~" at its start turns around all of it.
_WHOLE = frozenset((
    "EnvironmentFile", "SetCredential", "SetCredentialEncrypted", "LoadCredential", "LoadCredentialEncrypted",
    "ImportCredential", "StandardInputText", "StandardInputData", "SystemCallFilter", "SystemCallLog",
    "RestrictAddressFamilies", "RestrictFileSystems", "RestrictNamespaces", "DelegateNamespaces",
    "RestrictNetworkInterfaces", "CapabilityBoundingSet", "AmbientCapabilities", "DeviceAllow", "LogFilterPatterns",
    "ExecSearchPath", "OpenFile", "BPFProgram", "SocketBindAllow", "SocketBindDeny", "IODeviceWeight",
    "IODeviceLatencyTargetSec", "IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax",
    "BlockIODeviceWeight", "BlockIOReadBandwidth", "BlockIOWriteBandwidth", "RefreshOnReload", "ListenStream",
    "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial", "ListenNetlink", "ListenMessageQueue",
    "ListenUSBFunction", "OnActiveSec", "OnBootSec", "OnCalendar", "OnStartupSec", "OnUnitActiveSec",
    "OnUnitInactiveSec",
))  # fmt: skip

#: Kinds that TOML writes as text and as nothing else, and kinds of lists whose items may be something else.
_TEXT = frozenset(("STRING", "PATH", "URL", "LABEL", "SLICE", "REGEX", "INPUT", "OUTPUT", "PERSONALITY"))
_MIXED = ("CONDITION", "OTHER", "STATUS", "CPUAFFINITY", "NAMESPACES", "SOCKET [...]", "TIMER")


class Directive:
    """A row of the table: `kind` is systemd's own word for the value type, `since` its first version (0: before 247).

    `gone` is the first of systemd's versions asked that does not have it any more, or 0.
    """

    __slots__ = ("gone", "kind", "manual", "name", "section", "since")

    def __init__(self, section: str, name: str, facts: tuple[str, int, str]) -> None:
        self.section, self.name = section, name
        self.kind, self.since, self.manual = facts
        self.gone = GONE.get(section, {}).get(name, 0)

    @property
    def toml(self) -> str:
        """The snake_case name in TOML."""
        return snake(self.name)

    @property
    def label(self) -> str:
        """What it goes by among all settings of a service: see `Entry.label`."""
        return f"{self.section}.{self.name}" if self.section in ("Socket", "Timer") else self.name

    @property
    def is_command(self) -> bool:
        """Whether values are command lines."""
        return self.kind.startswith(("PATH [ARGUMENT", "COMMAND"))

    @property
    def is_list(self) -> bool:
        """Whether assignments add up."""
        return self.name in _LISTS or self.kind.endswith("[...]") or self.kind == "CONDITION"

    @property
    def is_words(self) -> bool:
        """Whether one assignment may hold several items, so that an item with blanks needs quotes."""
        return self.is_list and self.name not in _WHOLE and self.kind != "CONDITION"

    @property
    def is_dependency(self) -> bool:
        """Whether an empty assignment says nothing: systemd.unit(5), "dependencies […] cannot be reset"."""
        return self.section == "Unit" and (self.kind == "UNIT [...]" or self.name.endswith("MountsFor"))

    @property
    def is_untyped(self) -> bool:
        """Whether systemd's own table does not tell the value's type."""
        return self.kind == "OTHER"

    @property
    def is_text(self) -> bool:
        """Whether a number or a boolean cannot be meant."""
        return self.kind in _TEXT or (self.is_list and self.kind not in _MIXED)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values there are; empty where there is no end of them."""
        return CHOICES.get(self.name) or CHOICES.get(self.kind, ())

    @property
    def expected(self) -> str:
        """What a value of this kind is, for messages and the schema's descriptions."""
        if self.is_command:
            several = "" if self.kind == "COMMAND" else ", or an array of such arrays"
            return f'a command such as ["/usr/bin/app", "--flag"]{several}'
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.name == "Environment":
            return 'a table such as { NAME = "value" }'
        if self.name.startswith("Limit"):
            return 'a limit such as 1024, "512:1024", "64M" or "infinity"'
        return EXPECTED.get(self.name) or EXPECTED.get(self.kind, "an array of strings" if self.is_list else "a string")

    def check(self) -> Callable[[str], object] | None:
        """Raises ValueError for a wrong value, where no part of initkit acts on the directive; None: anything goes."""
        if self.choices and self.kind not in NUMBERED:
            return lambda text: one_of(text, self.choices)
        from initkit.settings import checks

        return checks.find(self.name, self.kind)


#: Value kinds in words.
EXPECTED = {
    "BOOLEAN": "true or false",
    "SECONDS": 'a time span such as 90 or "1min 30s"',
    "MODE": 'an octal mode in quotes such as "0027"',
    "SIGNAL": 'a signal such as "SIGTERM"',
    "UNSIGNED": "a whole number",
    "LIMIT": 'a size such as "64M", or "infinity"',
    "NICE": "a number from -20 to 19",
    "OOMSCOREADJUST": "a number from -1000 to 1000",
    "CALLABLE": "package.module:function",
    "SOCKET [...]": 'an address such as 8080, "127.0.0.1:8080", "/run/app.sock" or "@app"',
    "TIMER": 'a time span such as "5min"',
    "OnCalendar": 'a calendar event such as "daily" or "Mon *-*-* 03:00"',
}


def find(section: str, name: str) -> Directive | None:
    """The row of a directive as a unit file spells it; None when systemd has no such directive in that section."""
    section, name = _RENAMED.get((section, name), (section, name))
    facts = FACTS.get(section, {}).get(name)
    return Directive(section, name, facts) if facts else None


def older(row: Directive) -> Iterator[Directive]:
    """The spellings that a directive had before, each with the version that it came in."""
    for (section, name), now in _RENAMED.items():
        if now == (row.section, row.name) and name in FACTS.get(section, {}):
            yield Directive(section, name, FACTS[section][name])


def find_own(name: str) -> Directive | None:
    """The row of a setting of initkit's own."""
    return Directive("initkit", name, _OWN[name]) if name in _OWN else None


def find_own_toml(key: str) -> Directive | None:
    """The row of a key in TOML's `[initkit]`."""
    return next((row for row in own() if row.toml == key), None)


def own() -> Iterator[Directive]:
    """The rows of initkit's own settings."""
    return (Directive("initkit", name, facts) for name, facts in _OWN.items())


def find_toml(key: str, suffix: str = ".service") -> Directive | None:
    """The row of a directive as TOML spells it (`working_directory`), for a kind of unit."""
    flat = key.replace("_", "").lower()
    for section in SECTIONS_OF[suffix]:
        for name in FACTS[section]:
            if name.lower() == flat and snake(name) == key:
                return find(section, name)
    return None


def named(text: str) -> str:
    """The name of a directive or of a setting of initkit's own, which may be spelled as in TOML; "Socket.ListenStream"
    for one of another unit's.

    Raises:
        ValueError: when there is none, naming the nearest.
    """
    kind, dot, name = text.partition(".")
    suffix = f".{kind.lower()}"
    if dot and suffix in SECTIONS_OF:
        found = next((row for row in every(suffix) if name in (row.name, row.toml)), None)
        if found is not None:
            return f"{kind.capitalize()}.{found.name}"
    row = find_toml(text) or find_own_toml(text) or find_own(text)
    for section in SECTIONS:
        row = row or find(section, text)
    if row is not None:
        return row.name
    near = nearest(text, (each.name for each in (*every(), *own())))
    raise ValueError(f"there is no such directive{f' (did you mean {near}?)' if near else ''}")


def every(suffix: str = ".service") -> Iterator[Directive]:
    """All rows that a unit of a kind may hold, without the old spellings."""
    for section in SECTIONS_OF[suffix]:
        for name, facts in FACTS[section].items():
            if (section, name) not in _RENAMED:
                yield Directive(section, name, facts)


def is_init(name: str) -> bool:
    """Whether initkit writes files for this init, so that settings may have a table for it: modules are listed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return name.isidentifier() and name != "render" and os.path.exists(os.path.join(package, "inits", f"{name}.py"))


def snake(name: str) -> str:
    """CamelCase with acronyms to snake_case: OOMScoreAdjust -> oom_score_adjust, LimitNOFILE -> limit_nofile."""
    if name in _SPELLED:
        return _SPELLED[name]
    out = []
    for at, char in enumerate(name):
        before, after = name[at - 1 : at], name[at + 1 : at + 2]
        if char.isupper() and before and (not before.isupper() or after.islower()):
            out.append("_")
        out.append(char.lower())
    return "".join(out)


def camel(key: str) -> str:
    """snake_case to CamelCase, for the tables whose names initkit itself chose: required_start -> RequiredStart."""
    return "".join(part.capitalize() for part in key.split("_"))


def nearest(name: str, known: Iterator[str]) -> str:
    """The known name closest to `name`, or "" when none is near."""
    from difflib import get_close_matches

    flat = {each.replace("_", "").lower(): each for each in known}
    found = get_close_matches(name.replace("_", "").lower(), flat, n=1, cutoff=0.7)
    return flat[found[0]] if found else ""


def one_of(text: str, choices: tuple[str, ...]) -> str:
    """`text` when it is a choice."""
    if text in choices:
        return text
    raise ValueError(f"expected one of {', '.join(choices)}")


def _choice(kind: str) -> Callable[[str], str]:
    return lambda text: one_of(text, CHOICES[kind])


service_type = _choice("SERVICETYPE")
restart = _choice("SERVICERESTART")
restart_mode = _choice("SERVICERESTARTMODE")
exit_type = _choice("SERVICEEXITTYPE")
failure_mode = _choice("TIMEOUTMODE")
action = _choice("ACTION")
kill_mode = _choice("KILLMODE")
notify_access = _choice("ACCESS")
keyring_mode = _choice("KeyringMode")
protect_proc = _choice("ProtectProc")
proc_subset = _choice("ProcSubset")
oom_policy = _choice("OOMPolicy")
