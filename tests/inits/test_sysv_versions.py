"""The SysV script of another version of the settings: it finds what runs, whether script or runner has started it."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from initkit.inits import Options

from .scripts import FORKING, Lab, alive, array, python, shells, wait_until

#: Kinds of scripts: their settings, and whether they call the runner. "become" is one whose runner becomes the program.
KINDS = {
    "own": ('pid_file = ""', False),
    "named": ("", False),
    "forking": ('type = "forking"', False),
    "become": ('pid_file = ""', True),
    "become-named": ("", True),
    "supervise": ('restart = "always"', True),
    "oneshot": ('type = "oneshot"\nremain_after_exit = true', False),
    "oneshot-supervise": ('type = "oneshot"\nremain_after_exit = true', True),
}
#: Those of which a program runs.
RUNNING = [kind for kind in KINDS if "oneshot" not in kind]


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, getattr(request, "param", "dash"))
    yield made
    made.clean()


def generate(lab: Lab, kind: str, version: str, more: str = "", program: str = "") -> None:
    """The script of a version, and its program, which has the version as an argument."""
    settings, runner = KINDS[kind]
    if kind == "forking":
        program += FORKING.format(pid_file=str(lab.pid_file))
    words = array(["/bin/true"]) if "oneshot" in kind else python(lab.program(f"{version}.py", program), version)
    options = Options(runner=runner, runner_path=str(lab.runner()))
    lab.generate(f"exec_start = {words}\n{settings}\n{more}", options=options)


def programs(lab: Lab, version: str) -> list[int]:
    """The processes of a version's program."""
    words = [sys.executable, "-I", str(lab.folder / f"{version}.py"), version]
    wanted = b"".join(os.fsencode(word) + b"\0" for word in words)
    return [pid for pid in lab.processes() if command(pid) == wanted and alive(pid)]


def the_program(lab: Lab, version: str) -> int:
    """The one process of a version's program, which its start may not have executed yet when it is over."""
    wait_until(lambda: len(programs(lab, version)) == 1)
    (pid,) = programs(lab, version)
    return pid


def command(pid: int) -> bytes:
    """The words of a process, b"" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def check_change(lab: Lab, before: str, after: str) -> None:
    generate(lab, before, "first")
    lab.run("start", check=0)
    running = [the_program(lab, "first")] if before in RUNNING else []
    assert programs(lab, "first") == running

    generate(lab, after, "second")
    lab.run("status", check=0)
    assert "already running" in lab.run("start", check=0).stdout
    assert programs(lab, "first") == running and not programs(lab, "second")

    lab.run("restart", check=0)
    assert not programs(lab, "first")
    assert the_program(lab, "second") if after in RUNNING else not programs(lab, "second")
    lab.run("status", check=0)
    lab.run("stop", check=0)
    lab.run("status", check=3)
    wait_until(lambda: not list(lab.processes()))
    left = {path.suffix for path in lab.record.parent.glob(f"{lab.name}.*")}
    assert left <= {".lock", ".register"}  # the runner's, for its next start
    if KINDS[before][0] == KINDS[after][0]:  # else the PID file may have had another name
        assert not lab.pid_file.exists() and not lab.record.parent.with_name(f"{lab.name}.pid").exists()


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(RUNNING, 2)])
def test_another_kind(lab: Lab, before: str, after: str) -> None:
    check_change(lab, before, after)


@pytest.mark.parametrize(("before", "after"), [("own", "supervise"), ("supervise", "own")])
@pytest.mark.parametrize("lab", [shell for shell in shells() if shell != "dash"], indirect=True)
def test_in_every_shell(lab: Lab, before: str, after: str) -> None:
    check_change(lab, before, after)


@pytest.mark.parametrize(
    ("before", "after"), [("supervise", "oneshot"), ("named", "oneshot"), ("oneshot-supervise", "oneshot")]
)
def test_a_program_that_becomes_one_that_runs_once(lab: Lab, before: str, after: str) -> None:
    check_change(lab, before, after)


#: Tells the signal that ends it.
TELLS = """
def end(number, frame):
    with open({path!r}, "a") as file:
        print(number, file=file)
    sys.exit()
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, end)
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"), [("own", "supervise", signal.SIGUSR2), ("supervise", "own", signal.SIGUSR1)]
)
def test_how_it_is_stopped(lab: Lab, before: str, after: str, expected: int) -> None:
    """A script does as its own settings say, as systemd does; the runner as those that it was started with."""
    heard = lab.folder / "heard"
    tells = TELLS.format(path=str(heard))
    stop = lab.executable("stop", f"echo stop >>{heard}")
    generate(lab, before, "first", 'kill_signal = "SIGUSR1"\nkill_mode = "mixed"', program=tells)
    lab.run("start", check=0)
    wait_until(lab.told.exists)
    wait_until(lambda: _catches(the_program(lab, "first"), signal.SIGUSR2))
    more = 'kill_signal = "SIGUSR2"\nkill_mode = "mixed"'
    generate(lab, after, "second", more if after == "supervise" else f"{more}\nexec_stop = {array([stop])}")
    lab.run("stop", check=0)
    assert heard.read_text().split() == [str(int(expected))]
    assert not list(lab.processes())


