"""Writes initkit/settings/syscalls.py: the groups of system calls that SystemCallFilter= knows.

    python tests/lab/syscall_groups.py            # write it anew
    python tests/lab/syscall_groups.py --check    # exit 1 if it is not what would be written

The groups are what `systemd-analyze syscall-filter` of the lab's newest systemd prints.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

from machine import CHECKOUT, SYSTEMD_257, root_of

PRODUCT = CHECKOUT / "initkit/settings/syscalls.py"
HEADER = f'''\
"""The groups of SystemCallFilter=, of systemd {SYSTEMD_257.version}: written by tests/lab/syscall_groups.py."""

from __future__ import annotations

# fmt: off
#: By name the system calls, and the groups, that a group has.
GROUPS: dict[str, str] = {{
'''


def groups() -> dict[str, list[str]]:
    """The members of each group, as systemd prints them."""
    argv = ["chroot", str(root_of(SYSTEMD_257)), "systemd-analyze", "--no-pager", "syscall-filter"]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    members: list[str] = []
    for line in printed.splitlines():
        if line.startswith("@"):
            members = found.setdefault(line, [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.append(line.strip())
    return found


def text() -> str:
    """The module."""
    lines = [HEADER]
    for name, members in groups().items():
        lines.append(f'    "{name}":\n')
        wrapped = textwrap.wrap(" ".join(members), 98)
        for at, piece in enumerate(wrapped):
            last = at == len(wrapped) - 1
            lines.append(f'        "{piece}{"" if last else " "}"{"," if last else ""}\n')
    return "".join((*lines, "}\n"))


def main() -> int:
    """Write the module, or compare."""
    made = text()
    if "--check" in sys.argv:
        return 0 if made == PRODUCT.read_text() else 1
    PRODUCT.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
