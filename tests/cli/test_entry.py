"""`initkit run -- COMMAND`: a container's entry point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run.harness import PATIENCE, Services, alive, command, finish, lines, parent, until

from .ways import Terminal, written

_PID1 = ("unshare", "-pf", "--kill-child=KILL", "--mount-proc")


def _namespaces() -> bool:
    try:
        return subprocess.run([*_PID1, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


#: As PID 1 of a namespace of its own, and as somebody's child.
@pytest.fixture(params=["child", "pid 1"])
def prefix(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param == "child":
        return ()
    if not _namespaces():
        pytest.skip("unshare -p does not work here")
    return _PID1


def entry(
    services: Services, *words: str | Path, prefix: tuple[str, ...] = (), options: tuple[str, ...] = (), **more: object
) -> subprocess.Popen[str]:
    """The entry point, going on."""
    argv = [*prefix, sys.executable, "-m", "initkit", "run", *options, "--", *map(str, words)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, **{"env": services.environment(), **streams, **more})  # type: ignore[call-overload, no-any-return]


def ran(services: Services, *words: str | Path, **more: object) -> tuple[int, str, str]:
    """The entry point to its end: exit status, output, errors."""
    process = entry(services, *words, **more)  # type: ignore[arg-type]
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def runner(process: subprocess.Popen[str], prefix: tuple[str, ...]) -> int:
    """The pid of the entry point itself: below unshare(1) where that has made a namespace."""
    if not prefix:
        return process.pid
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: path.read_text().split(), "unshare's child")
    return int(path.read_text().split()[0])


# --- exit statuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_the_exit_status_is_the_commands(services: Services, prefix: tuple[str, ...], script: str, status: int) -> None:
    assert ran(services, "/bin/sh", "-c", script, prefix=prefix) == (status, "", "")


def test_what_cannot_be_executed(services: Services) -> None:
    (services.folder / "data").write_text("no program")
    assert ran(services, "no-such-command") == (127, "", "initkit: no-such-command: command not found\n")
    assert ran(services, "/no/such")[::2] == (127, "initkit: /no/such: No such file or directory\n")
    assert ran(services, services.folder / "data")[::2] == (
        126,
        f"initkit: {services.folder}/data: Permission denied\n",
    )
    assert ran(services, services.folder)[0] == 126
    script = services.folder / "script"
    script.write_text("#!/no/such -x\n")
    script.chmod(0o755)
    said = "No such file or directory (its interpreter /no/such; the program itself is there)\n"
    assert ran(services, script)[::2] == (127, f"initkit: {script}: {said}")
    assert ran(services, "")[0] == 127


def test_execvp(services: Services) -> None:
    """A relative name is looked for in PATH only; a script without #! is the shell's."""
    script = services.folder / "greet"
    script.write_text('echo hello "$@"\n')
    script.chmod(0o755)
    found = {"PATH": f"/nowhere:{services.folder}:{os.environ['PATH']}"}
    assert ran(services, "greet", "you", "two words", env=services.environment(found)) == (
        0,
        "hello you two words\n",
        "",
    )
    assert ran(services, "greet", cwd=services.folder)[0] == 127
    assert ran(services, "./greet", cwd=services.folder)[:2] == (0, "hello\n")


