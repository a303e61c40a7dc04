"""A service's processes where it has a control group."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`

from initkit.run import family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from initkit.run.cgroup import Group
    from initkit.run.family import Family, Told
    from initkit.run.identity import Stat
    from initkit.run.loop import Event, Loop


class Grouped:
    """The processes of a service that has a group: who is in it, and who descends from its programs and has gone
    elsewhere. An `initkit.run.family.Family` beside `base`, the one that it would be without."""

    def __init__(self, base: Family, group: Group, loop: Loop, told: Callable[[], Iterable[Event]]) -> None:
        self.base, self.group = base, group
        self._loop, self._told = loop, told

    def signal_all(self, numbers: Iterable[int], spared: tuple[str, ...] = (), told: Told | None = None) -> list[Stat]:
        """Signal all of them once, but those that have been `told`; nobody escapes a SIGKILL, however fast he forks."""
        numbers, told = tuple(numbers), set() if told is None else told
        if numbers != (_signal.SIGKILL,):
            return [*self.group.signal_all(numbers, spared, told), *self._signal_others(numbers, spared, told)]
        refused: list[Stat] = []
        if spared or not self.group.kill():
            self.group.freeze(still=True)
            refused = self.group.signal_all(numbers, spared, told)
            self.group.freeze(still=False)
        return [*refused, *self._signal_others(numbers, spared, told)]

    def _signal_others(self, numbers: tuple[int, ...], spared: tuple[str, ...], told: Told) -> list[Stat]:
        """Those that have been moved elsewhere, by themselves or by a session of PAM's; and those that were on their
        way into the group while it was gone through."""
        others = [each for each in self.base.quickly() if (each.pid, each.start) not in told]
        told.update((each.pid, each.start) for each in others)
        return [each for each in others if not family.is_spared(each, spared) and not family.reaches(each, numbers)]

    def includes(self, pid: int) -> bool:
        """Whether a process is one of them."""
        return self.group.has(pid) or self.base.includes(pid)

    def children(self) -> list[Stat]:
        """Those that are children of this process, adopted ones among them."""
        return self.base.children()

    def childless(self) -> bool:
        """Whether nothing of it is left, not even a process to be reaped. Of one that is somebody else's child now the
        group tells."""
        if not self.base.childless():
            return False
        if self.group.populated():
            self.group.wait(self._loop, self._told)
            return not self.group.populated()
        self.group.cease(self._loop)
        return True

    def members(self) -> list[Stat]:
        """Those that live, the older ones first."""
        return self._with(self.base.members())

    def quickly(self) -> list[Stat]:
        """The same without a look at any other process."""
        return self._with(self.base.quickly())

    def _with(self, others: list[Stat]) -> list[Stat]:
        found = {each.pid: each for each in (*others, *self.group.members())}
        return list(found.values())

    def names(self) -> str:
        """They by name and pid, for people."""
        return family.listed(self.members())
