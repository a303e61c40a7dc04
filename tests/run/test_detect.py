"""Who started initkit: DESIGN's table, with the real supervisors where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Report, Services, finish, lines, parent, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


def folder_for(services: Services, unit: Path) -> Path:
    """A service folder for runit and s6, with a run script that says nothing of how."""
    folder = services.folder / "service"
    folder.mkdir()
    run = folder / "run"
    exports = "".join(f"export {name}='{value}'\n" for name, value in services.environment().items())
    run.write_text(f"#!/bin/sh\n{exports}exec {sys.executable} -m initkit run {unit} 2>{services.out}/errors\n")
    run.chmod(0o755)
    return folder


@needs("runsv")
@pytest.mark.parametrize("restart", ["no", "always"])
def test_runit(services: Services, restart: str) -> None:
    command, path = services.probe()
    folder = folder_for(services, services.unit(f"ExecStart={command}\nRestart={restart}"))
    runsv = subprocess.Popen(["runsv", folder], stderr=subprocess.DEVNULL)
    found = Report(path)
    main = found.pid if restart == "no" else parent(found.pid)
    assert parent(main) == runsv.pid
    subprocess.run(["sv", "-w10", "force-stop", folder], check=True, stdout=subprocess.DEVNULL)
    assert found.pid not in services.started()
    subprocess.run(["sv", "exit", folder], check=True)
    assert runsv.wait(10) == 0


@needs("s6-supervise")
@pytest.mark.parametrize("restart", ["no", "always"])
def test_s6(services: Services, restart: str) -> None:
    command, path = services.probe()
    folder = folder_for(services, services.unit(f"ExecStart={command}\nRestart={restart}"))
    supervise = subprocess.Popen(["s6-supervise", folder], stderr=subprocess.DEVNULL)
    found = Report(path)
    main = found.pid if restart == "no" else parent(found.pid)
    assert parent(main) == supervise.pid
    subprocess.run(["s6-svc", "-wD", "-T10000", "-d", folder], check=True)
    assert found.pid not in services.started()
    subprocess.run(["s6-svc", "-x", folder], check=True)
    assert supervise.wait(10) == 0


def test_script(services: Services) -> None:
    """Nobody is there who looks after it: a daemon is made."""
    unit = services.unit("ExecStart=/bin/sleep 1000")
    finished = services.run(unit)
    assert finished.returncode == 0
    assert services.pid(unit) in services.started()


def test_script_that_systemd_runs(services: Services) -> None:
    """INVOCATION_ID alone is no proof: an init.d script has it, too, and its start must return."""
    unit = services.unit("ExecStart=/bin/sleep 1000")
    for environment in ({"INVOCATION_ID": "0" * 32}, {"INVOCATION_ID": "0" * 32, "SYSTEMD_EXEC_PID": str(os.getpid())}):
        finished = services.run(unit, environment=environment)
        assert finished.returncode == 0
    assert services.pid(unit) in services.started()


def test_marks(services: Services) -> None:
    command, path = services.probe()
    running = services.spawn(services.unit(f"ExecStart={command}"), environment={"SUPERVISOR_ENABLED": "1"})
    assert Report(path).pid == running.pid
    finish(running)


def test_options_win(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sleep 1000")
    assert services.daemon(unit, environment={"SUPERVISOR_ENABLED": "1"}).returncode == 0
    assert services.pid(unit) in services.started()


@as_root
@needs("unshare")
class TestPid1:
    """PID 1 of a container: nobody else is there for orphans and signals."""

    prefix = ("unshare", "-pf", "--mount-proc", "--kill-child")

    def inner(self, process: subprocess.Popen[str]) -> int:
        """The pid, seen from here, of what is 1 there."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: children.exists() and children.read_text())
        return int(children.read_text())

    @pytest.mark.parametrize(("end", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
    def test_status(self, services: Services, end: str, status: int) -> None:
        finished = services.run(services.unit(f"ExecStart={services.script(end)}"), prefix=self.prefix)
        assert finished.returncode == status

    def test_orphans(self, services: Services) -> None:
        """Not one remains, not even as a zombie, which has its name still."""
        begun = services.out / "begun"
        script = services.script(
            f"for i in 1 2 3 4 5; do (setsid sh -c 'echo >> {begun}; exec sleep 0.05' &) ; done\n"
            f"until [ $(wc -l < {begun}) = 5 ]; do :; done 2>/dev/null\n"
            "while cat /proc/[0-9]*/comm 2>/dev/null | grep -q sleep; do :; done"
        )
        assert services.run(services.unit(f"ExecStart={script}"), prefix=self.prefix).returncode == 0

    def test_signals(self, services: Services) -> None:
        said = services.out / "said"
        traps = "".join(f"trap 'echo {name} >> {said}' {name}\n" for name in ("USR1", "HUP"))
        script = services.script(
            f"{traps}trap 'echo TERM >> {said}; exit 3' TERM\necho up >> {said}\nwhile :; do sleep 0.02; done"
        )
        unit = services.unit(f"ExecStart={script}\nKillMode=mixed")
        running = services.spawn(unit, prefix=self.prefix)
        until(lambda: lines(said))
        pid = self.inner(running)
        services.active(unit)
        for count, name in enumerate(("USR1", "HUP", "TERM"), 2):
            os.kill(pid, getattr(signal, f"SIG{name}"))
            until(lambda: len(lines(said)) == count)  # noqa: B023
        assert running.wait(10) == 3
        assert lines(said) == ["up", "USR1", "HUP", "TERM"]

    def test_without_a_proc_of_its_own(self, services: Services) -> None:
        """The pids in /proc are another namespace's there: none of them is signalled."""
        bystander = subprocess.Popen(["/bin/sleep", "1000"])
        unit = services.unit("ExecStart=/bin/sleep 1000")
        running = services.spawn(unit, prefix=("unshare", "-pf", "--kill-child"))
        pid = self.inner(running)
        services.active(unit)
        os.kill(pid, signal.SIGTERM)
        assert running.wait(10) == 0
        assert bystander.poll() is None
        bystander.kill()
        bystander.wait()