@pytest.mark.parametrize("argv", [["--"], ["--daemon", "--", "true"], ["app", "--", "true"]])
def test_usage(services: Services, argv: list[str]) -> None:
    words = [sys.executable, "-m", "initkit", "run", *argv]
    wrong = subprocess.run(words, env=services.environment(), capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (64, 1)


# --- what the command finds ------------------------------------------------------------------------------------------


def test_the_callers_environment_is_untouched(services: Services) -> None:
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": services.environment()["PYTHONPATH"], "ODD": "a=b\nc"}
    status, out, _ = ran(services, "env", "-0", env=given)
    assert (status, dict(each.split("=", 1) for each in out.split("\0") if each)) == (0, given)


def test_folder_umask_and_descriptors_are_the_callers(services: Services) -> None:
    command, path = services.probe(after="exit 0")
    more = {"cwd": services.out, "umask": 0o027}
    assert ran(services, *command.split(), prefix=(), **more)[0] == 0
    assert path.read_text() == "0027\n"
    assert Path(f"{path}.links").read_text().splitlines()[0] == str(services.out)
    fds = [line.split()[0] for line in Path(f"{path}.fds").read_text().splitlines()]
    assert {"0", "1", "2"} <= set(fds) and all(int(each) < 3 or int(each) == 10 for each in fds)  # sh has its script


def test_signals_are_as_they_should_be(services: Services) -> None:
    status, out, _ = ran(services, "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    own = 3 << 31  # 32 and 33 are the C library's own: its posix_spawn(3) has them ignored
    assert (status, [int(line.split()[1], 16) & ~own for line in out.splitlines()]) == (0, [0, 0])


def test_what_the_caller_ignores_stays_ignored(services: Services) -> None:
    status, out, _ = ran(
        services, "grep", "SigIgn", "/proc/self/status", prefix=("env", "--ignore-signal=HUP,CHLD,INT")
    )
    ignored = int(out.split()[1], 16)
    assert (status, [n for n in (1, 2, 17) if not ignored >> (n - 1) & 1]) == (0, [])


# --- signals ---------------------------------------------------------------------------------------------------------

_EACH = ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "WINCH", "CONT", "PIPE", "URG", "ABRT", "SYS", "RTMIN+1")


def test_every_signal_is_handed_on(services: Services, prefix: tuple[str, ...]) -> None:
    out = services.out / "heard"
    program = services.python(
        f"""
import signal
wanted = {{each for each in signal.valid_signals() if each not in (9, 17, 19)}}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
with open({str(out)!r}, "a", buffering=1) as file:
    print("ready", file=file)
    while (number := signal.sigwait(wanted)) != signal.SIGTERM:
        print(int(number), file=file)
sys.exit(5)
"""
    )
    process = entry(services, program, prefix=prefix)
    written(out)
    pid = runner(process, prefix)
    numbers = [signal.SIGRTMIN + 1 if each == "RTMIN+1" else int(signal.Signals[f"SIG{each}"]) for each in _EACH]
    for count, number in enumerate((each for each in numbers if each != signal.SIGTERM), 2):
        os.kill(pid, number)
        assert written(out, count)[-1] == str(number)
    os.kill(pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 5


@pytest.mark.parametrize("options", [(), ("--group",)])
def test_signals_go_to_the_command_or_to_its_group(services: Services, options: tuple[str, ...]) -> None:
    out = services.out / "heard"
    listener = services.script(
        f'trap "echo $1 >> {out}" USR1; echo ready >> {out}; while :; do sleep 1000 & wait; done'
    )
    process = entry(services, "/bin/sh", "-c", f"{listener} child & exec {listener} main", options=options)
    written(out, 2)
    process.send_signal(signal.SIGUSR1)
    expected = ["child", "main"] if options else ["main"]
    until(lambda: sorted(lines(out)[2:]) == expected)
    assert finish(process)[0] == 143
    assert services.started() == []


def test_an_early_signal_is_not_lost(services: Services) -> None:
    """Before there is a command it ends Python, or waits."""
    for pause in (0.0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04):
        process = entry(services, "sleep", "1000")
        time.sleep(pause)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (143, -signal.SIGTERM)
        assert services.started() == []


# --- orphans ---------------------------------------------------------------------------------------------------------


def test_orphans_are_adopted_and_reaped(services: Services, prefix: tuple[str, ...]) -> None:
    out = services.out / "pid"
    inner = f"(setsid sh -c 'echo $(readlink /proc/self) >> {out}; exec sleep 0.2' &)"
    script = f"{inner}; {inner}; {inner}; exec sleep 1000"
    process = entry(services, "/bin/sh", "-c", script, prefix=prefix)
    written(out, 3)
    pid = runner(process, prefix)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until(lambda: len(children.read_text().split()) == 1, "only the command is left, and no zombie")
    finish(process) if not prefix else os.kill(pid, signal.SIGTERM)
    process.wait(PATIENCE)


def test_what_is_left_is_ended(services: Services, prefix: tuple[str, ...]) -> None:
    out = services.out / "heard"
    left = services.script(
        f'trap "echo TERM >> {out}; exit" TERM; echo ready >> {out}; while :; do sleep 1000 & wait; done'
    )
    script = f"setsid {left} & (setsid sleep 1000 &); until [ -s {out} ]; do :; done; exit 6"
    begun = time.monotonic()
    assert ran(services, "/bin/sh", "-c", script, prefix=prefix)[0] == 6
    assert lines(out) == ["ready", "TERM"]
    assert services.started() == []
    assert time.monotonic() - begun < 5  # which what is left would have


def test_what_ignores_sigterm_is_killed_and_a_second_signal_is_impatience(services: Services) -> None:
    out = services.out / "ready"
    left = services.script(f'trap "" TERM; echo $$ >> {out}; while :; do sleep 1000 & wait; done')
    process = entry(services, "/bin/sh", "-c", f"setsid {left} & until [ -s {out} ]; do :; done; kill $$")
    pid = int(written(out)[0])
    until(lambda: parent(pid) == process.pid)
    begun = time.monotonic()
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert process.returncode == 143
    assert time.monotonic() - begun < 5  # which it would have
    assert services.started() == []


# --- at a terminal ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(services: Services) -> Iterator[Terminal]:
    """A shell with job control at a terminal."""
    environment = services.environment({"TERM": "dumb", "PS1": "$ ", "PYTHON": sys.executable})
    terminal = Terminal(["/bin/bash", "--norc", "--noediting", "-i"], environment)
    terminal.read("$ ")
    yield terminal
    terminal.close()


def test_the_command_has_the_terminal(shell: Terminal, services: Services) -> None:
    script = 'read line; echo got $line; trap "echo IN""T" INT; sleep 1000 & wait'
    shell.type(f"$PYTHON -m initkit run -- sh -c '{script}'\n")
    shell.type("words\n")
    shell.read("got words")
    until(lambda: "sleep 1000" in map(command, services.started()))
    shell.type("\x03")
    shell.read("INT")
    shell.type('echo status $?; echo al""ive\n')
    shell.read("alive")
    shell.read("status 130")


def test_job_control(shell: Terminal, services: Services) -> None:
    """Ctrl-Z gives the prompt back, fg goes on."""
    out = services.out / "pid"
    shell.type(f"$PYTHON -m initkit run -- sh -c 'echo $$ > {out}; read line; echo got $line'\n")
    pid = int(written(out)[0])
    until(lambda: _reads(pid))
    shell.type("\x1a")
    shell.read("Stopped")
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    shell.type("echo prompt $((1 + 1))\n")
    shell.read("prompt 2")
    shell.type("fg\n")
    until(lambda: _reads(pid))
    shell.type("words\n")
    shell.read("got words")
    shell.type("exit\n")
    assert shell.wait() == 0
    assert not alive(pid)


def _reads(pid: int) -> bool:
    """Whether it sleeps in the terminal's foreground."""
    state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return state == "S" and fields[1] == fields[4]  # its process group is the terminal's


# --- size ------------------------------------------------------------------------------------------------------------


def test_nothing_heavy_is_loaded(services: Services) -> None:
    """As PID 1 not even ctypes is needed."""
    heavy = {
        "re",
        "json",
        "socket",
        "subprocess",
        "argparse",
        "typing",
        "dataclasses",
        "enum",
        "signal",
        "logging",
        "ctypes",
    }
    script = services.folder / "script"
    script.write_text("import sys\nfrom initkit.cli import main\nmain(sys.argv[1:])\nprint(*sys.modules)\n")
    prefix = _PID1 if _namespaces() else ()
    words = [
        *prefix,
        sys.executable,
        "-IS",
        "-c",
        f"import sys; sys.path[:0] = [{services.environment()['PYTHONPATH']!r}]\n",
    ]
    words[-1] += script.read_text()
    done = subprocess.run([*words, "run", "--", "true"], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split()) - (set() if prefix else {"ctypes"})
