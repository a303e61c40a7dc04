"""First versions of directives that systemd's manual pages do not tell, or tell wrongly, and where else they are told.

A page tells one version for all names of a list entry, which is that of the oldest or of some other; and where a whole
list was made anew, the version of that.
"""

from __future__ import annotations

#: (page, version): marks that are younger than what they stand at. The lists were written in these versions.
NO_MARKS = frozenset((("systemd.unit", 201), ("systemd.unit", 244), ("systemd.kill", 187)))

#: What systemd's NEWS tells of a version. "Section.Directive" where it is about that section alone.
_NEWS: dict[int, tuple[str, ...]] = {
    183: ("ConditionPathIsReadWrite", "Documentation", "RequiresMountsFor"),
    188: ("PartOf",),
    189: ("ConditionHost",),
    190: ("ConditionFileNotEmpty",),
    197: ("ConditionACPower",),
    205: ("Slice",),
    210: ("ConditionArchitecture",),
    211: ("RuntimeDirectoryMode",),
    213: ("Service.FailureAction", "Service.RebootArgument", "StartupBlockIOWeight", "StartupCPUShares"),
    215: ("ConditionNeedsUpdate",),
    217: ("JobTimeoutAction", "JobTimeoutRebootArgument"),
    228: ("RemainAfterElapse",),
    229: ("Unit.StartLimitInterval",),
    234: ("ConditionGroup", "ConditionUser", "JobRunningTimeoutSec"),
    235: (
        *("StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory"),
        *("StateDirectoryMode", "CacheDirectoryMode", "LogsDirectoryMode", "ConfigurationDirectoryMode"),
    ),
    237: ("ConditionControlGroupController", "ConditionKernelVersion"),
    242: ("ConditionCPUs", "ConditionMemory"),
    243: ("DefaultMemoryLow", "DefaultMemoryMin"),
    247: ("ManagedOOMMemoryPressureLimitPercent",),
    248: ("ExecPaths", "NoExecPaths"),
    250: (
        *("LoadCredentialEncrypted", "SetCredentialEncrypted", "StartupAllowedCPUs", "StartupAllowedMemoryNodes"),
        *("ConditionCPUPressure", "ConditionIOPressure", "ConditionMemoryPressure"),
    ),
    254: (
        *("DefaultStartupMemoryLow", "StartupMemoryLow", "StartupMemoryHigh", "StartupMemoryMax"),
        *("StartupMemorySwapMax", "StartupMemoryZSwapMax", "UpheldBy"),
    ),
}

#: What something else tells; 0 is older than anything that tells.
_OTHERWISE = {
    "DeviceAllow": (0, "NEWS 210 adds to it; the mark is that of the page"),
    "Service.StartLimitAction": (0, "NEWS 213 names it as there already"),
    "Service.StartLimitBurst": (0, "NEWS 229 moves it to [Unit]"),
    "Service.StartLimitInterval": (0, "NEWS 229 moves it to [Unit]"),
    "ConditionFirstBoot": (216, "NEWS 216 has systemd-firstboot, which is what it was made for"),
    "MemoryLow": (231, "the mark of MemoryHigh= and MemoryMax=, which it came with"),
    "ManagedOOMMemoryPressureLimit": (248, "NEWS 247 has it with Percent at its end; systemd-oomd was finished in 248"),
    "OnSuccessJobMode": (249, "NEWS 249 has OnSuccess=, which it is for"),
    "Unit.StartLimitIntervalSec": (230, "NEWS 229 has it as StartLimitInterval= still"),
}

#: What is told elsewhere, by "Directive" or "Section.Directive".
TOLD: dict[str, int] = {
    **{name: version for version, names in _NEWS.items() for name in names},
    **{name: version for name, (version, _) in _OTHERWISE.items()},
}

#: NEWS 218: for every condition there was, an assertion came.
ASSERTIONS = 218

#: NEWS 258: what there was for the first version of control groups is no more. Directive -> first version without it.
GONE = {
    **dict.fromkeys(("BlockIOAccounting", "BlockIODeviceWeight", "BlockIOReadBandwidth", "BlockIOWeight"), 258),
    **dict.fromkeys(("BlockIOWriteBandwidth", "CPUShares", "MemoryLimit"), 258),
    **dict.fromkeys(("StartupBlockIOWeight", "StartupCPUShares"), 258),
    "ManagedOOMMemoryPressureLimitPercent": 248,
}
