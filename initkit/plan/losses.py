"""What the runner does not keep of a service's settings. Imported where the settings have something that is no row."""

from __future__ import annotations

from initkit.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Entry, Service

#: A matter of systemd's own: bookkeeping, other units, the journal's and the boot's; nothing of the service's process.
_IMMATERIAL = frozenset((
    "AllowIsolate", "CollectMode", "DefaultDependencies", "IgnoreOnIsolate", "JobRunningTimeoutSec", "JobTimeoutAction",
    "JobTimeoutRebootArgument", "JobTimeoutSec", "OnFailureIsolate", "OnFailureJobMode", "OnSuccessJobMode",
    "RebootArgument", "RefuseManualStart", "RefuseManualStop", "RequiresMountsFor", "SourcePath", "StopWhenUnneeded",
    "WantsMountsFor", "BlockIOAccounting", "CPUAccounting", "IOAccounting", "IPAccounting",
    "MemoryAccounting", "TasksAccounting", "Slice", "Sockets", "LogRateLimitBurst", "LogRateLimitIntervalSec",
    "TimeoutCleanSec", "CoredumpReceive", "CPUPressureWatch", "IOPressureWatch", "MemoryPressureWatch",
    "CPUPressureThresholdSec", "IOPressureThresholdSec", "MemoryPressureThresholdSec", "UtmpIdentifier",
    "RuntimeDirectoryPreserve", "RootImagePolicy", "MountImagePolicy", "ExtensionImagePolicy",
))  # fmt: skip
#: Values that ask for nothing.
_NOTHING = ("none", "infinity", "auto", "default", "init", "inherit", "")


def of(service: Service) -> list[str]:
    """The directives that are set, ask for something, and that nothing here acts on, in the order of the settings."""
    found = [entry.key for entry in service.entries if _is_lost(service, entry)]
    return list(dict.fromkeys(found))


def _is_lost(service: Service, entry: Entry) -> bool:
    if entry.section not in ("Unit", "Service") or entry.key in service.rows or entry.key in _IMMATERIAL:
        return False
    if entry.key.startswith(("X-", "Condition", "Assert", "Limit")) or entry.value.lower() in _NOTHING:
        return False
    try:
        return values.boolean(entry.value)
    except ValueError:
        return True
