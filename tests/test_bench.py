"""The benchmarks run, print their tables, and leave nothing behind; what they find is nobody's promise here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


def test_a_short_run(tmp_path: Path) -> None:
    few = [
        "--only",
        "initkit",
        "--rounds",
        "1",
        "--starts",
        "1",
        "--idle",
        "0.1",
        "--lived",
        "0",
        "--services",
        "2",
        "--growth",
        "1",
        "--markdown",
    ]
    done = subprocess.run(
        [sys.executable, CHECKOUT / "tests/bench", "--bin", Path(sys.executable).parent, *few],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for row in ("restart after a crash", "2 services up", "idle, wake-ups in 0.1 s", "python -c pass"):
        assert f"| {row} |" in done.stdout
    assert "     1 services" in done.stdout
    assert list(tmp_path.iterdir()) == []
