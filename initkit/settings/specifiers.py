"""Specifiers and the escaping of unit names: systemd.unit(5), "SPECIFIERS"; systemd-escape(1)."""

from __future__ import annotations

import os

from initkit.settings import envfile, syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOST = frozenset("HlqmbvaowWAMB")
"""The specifiers that depend on the machine: a file that is to serve on another one cannot hold their values."""

MANAGER = frozenset("uUgGhs")
"""The specifiers that depend on the user who runs the manager."""

_ALNUM = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_PLAIN = _ALNUM | frozenset(":_.")


def expand(text: str, lookup: Callable[[str], str]) -> str:
    """The text with each `%x` replaced by `lookup("x")` and `%%` by `%`.

    As in systemd, a `%` before anything but a letter or digit stays. Raises ValueError for an unknown specifier, for
    which `lookup` raises KeyError; `lookup` may also raise ValueError with a reason of its own.
    """
    if "%" not in text:
        return text
    return "".join(_value(piece, lookup, text) if found else piece for found, piece in _pieces(text))


def _pieces(text: str) -> list[tuple[bool, str]]:
    """(False, literal text) and (True, the letter of a specifier), in order."""
    pieces = []
    position = 0
    while (percent := text.find("%", position)) >= 0:
        pieces.append((False, text[position:percent]))
        letter = text[percent + 1 : percent + 2]
        if letter in _ALNUM:
            pieces.append((True, letter))
        else:
            pieces.append((False, "%" if letter == "%" else "%" + letter))
        position = percent + 2
    pieces.append((False, text[position:]))
    return pieces


def _value(letter: str, lookup: Callable[[str], str], text: str) -> str:
    try:
        return lookup(letter)
    except KeyError:
        raise ValueError(f'expected a known specifier (or %% for "%"), found %{letter} in {text!r}') from None


def used(text: str) -> frozenset[str]:
    """The letters of the specifiers in a text; `%%` is none."""
    return frozenset(piece for found, piece in _pieces(text) if found) if "%" in text else frozenset()


def escape(text: str) -> str:
    """The text with every `%` doubled, so that `expand` gives it back."""
    return text.replace("%", "%%")


def escape_name(text: str) -> str:
    """Any text as part of a unit name: "/" is "-", what a unit name cannot hold is `\\xNN`."""
    return "".join(_escaped(byte, first=not index) for index, byte in enumerate(syntax.octets(text)))


def _escaped(byte: int, *, first: bool) -> str:
    char = chr(byte)
    if char == "/":
        return "-"
    return char if char in _PLAIN and not (first and char == ".") else f"\\x{byte:02x}"


def unescape_name(text: str) -> str:
    """The text that `escape_name` wrote. Raises ValueError for a backslash that begins no `\\xNN`."""
    pieces = bytearray()
    position = 0
    while position < len(text):
        char = text[position]
        code = text[position + 2 : position + 4]
        if char != "\\":
            pieces += b"/" if char == "-" else syntax.octets(char)
            position += 1
        elif text[position + 1 : position + 2] == "x" and len(code) == 2 and code.isalnum() and code != "00":
            pieces.append(_hex(code, text))
            position += 4
        else:
            raise ValueError(f"expected an escaped name (with \\xNN), found {text!r}")
    return pieces.decode("utf-8", "surrogateescape")


def _hex(code: str, text: str) -> int:
    try:
        return int(code, 16)
    except ValueError:
        raise ValueError(f"expected an escaped name (with \\xNN), found {text!r}") from None


def escape_path(path: str) -> str:
    """A path as part of a unit name: "/run//app/" is "run-app", "/" is "-". Raises ValueError for ".." in it."""
    parts = _parts(path)
    if ".." in parts:
        raise ValueError(f'expected a path without "..", found {path!r}')
    return escape_name("/".join(parts)) if parts else "-"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def unescape_path(text: str) -> str:
    """The absolute path that `escape_path` wrote. Raises ValueError where it can have written no such text."""
    path = "/" if text == "-" else "/" + unescape_name(text)
    if not text or (path != "/" and path != "/" + "/".join(_parts(path))) or ".." in _parts(path):
        raise ValueError(f"expected an escaped path, found {text!r}")
    return path


