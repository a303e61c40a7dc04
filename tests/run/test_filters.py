"""Filters of system calls: compiled before the sandbox hides what that takes, and kept for the next start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from initkit.plan import filters

from .harness import Services

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


#: Mounts $1 over $2 for what comes after them.
_PLACE = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


class Kept:
    """A place for filters that nobody else knows of, with nothing in it."""

    def __init__(self, services: Services) -> None:
        self.services, self.folder = services, services.folder / "filters"
        self.folder.mkdir()
        usual = services.runtime / "initkit/filters"
        usual.mkdir(parents=True, exist_ok=True)
        self._prefix = ("unshare", "--mount", "sh", "-c", _PLACE, "sh", str(self.folder), str(usual))

    def run(self, unit: Path) -> subprocess.CompletedProcess[str]:
        """`initkit run` of a service that finds this place."""
        return self.services.run(unit, "--foreground", prefix=self._prefix)


@pytest.fixture
def kept(services: Services) -> Kept:
    return Kept(services)


def test_libseccomp_may_be_hidden_by_the_sandbox(services: Services, kept: Kept) -> None:
    place = os.path.dirname(str(filters.library().__file__))
    unit = services.unit(
        f"ExecStart=/bin/sh -c '[ -r {place}/. ] || grep ^Seccomp: /proc/self/status'\nUser=daemon\n"
        f"InaccessiblePaths={place}\nSystemCallFilter=~@reboot"
    )
    done = kept.run(unit)
    assert (done.returncode, done.stdout) == (0, "Seccomp:\t2\n"), done.stderr


def test_kept_for_every_service_that_wants_the_same(services: Services, kept: Kept) -> None:
    settings = "SystemCallFilter=~mkdir mkdirat\nStandardError=null"
    units = [services.unit(f"ExecStart=/bin/sh -c '! mkdir {services.out}/{n}'\n{settings}") for n in "ab"]
    assert kept.run(units[0]).returncode == 0
    (file,) = kept.folder.iterdir()
    first = file.stat()
    assert kept.run(units[1]).returncode == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert list(services.out.iterdir()) == []


@pytest.mark.parametrize("spoilt", ["empty", "cut off", "another's", "of other settings"])
def test_what_is_kept_is_not_trusted_blindly(services: Services, kept: Kept, spoilt: str) -> None:
    settings = "SystemCallFilter=~mkdir mkdirat\nStandardError=null"
    unit = services.unit(f"ExecStart=/bin/sh -c '! mkdir {services.out}/a'\n{settings}")
    assert kept.run(unit).returncode == 0
    (file,) = kept.folder.iterdir()
    whole = file.read_bytes()
    if spoilt == "another's":
        os.chown(file, 1, 1)
    else:
        other = whole.replace(b"mkdirat", b"mknodat")
        file.write_bytes({"empty": b"", "cut off": whole[:-9], "of other settings": other}[spoilt])
    assert kept.run(unit).returncode == 0
    assert list(services.out.iterdir()) == []
    assert (file.read_bytes(), file.stat().st_uid) == (whole, 0)  # made anew
