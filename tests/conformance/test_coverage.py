"""Each directive has three units at least: one that works, one with others, one that fails as it should."""

from __future__ import annotations

from collections import Counter

import pytest
from lab.test_resources import SHORT, UNITS

from .cases import every

ENOUGH = 3

# systemd.exec(5), in the order of its sections.
PROCESS = (
    *(
        "User Group SupplementaryGroups DynamicUser PAMName CapabilityBoundingSet AmbientCapabilities SecureBits"
    ).split(),
    *("NoNewPrivileges UMask KeyringMode OOMScoreAdjust TimerSlackNSec Personality Nice CPUSchedulingPolicy").split(),
    *("CPUSchedulingPriority CPUSchedulingResetOnFork CPUAffinity NUMAPolicy NUMAMask IOSchedulingClass").split(),
    *("IOSchedulingPriority IgnoreSIGPIPE TTYPath TTYReset TTYVHangup CoredumpFilter LockPersonality").split(),
    *("MemoryDenyWriteExecute WorkingDirectory ExecSearchPath TTYVTDisallocate TTYRows TTYColumns").split(),
    *("LimitCPU LimitFSIZE LimitDATA LimitSTACK LimitCORE LimitRSS LimitNOFILE LimitAS LimitNPROC").split(),
    *("LimitMEMLOCK LimitLOCKS LimitSIGPENDING LimitMSGQUEUE LimitNICE LimitRTPRIO LimitRTTIME").split(),
)
VIEW = (
    *("RootDirectory BindPaths BindReadOnlyPaths ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths").split(),
    *("NoExecPaths TemporaryFileSystem PrivateTmp PrivateDevices ProtectSystem ProtectHome").split(),
    *("ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectClock").split(),
    *("ProtectHostname ProtectProc ProcSubset MountFlags MountAPIVFS PrivateMounts PrivateNetwork").split(),
    *("NetworkNamespacePath PrivateIPC IPCNamespacePath PrivateUsers RestrictNamespaces RestrictRealtime").split(),
    *("RestrictSUIDSGID RestrictAddressFamilies RemoveIPC JoinsNamespaceOf").split(),
)
FILTERS = "SystemCallFilter SystemCallErrorNumber SystemCallArchitectures SystemCallLog".split()
DATA = (
    *(
        f"{kind}Directory{more}"
        for kind in ("Runtime", "State", "Cache", "Logs", "Configuration")
        for more in ("", "Mode")
    ),
    *("RuntimeDirectoryPreserve LoadCredential SetCredential ImportCredential StandardInput").split(),
    *("StandardInputText StandardInputData StandardOutput StandardError SyslogIdentifier").split(),
    *("SyslogFacility SyslogLevel SyslogLevelPrefix").split(),
    *("Environment EnvironmentFile PassEnvironment UnsetEnvironment").split(),
)
RESOURCES = (
    *("MemoryMax MemoryHigh MemoryLow MemoryMin MemorySwapMax CPUWeight CPUQuota CPUQuotaPeriodSec").split(),
    *("TasksMax IOWeight Delegate OOMPolicy Slice AllowedCPUs IOReadBandwidthMax").split(),
)


def counted() -> Counter[str]:
    """How many units assign each directive something."""
    units = ["\n".join(case.settings) for case in every()]
    units += [settings for settings, _ in (*UNITS.values(), *SHORT.values())]
    return Counter(
        key for unit in units for key in {line.partition("=")[0] for line in unit.splitlines() if "=" in line}
    )


@pytest.mark.parametrize("directive", [*PROCESS, *VIEW, *FILTERS, *DATA, *RESOURCES])
def test_three_units_or_more(directive: str) -> None:
    assert counted()[directive] >= ENOUGH