def lookup_for(
    name: str,
    *,
    fragment: str = "",
    user: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Callable[[str], str]:
    """What `expand` looks specifiers up in, for the unit `name` ("app@inst.service").

    `fragment` is the path of the settings file (%y, %Y); `user` tells a user manager from the system's; `environ` is
    the manager's environment. Nothing is read from the system before a specifier asks for it.
    """
    surroundings = os.environ if environ is None else environ

    def lookup(letter: str) -> str:
        if letter in _NAMES:
            return _NAMES[letter](name)
        if letter in _FRAGMENTS:
            return _of_fragment(letter, fragment)
        if letter in "TV":
            return _temporary(surroundings, "/tmp" if letter == "T" else "/var/tmp")
        if letter == "d":
            return f"{directory('t', user, surroundings)}/credentials/{name}"
        if letter in _SYSTEM:
            return directory(letter, user, surroundings)
        if letter in MANAGER:
            return _of_manager(letter, os.getuid() if user else 0)
        return _HOST[letter]()

    return lookup


# --- the unit's name ------------------------------------------------------------------------------------------------


def stem(name: str) -> str:
    """%N: the name without its type."""
    return name.rpartition(".")[0] or name


def prefix(name: str) -> str:
    """%p: what is before the first "@"; without one, as %N."""
    return stem(name).partition("@")[0]


def instance(name: str) -> str:
    """%i: what is between the first "@" and the type; empty where there is none."""
    return stem(name).partition("@")[2]


def _last_part(name: str) -> str:
    return prefix(name).rpartition("-")[2]


_NAMES: dict[str, Callable[[str], str]] = {
    "n": str,
    "N": stem,
    "p": prefix,
    "P": lambda name: unescape_name(prefix(name)),
    "i": instance,
    "I": lambda name: unescape_name(instance(name)),
    "j": _last_part,
    "J": lambda name: unescape_name(_last_part(name)),
    "f": lambda name: unescape_path(instance(name) or prefix(name)),
}

_FRAGMENTS = ("y", "Y")


def _of_fragment(letter: str, fragment: str) -> str:
    if not fragment:
        raise ValueError(f"expected a settings file for %{letter}, found none")
    return fragment if letter == "y" else os.path.dirname(fragment) or "."


# --- directories ----------------------------------------------------------------------------------------------------

# file-hierarchy(7). The user's: the variable, what stands in for it below the home directory, and what is appended.
_SYSTEM = {"t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc", "D": "/usr/share"}
_USER = {
    "S": ("XDG_STATE_HOME", ".local/state", ""),
    "C": ("XDG_CACHE_HOME", ".cache", ""),
    "L": ("XDG_STATE_HOME", ".local/state", "/log"),
    "E": ("XDG_CONFIG_HOME", ".config", ""),
    "D": ("XDG_DATA_HOME", ".local/share", ""),
}


def directory(letter: str, user: bool, environ: Mapping[str, str]) -> str:
    """A root directory: %t, %S, %C, %L, %E, %D. A user's %S and %L are below $XDG_STATE_HOME, as since systemd 254."""
    if not user:
        return _SYSTEM[letter]
    if letter == "t":
        return environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    variable, standard, appended = _USER[letter]
    base = environ.get(variable, "")
    return (base if base.startswith("/") else f"{_home(environ)}/{standard}") + appended


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or _of_manager("h", os.getuid())


def _temporary(environ: Mapping[str, str], standard: str) -> str:
    """%T, %V: the first of the variables that names a directory."""
    for variable in ("TMPDIR", "TEMP", "TMP"):
        value = environ.get(variable, "")
        if value.startswith("/") and os.path.isdir(value):
            return value
    return standard


# --- the user who runs the manager ----------------------------------------------------------------------------------

_ROOT = {"u": "root", "U": "0", "g": "root", "G": "0", "h": "/root"}


def _of_manager(letter: str, uid: int) -> str:
    if uid == 0 and letter in _ROOT:
        return _ROOT[letter]
    if letter in "UG":
        return str(uid if letter == "U" else os.getgid())
    if letter == "g":
        import grp

        return _of_database(lambda: grp.getgrgid(os.getgid()).gr_name, str(os.getgid()))
    import pwd

    field, otherwise = {"u": ("pw_name", str(uid)), "h": ("pw_dir", "/"), "s": ("pw_shell", "/bin/sh")}[letter]
    return _of_database(lambda: str(getattr(pwd.getpwuid(uid), field)), otherwise)


def _of_database(find: Callable[[], str], otherwise: str) -> str:
    try:
        return find()
    except KeyError:
        return otherwise


# --- the machine ----------------------------------------------------------------------------------------------------

# uname -m -> systemd's name, where they differ; systemd.unit(5), ConditionArchitecture=.
ARCHITECTURES = {
    "x86_64": "x86-64",
    **dict.fromkeys(("i386", "i486", "i586", "i686"), "x86"),
    "aarch64": "arm64",
    "aarch64_be": "arm64-be",
    "ppcle": "ppc-le",
    "ppc64le": "ppc64-le",
    "sh5": "sh64",
    **dict.fromkeys(("sh4a", "sh4", "sh3", "sh2a", "sh2"), "sh"),
    "arceb": "arc-be",
    "crisv32": "cris",
}


def architecture() -> str:
    """systemd's name for the machine."""
    machine = os.uname().machine
    if machine.startswith("arm"):
        return "arm-be" if machine.endswith("b") else "arm"
    if machine.startswith("mips"):
        import sys

        return machine + ("-le" if sys.byteorder == "little" else "")
    return ARCHITECTURES.get(machine, machine)


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def os_release(variable: str) -> str:
    """A field of os-release(5); empty where it is not set."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.exists(path):
            return envfile.parse(_read(path)).get(variable, "")
    return ""


def _short_host() -> str:
    return os.uname().nodename.partition(".")[0]


def _pretty_host() -> str:
    """machine-info(5), PRETTY_HOSTNAME=."""
    path = "/etc/machine-info"
    return (envfile.parse(_read(path)).get("PRETTY_HOSTNAME", "") if os.path.exists(path) else "") or _short_host()


def _os_release(variable: str) -> Callable[[], str]:
    return lambda: os_release(variable)


_HOST: dict[str, Callable[[], str]] = {
    "H": lambda: os.uname().nodename,
    "l": _short_host,
    "q": _pretty_host,
    "m": lambda: _read("/etc/machine-id").strip(),
    "b": lambda: _read("/proc/sys/kernel/random/boot_id").strip().replace("-", ""),
    "v": lambda: os.uname().release,
    "a": architecture,
    "o": _os_release("ID"),
    "w": _os_release("VERSION_ID"),
    "W": _os_release("VARIANT_ID"),
    "A": _os_release("IMAGE_VERSION"),
    "M": _os_release("IMAGE_ID"),
    "B": _os_release("BUILD_ID"),
}
