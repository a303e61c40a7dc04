"""What a sandboxed start costs: initkit's, bwrap's, and systemd's in a machine that has booted it.

A start lasts from the exec of who makes it (initkit, bwrap, systemd-run) to the first instruction of the program; both
take down when that was. A restart lasts from the end of a program that its manager looks after to the next one's start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from place import Place, executable, processes, until, wait_for_end

sys.path.append(str(Path(__file__).resolve().parents[1] / "lab"))
import machine as lab

INITKIT, INITKIT_RESTART, BWRAP = "initkit run", "initkit, a restart", "bwrap"
SYSTEMD_RUN, SYSTEMD_RESTART = "systemd-run", "systemd, a restart"
PEERS = (BWRAP, SYSTEMD_RUN)
INSIDE = "in a machine: "
NONE, VIEW, ALL = "nothing", "PrivateTmp, ProtectSystem=strict, ProtectHome", "all of `initkit new`"
#: What the settings of `initkit new` have besides the sandbox.
_OTHERS = ("Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "Environment")
_FENCE = ["PrivateTmp=yes", "ProtectSystem=strict", "ProtectHome=yes"]
#: bwrap(1): the same, as far as it has it.
_BWRAP = {
    NONE: ["--dev-bind", "/", "/"],
    VIEW: [
        *("--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc"),
        *("--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/home", "--tmpfs", "/root"),
    ],
    ALL: [
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"),
        *("--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"),
    ],
}
#: Each filter of a service in a file of its own, as the kernel takes it.
_EXPORT = """
import sys
from initkit import plan
from initkit.settings.load import load
for number, step in enumerate(plan.filtering(load(sys.argv[1]))):
    if step.is_needed():
        open(f"{sys.argv[2]}/{number}.bpf", "wb").write(step.program())
