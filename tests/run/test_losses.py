"""What the runner does not keep of the settings it says at the start, in one line."""

from __future__ import annotations

import pytest

from .harness import Services


@pytest.mark.parametrize("how", [("--foreground",), ("--daemon",)], ids=" ".join)
def test_what_is_lost_is_named(services: Services, how: tuple[str, ...]) -> None:
    unit = services.unit(
        "ExecStart=/bin/true\nType=oneshot\nAppArmorProfile=x\nIPAddressDeny=any\nMemoryKSM=no\nNice=1"
    )
    said = services.run(unit, *how).stderr
    assert said == f"initkit: {unit.stem}: not kept outside systemd: AppArmorProfile=, IPAddressDeny=\n"


def test_nothing_is_said_where_nothing_is_lost(services: Services) -> None:
    settings = (
        "Slice=app.slice\nCPUAccounting=yes\nUtmpMode=init\nX-Other=1\nPrivateTmp=no\nMemoryKSM=no\nTasksAccounting=yes"
    )
    finished = services.run(services.unit(f"ExecStart=/bin/true\nType=oneshot\n{settings}"), "--foreground")
    assert (finished.returncode, finished.stderr) == (0, "")
