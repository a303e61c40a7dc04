"""Debian's own unit files: under systemd, and by `initkit run` where SysV init is, their programs are the same to the
kernel. Both machines have the same packages, and all services run at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

import pytest

from .debian_units import UNITS, UNITS_SYSTEMD, UNITS_SYSV, DebianUnit
from .machine import Machine
from .observed import View, facts, read, views

PLACE = "/units"
START_TIMEOUT = 300.0
#: For what all programs do to themselves after they have been started, until they come to rest.
SETTLE_TIMEOUT = 60.0

# systemd's defaults for services, and where they come from on the other machine: the limits that init has.
LIMITS = {
    "cpu time": "cpu", "file size": "fsize", "data size": "data", "stack size": "stack", "core file size": "core",
    "resident set": "rss", "processes": "nproc", "open files": "nofile", "locked memory": "memlock",
    "address space": "as", "file locks": "locks", "pending signals": "sigpending", "msgqueue size": "msgqueue",
    "nice priority": "nice", "realtime priority": "rtprio", "realtime timeout": "rttime",
}  # fmt: skip
RUN = f"""\
#!/bin/sh
[ "$(cut -d" " -f5 /proc/self/mountinfo | grep -cx /sys)" = 1 ] || umount --lazy /sys # the whole one is below
while read -r path; do
    name=$(basename "$path")
    {{
        prlimit $(cat {PLACE}/limits) initkit run "$path" --daemon >"{PLACE}/$name" 2>&1 </dev/null
        echo "$? $name" >>{PLACE}/ends
    }} &
done <{PLACE}/paths
wait
cat {PLACE}/ends >{PLACE}/ended # a FIFO: who reads it waits without looking again and again
"""


class Side:
    """One machine, and what is known of its services."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rest = 0.0  # when all are to have come to rest, by the monotonic clock
        self.said: dict[str, str] = {}  # by unit, why it has not started
        self._pids: dict[str, int] = {}
        self._raw: dict[int, dict[str, Any]] = {}

    def main_pids(self, *units: DebianUnit) -> list[int]:
        """Each one's main process at this moment; 0 when there is none."""
        raise NotImplementedError

    def look(self, *units: DebianUnit) -> None:
        """Read /proc."""
        self._pids.update(zip((unit.name for unit in units), self.main_pids(*units), strict=True))
        self._raw.update(read(self.machine, filter(None, (self._pids[unit.name] for unit in units))))

    def process(self, unit: DebianUnit) -> dict[str, Any] | None:
        """What has been read of the main process of a unit."""
        return self._raw.get(self._pids[unit.name])

    @property
    def init(self) -> dict[str, Any]:
        """What has been read of PID 1."""
        return self._raw[1]


class Systemd(Side):
    """Where `systemctl start` does it."""

    def start(self) -> None:
        """Start all, with the sockets first."""
        prepare(self.machine)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "start", *(f"{unit}.socket" for unit in UNITS if unit.socket))
        self.machine.run("systemctl", "start", *map(str, UNITS), check=False, timeout=START_TIMEOUT)
        states = self.machine.run("systemctl", "is-active", *map(str, UNITS), check=False).stdout.split()
        for unit, state in zip(UNITS, states, strict=True):
            if state != "active":
                self.said[unit.name] = self.machine.run("systemctl", "status", str(unit), check=False).stdout

    def main_pids(self, *units: DebianUnit) -> list[int]:
        return list(map(int, self.show("MainPID", *units)))

    def show(self, name: str, *units: DebianUnit) -> list[str]:
        """A property of each unit, which has a value in one word."""
        return self.machine.run("systemctl", "show", f"--property={name}", "--value", *map(str, units)).stdout.split()

    def limits(self) -> str:
        """What services have when they set nothing, in prlimit(1)'s words."""
        shown = self.machine.run("systemd-run", "--quiet", "--pipe", "--wait", "cat", "/proc/self/limits").stdout
        return " ".join(
            f"--{option}={':'.join(line[26:].split()[:2])}"
            for line in shown.splitlines()
            for name, option in LIMITS.items()
            if line.startswith(f"Max {name} ")
        )


