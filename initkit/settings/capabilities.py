"""capabilities(7): the names of the bits. Imported for the services that name some."""

from __future__ import annotations

from initkit.settings import syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: By number.
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
#: <linux/securebits.h>
_SECURE_NUMBERS = {
    "noroot": 0, "noroot-locked": 1, "no-setuid-fixup": 2, "no-setuid-fixup-locked": 3, "keep-caps": 4,
    "keep-caps-locked": 5,
}  # fmt: skip


def bits(text: str) -> int:
    """The set that a list of names (or numbers) stands for: bit N for capability N.

    Raises:
        ValueError: naming the word that is no capability.
    """
    found = 0
    for word in syntax.split(text):
        found |= 1 << number(word)
    return found


def number(word: str) -> int:
    """A capability's number.

    Raises:
        ValueError: when there is none of that name.
    """
    name = word.upper().removeprefix("CAP_")
    if word.upper().startswith("CAP_") and name in NAMES:
        return NAMES.index(name)
    if word.isascii() and word.isdigit() and int(word) < 63:
        return int(word)
    raise ValueError(f"expected a capability such as CAP_NET_BIND_SERVICE, found {word!r}")


def secure_bits(text: str, _: Callable[[str], str]) -> Iterator[int]:
    """The bits of a list of names.

    Raises:
        ValueError: naming the word that is none of them.
    """
    for word in syntax.split(text):
        if word not in _SECURE_NUMBERS:
            raise ValueError(f"expected secure bits ({', '.join(_SECURE_NUMBERS)}), found {word!r}")
        yield 1 << _SECURE_NUMBERS[word]
