"""What the kernel tells of a process, in words that are the same on two machines when the process is.

`read` takes everything from /proc at once, for many processes; `facts` makes comparable fields of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .machine import Machine

#: Runs inside, with pids as arguments.
_READER = """
import ctypes, json, os, sys

libc = ctypes.CDLL(None, use_errno=True)
FILES = ("status", "limits", "stat", "oom_score_adj", "environ", "cmdline", "uid_map", "gid_map", "personality",
         "timerslack_ns", "coredump_filter", "mountinfo")
LINKS = ("cwd", "root", "fd/0", "fd/1", "fd/2", *(f"ns/{each}" for each in os.listdir("/proc/self/ns")))

def link(path):
    try:
        return os.readlink(path)
    except OSError as error:
        return error.strerror

def process(pid):
    found = {}
    for name in FILES:
        with open(f"/proc/{pid}/{name}", errors="surrogateescape") as file:
            found[name] = file.read()
    found.update({name: link(f"/proc/{pid}/{name}") for name in LINKS})
    found["scheduler"] = [os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority]
    found["nice"] = os.getpriority(os.PRIO_PROCESS, pid)
    found["ioprio"] = libc.syscall(252, 1, pid)  # ioprio_get(2) IOPRIO_WHO_PROCESS
    return found

found = {}
for pid in {1, *map(int, sys.argv[1:])}:
    try:
        found[pid] = process(pid)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
json.dump(found, sys.stdout)
"""

#: Where a view is looked at besides where something is mounted.
_PLACES = (
    *("/", "/boot", "/dev", "/dev/mqueue", "/dev/shm", "/etc", "/home", "/opt", "/proc", "/proc/kallsyms"),
    *("/proc/kmsg", "/proc/sys", "/proc/sys/kernel/hostname", "/root", "/run", "/run/lock", "/run/user", "/srv"),
    *("/sys", "/sys/fs/cgroup", "/tmp", "/usr", "/usr/lib/modules", "/var", "/var/cache", "/var/lib", "/var/log"),
    "/var/tmp",
)

#: What is systemd's own: where it keeps things that it hides from its services or shows them, and where its log is.
_SYSTEMDS = ("/run/systemd/", "/run/credentials", "/sys/fs/cgroup/system.slice/", "/dev/log")

#: Of /proc/PID/status. Seccomp_filters is not among them: into how many programs the filters are split means nothing.
_STATUS = (
    *("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask"),
    *("SigIgn", "Cpus_allowed_list", "Mems_allowed_list"),
)

#: Variables that are there on one machine only, or differ whenever anything starts.
_UNLIKE = {
    "INVOCATION_ID": "is another at each start",
    "JOURNAL_STREAM": "names a socket of journald's",
    "SYSTEMD_EXEC_PID": "tells that systemd has started it",
    "MEMORY_PRESSURE_WATCH": "a file that only systemd prepares",
    "MEMORY_PRESSURE_WRITE": "goes with that file",
}
_PRESENT = ("NOTIFY_SOCKET", "LISTEN_PID", "WATCHDOG_PID", "MAINPID")  # of these the value is another each time


def read(machine: Machine, pids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What /proc has of processes of the machine, and of its PID 1; of those that are there."""
    done = machine.run("python3", "-c", _READER, *map(str, pids))
    return {int(pid): found for pid, found in json.loads(done.stdout).items()}


def facts(raw: dict[str, Any], init: dict[str, Any]) -> dict[str, object]:
    """The fields to compare of one process, beside PID 1 of its machine."""
    status = dict(re.findall(r"(?m)^(\w+):\t(.*)$", raw["status"]))
    stat = raw["stat"].rpartition(") ")[2].split()
    pid, group, session, terminal = status["Pid"], stat[2], stat[3], stat[4]
    return {
        "command": raw["cmdline"].rstrip("\0").split("\0"),
        **{name: status[name].split() for name in _STATUS},
        "Groups": sorted(map(int, status["Groups"].split())),
        "limits": {name: values.split() for name, values in _limits(raw["limits"])},
        "session": [group == pid, session == pid, terminal],
        **{name: raw[name] for name in ("nice", "scheduler", "ioprio", "oom_score_adj", "personality")},
        **{name: raw[name] for name in ("timerslack_ns", "coredump_filter", "cwd", "root", "uid_map", "gid_map")},
        "environment": dict(_environment(raw["environ"])),
        **{f"fd {fd}": _stream(fd, raw[f"fd/{fd}"]) for fd in range(3)},
        "namespaces": sorted(name for name in raw if name.startswith("ns/") and raw[name] != init[name]),
    }


