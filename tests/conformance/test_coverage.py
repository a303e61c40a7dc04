"""Each directive has three units at least: one that works, one with others, one that fails as it should."""

from __future__ import annotations

from collections import Counter

import pytest
from lab.test_resources import SHORT, UNITS

from .cases import HERE, every

ENOUGH = 3


def named() -> list[str]:
    """The directives that this is asked of."""
    lines = (HERE.parent / "directives").read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def counted() -> Counter[str]:
    """How many units assign each directive something."""
    units = [case.settings for case in every()]
    units += [settings.splitlines() for settings, _ in (*UNITS.values(), *SHORT.values())]
    return Counter(key for unit in units for key in {line.partition("=")[0] for line in unit if "=" in line})


@pytest.mark.parametrize("directive", named())
def test_three_units_or_more(directive: str) -> None:
    assert counted()[directive] >= ENOUGH
