"""The benchmarks run, print their tables, and leave nothing behind; what they find is nobody's promise here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


_FEW = ["--rounds", "1", "--starts", "1", "--sandboxes", "1", "--idle", "0.1", "--lived", "0"]
_FEW += ["--services", "2", "--growth", "1"]


def test_a_short_run(tmp_path: Path) -> None:
    folder, runtime = tmp_path / "tmp", tmp_path / "run"
    folder.mkdir()
    runtime.mkdir(mode=0o700)
    installed = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, CHECKOUT / "tests/bench", "--bin", installed, "--only", "initkit", "--markdown", *_FEW],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = ("restart after a crash", "2 services up", "idle, wake-ups in 0.1 s", "python -c pass", "initkit, a restart")
    for row in rows:
        assert f"| {row} |" in done.stdout
    assert "     1 services" in done.stdout
    assert list(folder.iterdir()) == []
