"""Rows of systemd.exec(5) that few services set. Who reads their values is imported when there is one to read."""

from __future__ import annotations

from initkit.settings import directives, values
from initkit.settings.rows import Many, One, Row
from initkit.settings.unit import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar
else:  # `typing` costs as much as starting Python
    Any = None


def late(module: str, function: str) -> Callable[..., Any]:
    """A parser of a module that is imported with the first value."""

    def parse(*arguments: Any) -> Any:
        return getattr(__import__(f"initkit.settings.{module}", fromlist=[function]), function)(*arguments)

    return parse


class Merged(Row["int | None"]):
    """A set of bits where "~" at the start of an assignment takes away: systemd.exec(5), CapabilityBoundingSet=.

    `first` is what the set is before the first assignment. None: there is none.
    """

    empty_counts = True

    def __init__(self, name: str, module: str, function: str, first: int) -> None:
        super().__init__(name, None)
        self.parse, self.first = late(module, function), first

    def add(self, so_far: int | None, text: str, expand: Callable[[str], str]) -> int:
        before = self.first if so_far is None else so_far
        named: int = self.parse(text.removeprefix("~"))
        if text.startswith("~"):
            return ~named if named == 0 or before == self.first else before & ~named
        return named if named == 0 or before == self.first else before | named

    def reset(self) -> int | None:
        return 0


class Namespaces(Row["int | None"]):
    """RestrictNamespaces=: the namespaces that may be made. None: nothing is said."""

    def add(self, so_far: int | None, text: str, expand: Callable[[str], str]) -> int:
        found: int = late("filters", "namespaces")(so_far, text)
        return found


class Implied(One[Any]):
    """A value that DynamicUser= sets where the settings are silent, or say less than it does."""

    def __init__(self, name: str, parse: Callable[[str], Any], default: Any, implied: Any) -> None:
        super().__init__(name, parse, default)
        self.implied = implied

    def value(self, service: Unit) -> Any:
        found = super().value(service)
        return self.implied if not found and service.dynamic_user else found  # type: ignore[attr-defined]


class Execution(Unit):
    """What a process is like when its program begins; `Service` has these rows beside its own."""

    rows: ClassVar[dict[str, Row[Any]]] = {}

    capability_bounding_set = Merged("CapabilityBoundingSet", "capabilities", "bits", -1)
    ambient_capabilities = Merged("AmbientCapabilities", "capabilities", "bits", 0)
    secure_bits = Many("SecureBits", late("capabilities", "secure_bits"))
    timer_slack = One[int | None]("TimerSlackNSec", values.nanoseconds, None)
    personality = One("Personality", late("attributes", "architecture"), "")
    coredump_filter = One[int | None]("CoredumpFilter", late("attributes", "coredump_filter"), None)
    keyring_mode = One("KeyringMode", directives.keyring_mode, "")
    numa_policy = One[int | None]("NUMAPolicy", late("attributes", "numa_policy"), None)
    numa_mask = One[tuple[int, ...]]("NUMAMask", late("attributes", "numa_mask"), ())

    # The standard streams
    standard_input_text = Many("StandardInputText", late("streams", "text"))
    standard_input_data = Many("StandardInputData", late("streams", "data"))
    syslog_facility = One("SyslogFacility", late("streams", "facility"), "daemon")
    syslog_level = One("SyslogLevel", late("streams", "level"), "info")
    syslog_level_prefix = One("SyslogLevelPrefix", values.boolean, True)
    tty_reset = One("TTYReset", values.boolean, False)
    tty_vhangup = One("TTYVHangup", values.boolean, False)
    tty_vt_disallocate = One("TTYVTDisallocate", values.boolean, False)
    tty_rows = One("TTYRows", late("streams", "cells"), 0)
    tty_columns = One("TTYColumns", late("streams", "cells"), 0)

    # The user
    dynamic_user = One("DynamicUser", values.boolean, False)
    no_new_privileges = Implied("NoNewPrivileges", values.boolean, False, True)
    remove_ipc = Implied("RemoveIPC", values.boolean, False, True)

    # What it is told in secret
    load_credentials = Many("LoadCredential", late("credentials", "loaded"))
    set_credentials = Many("SetCredential", late("credentials", "set_to"))
    import_credentials = Many("ImportCredential", late("credentials", "imported"))

    # The environment
    exec_search_path = Many("ExecSearchPath", late("paths", "search"))
    set_login_environment = One[bool | None]("SetLoginEnvironment", values.boolean, None)

    # The view of the file system
    read_write_paths = Many("ReadWritePaths", late("paths", "marked"))
    read_only_paths = Many("ReadOnlyPaths", late("paths", "marked"))
    inaccessible_paths = Many("InaccessiblePaths", late("paths", "marked"))
    exec_paths = Many("ExecPaths", late("paths", "marked"))
    no_exec_paths = Many("NoExecPaths", late("paths", "marked"))
    bind_paths = Many("BindPaths", late("paths", "binds"))
    bind_read_only_paths = Many("BindReadOnlyPaths", late("paths", "binds"))
    temporary_file_systems = Many("TemporaryFileSystem", late("paths", "temporary"))
    private_tmp = Implied("PrivateTmp", late("paths", "private_tmp"), "", "disconnected")
    private_devices = One("PrivateDevices", values.boolean, False)
    private_mounts = One("PrivateMounts", values.boolean, False)
    private_network = One("PrivateNetwork", values.boolean, False)
    private_ipc = One("PrivateIPC", values.boolean, False)
    private_users = One("PrivateUsers", late("paths", "private_users"), "")
    network_namespace_path = One("NetworkNamespacePath", values.path, "", expand=True)
    ipc_namespace_path = One("IPCNamespacePath", values.path, "", expand=True)
    protect_system = Implied("ProtectSystem", late("paths", "protect_system"), "", "strict")
    protect_home = Implied("ProtectHome", late("paths", "protect_home"), "", "read-only")
    protect_kernel_tunables = One("ProtectKernelTunables", values.boolean, False)
    protect_kernel_modules = One("ProtectKernelModules", values.boolean, False)
    protect_kernel_logs = One("ProtectKernelLogs", values.boolean, False)
    protect_control_groups = One("ProtectControlGroups", late("paths", "protect_control_groups"), "")
    protect_clock = One("ProtectClock", values.boolean, False)
    protect_hostname = One("ProtectHostname", late("paths", "host_name"), "")
    protect_proc = One("ProtectProc", directives.protect_proc, "default")
    proc_subset = One("ProcSubset", directives.proc_subset, "all")
    mount_flags = One("MountFlags", late("paths", "mount_flags"), "")
    mount_api_vfs = One[bool | None]("MountAPIVFS", values.boolean, None)

    # What it leaves
    runtime_directory_preserve = One("RuntimeDirectoryPreserve", late("paths", "preserve"), "")

    # What it may ask of the kernel
    system_call_filter = Many("SystemCallFilter", late("filters", "calls"))
    system_call_log = Many("SystemCallLog", late("filters", "calls"))
    system_call_error = One("SystemCallErrorNumber", late("filters", "error_number"), 0)
    system_call_architectures = Many("SystemCallArchitectures", late("filters", "architectures"))
    restrict_address_families = Many("RestrictAddressFamilies", late("filters", "families"))
    restrict_namespaces = Namespaces("RestrictNamespaces", None)
    restrict_realtime = One("RestrictRealtime", values.boolean, False)
    restrict_suid_sgid = Implied("RestrictSUIDSGID", values.boolean, False, True)
    lock_personality = One("LockPersonality", values.boolean, False)
    memory_deny_write_execute = One("MemoryDenyWriteExecute", values.boolean, False)
