"""The fixture that starts real services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import SHARED, Services, adopt_orphans
from .ups import Up


@pytest.fixture(scope="session", autouse=True)
def _orphans() -> None:
    adopt_orphans()


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """A place for services; when the test is over, nothing of them is left. `alone_and_shared` has a test run twice."""
    made = Services()
    made.shared = getattr(request, "param", "") == SHARED
    yield made
    made.close()


@pytest.fixture
def up(services: Services) -> Up:
    """`initkit up` of services that the test adds."""
    return Up(services)
