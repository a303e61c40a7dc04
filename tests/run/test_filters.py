"""Filters of system calls: compiled before the sandbox hides what that takes, and kept for the next start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from initkit.plan import filters

from .harness import Services

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def folder(services: Services) -> Path:
    return services.runtime / "initkit/filters"


@pytest.fixture(autouse=True)
def _nothing_kept(services: Services) -> None:
    """What earlier runs of the tests had kept would be found again: nothing is lost but the time to compile it."""
    shutil.rmtree(folder(services), ignore_errors=True)


def test_libseccomp_may_be_hidden_by_the_sandbox(services: Services) -> None:
    place = os.path.dirname(str(filters.library().__file__))
    unit = services.unit(
        f"ExecStart=/bin/sh -c '[ -r {place}/. ] || grep ^Seccomp: /proc/self/status'\nUser=daemon\n"
        f"InaccessiblePaths={place}\nSystemCallFilter=~@reboot"
    )
    done = services.run(unit, "--foreground")
    assert (done.returncode, done.stdout) == (0, "Seccomp:\t2\n"), done.stderr


def test_kept_for_every_service_that_wants_the_same(services: Services) -> None:
    settings = "SystemCallFilter=~mkdir mkdirat\nStandardError=null"
    units = [services.unit(f"ExecStart=/bin/sh -c '! mkdir {services.out}/{n}'\n{settings}") for n in "ab"]
    assert services.run(units[0], "--foreground").returncode == 0
    (file,) = folder(services).iterdir()
    first = file.stat()
    assert services.run(units[1], "--foreground").returncode == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert list(services.out.iterdir()) == []


@pytest.mark.parametrize("spoilt", ["empty", "cut off", "another's", "of other settings"])
def test_what_is_kept_is_not_trusted_blindly(services: Services, spoilt: str) -> None:
    settings = "SystemCallFilter=~mkdir mkdirat\nStandardError=null"
    unit = services.unit(f"ExecStart=/bin/sh -c '! mkdir {services.out}/a'\n{settings}")
    assert services.run(unit, "--foreground").returncode == 0
    (file,) = folder(services).iterdir()
    whole = file.read_bytes()
    if spoilt == "another's":
        os.chown(file, 1, 1)
    else:
        other = whole.replace(b"mkdirat", b"mknodat")
        file.write_bytes({"empty": b"", "cut off": whole[:-9], "of other settings": other}[spoilt])
    assert services.run(unit, "--foreground").returncode == 0
    assert list(services.out.iterdir()) == []
    assert (file.read_bytes(), file.stat().st_uid) == (whole, 0)  # made anew
