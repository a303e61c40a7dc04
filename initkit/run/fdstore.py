"""Descriptors that a service leaves with its manager until its next start: sd_pid_notify_with_fds(3), FDSTORE=1."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from initkit.run.loop import Event, Loop

_UNNAMED = "stored"
_RESERVED = 64  # descriptors that the manager keeps for itself


class Stored:
    """One of them."""

    def __init__(self, fd: int, name: str, polled: bool) -> None:
        self.fd, self.name = fd, name
        self.polled = polled  # whether it goes when its other end has gone


class Store:
    """The descriptors of one service, at most so many, in the order in which they came."""

    def __init__(self, loop: Loop, most: int, note: Callable[[str], None]) -> None:
        self._loop, self._note = loop, note
        self._most = most
        self._said: set[str] = set()
        self.kept: list[Stored] = []

    def take(self, fields: dict[str, str], fds: list[int]) -> None:
        """Do what a message wants: FDSTORE=1 keeps its descriptors, which are taken out of the list; FDSTOREREMOVE=1
        lets go of those of a name."""
        name = fields.get("FDNAME", _UNNAMED)
        if not is_name(name):
            self._say("name", f"FDNAME={name[:40]!r} is no name for a descriptor: {_UNNAMED!r} is taken")
            name = _UNNAMED
        if fields.get("FDSTOREREMOVE") == "1":
            if "FDNAME" in fields:
                self._remove(lambda each: each.name == name)
        elif fields.get("FDSTORE") == "1":
            while fds:
                if not self._has_room(fds[0]):
                    self._say("full", f"no more than {len(self.kept)} descriptors are kept: FileDescriptorStoreMax=")
                    return
                self._keep(fds.pop(0), name, polled=fields.get("FDPOLL") != "0")

    def _say(self, about: str, text: str) -> None:
        """Once: who floods us does not fill the log as well."""
        if about not in self._said:
            self._said.add(about)
            self._note(text)

    def _has_room(self, fd: int) -> bool:
        """Whether one more can be kept. Numbers are given out from the lowest on, so that this one's tells how many
        descriptors the whole manager has."""
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return len(self.kept) < self._most and (soft < 0 or fd < soft - _RESERVED)

    def _keep(self, fd: int, name: str, *, polled: bool) -> None:
        if any(is_same(each.fd, fd) for each in self.kept):
            os.close(fd)
            return
        stored = Stored(fd, name, polled)
        self.kept.append(stored)
        if polled:
            try:
                self._loop.watch(fd, lambda: self._hung_up(stored))
                self._loop.interest(fd, 0)  # hang-ups and errors are told all the same
            except PermissionError:
                pass  # what never hangs up: a regular file

    def _hung_up(self, stored: Stored) -> tuple[Event, ...]:
        self._remove(lambda each: each is stored)
        return ()

    def _remove(self, is_meant: Callable[[Stored], bool]) -> None:
        for each in [each for each in self.kept if is_meant(each)]:
            self.kept.remove(each)
            if each.polled:
                self._loop.unwatch(each.fd)
            os.close(each.fd)

    def clear(self) -> None:
        """Let go of all."""
        self._remove(lambda each: True)


def is_name(name: str) -> bool:
    """Whether a descriptor may be called so: sd_listen_fds(3)."""
    return len(name) <= 255 and name.isascii() and name.isprintable() and ":" not in name


def is_same(one: int, other: int) -> bool:
    """Whether two descriptors are of one open file: kcmp(2), else what can be seen of them."""
    if not os.path.sameopenfile(one, other):
        return False
    from initkit.plan import libc

    same = libc.is_same_file(one, other)
    return _flags(one) == _flags(other) if same is None else same


def _flags(fd: int) -> Any:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL)
