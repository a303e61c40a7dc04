"""Patterns mean what they mean to the C library, which systemd asks."""

from __future__ import annotations

import glob as python
import os
import subprocess
import sys
from pathlib import Path

import pytest

from initkit.plan import glob

from .harness import CHECKOUT


@pytest.mark.parametrize(
    ("text", "pattern", "match"),
    [
        ("a.conf", "*.conf", True),
        ("a.conf", "*.con", False),
        (".conf", "*", True),
        ("\u00e9", "?", True),
        ("b", "[!a]", True),
        ("b", "[^a]", True),
        ("]", "[]]", True),
        ("Z", "[[:upper:]]", True),
        ("*", "\\*", True),
        ("a", "\\*", False),
        ("", "", True),
    ],
)
def test_matches(text: str, pattern: str, match: bool) -> None:
    assert glob.matches(text, pattern) == match


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.conf", "*/*", "[ab]/?.conf", "*/", ".*", "?idden", "a/x.conf", "no*/x", "a*/../b/*", "[!a]*", "", "lost"],
)
def test_paths(tmp_path: Path, pattern: str) -> None:
    for name in ("a/x.conf", "a/y.conf", "b/x.conf", "b/.conf", "1.conf", ".hidden", "c d/\u00e9"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lost").symlink_to("nowhere")
    whole = f"{tmp_path}/{pattern}"
    theirs = [each for each in python.glob(whole) if os.path.basename(each) not in (".", "..")]
    found = [each for each in glob.paths(whole) if os.path.basename(each) not in (".", "..")]
    assert found == sorted(theirs)


def test_nothing_large_is_loaded() -> None:
    """Environment files and conditions are the manager's and its children's business."""
    code = (
        "import sys; from initkit.run import conditions, host; from initkit.plan import process\n"
        "host.is_host('x*'); process._matches('/etc/*'); print({'re', 'fnmatch', 'glob'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-S", "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
