"""Running initkit as a user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from run.harness import Services, adopt_orphans
from run.ups import Up

CHECKOUT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment() -> dict[str, str]:
    """What initkit is run with: this checkout, and no service manager around it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "PYTHONUTF8": "1"}


#: What makes root heed permissions: setpriv(1), capabilities(7).
HEEDING = (
    (shutil.which("setpriv") or "setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)


@pytest.fixture
def initkit(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run `initkit` in the test's own directory, as somebody who heeds permissions, and wait for its end."""

    def run(*argv: str | bytes, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*HEEDING, sys.executable, "-m", "initkit", *argv],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """This checkout's initkit as a program, which what is generated can call."""
    path = tmp_path / "initkit"
    lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(CHECKOUT)!r})",
             "from initkit.cli import main", "sys.exit(main(sys.argv[1:]))")  # fmt: skip
    path.write_text("\n".join(lines))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def _orphans() -> None:
    adopt_orphans()


@pytest.fixture
def services(_orphans: None) -> Iterator[Services]:
    """A place for services; when the test is over, nothing of them is left."""
    made = Services()
    yield made
    made.close()


@pytest.fixture
def up(services: Services) -> Up:
    """`initkit up` of services that the test adds."""
    return Up(services)