def _catches(pid: int, number: int) -> bool:
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigCgt"], 16) & 1 << (number - 1))


def test_what_is_not_killed(lab: Lab) -> None:
    """KillMode= holds for a runner's service: it ends the main process, and the script nothing more."""
    child = "import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1000; :', sys.argv[0]])"
    for mode, left in (("process", 1), ("mixed", 0)):
        generate(lab, "supervise", mode, f'kill_mode = "{mode}"', program=child)
        lab.run("start", check=0)
        wait_until(lambda: [pid for pid in lab.processes() if b"sleep 1000" in command(pid)])
        lab.run("stop", check=0)
        survivors = [pid for pid in lab.processes() if alive(pid)]
        assert len(survivors) == left
        for pid in survivors:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("mode", ["none", "process", "control-group"])
def test_a_runner_ends_by_itself(lab: Lab, mode: str) -> None:
    """Whatever KillMode= the next version has: else the runner would start the program again."""
    generate(lab, "supervise", "first")
    lab.run("start", check=0)
    generate(lab, "own", "second", f'kill_mode = "{mode}"')
    lab.run("restart", check=0)
    assert not programs(lab, "first") and the_program(lab, "second")
    assert not [pid for pid in lab.processes() if b"initkit" in command(pid)]
    lab.run("stop", check=0)
    assert len(programs(lab, "second")) == (mode == "none")


def test_reload(lab: Lab) -> None:
    heard = lab.folder / "heard"
    says = [lab.executable(name, f"echo {name} >>{heard}") for name in ("first-reload", "second-reload")]
    versions = {"supervise": "first", "own": "second"}

    def make(kind: str) -> None:
        version = versions[kind]
        generate(lab, kind, version, f"exec_reload = {array([says[version == 'second']])}")

    make("supervise")
    lab.run("start", check=0)
    make("own")
    lab.run("reload", check=0)  # the runner does it, with the settings that it was started with
    wait_until(lambda: heard.exists() and heard.read_text() == "first-reload\n")
    lab.run("restart", check=0)
    lab.run("reload", check=0)
    assert heard.read_text() == "first-reload\nsecond-reload\n"
    make("supervise")
    assert "restart it" in lab.run("reload", check=1).stdout
    assert the_program(lab, "second")
    lab.run("stop", check=0)


@pytest.mark.parametrize(("before", "after"), [("own", "supervise"), ("supervise", "own"), ("forking", "supervise")])
def test_the_verbs_of_initkit(lab: Lab, before: str, after: str) -> None:
    """`initkit status` and `stop` find it as well."""
    generate(lab, before, "first")
    lab.run("start", check=0)
    generate(lab, after, "second")
    settings = str(lab.folder / f"{lab.name}.toml")
    assert initkit(lab, "status", settings) == 0
    pid = the_program(lab, "first")
    assert initkit(lab, "run", settings, "--daemon") == 0  # it runs already
    assert programs(lab, "first") == [pid] and not programs(lab, "second")
    if after == "supervise":
        assert initkit(lab, "run", settings, "--foreground") == 1
        assert programs(lab, "first") == [pid] and not programs(lab, "second")
    assert initkit(lab, "stop", settings) == 0
    assert not programs(lab, "first")
    assert initkit(lab, "status", settings) == 3


@pytest.mark.parametrize("kind", ["own", "become"])
def test_a_script_stops_what_initkit_has_started(lab: Lab, kind: str) -> None:
    """Then it is stopped for initkit, too, and has not failed."""
    generate(lab, kind, "first")
    settings = str(lab.folder / f"{lab.name}.toml")
    assert initkit(lab, "start", settings) == 0
    lab.run("status", check=0)
    lab.run("stop", check=0)
    assert not programs(lab, "first")
    assert initkit(lab, "status", settings) == 3
    overview = subprocess.run([str(lab.runner()), "status"], capture_output=True, text=True, check=True)
    assert lab.name not in overview.stdout
    assert initkit(lab, "start", settings) == 0
    assert initkit(lab, "stop", settings) == 0


def test_what_initkit_tells_of_one_that_has_run(lab: Lab) -> None:
    """Its script has noted it; nothing of it is there to be stopped."""
    generate(lab, "oneshot", "first")
    settings = str(lab.folder / f"{lab.name}.toml")
    assert initkit(lab, "status", settings) == 3
    lab.run("start", check=0)
    for _ in range(2):
        assert initkit(lab, "status", settings) == 0
        overview = subprocess.run([str(lab.runner()), "status"], capture_output=True, text=True, check=True)
        assert re.search(rf"^{lab.name} +active( |$)", overview.stdout, re.MULTILINE)
        initkit(lab, "stop", settings)
    lab.run("status", check=0)
    lab.run("stop", check=0)
    assert initkit(lab, "status", settings) == 3


def initkit(lab: Lab, *words: str) -> int:
    """The exit status of a verb."""
    argv = [str(lab.runner()), *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60).returncode