class Initkit(Side):
    """Where init starts who runs `initkit run` for each."""

    def start(self, limits: str) -> None:
        """Start all."""
        machine = self.machine
        prepare(machine)
        machine.install_initkit()
        machine.run("systemd-tmpfiles", "--create", check=False)  # of what else the packages count on
        machine.write(f"{PLACE}/paths", "".join(f"{unit.path}\n" for unit in UNITS))
        machine.write(f"{PLACE}/limits", limits)
        machine.write(f"{PLACE}/run", RUN)
        machine.run("mkfifo", f"{PLACE}/ended")
        machine.by_init(f"{PLACE}/run")
        for line in machine.run("cat", f"{PLACE}/ended", timeout=START_TIMEOUT).stdout.splitlines():
            status, name = line.split()
            if status != "0":
                self.said[name.removesuffix(".service")] = f"{status}: {machine.read(f'{PLACE}/{name}')}"

    def main_pids(self, *units: DebianUnit) -> list[int]:
        return [self._main_pid(unit) for unit in units]

    def _main_pid(self, unit: DebianUnit) -> int:
        shown = self.machine.run("initkit", "status", "--json", unit.path, check=False).stdout
        return int(json.loads(shown).get("mainPid") or 0) if shown else 0


def prepare(machine: Machine) -> None:
    """Write what the units need beside what their packages bring."""
    for unit in UNITS:
        for path, text in unit.files.items():
            machine.write(path, text)
        for path, line in unit.lines.items():
            machine.sh('echo "$2" >>"$1"', path, line)


@pytest.fixture(scope="module")
def sides(lab: None) -> Iterator[tuple[Systemd, Initkit]]:
    """Both machines with all that is to run."""
    with Machine(UNITS_SYSTEMD) as one, Machine(UNITS_SYSV) as other:
        theirs, ours = Systemd(one), Initkit(other)
        limits = theirs.limits()
        with ThreadPoolExecutor(2) as pool:
            for started in (pool.submit(theirs.start), pool.submit(ours.start, limits)):
                started.result()
            for _ in pool.map(lambda side: side.look(*UNITS), (theirs, ours)):
                pass
        theirs.rest = ours.rest = time.monotonic() + SETTLE_TIMEOUT
        yield theirs, ours


def compared(unit: DebianUnit, theirs: Side, ours: Side) -> Iterator[tuple[str, object, object]]:
    """The fields in which two processes differ: which, and what the one and the other has."""
    one, other = theirs.process(unit), ours.process(unit)
    if one is None or other is None:
        yield "process", one is not None, other is not None
        return
    expected, found = facts(one, theirs.init), facts(other, ours.init)
    expected["view"], found["view"] = views(View(one, theirs.init), View(other, ours.init))
    for name in expected:
        before, after = expected[name], found[name]
        if isinstance(before, dict) and isinstance(after, dict):
            for each in sorted({*before, *after}):
                if before.get(each) != after.get(each):
                    yield f"{name} {each}", before.get(each), after.get(each)
        elif before != after:
            yield name, before, after


def is_excused(unit: DebianUnit, field: str, before: object, after: object) -> bool:
    """Whether a field may differ. A view may only be stricter."""
    if field.startswith("view ") and not set(str(before).split()) <= set(str(after).split()):
        return False
    return any(fnmatchcase(field, pattern) for pattern in unit.differs)


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_the_same_process(unit: DebianUnit, sides: tuple[Systemd, Initkit]) -> None:
    for side in sides:
        assert side.said.get(unit.name) is None, side.said[unit.name]
    while True:
        found = list(compared(unit, *sides))
        unexcused = [each for each in found if not is_excused(unit, *each)]
        if not unexcused or time.monotonic() > sides[0].rest:
            break
        time.sleep(0.2)
        for side in sides:
            side.look(unit)
    assert unexcused == []
    excuses = {pattern for pattern in unit.differs if not any(fnmatchcase(each, pattern) for each, _, _ in found)}
    assert excuses == set(), "agrees by now"


def test_what_is_compared(sides: tuple[Systemd, Initkit]) -> None:
    """Enough of every kind: what they are there for, how they start, and how they are fenced in."""
    assert len(UNITS) >= 30
    assert {unit.use for unit in UNITS} >= {"database", "web", "mail", "dns", "time", "broker", "monitoring"}
    theirs, _ = sides
    assert set(theirs.show("Type", *UNITS)) >= {"simple", "exec", "forking", "notify", "dbus"}
    assert sum("@" in unit.name for unit in UNITS) >= 3
    assert sum(unit.socket for unit in UNITS) >= 5
    seccomp = [process for unit in UNITS if (process := theirs.process(unit)) and "Seccomp:\t2" in process["status"]]
    assert len(seccomp) >= 10
    apart = [
        process for unit in UNITS if (process := theirs.process(unit)) and process["ns/mnt"] != theirs.init["ns/mnt"]
    ]
    assert len(apart) >= 20
