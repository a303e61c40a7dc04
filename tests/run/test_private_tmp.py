"""PrivateTmp=: the folders of a life go with it, or with the last who shares them; what a killed manager has left goes
with the next start or stop; nobody else's do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Services, finish, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PLACES = (Path("/tmp"), Path("/var/tmp"))
LIFE = "0123456789abcdef0123456789abcdef"


def folders(unit: str) -> set[Path]:
    return {path for place in PLACES for path in place.glob(f"initkit-private-*-{unit}")}


@pytest.fixture
def unit(services: Services) -> Iterator[Path]:
    path = services.unit(
        f"ExecStart=/bin/sh -c 'touch /tmp/inside; echo $$INVOCATION_ID >{services.out}/life; exec sleep 1000'\n"
        f"PrivateTmp=yes\nRestart=always\nBindPaths={services.out}"
    )
    yield path
    for left in PLACES:
        for folder in left.glob(f"initkit-private-*{path.name}"):
            subprocess.run(["rm", "-r", folder], check=True)


def begin(services: Services, unit: Path) -> subprocess.Popen[str]:
    """Its manager, when the program runs."""
    life = services.out / "life"
    life.unlink(missing_ok=True)
    running = services.foreground(unit)
    until(lambda: life.exists() and life.stat().st_size)
    return running


def kill(services: Services, unit: Path) -> set[Path]:
    """A manager that is killed: what it leaves."""
    running = begin(services, unit)
    running.kill()
    running.wait()
    left = folders(unit.name)
    assert len(left) == 2
    return left


def test_gone_with_the_next_stop(services: Services, unit: Path) -> None:
    kill(services, unit)
    subprocess.run([sys.executable, "-m", "initkit", "stop", unit], env=services.environment(), check=True)
    assert folders(unit.name) == set()


def test_gone_with_the_next_start(services: Services, unit: Path) -> None:
    left = kill(services, unit)
    running = begin(services, unit)
    now = folders(unit.name)
    assert len(now) == 2 and not now & left
    assert finish(running)[0] == 0
    assert folders(unit.name) == set()


def test_those_of_others_stay(services: Services, unit: Path) -> None:
    """Of a service whose name ends as this one's; of a user; of a life that this manager knows nothing of."""
    kill(services, unit)
    others = [Path(f"/tmp/initkit-private-{life}-{unit.name}") for life in (LIFE, f"{LIFE}-other", "x")]
    another = Path(f"/var/tmp/initkit-private-{LIFE}-{unit.name}")
    for path in (*others, another):
        path.mkdir()
    os.chown(another, 1, 1)
    os.utime(another, (0, 0))
    assert finish(begin(services, unit))[0] == 0
    assert folders(unit.name) == {*others, another}


@pytest.mark.parametrize("last", ["the other", "this one"])
def test_shared_until_the_last_has_ended(services: Services, unit: Path, last: str) -> None:
    first = begin(services, unit)
    both = folders(unit.name)
    ready = services.out / "ready"
    joining = services.unit(
        f"ExecStart=/bin/sh -c 'ls /tmp >{services.out}/seen; mv {services.out}/seen {ready}; exec sleep 1000'\n"
        f"PrivateTmp=yes\nRestart=always\nBindPaths={services.out}",
        unit=f"JoinsNamespaceOf={unit.name}",
    )
    second = services.foreground(joining)
    until(ready.exists)
    assert "inside" in ready.read_text()
    assert folders(joining.name) == set()
    sooner, later = (second, first) if last == "the other" else (first, second)
    assert finish(sooner)[0] == 0
    assert folders(unit.name) == both
    assert finish(later)[0] == 0
    assert folders(unit.name) == set()
