"""Units that look at themselves, as `cases/*.units` has them.

A file holds several, each as settings, a script for sh, and what it prints:

    === what is shown
    Nice=5
    $ nice
    5

The settings are those of [Service] until another section begins. `$` begins a line of the script, which is run by
/bin/sh as the service's only ExecStart= unless the settings have their own. What follows is what it has to print; a
line `...` stands for lines that are not known beforehand: the same on every machine all the same. `status: 201` and
`signal: SYS` tell of another end than exit status 0, `skipped` of a condition that does not hold, `refused` of an
assertion; `initkit: 230` is where initkit's end differs on purpose, and a comment says why; what it prints does not,
unless it refuses to run the unit. A line `! command` before the settings is done first, by sh in the machine. Lines
that begin with `#` are comments.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent / "cases"
#: In the machines: the units, the scripts that they run, and what these print.
PLACE = "/conformance"


@dataclass
class Case:
    """One unit: what it is called, what it sets, and what it is to see and to end with."""

    name: str
    title: str
    settings: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    script: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    end: str = "0"
    differs: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> str:
        """The script: whatever its last command says, it has done what it was to do, unless another end is expected."""
        lines = ["export LC_ALL=C", *self.script, *(["true"] if self.end == "0" else [])]
        return "".join(f"{line}\n" for line in lines)

    @property
    def unit(self) -> str:
        """The unit file."""
        lines = self.settings if any(line.startswith("[") for line in self.settings) else ["[Service]", *self.settings]
        if "[Service]" not in lines:
            lines = [*lines, "[Service]"]
        service = lines.index("[Service]") + 1
        keys = {line.partition("=")[0] for line in lines}
        added = {
            "Type": "oneshot",
            "StandardOutput": f"truncate:{PLACE}/out/{self.name}",
            "StandardError": "inherit",
            "ExecStart": f"/bin/sh {PLACE}/scripts/{self.name}",
        }
        own = [f"{key}={value}" for key, value in added.items() if key not in keys]
        return "\n".join([*lines[:service], *own, *lines[service:], ""])

    def agrees(self, printed: str) -> bool:
        """Whether this is what it was to print."""
        expected = "\n".join(self.expected).rstrip("\n")
        pieces = re.split(r"(?m)^\.\.\.$\n?", expected)
        return re.fullmatch("(?s:.*)".join(map(re.escape, pieces)), printed.rstrip("\n")) is not None


def read(path: Path) -> Iterator[Case]:
    """The units of a file."""
    case: Case | None = None
    for line in path.read_text().splitlines():
        if line.startswith("=== "):
            if case:
                yield case
            title = line.removeprefix("=== ")
            case = Case(f"{path.stem}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}", title)
        elif case is not None and not line.startswith("#"):
            _take(case, line)
    if case:
        yield case


def _take(case: Case, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word == "$":
        case.script.append(rest)
    elif word == "!":
        case.before.append(rest)
    elif word == "status:":
        case.end = rest
    elif word == "initkit:":
        case.differs = rest
    elif word == "signal:":
        case.end = str(-signal.Signals[f"SIG{rest}"])
    elif line in ("skipped", "refused"):
        case.end = line
    elif case.script:
        case.expected.append(line)
    elif line:
        case.settings.append(line)


def every() -> list[Case]:
    """All of them."""
    found = [case for path in sorted(HERE.glob("*.units")) for case in read(path)]
    names = [case.name for case in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two units of one name: {', '.join(sorted(twice))}")
    return found
