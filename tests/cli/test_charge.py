"""Who is in charge: the service managers that run here, each asked in its own words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from run.harness import Services, alive, lines, until

from .ways import as_nobody, initkit, needs_root, written


def _needs(*programs: str) -> pytest.MarkDecorator:
    missing = [each for each in programs if not shutil.which(each)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def _program(services: Services) -> tuple[str, Path]:
    """A program that writes its pid, and the signals that it gets."""
    out = services.out / "heard"
    text = f"trap 'echo HUP >> {out}' HUP; trap 'echo USR1 >> {out}' USR1; trap exit TERM\necho $$ >> {out}"
    return services.script(f"{text}\nwhile :; do sleep 1000 & wait; kill $!; done"), out


class Supervised:
    """A service's folder for runsv(8) or s6-supervise, and that program."""

    def __init__(self, services: Services, supervisor: str, folder: Path) -> None:
        program, self.out = _program(services)
        self.services, self.folder = services, folder
        self.unit = services.unit(f"ExecStart={program}", name="sv")
        folder.mkdir(parents=True)
        (folder / "down").touch()
        run = folder / "run"
        run.write_text(f"#!/bin/sh\nexec {program}\n")
        run.chmod(0o755)
        self.process = subprocess.Popen([supervisor, str(folder)], stderr=subprocess.DEVNULL)
        until(lambda: self._listens("ok" if supervisor == "runsv" else "control"), supervisor)

    def _listens(self, fifo: str) -> bool:
        """Whether somebody reads what is its clients' sign that there is a supervisor, and has told a state."""
        try:
            os.close(os.open(self.folder / "supervise" / fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return (self.folder / "supervise/status").exists()

    def do(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {"SVDIR": str(self.services.folder / "sv")}  # runit's
        return initkit(self.services, verb, self.unit, *options, environment=environment)

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in lines(self.out) if line.isdigit()]

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(params=["runit", "s6"])
def supervised(request: pytest.FixtureRequest, services: Services) -> Iterator[Supervised]:
    name = f"{services.prefix}sv"
    if request.param == "s6":
        if os.geteuid() or not shutil.which("s6-supervise"):
            pytest.skip("needs root and s6")
        made = Supervised(services, "s6-supervise", Path("/run/service") / name)
    else:
        if not shutil.which("runsv"):
            pytest.skip("needs runit")
        made = Supervised(services, "runsv", services.folder / "sv" / name)
    yield made
    made.close()


def test_a_supervisors_service(supervised: Supervised) -> None:
    assert supervised.do("status").returncode == 3
    started = supervised.do("start", "--verbose")
    assert started.returncode == 0, started.stderr
    assert str(supervised.folder) in started.stderr and (": runit (sv" in started.stderr) != (
        ": s6 (s6-svc" in started.stderr
    )
    until(lambda: supervised.pids)
    first = supervised.pids[0]
    assert str(first) in supervised.do("status").stdout and supervised.do("status").returncode == 0
    assert supervised.do("reload").returncode == 0
    until(lambda: "HUP" in lines(supervised.out))
    assert supervised.do("kill", "--signal=USR1").returncode == 0
    until(lambda: "USR1" in lines(supervised.out))
    assert supervised.do("try-restart").returncode == 0
    until(lambda: len(supervised.pids) == 2)
    assert supervised.do("restart").returncode == 0
    until(lambda: len(supervised.pids) == 3)
    assert not alive(first)
    assert supervised.do("stop").returncode == 0
    until(lambda: not alive(supervised.pids[-1]))
    assert supervised.do("try-restart").returncode in (0, 1)
    assert supervised.do("status").returncode == 3


@pytest.fixture
def script(services: Services) -> Iterator[Path]:
    """An init script of this test's own, that says with what it was called."""
    path = Path(f"/etc/init.d/{services.prefix}init")
    path.write_text(f'#!/bin/sh\necho "$1" >> {services.out}/said\necho "said $1"\nexit 3\n')
    path.chmod(0o755)
    yield path
    path.unlink()


@needs_root
@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_an_init_script(services: Services, script: Path, path: str) -> None:
    """By service(8) where that is there; its exit status is passed on."""
    if os.path.exists("/run/systemd/system") or os.path.exists("/run/openrc/softlevel"):
        pytest.skip("another init is in charge here")
    unit = services.unit("ExecStart=/bin/true", name="init")
    verbs = ["start", "stop", "restart", "try-restart", "reload", "status"]
    for verb in verbs:
        done = initkit(services, verb, unit)
        assert (done.returncode, done.stdout) == (3, f"said {verb}\n")
    assert written(services.out / "said", 6) == verbs
    assert initkit(services, "kill", unit).returncode == 7  # for that it has no word


@needs_root
def test_a_daemon_is_not_another_systems(services: Services) -> None:
    """A user's own daemon is his, also where the system's runs as well."""
    nobody = as_nobody(services)
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    assert initkit(services, "start", unit).returncode == 0
    system = services.pid(unit)
    assert initkit(services, "stop", unit, **nobody).returncode == 4
    assert alive(system)
    assert initkit(services, "stop", unit).returncode == 0


@needs_root
def test_an_init_script_that_cannot_be_executed(services: Services, script: Path) -> None:
    if os.path.exists("/run/systemd/system"):
        pytest.skip("another init is in charge here")
    unit = services.unit("ExecStart=/bin/true", name="init")
    script.chmod(0o644)
    for verb in ("start", "stop", "status"):
        done = initkit(services, verb, unit)
        assert (done.returncode, done.stderr) == (5, f"initkit: {script}: not executable (chmod +x {script})\n")
