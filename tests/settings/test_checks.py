"""Values that no part of initkit acts on: what systemd would pass over is an error, what it takes is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from initkit.settings import directives
from initkit.settings.service import Entry, Service

# Directive, values that systemd takes, values that it passes over.
TABLE: list[tuple[str, list[str], list[str]]] = [
    ("PrivateTmp", ["yes", "off", "disconnected"], ["x", "maybe"]),
    ("PrivateDevices", ["yes", "0"], ["x", "%i"]),
    ("ProtectSystem", ["yes", "full", "strict"], ["maybe", "Strict"]),
    ("ProtectHome", ["true", "read-only", "tmpfs"], ["strict"]),
    ("ProtectProc", ["invisible", "default"], ["yes"]),
    ("ProcSubset", ["pid", "all"], ["some"]),
    ("ProtectHostname", ["yes", "private", "private:a.example", "yes:a"], ["x"]),
    ("PrivateUsers", ["yes", "self", "identity"], ["x"]),
    ("KeyringMode", ["private"], ["x"]),
    ("DevicePolicy", ["closed"], ["x"]),
    ("OOMPolicy", ["continue"], ["x"]),
    ("ExitType", ["cgroup"], ["x"]),
    ("RestartMode", ["direct"], ["x"]),
    ("TimeoutStopFailureMode", ["abort"], ["x"]),
    ("TimeoutStartFailureMode", ["kill"], ["x"]),
    ("SyslogLevel", ["warning", "4"], ["x", "8"]),
    ("SyslogFacility", ["daemon", "local7"], ["x"]),
    ("MemoryMax", ["512M", "1.5G", "50%", "12.5%", "infinity"], ["foo", "150%", "0"]),
    ("MemoryLow", ["0", "1G"], ["-1"]),
    ("CPUQuota", ["20%", "250%", "0.5%"], ["abc", "20", "0%"]),
    ("CPUWeight", ["100", "idle", "10000"], ["999999", "0", "x"]),
    ("IOWeight", ["1", "10000"], ["0", "10001"]),
    ("TasksMax", ["infinity", "100", "80%"], ["x", "0"]),
    ("IODeviceWeight", ["/dev/sda 200"], ["/dev/sda 0", "/dev/sda"]),
    ("IOReadBandwidthMax", ["/dev/sda 5M", "/dev/sda infinity"], ["/dev/sda", "/dev/sda x"]),
    ("AllowedCPUs", ["0-3,5 7"], ["x"]),
    ("NUMAPolicy", ["bind", "default"], ["x"]),
    ("NUMAMask", ["all", "0-1"], ["x"]),
    ("Delegate", ["yes", "cpu memory pids"], ["nonsense"]),
    ("TimeoutAbortSec", ["5min 3s", "infinity", "90"], ["5 parsecs"]),
    ("JobTimeoutSec", ["90", "infinity"], ["x"]),
    ("RuntimeRandomizedExtraSec", ["5s"], ["x"]),
    ("LogRateLimitBurst", ["100"], ["-1", "x"]),
    ("Slice", ["a-b.slice", "app-%i.slice", "system.slice"], ["a b", "a", "a.service"]),
    ("ReadWritePaths", ["/a", "-/a +/b -+/c %t/d", '"/a b"'], ["rel", "/a rel", "/a/../b"]),
    ("BindPaths", ["/a", "-/a:/b:norbind /c", "%t/a:/b"], ["rel:rel", "/a:rel"]),
    ("TemporaryFileSystem", ["/var:ro /x", "/y:mode=0700,size=1M"], ["rel"]),
    ("RootImage", ["/x.raw", "%h/x.raw"], ["x.raw"]),
    ("DeviceAllow", ["/dev/null rw", "char-pts", "block-* r"], ["null", "/dev/null x"]),
    ("IPAddressAllow", ["any", "10.0.0.0/8 ::1/128", "localhost 127.0.0.1"], ["300.1.1.1", "10.0.0.0/33", "x"]),
    ("CapabilityBoundingSet", ["CAP_CHOWN", "~CAP_SYS_ADMIN cap_kill"], ["CAP_FOO", "CHOWN"]),
    ("AmbientCapabilities", ["CAP_NET_BIND_SERVICE"], ["~CAP_FOO"]),
    ("RestrictAddressFamilies", ["AF_UNIX AF_INET6", "~AF_PACKET", "none"], ["FOO", "AF_FOO"]),
    ("RestrictNamespaces", ["yes", "user net", "~mnt"], ["foo"]),
    ("SecureBits", ["keep-caps noroot-locked"], ["foo"]),
    ("MountFlags", ["slave"], ["foo"]),
    ("Personality", ["x86-64"], ["foo"]),
    ("SystemCallArchitectures", ["native x86"], ["foo"]),
    ("SystemCallErrorNumber", ["EPERM", "kill", "5"], ["EFOO", "x", "5000"]),
    ("SystemCallFilter", ["@system-service", "~@mount:EPERM"], []),
    ("CoredumpFilter", ["default private-dax", "0x33"], ["foo"]),
    ("LogExtraFields", ['A=b "C_D=e f"'], ["a=b", "A"]),
    ("BusName", ["org.example.App-1"], ["app", "org..x"]),
    ("Sockets", ["a.socket"], ["a.service"]),
    ("After", ["a.service b.target", "dev-disk\\x2dby.device", "a@.service", "%i.service"], ["a b", "a.foo"]),
    ("Conflicts", ["shutdown.target", "a@b\\x20c.service"], ["shutdown"]),
    ("RequiresMountsFor", ["/var/lib %t/x"], ["var", "-/var"]),
    ("Documentation", ["man:a(1) https://a.example", "file:/x info:y"], ["foo", "man:"]),
    ("ConditionPathExists", ["/a", "!/a", "|!/a", "%t/a"], ["rel", "| /a", "!rel", "|!rel"]),
    ("AssertFileNotEmpty", ["/a"], ["rel"]),
    ("ConditionHost", ["anything goes"], []),
    ("WantedBy", ["multi-user.target", "default.target %i.target"], ["foo"]),
    ("Also", ["a.socket"], ["a"]),
]
GOOD = [(name, value) for name, good, _ in TABLE for value in good]
BAD = [(name, value) for name, _, bad in TABLE for value in bad]


def section(name: str) -> str:
    return next(row.section for row in directives.every() if row.name == name)


def faults(name: str, value: str) -> list[str]:
    entries = (
        Entry("Service", "ExecStart", "/bin/true", "app.service", 1),
        Entry(section(name), name, value, "app.service", 2),
    )
    return [str(fault) for fault in Service("app@one", "/etc/initkit/app.service", entries).faults()]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_systemd_takes_is_taken(name: str, value: str) -> None:
    assert faults(name, value) == []


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_systemd_passes_over_is_an_error(name: str, value: str) -> None:
    (fault,) = faults(name, value)
    assert fault.startswith(f'app.service:2: {name} = "{value}": expected ')


@pytest.mark.parametrize("name", sorted(row.name for row in directives.every() if not row.is_command))
def test_an_empty_value_resets(name: str) -> None:
    assert not any(f" {name} = " in fault for fault in faults(name, ""))


def test_the_run_path_does_not_import_it() -> None:
    program = """
import sys
from initkit.settings.service import Entry, Service
entries = [Entry("Service", "ExecStart", "/bin/true"), Entry("Unit", "After", "network.target")]
Service("app", "/app.service", tuple(entries)).verify()
assert "initkit.settings.checks" not in sys.modules
"""
    subprocess.run([sys.executable, "-S", "-c", program], check=True)