"""

#: settings -> who -> seconds
Found = dict[str, dict[str, list[float]]]
Measure = Callable[[], float]


class Sandboxes:
    """The starts that can be measured here. Leaving it ends the machine."""

    def __init__(self, place: Place, only: list[str]) -> None:
        self.place, self._only = place, only
        self.folder = place.fresh("sandbox")
        self.levels = {level: [*more, *self._visible] for level, more in self._settings().items()}
        self.left_out: list[str] = []
        self._machine: lab.Machine | None = None

    def __enter__(self) -> Sandboxes:
        return self

    def __exit__(self, *about: object) -> None:
        if self._machine:
            self._machine.stop()

    @property
    def _visible(self) -> list[str]:
        return [f"BindPaths={self.place.folder}"]  # where the program tells that it has begun

    def _settings(self) -> dict[str, list[str]]:
        initkit = self.place.tool("initkit")
        for words in (["new", "app"], ["gen-unit", "app"]):
            made = subprocess.run([initkit, *words], cwd=self.folder, capture_output=True, text=True, check=True).stdout
        service = made.partition("[Service]\n")[2].partition("\n\n")[0].splitlines()
        own = [line for line in service if line[:1].isalpha() and line.partition("=")[0] not in _OTHERS]
        fence = [] if any(line.startswith("PrivateTmp") for line in own) else _FENCE[:1]  # the app may lie in /tmp
        return {NONE: [], VIEW: _FENCE, **({ALL: [*own, *fence]} if own else {})}

    def unit(self, level: str, **more: str) -> Path:
        """A unit file for the program."""
        name = self.place.name(f"sandbox{list(self.levels).index(level)}{'r' if more else ''}")
        lines = [f"ExecStart={self.place.program}", "StandardOutput=null", *self.levels[level]]
        lines += [f"{key}={value}" for key, value in more.items()]
        file = self.folder / f"{name}.service"
        file.write_text("\n".join(["[Unit]", "StartLimitIntervalSec=0", "[Service]", *lines, ""]))
        return file

    # --- who is measured ------------------------------------------------------------------------------------------

    def measures(self, lived: float) -> Iterator[tuple[str, str, Measure]]:
        """Settings, who, and what measures one start of it."""
        run = [self.place.tool("initkit"), "run", "--foreground"]
        for level in self.levels:
            unit, kept = self.unit(level), self.unit(level, Restart="on-abnormal", RestartSec="0")
            yield level, INITKIT, self._start([*run, unit])
            yield level, INITKIT_RESTART, self._restart([*run, kept], lived)
        if self._wants(BWRAP, self.place.tool("bwrap"), "not installed"):
            for level in self.levels:
                yield level, BWRAP, self._bwrap(level)
        if self._wants(SYSTEMD_RUN, not (reason := lab.missing()), reason or ""):
            yield from self._in_machine(lived)

    def _wants(self, who: str, there: object, reason: str) -> bool:
        wanted = not self._only or who in self._only
        if wanted and not there:
            self.left_out.append(f"{who}: {reason}")
        return wanted and bool(there)

    def _in_machine(self, lived: float) -> Iterator[tuple[str, str, Measure]]:
        self._machine = machine = lab.Machine(lab.SYSTEMD_257)
        self.place.spare()
        machine.install_initkit()
        machine.write(str(self.place.program), self.place.program.read_bytes(), 0o755)
        machine.write(str(self.place.stamps_file), b"")
        inside = Path(f"/proc/{machine.pid}/root{self.place.stamps_file}")
        enter: list[str | Path] = ["nsenter", "--target", str(machine.pid), "--all", "--"]
        for level in self.levels:
            unit, kept = self.unit(level), self.unit(level, Restart="on-abnormal", RestartSec="0")
            for file in (unit, kept):
                machine.write(f"/run/systemd/system/{file.name}", file.read_text())
            run = ["/usr/bin/initkit", "run"]
            there = [f"/run/systemd/system/{file.name}" for file in (unit, kept)]
            yield level, f"{INSIDE}{INITKIT}", self._start([*run, there[0], "--foreground"], enter, inside)
            words = [*enter, *run, there[1], "--foreground"]
            yield level, f"{INSIDE}{INITKIT_RESTART}", self._restart(words, lived, inside)
            properties = [f"--property={line}" for line in self.levels[level]]
            run = ["/usr/bin/systemd-run", "--quiet", "--collect", *properties]
            yield level, f"{INSIDE}{SYSTEMD_RUN}", self._start([*run, self.place.program], enter, inside)
            start = [*enter, "systemctl", "start", kept.name]
            yield level, f"{INSIDE}{SYSTEMD_RESTART}", self._restart(start, lived, inside)

    # --- measuring ------------------------------------------------------------------------------------------------

    def _start(
        self, command: list[str | Path], enter: list[str | Path] | None = None, stamps: Path | None = None
    ) -> Measure:
        """From the exec of the command, which our program takes down before it does it, to the program's start."""

        def measure() -> float:
            file = self._begin([*(enter or ()), self.place.program, *command], stamps, 2)
            before, begun = self.place.stamps(2, file)
            self._end(stamps is not None)
            return begun - before

        return measure

    def _bwrap(self, level: str) -> Measure:
        place = self.place
        words: list[str | Path] = [place.tool("bwrap"), *_BWRAP[level], "--bind", place.folder, place.folder]
        if level == ALL:
            folder = place.fresh("filters")
            place.run([place.tool("python"), "-c", _EXPORT, self.unit(level), folder])
            opened = [os.open(file, os.O_RDONLY) for file in sorted(folder.iterdir())]  # not inherited by others
            words += [word for fd in opened for word in ("--add-seccomp-fd", str(fd))]
        else:
            opened = []

        def measure() -> float:
            for fd in opened:
                os.lseek(fd, 0, os.SEEK_SET)
            self._begin([place.program, *words, place.program], None, 2, opened)
            before, begun = place.stamps(2)
            self._end()
            return begun - before

        return measure

    def _restart(self, command: list[str | Path], lived: float, stamps: Path | None = None) -> Measure:
        """From the end of the program, which has lived so long, to the start of the next one."""

        def measure() -> float:
            file = self._begin(command, stamps, 1)
            time.sleep(lived)
            (pid,) = self._programs()
            pidfd = os.pidfd_open(pid)
            file.write_bytes(b"")
            os.kill(pid, signal.SIGKILL)
            dead = wait_for_end(pidfd)
            taken = self.place.stamps(1, file)[0] - dead
            self._end(stamps is not None)
            return taken

        return measure

    def _begin(self, command: list[str | Path], stamps: Path | None, count: int, fds: list[int] | None = None) -> Path:
        """Start something, and wait until so many programs have begun: who has their stamps."""
        file = stamps or self.place.stamps_file
        file.write_bytes(b"")
        process = self.place.begin(command, fds or ())
        until(lambda: file.stat().st_size >= 8 * count or process.poll(), f"{command[0]}")
        if process.poll():
            said = (self.place.folder / "log").read_text(errors="replace").splitlines()[-5:]
            raise RuntimeError(f"{command} ended with {process.returncode}: {said}")
        return file

    def _programs(self) -> list[int]:
        return [pid for pid, _, _ in processes() if executable(pid).endswith(str(self.place.program))]

    def _end(self, inside: bool = False) -> None:
        if inside and self._machine:
            self._machine.sh(f"systemctl stop '{self.place.name('sandbox')}*.service' 'run-*.service'", check=False)
        self.place.end_all()
        until(lambda: not self._programs(), "the end of all programs")


def measured(place: Place, only: list[str], rounds: int, lived: float, say: Callable[[str], None]) -> Found:
    """Rounds of all starts; one that cannot be made here is left out, and told of."""
    found: Found = {}
    with ExitStack() as stack:
        all_of_them = stack.enter_context(Sandboxes(place, only))
        todo = []
        for level, who, measure in all_of_them.measures(lived):
            try:
                measure()  # warm
                todo.append((level, who, measure))
            except (RuntimeError, TimeoutError) as fault:
                all_of_them.left_out.append(f"{who}, {level}: {fault}")
                place.end_all()
        for number in range(rounds):
            say(f"sandboxes: round {number + 1} of {rounds}")
            for level, who, measure in todo:
                found.setdefault(level, {}).setdefault(who, []).append(measure())
        for each in all_of_them.left_out:
            say(f"left out: {each}")
    return found
