"""What all tests share: the golden files, signals as a terminal's shell leaves them, and no clock over hypothesis."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

GOLDEN = Path(__file__).parent / "golden"

Golden = Callable[[str, str], None]

# How long an example takes says what else the machine has to do: hypothesis would fail a test after 200 ms.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    # nohup(1) and a shell's "&" leave these ignored, and what is ignored is inherited: no Ctrl-C would be heard.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of reading them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """A function that compares a text with the golden file of a name, byte for byte."""
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path, data = GOLDEN / name, text.encode("utf-8", "surrogateescape")
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        assert path.exists(), f"{path} is missing: run pytest --update-golden and look at what it writes"
        assert data == path.read_bytes(), f"{path} differs: run pytest --update-golden and look at the change"

    return compare
