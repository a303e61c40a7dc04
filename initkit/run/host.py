"""What machine this is, for conditions: systemd.unit(5), "CONDITIONS AND ASSERTS"."""

from __future__ import annotations

import os

from initkit.plan import glob
from initkit.run.identity import read
from initkit.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The containers that systemd-detect-virt(1) knows; every other name is a virtual machine's.
_CONTAINERS = ("openvz", "lxc", "lxc-libvirt", "systemd-nspawn", "docker", "podman", "rkt", "wsl", "proot", "pouch")
_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "devices", "pids")
#: Words of the firmware's tables, and whose they are.
_VENDORS = {
    "QEMU": "qemu", "KVM": "kvm", "OpenStack": "kvm", "Amazon EC2": "amazon", "VMware": "vmware", "VMW": "vmware",
    "innotek GmbH": "oracle", "VirtualBox": "oracle", "Oracle Corporation": "oracle", "Xen": "xen", "Bochs": "bochs",
    "Parallels": "parallels", "BHYVE": "bhyve", "Hyper-V": "microsoft", "Apple Virtualization": "apple",
    "Google Compute Engine": "google",
}  # fmt: skip


def is_mount_point(path: str) -> bool:
    """Whether something is mounted there: proc(5), mountinfo."""
    return any(line.split()[4] == path for line in read("/proc/self/mountinfo").splitlines())


def is_encrypted(path: str) -> bool:
    """Whether the file system is on a device of dm-crypt's."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return False
    return read(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/dm/uuid").startswith("CRYPT-")


def is_architecture(name: str) -> bool:
    """Whether this is systemd's name for the machine; "native" is whatever initkit itself runs on."""
    from initkit.settings import specifiers

    return name in ("native", specifiers.architecture())


def is_firmware(name: str) -> bool:
    """uefi, device-tree, or smbios-field(…)."""
    if name == "uefi":
        return os.path.isdir("/sys/firmware/efi")
    if name == "device-tree":
        return os.path.isdir("/sys/firmware/devicetree")
    if name.startswith("device-tree-compatible("):
        found = read("/proc/device-tree/compatible").split("\0")
        return name.removeprefix("device-tree-compatible(").removesuffix(")") in found
    raise ValueError(f"expected uefi or device-tree, found {name!r}")


def container() -> str:
    """The container that this is in, by systemd's name, "" where it is none."""
    told = read("/run/systemd/container").strip()
    environment = dict(word.partition("=")[::2] for word in read("/proc/1/environ").split("\0"))
    if told or environment.get("container"):
        return told or environment["container"]
    marks = {"/run/.containerenv": "podman", "/.dockerenv": "docker", "/proc/vz": "openvz"}
    return next((name for path, name in marks.items() if os.path.exists(path)), "")


def virtual_machine() -> str:
    """The virtual machine that this is in, by systemd's name, "" where it is none."""
    told = " ".join(read(f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name", "board_vendor"))
    found = next((kind for word, kind in _VENDORS.items() if word in told), "")
    if found or "hypervisor" not in read("/proc/cpuinfo").partition("\n\n")[0].split():
        return found
    return "xen" if os.path.isdir("/proc/xen") else "vm-other"


def is_virtualization(name: str) -> bool:
    """A boolean, "vm", "container", "private-users", or the name of one."""
    if name == "private-users":
        return read("/proc/self/uid_map").split() != ["0", "0", "4294967295"]
    inside = container()
    machine = "" if inside else virtual_machine()
    if name in ("vm", "container"):
        return bool(machine if name == "vm" else inside)
    try:
        return values.boolean(name) == bool(inside or machine)
    except ValueError:
        return name in (inside, machine)


def is_host(name: str) -> bool:
    """A machine-id(5), or a pattern of host names."""
    if len(name) == 32 and all(char in "0123456789abcdefABCDEF" for char in name):
        return read("/etc/machine-id").strip() == name.lower()
    return glob.matches(os.uname().nodename.lower(), name.lower())


def has_kernel_word(word: str) -> bool:
    """An assignment of the kernel's command line as it stands, else a word or the name of an assignment."""
    words = read("/proc/cmdline").split()
    if "=" in word:
        return word in words
    return any(each == word or each.startswith(f"{word}=") for each in words)


def has_module(name: str) -> bool:
    """Whether the kernel has this module, loaded."""
    return os.path.isdir(f"/sys/module/{name.replace('-', '_')}")


def _secure_boot() -> bool:
    try:
        with open("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "rb") as file:
            return file.read()[4:] == b"\1"
    except OSError:
        return False


def has_security(name: str) -> bool:
    """A security technology."""
    tests: dict[str, Callable[[], bool]] = {
        "selinux": lambda: os.path.isdir("/sys/fs/selinux"),
        "apparmor": lambda: read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        "tomoyo": lambda: os.path.exists("/sys/kernel/security/tomoyo/version"),
        "smack": lambda: os.path.isdir("/sys/fs/smackfs"),
        "ima": lambda: os.path.isdir("/sys/kernel/security/ima"),
        "audit": lambda: os.path.exists("/proc/self/loginuid"),
        "uefi-secureboot": _secure_boot,
        "tpm2": lambda: os.path.exists("/dev/tpmrm0"),
        "cvm": lambda: os.path.exists("/dev/sev-guest") or os.path.exists("/dev/tdx_guest"),
        "measured-uki": lambda: False,
    }
    if name not in tests:
        raise ValueError(f"expected one of {', '.join(tests)}, found {name!r}")
    return tests[name]()


def has_capability(name: str) -> bool:
    """Whether this process's bounding set has it: capabilities(7)."""
    from initkit.settings import capabilities

    line = next(line for line in read("/proc/self/status").splitlines() if line.startswith("CapBnd:"))
    return bool(int(line.split()[1], 16) >> capabilities.number(name) & 1)


def on_ac_power() -> bool:
    """Whether a mains supply is on, or there is no battery that could be in use."""
    folder = "/sys/class/power_supply"
    supplies = os.listdir(folder) if os.path.isdir(folder) else []
    kinds = {name: read(f"{folder}/{name}/type").strip() for name in supplies}
    if any(kind != "Battery" and read(f"{folder}/{name}/online").startswith("1") for name, kind in kinds.items()):
        return True
    return not any(
        kind == "Battery" and read(f"{folder}/{name}/status").strip() == "Discharging" for name, kind in kinds.items()
    )


def is_first_boot() -> bool:
    """Whether this is a machine's first boot, as systemd has found it."""
    return os.path.exists("/run/systemd/first-boot")


def has_controllers(text: str) -> bool:
    """Controllers of cgroups(7), or "v1" and "v2" for the hierarchy."""
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    if text in ("v1", "v2"):
        return unified == (text == "v2")
    named = set(text.split()) & set(_CONTROLLERS)  # systemd passes over those that it does not know
    return named <= set(read("/sys/fs/cgroup/cgroup.controllers").split())


def has_cpu_feature(name: str) -> bool:
    """A flag of /proc/cpuinfo."""
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith(("flags", "Features")):
            return name.lower() in line.partition(":")[2].split()
    return False


def pressure(kind: str, field: str) -> float | None:
    """The percentage of time that all were waiting: proc(5), /proc/pressure; None where that is not counted."""
    for line in read(f"/proc/pressure/{kind}").splitlines():
        if line.startswith("full" if kind != "cpu" else "some"):
            found = dict(word.partition("=")[::2] for word in line.split()[1:])
            return float(found[field])
    return None
