"""What an ordinary user's services get of a sandbox: namespaces below one of users, or the directive's exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")

AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


def can_make_namespaces() -> bool:
    """Whether the kernel lets an ordinary user have namespaces of users."""
    return subprocess.run([*AS_NOBODY, "unshare", "--user", "--mount", "true"], capture_output=True).returncode == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of nobody's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, 65534, 65534)
        yield Path(folder)


def run(place: Path, settings: str, script: str) -> subprocess.CompletedProcess[str]:
    """A service of nobody's, to its end."""
    unit = place / "app.service"
    unit.write_text(f"[Service]\nType=oneshot\nStandardOutput=inherit\nExecStart=/bin/sh -c '{script}'\n{settings}\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "XDG_RUNTIME_DIR": str(place)}
    argv = [*AS_NOBODY, sys.executable, "-m", "initkit", "run", str(unit), "--foreground"]
    return subprocess.run(argv, env=environment, cwd=place, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("settings", "script", "seen"),
    [
        ("ProtectHome=tmpfs", "ls -A /home; id -u", "65534\n"),
        ("ReadOnlyPaths=/tmp", "touch /tmp/x 2>/dev/null || echo no", "no\n"),
        ("InaccessiblePaths=/etc", "ls /etc 2>/dev/null || echo no", "no\n"),
        ("PrivateTmp=yes", "ls -A /tmp; touch /tmp/x && echo own", "own\n"),
        ("PrivateUsers=yes", 'id -u; cat /proc/self/uid_map | tr -s \\" \\"', "65534\n 65534 65534 1\n"),
        ("PrivateNetwork=yes", "ls /sys/class/net", "lo\n"),
        ("StateDirectory=kept:link:ro", "touch $STATE_DIRECTORY/x 2>/dev/null || echo no", "no\n"),
        ("SetCredential=one:text", "cat $CREDENTIALS_DIRECTORY/one", "text"),
    ],
)
def test_what_is_granted(place: Path, settings: str, script: str, seen: str) -> None:
    if not can_make_namespaces():
        pytest.skip("the kernel gives no namespaces to ordinary users")
    finished = run(place, settings, script)
    assert (finished.returncode, finished.stdout) == (0, seen), finished.stderr


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ("User=daemon", 216),
        ("Nice=-10", 201),
        ("OOMScoreAdjust=-500", 206),
        ("CPUSchedulingPolicy=fifo\nCPUSchedulingPriority=10", 214),
        ("DynamicUser=yes", 217),
        ("ReadOnlyPaths=/nowhere", 226),
    ],
)
def test_what_needs_privileges(place: Path, settings: str, status: int) -> None:
    finished = run(place, settings, "echo never")
    assert (finished.returncode, finished.stdout) == (status, "")
    assert f"{place}/app.service:5: {settings.partition('=')[0]}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_without_a_folder_for_what_runs(place: Path) -> None:
    place.chmod(0o755)
    unit = place / "app.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
    argv = ["setpriv", "--reuid=54321", "--regid=nogroup", "--clear-groups", sys.executable, "-m", "initkit", "run"]
    made = subprocess.run(
        [*argv, str(unit), "--daemon"], env=environment, cwd=place, capture_output=True, text=True, timeout=60
    )
    assert (made.returncode, made.stderr.count("\n")) == (4, 1)
    assert "there is no /run/user/54321: set XDG_RUNTIME_DIR to a directory of your own" in made.stderr
