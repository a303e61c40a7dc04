"""Values of systemd.exec(5)'s rarer process properties. Imported for the services that set one."""

from __future__ import annotations

from initkit.settings import syntax, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: systemd.unit(5), ConditionArchitecture=: systemd's names
ARCHITECTURES = (
    "x86", "x86-64", "x32", "arm", "arm-be", "arm64", "arm64-be", "alpha", "arc", "arc-be", "cris", "ia64",
    "loongarch64", "m68k", "mips", "mips-le", "mips64", "mips64-le", "mips64-n32", "mips64-le-n32", "nios2", "parisc",
    "parisc64", "ppc", "ppc-le", "ppc64", "ppc64-le", "riscv32", "riscv64", "s390", "s390x", "sh", "sh64", "sparc",
    "sparc64", "tilegx",
)  # fmt: skip

#: core(5), "Controlling which mappings are written to the core dump": by bit.
_DUMPED = (
    "private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed", "elf-headers",
    "private-huge", "shared-huge", "private-dax", "shared-dax",
)  # fmt: skip
_DUMPED_BY_DEFAULT = 0x33
#: set_mempolicy(2), <linux/mempolicy.h>
_NUMA = {
    "default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4, "preferred-many": 5, "weighted-interleave": 6,
}  # fmt: skip


def _number_of(numbers: Mapping[str, int], what: str, text: str) -> int:
    if text not in numbers:
        raise ValueError(f"expected {what} ({', '.join(numbers)}), found {text!r}")
    return numbers[text]


def architecture(text: str) -> str:
    """A name of systemd's for an architecture.

    Raises:
        ValueError: for another word.
    """
    if text not in ARCHITECTURES:
        raise ValueError(f"expected an architecture ({', '.join(ARCHITECTURES)}), found {text!r}")
    return text


def coredump_filter(text: str) -> int:
    """The bits of /proc/PID/coredump_filter: names, "default", "all", or a mask in hexadecimal.

    Raises:
        ValueError: naming the word that is none of these.
    """
    found = 0
    for word in syntax.split(text):
        found |= _dumped(word)
    return found


def _dumped(word: str) -> int:
    if word == "all":
        return 0xFFFFFFFF
    if word == "default":
        return _DUMPED_BY_DEFAULT
    if word in _DUMPED:
        return 1 << _DUMPED.index(word)
    try:
        return int(word, 16)
    except ValueError:
        known = ", ".join((*_DUMPED, "default", "all"))
        raise ValueError(f"expected kinds of memory ({known}) or a mask in hexadecimal, found {word!r}") from None


def numa_policy(text: str) -> int:
    """set_mempolicy(2)'s number.

    Raises:
        ValueError: for another word.
    """
    return _number_of(_NUMA, "a policy", text)


def numa_mask(text: str) -> tuple[int, ...]:
    """The nodes; (-1,) for "all", which are those that the machine has.

    Raises:
        ValueError: for what is no list of numbers.
    """
    return (-1,) if text == "all" else tuple(values.cpu_set(text))