def _limits(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines()[1:]:
        yield line[:26].strip(), line[26:68]


def _environment(text: str) -> Iterator[tuple[str, str]]:
    for word in text.split("\0"):
        name, equals, value = word.partition("=")
        if name == "PATH":  # initkit's has these for systems where /usr is not merged
            value = ":".join(folder for folder in value.split(":") if folder not in ("/sbin", "/bin"))
        if equals and name not in _UNLIKE:
            yield name, "" if name in _PRESENT else value


def _stream(fd: int, target: str) -> str:
    """Output that the settings send nowhere goes to the journal's socket, or to whom initkit has it read."""
    return re.sub(r"^(socket|pipe):\[\d+\]$", "log" if fd else r"\1", target)


# --------------------------------------------------------------------------------------------------------------------
# Mounts


@dataclass(frozen=True)
class _Mount:
    number: int
    parent: int
    device: str
    root: str
    path: str
    flags: tuple[str, ...]
    kind: str
    options: tuple[str, ...]


def _mounts(mountinfo: str) -> list[_Mount]:
    """proc(5), /proc/PID/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        words = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), word) for word in line.split(" ")]
        dash = words.index("-", 6)
        kept = tuple(word for word in words[5].split(",") if word in ("ro", "nosuid", "nodev", "noexec"))
        options = tuple(sorted(words[dash + 3].split(",")))
        found.append(_Mount(int(words[0]), int(words[1]), words[2], words[3], words[4], kept, words[dash + 1], options))
    return found


class View:
    """What one process sees where: the mounts of its namespace beside those of its machine's PID 1."""

    def __init__(self, raw: dict[str, Any], init: dict[str, Any]) -> None:
        self.mounts, self.outside = _mounts(raw["mountinfo"]), _mounts(init["mountinfo"])

    def places(self) -> set[str]:
        """Where something is mounted that can be seen."""
        return {each.path for each in self.mounts if self._at(each.path, self.mounts) == each}

    @property
    def is_there(self) -> bool:
        """Not where the program has gone to another root by itself, below which nothing is mounted."""
        return any(each.path == "/" for each in self.mounts)

    def at(self, path: str) -> str:
        """What is seen there, and how, in words: as PID 1 sees it but for some flags, or something else."""
        seen = self._at(path, self.mounts)
        source = self._source(seen, _below(path, seen.path))
        if not source:
            return " ".join((f"new {seen.kind}", *seen.options, *seen.flags))
        # Those lie wherever each machine keeps such things.
        kept = source.endswith("/deleted") or "/inaccessible/" in source
        usual = () if kept else self._at(source, self.outside).flags
        more = [flag for flag in seen.flags if flag not in usual]
        less = [f"not {flag}" for flag in usual if flag not in seen.flags]
        return " ".join(("as usual" if source == path else f"the machine's {_named(source)}", *more, *less))

    def _at(self, path: str, mounts: list[_Mount]) -> _Mount:
        """The mount that a path lies in, found as the kernel does: from the root down, through each that is on top."""
        numbers = {each.number for each in mounts}
        (found,) = (each for each in mounts if each.path == "/" and each.parent not in numbers)
        pieces = path.split("/")[1:] if path != "/" else []
        for depth in range(len(pieces) + 1):
            here = "/" + "/".join(pieces[:depth])
            while upper := next((each for each in mounts if each.parent == found.number and each.path == here), None):
                if upper == found:
                    break
                found = upper
        return found

    def _source(self, seen: _Mount, rest: str) -> str:
        """Where the machine itself has what is seen; "" where nowhere."""
        inside = _joined(seen.root, rest)
        found = []
        for each in self.outside:
            if each.device == seen.device and (inside == each.root or _is_below(inside, each.root)):
                path = _joined(each.path, _below(inside, each.root))
                if self._at(path, self.outside) == each:
                    found.append(path)
        own = _joined(seen.path, rest)
        return own if own in found else min(found, key=len, default="")


def _joined(top: str, rest: str) -> str:
    return os.path.normpath(f"/{top.strip('/')}/{rest}".replace("//", "/"))


def _named(source: str) -> str:
    """What is prepared under other names (PrivateTmp=, InaccessiblePaths=), the log's socket, and what nspawn has
    mounted and then deleted, with a number in its name."""
    source = re.sub(r"/(systemd|initkit)-private-[^/]+/", "/private/", source)
    source = re.sub(r"^/run/(systemd|initkit|host)/inaccessible/", "/run/inaccessible/", source)
    source = source.replace("/run/systemd/journal/dev-log", "/dev/log")
    return re.sub(r"^/run/\.#(\S+?)[0-9a-f]{16}/deleted$", r"\1", source)


def _is_below(path: str, top: str) -> bool:
    return path.startswith(top.rstrip("/") + "/")


def _below(path: str, top: str) -> str:
    return path.removeprefix(top).lstrip("/")


def views(theirs: View, ours: View) -> tuple[dict[str, str], dict[str, str]]:
    """What two processes of two machines see, at every place where either machine or either process has a mount."""
    if not (theirs.is_there and ours.is_there):
        return {}, {} if theirs.is_there == ours.is_there else {"/": "another root"}
    # What only one of the machines has mounted the other's process cannot see.
    usual = {each.path for each in theirs.outside} ^ {each.path for each in ours.outside}
    places = {*_PLACES, *((theirs.places() | ours.places()) - usual)}
    kept = sorted(path for path in places if not path.startswith(_SYSTEMDS))
    return {path: theirs.at(path) for path in kept}, {path: ours.at(path) for path in kept}
