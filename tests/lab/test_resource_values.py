"""systemd.resource-control(5): what percentages and sizes come to is the same as systemd makes of them."""

from __future__ import annotations

import ast

import pytest

from .machine import SYSTEMD_257, Machine

UNITS = {
    "shares": "MemoryMax=10%\nMemoryHigh=33.3%\nMemorySwapMax=20%\nTasksMax=50%",
    "small-shares": "MemoryMax=7.77%\nMemoryMin=0.01%\nTasksMax=1%\nMemoryLow=99.99%",
    "sizes": "MemoryLow=1.5G\nMemoryHigh=1K\nMemoryMax=4097\nMemorySwapMax=0\nTasksMax=17",
    "all": "MemoryMax=100%\nMemoryHigh=infinity\nTasksMax=infinity\nMemoryZSwapMax=100%",
    "nearly-all": "TasksMax=99.99%\nMemoryZSwapMax=0.5%\nMemoryMin=1T",
}
FILES = {
    "MemoryMin": "memory.min",
    "MemoryLow": "memory.low",
    "MemoryHigh": "memory.high",
    "MemoryMax": "memory.max",
    "MemorySwapMax": "memory.swap.max",
    "MemoryZSwapMax": "memory.zswap.max",
    "TasksMax": "pids.max",
}
# Writes where a control group's files would be.
APPLIED = """\
import os, sys, tempfile
from initkit.plan.resources import ControlGroup
from initkit.plan.step import Process
from initkit.settings.load import load
found = {}
for name in sys.argv[1:]:
    service = load(f"/etc/systemd/system/{name}.service")
    with tempfile.TemporaryDirectory() as folder:
        step, process = ControlGroup.of(service), Process(service)
        for _, file, _, _ in step.settings:
            open(f"{folder}/{file}", "w").close()
        process.group = folder
        step.apply(process)
        found[name] = {file: open(f"{folder}/{file}").read() for file in os.listdir(folder)}
print(found)
"""


@pytest.fixture(scope="module")
def seen(lab: None) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """By unit, what systemd shows of each directive, and what initkit writes into each file."""
    with Machine(SYSTEMD_257) as machine:
        machine.install_initkit()
        for name, text in UNITS.items():
            machine.write(f"/etc/systemd/system/{name}.service", f"[Service]\n{text}\nExecStart=/bin/true\n")
        machine.run("systemctl", "daemon-reload")
        shown = {name: machine.run("systemctl", "show", name).stdout.splitlines() for name in UNITS}
        written = ast.literal_eval(machine.run("python3", "-c", APPLIED, *UNITS).stdout)
    return {name: dict(line.split("=", 1) for line in lines) for name, lines in shown.items()}, written


@pytest.mark.parametrize("name", UNITS)
def test_as_systemd_has_them(name: str, seen: tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]) -> None:
    shown, written = seen
    for line in UNITS[name].splitlines():
        directive = line.partition("=")[0]
        value = shown[name][directive]
        assert written[name][FILES[directive]] == {"infinity": "max"}.get(value, value), line
