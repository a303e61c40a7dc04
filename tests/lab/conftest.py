"""Fixtures for tests on booted machines.

`boot` boots machines that a test has to itself; `machine`, `systemd_machine` and `sysv_machine` are shared by the tests
of one module, which therefore clean up after themselves or use names of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import packages
from .machine import OPENRC, SYSTEMD_247, SYSTEMD_252, SYSTEMD_257, SYSV, Kind, Machine, missing

Boot = Callable[[Kind], Machine]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: boots machines; needs root, systemd-nspawn and mmdebstrap")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("lab")


@pytest.fixture(scope="session")
def lab() -> None:
    """Skips where machines cannot boot, or fails there if INITKIT_REQUIRE_LAB=1 says that they must."""
    if reason := missing():
        if os.environ.get("INITKIT_REQUIRE_LAB") == "1":
            pytest.fail(f"the lab is required, and {reason}")
        pytest.skip(f"the lab {reason}")


@pytest.fixture(scope="session")
def made(lab: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Suite -> the folder with the packages that were built there."""
    builds = ((packages.TRIXIE, ("deb", "rpm", "arch")), (packages.BOOKWORM, ("deb",)))
    folders = {kind.suite: tmp_path_factory.mktemp(f"made-{kind.suite}") for kind, _ in builds}
    packages.build_each((kind, what, folders[kind.suite] / what) for kind, several in builds for what in several)
    for folder in folders.values():
        for made in folder.glob("*/*"):
            made.replace(folder / made.name)  # of the source archive each has one
    return folders


@pytest.fixture
def boot(lab: None) -> Iterator[Boot]:
    """A function that boots a machine of a kind; it is stopped with the test."""
    with ExitStack() as machines:
        yield lambda kind: machines.enter_context(Machine(kind))


@pytest.fixture(scope="module", params=[SYSTEMD_252, SYSTEMD_257], ids=str)
def systemd_machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with systemd, of each version in turn."""
    with Machine(request.param) as machine:
        yield machine


@pytest.fixture(scope="module", params=[SYSTEMD_247, SYSTEMD_252, SYSTEMD_257], ids=str)
def verifying_machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine to run `systemd-analyze verify` in: also an old systemd, which has nothing but itself."""
    with Machine(request.param) as machine:
        yield machine


@pytest.fixture(scope="module")
def sysv_machine(lab: None) -> Iterator[Machine]:
    """A machine with sysvinit."""
    with Machine(SYSV) as machine:
        yield machine


@pytest.fixture(scope="module")
def openrc_machine(lab: None) -> Iterator[Machine]:
    """A machine with OpenRC, which sysvinit's PID 1 calls."""
    with Machine(OPENRC) as machine:
        yield machine


@pytest.fixture(scope="module", params=[SYSTEMD_252, SYSTEMD_257, SYSV], ids=str)
def machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with each init in turn."""
    with Machine(request.param) as machine:
        yield machine
