"""The machine's locale, of which a service manager tells every program: locale.conf(5), kernel-command-line(7)."""

from __future__ import annotations

import os

_NAMES = (
    *("LANG", "LANGUAGE", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES", "LC_PAPER"),
    *("LC_NAME", "LC_ADDRESS", "LC_TELEPHONE", "LC_MEASUREMENT", "LC_IDENTIFICATION"),
)
_FILES = ("/etc/locale.conf", "/etc/default/locale")  # Debian's own name is the older one
_DEFAULT = {"LANG": "C.UTF-8"}


def variables() -> dict[str, str]:
    """$LANG and its kin: of the kernel's command line, else of the first file, else systemd's default; none where the
    file is no text."""
    try:
        return _of_kernel() or _of_file() or _DEFAULT
    except ValueError:
        return {}


def _of_kernel() -> dict[str, str]:
    words = [word.partition("=") for word in _read("/proc/cmdline").split() if word.startswith("locale.")]
    found = {name.removeprefix("locale."): value.strip('"') for name, _, value in words}
    return {name: found[name] for name in _NAMES if found.get(name)}


def _of_file() -> dict[str, str]:
    from initkit.settings import envfile

    for path in _FILES:
        if os.path.exists(path):
            found = envfile.parse(_read(path))
            return {name: found[name] for name in _NAMES if found.get(name)}
    return {}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
