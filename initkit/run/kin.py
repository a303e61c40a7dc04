"""Which of a manager's descendants belong to which of its services.

Every child of the manager's has an owner. Those it has started are known; an orphan that it has adopted is known by the
session that was made for its service, by its control group, or by $INVOCATION_ID (systemd.exec(5)), which it has
inherited; and whoever was seen below another process of a service stays known. All others are below one of these
children: a service without a child of the manager's has no process, but in its control group.
"""

from __future__ import annotations

import os

from initkit.run import family, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from initkit.run.family import Told
    from initkit.run.identity import Stat


class Roll:
    """The children of this process with their owners.

    A child that is new is at the end of the kernel's list, so that a look at those behind the last one `_seen` finds
    all that have come since. What a look has found holds until the next death: who has lost his last child before it
    has no process to make another one.
    """

    def __init__(self) -> None:
        self._owners: dict[int, Kin] = {}
        self._expected: dict[int, Kin] = {}
        self._nobodys: set[int] = set()  # so far
        self._seen: set[int] = set()
        self._current = False  # whether nobody has died since the last look
        self.invocations: dict[str, Kin] = {}
        self.sessions: dict[int, Kin] = {}
        self.groups: dict[str, Kin] = {}  # by the path of a control group
        self.noted: dict[tuple[int, int], Kin] = {}  # by pid and start time
        self.heir: Kin | None = None  # whose are the orphans that are nobody's

    def enter(self, pid: int, owner: Kin) -> None:
        """A child is this one's."""
        self._owners[pid] = owner
        owner.pids[pid] = None

    def expect(self, pid: int, owner: Kin) -> None:
        """This process is the main one of a service that has not started it: it may be a child by the time it ends."""
        self._expected.pop(owner.expected, None)
        self._expected[pid] = owner
        owner.expected = pid

    def strike(self, pid: int) -> object:
        """A child has been reaped: whose it was. Of an orphan that has come and gone between two looks nobody is to
        hear, which is this roll itself: who waits for his last process has seen one that is left."""
        self._current = False
        self._seen.discard(pid)
        self._nobodys.discard(pid)
        owner = self._owners.pop(pid, None)
        if owner:
            del owner.pids[pid]
        return owner or self._expected.pop(pid, self)

    def look(self) -> None:
        """Find the owners of orphans that are new."""
        new = newest(self._seen)
        self._seen.update(new)
        self._nobodys.update(pid for pid in new if pid not in self._owners)
        self._current = True
        for pid in tuple(self._nobodys):
            found = identity.stat(pid)
            self._current &= found is not None  # else there is no descriptor left to look with
            owner = self._owner(found) if found is not None and found.state not in "ZX" else None
            if owner is not None:
                self._nobodys.discard(pid)
                self.enter(pid, owner)

    def glance(self) -> None:
        """As a look, where somebody has died since the last one."""
        if not self._current:
            self.look()

    def _owner(self, process: Stat) -> Kin | None:
        known = self.noted.get((process.pid, process.start)) or self.sessions.get(process.session)
        if known is None and self.groups:
            known = self._of_group(process.pid)
        return known or self.invocations.get(identity.invocation(process.pid)) or self.heir

    def _of_group(self, pid: int) -> Kin | None:
        from initkit.run import cgroup

        path = cgroup.of_process(pid)
        while path.strip("/"):
            if path in self.groups:
                return self.groups[path]
            path = os.path.dirname(path)
        return None

    def strays(self) -> list[Stat]:
        """The children that are nobody's."""
        self.look()
        return family.below(sorted(self._nobodys))


def newest(known: set[int]) -> list[int]:
    """The children of this process that have come since the `known` ones were all.

    Unlike others' they are told without gaps: only their parent, which is busy here, takes one out of the list, and new
    ones are added at its end.
    """
    own = os.getpid()
    told = identity.children_by_thread(own)
    if not any(told) and not family.childless():  # a kernel that tells of no children
        return [each.pid for each in identity.descendants(own) if each.parent == own and each.pid not in known]
    found: list[int] = []
    for of_thread in told:
        for pid in map(int, reversed(of_thread)):
            if pid in known:
                break
            found.append(pid)
    return found


class Kin:
    """The processes of one service among several: an `initkit.run.family.Family`."""

    def __init__(self, roll: Roll) -> None:
        self.roll = roll
        self.pids: dict[int, None] = {}  # its children of this process, in the order in which it has got them
        self.expected = 0  # the pid that it has told the roll to expect
        self.invocation = ""
        self._invocations: list[str] = []
        self._sessions: list[int] = []
        self._noted: list[tuple[int, int]] = []

    def renew(self) -> None:
        """A new life begins. What is left of earlier ones (KillMode=process) remains the service's."""
        if self._invocations and self.childless():
            for invocation in self._invocations:
                self.roll.invocations.pop(invocation, None)
            for session in self._sessions:
                self.roll.sessions.pop(session, None)
            for key in self._noted:
                self.roll.noted.pop(key, None)
            self._invocations, self._sessions, self._noted = [], [], []
        self.invocation = os.urandom(16).hex()
        self._invocations.append(self.invocation)
        self.roll.invocations[self.invocation] = self

    def born(self, pid: int) -> None:
        """This process has been started, in a session of its own."""
        self.roll.enter(pid, self)
        self.roll.sessions[pid] = self
        self._sessions.append(pid)

    def _children(self) -> list[int]:
        self.roll.look()
        return list(self.pids)

    def children(self) -> list[Stat]:
        """Its processes that are children of this one, adopted ones among them."""
        found = (identity.stat(pid) for pid in self._children())
        return [each for each in found if each is not None and each.state not in "ZX"]

    def childless(self) -> bool:
        """Whether nothing of it is left, not even a process to be reaped."""
        if not self._sessions and self.roll.heir is not self:
            return True  # it never had one
        if not self.pids:
            self.roll.glance()
        return not self.pids

    def members(self) -> list[Stat]:
        """Its processes that live, parents first. They are known from now on, whoever they have for a parent."""
        found = family.below(self._children())
        for each in found:
            key = (each.pid, each.start)
            if key not in self.roll.noted:
                self.roll.noted[key] = self
                self._noted.append(key)
        return found

    quickly = members

    def includes(self, pid: int) -> bool:
        """Whether a process is one of them."""
        own, at = os.getpid(), pid
        for _ in range(1000):
            found = identity.stat(at)
            if at == own or (found is None and at == pid):
                return False
            if found is not None and found.parent == own:
                self.roll.look()
                return at in self.pids
            at = pid if found is None else found.parent  # one that has gone has left its child to another
        return False

    def signal_all(self, numbers: Iterable[int], spared: tuple[str, ...] = (), told: Told | None = None) -> list[Stat]:
        """Signal every process of the service once, also those that they fork meanwhile, if they can be caught.

        Processes whose command line is one of the `spared` hear nothing, nor do those that have been `told`. Returns
        those that are another user's.
        """
        return family.signal_each(self.members(), self.members, tuple(numbers), spared, told=told)

    def names(self) -> str:
        """Its processes by name and pid, for people."""
        return family.listed(self.members())
