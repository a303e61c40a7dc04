"""What the runner does not keep of the settings it says at the start, in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .harness import PATIENCE, Services


@pytest.mark.parametrize("how", [("--foreground",), ("--daemon",)], ids=" ".join)
def test_what_is_lost_is_named(services: Services, how: tuple[str, ...]) -> None:
    unit = services.unit(
        "ExecStart=/bin/true\nType=oneshot\nAppArmorProfile=x\nIPAddressDeny=any\nMemoryKSM=no\nNice=1"
    )
    said = services.run(unit, *how).stderr
    assert said == f"initkit: {unit.stem}: not kept outside systemd: AppArmorProfile=, IPAddressDeny=\n"


@pytest.mark.parametrize("verb", ["start", "restart", "up"])
def test_every_verb_that_starts_names_it(services: Services, verb: str) -> None:
    unit = services.unit("ExecStart=/bin/true\nType=oneshot\nAppArmorProfile=x")
    words = [sys.executable, "-m", "initkit", verb, str(unit)]
    done = subprocess.run(words, env=services.environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, f"initkit: {unit.stem}: not kept outside systemd: AppArmorProfile=\n")


@pytest.mark.parametrize("verb", ["start", "restart", "up"])
def test_every_verb_that_starts_refuses_what_cannot_be_kept(services: Services, verb: str) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000\nPAMName=login")
    words = [sys.executable, "-m", "initkit", verb, str(unit)]
    done = subprocess.run(words, env=services.environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 78 and "cannot be kept without systemd" in done.stderr
    assert not services.started()


def test_a_timer_under_up(services: Services) -> None:
    """There is no clock: the service is started at once, and that is said."""
    unit = services.unit("ExecStart=/bin/true\nType=oneshot")
    unit.with_suffix(".timer").write_text("[Timer]\nOnCalendar=daily\n")
    words = [sys.executable, "-m", "initkit", "up", str(unit)]
    done = subprocess.run(words, env=services.environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == f"initkit: {unit.stem}: its timer means nothing here: it is started with the others\n"


def test_nothing_is_said_where_nothing_is_lost(services: Services) -> None:
    settings = (
        "Slice=app.slice\nCPUAccounting=yes\nUtmpMode=init\nX-Other=1\nPrivateTmp=no\nMemoryKSM=no\nTasksAccounting=yes"
    )
    finished = services.run(services.unit(f"ExecStart=/bin/true\nType=oneshot\n{settings}"), "--foreground")
    assert (finished.returncode, finished.stderr) == (0, "")
