"""`initkit up` of services that a test makes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from initkit.run import client

from .harness import PATIENCE, Services, until

SLEEP = "ExecStart=/bin/sleep 1000"


class Up:
    """`initkit up`, and what is known of it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.name = f"{services.prefix}up"
        self.log = services.out / "log"
        self.units: list[Path] = []

    def add(self, name: str, service: str, unit: str = "") -> str:
        """One more service: its full name. In `unit`, @x@ stands for that of the service x."""
        full = re.sub(r"@(\w+)@", rf"{self.services.prefix}\1.service", unit)
        self.units.append(self.services.unit(service, unit=full, name=name))
        return self.units[-1].stem

    def say(self, word: str) -> str:
        """A command that adds a word to the log."""
        return f"/bin/sh -c 'echo {word} >> {self.log}'"

    def start(self, *, prefix: Sequence[str] = (), **more: Any) -> subprocess.Popen[str]:
        """Start them all."""
        given = {"env": self.services.environment(), "stdin": subprocess.DEVNULL, "text": True}
        given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        words = [*prefix, sys.executable, "-m", "initkit", "up", "--name", self.name, *map(str, self.units)]
        return subprocess.Popen(words, **given)

    def run(self) -> tuple[int, str, str]:
        """Start them all, to their end: exit status, output, errors."""
        process = self.start()
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return client.call(f"{self.services.runtime}/initkit/{self.name}.sock", method, parameters, timeout=PATIENCE)

    def states(self) -> dict[str, str]:
        """The services' states by name; nothing while there is no manager."""
        try:
            found = self.call("List")["services"]
        except client.NoManager:
            return {}
        return {each["name"].removeprefix(self.services.prefix): each["state"] for each in found}

    def pid(self, name: str) -> int:
        found: int = self.call("Status", name=self.services.prefix + name)["service"]["mainPid"]
        return found

    @staticmethod
    def limits(report: Path) -> list[str]:
        """RLIMIT_NOFILE, soft and hard, in a probe's report."""
        line = next(each for each in Path(f"{report}.limits").read_text().splitlines() if "open files" in each)
        return line.split()[3:5]

    def wait_for(self, **states: str) -> None:
        until(lambda: states.items() <= self.states().items(), f"{states}, not {self.states()}")


def logged(up: Up, name: str) -> str:
    """Settings of a service that logs its start and its end."""
    return f"ExecStartPre={up.say(f'+{name}')}\n{SLEEP}\nExecStopPost={up.say(f'-{name}')}"
