"""The register's locks: who waits for one waits until what is being started has been executed, and for nobody else."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from initkit.run.register import Register

from .harness import Services, finish, lines, until
from .test_adversity import ALWAYS, SLEEP, UNLIMITED, enrolled, kill_main, main_pid

EVERYTHING = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)


@contextmanager
def reader(path: Path) -> Iterator[None]:
    """Somebody who has all that a reader can have locked."""
    with path.open() as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, EVERYTHING)
        yield


def is_locked(path: Path) -> bool:
    try:
        with reader(path):
            return False
    except BlockingIOError:
        return True


def test_locked_while_something_is_started(tmp_path: Path) -> None:
    path = tmp_path / "app.register"
    register = Register(str(path))
    of_launcher = os.dup(register.fd)
    assert is_locked(path)
    register.managed("/run/app.sock")
    assert not is_locked(path)
    register.open()
    assert is_locked(path)
    register.close()
    assert not is_locked(path)
    os.close(of_launcher)


def test_a_child_has_the_lock_until_it_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "app.register"
    register = Register(str(path))
    register.managed("/run/app.sock")
    source, sink = os.pipe2(os.O_CLOEXEC)
    register.open()
    pid = os.fork()
    if pid == 0:
        try:
            register.enrol("main")
            os.close(sink)
            os.read(source, 1)
            os.execv("/bin/sleep", ["sleep", "1000"])
        finally:
            os._exit(1)
    register.close()
    try:
        until(lambda: any(line.startswith(f"main {pid} ") for line in lines(path)))
        assert is_locked(path)
        os.close(sink)
        until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        assert not is_locked(path)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(source)


def test_nobody_who_reads_it_is_in_the_way(services: Services) -> None:
    unit = services.unit(f"{SLEEP}\n{ALWAYS}", unit=UNLIMITED)
    path = services.runtime / "initkit" / f"{unit.stem}.register"
    running = services.foreground(unit, stdout=subprocess.DEVNULL)
    services.active(unit)
    with reader(path):
        kill_main(services, unit)
        main = main_pid(services, unit)
        until(lambda: main in enrolled(services, unit), "it is taken down")
    status, _, said = finish(running)
    assert (status, "nobody will find it" in said) == (0, False)


def test_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "app.register"
    first = Register(str(path))
    first.managed("/run/app.sock")
    second = Register(str(path))
    second.managed("/run/app.sock2")
    with pytest.raises(OSError, match="Stale"):
        first.open()
    first.remove()
    assert path.exists()
    second.remove()
    assert not path.exists()
