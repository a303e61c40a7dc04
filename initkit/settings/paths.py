"""The paths of a service's view of the file system: systemd.exec(5), "SANDBOXING".

Imported for services that name some."""

from __future__ import annotations

from initkit.settings import syntax, values
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MarkedPath(Record):
    """A path under ReadWritePaths= and its kin: `optional` with "-" before it, `inside` RootDirectory= with "+"."""

    path: str
    optional: bool = False
    inside: bool = False


class Bind(Record):
    """BindPaths=: what is seen where; `recursive` with what is mounted below it (rbind, norbind)."""

    source: str
    target: str
    optional: bool = False
    recursive: bool = True


class Temporary(Record):
    """TemporaryFileSystem=: where, and the options of mount(8)."""

    path: str
    options: str = ""


def marked(text: str, expand: Callable[[str], str]) -> Iterator[MarkedPath]:
    """Words, each `[-][+]/path`.

    Raises:
        ValueError: for a path that is not absolute.
    """
    for word in syntax.split(text):
        bare = word.removeprefix("-").removeprefix("+")
        yield MarkedPath(values.path(expand(bare)), word.startswith("-"), "+" in word[: len(word) - len(bare)])


def binds(text: str, expand: Callable[[str], str]) -> Iterator[Bind]:
    """Words, each `[-]SOURCE[:TARGET[:rbind|norbind]]`.

    Raises:
        ValueError: for a path that is not absolute, or another option.
    """
    for word in syntax.split(text):
        source, target, options = ([expand(part) for part in _parts(word.removeprefix("-"))] + ["", ""])[:3]
        if options not in ("", "rbind", "norbind"):
            raise ValueError(f"expected rbind or norbind, found {options!r}")
        yield Bind(
            values.path(source), values.path(target or source), word.startswith("-"), recursive=options != "norbind"
        )


def temporary(text: str, expand: Callable[[str], str]) -> Iterator[Temporary]:
    """Words, each `/path[:OPTIONS]`.

    Raises:
        ValueError: for a path that is not absolute.
    """
    for word in syntax.split(text):
        path, options = ([expand(part) for part in _parts(word, 1)] + [""])[:2]
        yield Temporary(values.path(path), options)


def _parts(word: str, most: int = 2) -> list[str]:
    r"""The pieces between colons; "\:" is a colon of a path."""
    pieces = [""]
    escaped = False
    for char in word:
        if char == ":" and not escaped and len(pieces) <= most:
            pieces.append("")
        elif char == "\\" and not escaped:
            escaped = True
            continue
        else:
            pieces[-1] += char
        escaped = False
    return pieces


def protect_system(text: str) -> str:
    """ProtectSystem=: "", "yes", "full" or "strict"."""
    return _degree(text, ("full", "strict"))


def protect_home(text: str) -> str:
    """ProtectHome=: "", "yes", "read-only" or "tmpfs"."""
    return _degree(text, ("read-only", "tmpfs"))


def private_tmp(text: str) -> str:
    """PrivateTmp=: "", "yes" (a folder below /tmp) or "disconnected" (one in memory)."""
    return {"connected": "yes"}.get(text) or _degree(text, ("disconnected",))


def preserve(text: str) -> str:
    """RuntimeDirectoryPreserve=: "", "yes" or "restart"."""
    return _degree(text, ("restart",))


def search(text: str, expand: Callable[[str], str]) -> Iterator[str]:
    """ExecSearchPath=: folders with colons between them.

    Raises:
        ValueError: for a path that is not absolute.
    """
    for word in syntax.split(text):
        yield from (values.path(part) for part in expand(word).split(":") if part)


def private_users(text: str) -> str:
    """PrivateUsers=: "", "yes" (root and the service's own user), "identity" or "full"."""
    return {"self": "yes"}.get(text) or _degree(text, ("identity", "full", "managed"))


def protect_control_groups(text: str) -> str:
    """ProtectControlGroups=: "", "yes", "private" or "strict"."""
    return _degree(text, ("private", "strict"))


def _degree(text: str, more: tuple[str, ...]) -> str:
    if text in more:
        return text
    try:
        return "yes" if values.boolean(text) else ""
    except ValueError:
        raise ValueError(f"expected yes, no or {', '.join(more)}, found {text!r}") from None


def host_name(text: str) -> str:
    """ProtectHostname=: "" or "yes"; with a name after it, as of systemd 258, that too: "yes:NAME"."""
    word, colon, name = text.partition(":")
    if word == "private":
        word = "yes"
    return f"yes{colon}{name}" if values.boolean(word) else ""


def mount_flags(text: str) -> str:
    """MountFlags=: shared, slave or private."""
    if text not in ("shared", "slave", "private"):
        raise ValueError(f"expected shared, slave or private, found {text!r}")
    return text
