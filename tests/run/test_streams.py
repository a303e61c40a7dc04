"""Where the standard streams go: systemd.exec(5), "LOGGING AND STANDARD INPUT/OUTPUT"."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from .harness import PATIENCE, Report, Services, alive, comm, finish, lines, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SAY = "/bin/sh -c 'echo out; echo err >&2'"


def test_default_is_the_callers(services: Services) -> None:
    finished = services.run(services.unit(f"ExecStart={SAY}"), "--foreground")
    assert (finished.stdout, finished.stderr) == ("out\n", "err\n")


def test_null(services: Services) -> None:
    finished = services.run(services.unit(f"ExecStart={SAY}\nStandardOutput=null"), "--foreground")
    assert (finished.stdout, finished.stderr) == ("", "")  # the error stream follows


def test_inherit_of_the_error_stream(services: Services) -> None:
    finished = services.run(services.unit(f"ExecStart={SAY}\nStandardError=inherit"), "--foreground")
    assert (finished.stdout, finished.stderr) == ("out\nerr\n", "")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("file", "out\nerr\nold old\n"), ("append", "old old old old\nout\nerr\n"), ("truncate", "out\nerr\n")],
)
def test_files(services: Services, kind: str, text: str) -> None:
    path = services.folder / "log"
    path.write_text("old old old old\n")
    services.run(services.unit(f"ExecStart={SAY}\nStandardOutput={kind}:{path}"), "--foreground")
    assert path.read_text() == text


def test_mode_of_a_new_file_follows_the_umask(services: Services) -> None:
    path = services.folder / "log"
    for umask, mode in (("0022", 0o644), ("0077", 0o600)):
        path.unlink(missing_ok=True)
        unit = services.unit(f"ExecStart={SAY}\nStandardOutput=append:{path}\nUMask={umask}")
        services.run(unit, "--foreground", umask=0)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_input_from_a_file(services: Services) -> None:
    path = services.folder / "in"
    path.write_text("read me\n")
    finished = services.run(services.unit(f"ExecStart=/bin/cat\nStandardInput=file:{path}"), "--foreground")
    assert finished.stdout == "read me\n"


def test_terminal(services: Services) -> None:
    controller, terminal = pty.openpty()
    try:
        unit = services.unit(
            f"ExecStart=/bin/sh -c 'test -t 0 && test -t 1 && test -t 2 && head -n1'\nTTYPath={os.ttyname(terminal)}\n"
            "StandardInput=tty\nStandardOutput=inherit"
        )
        running = services.foreground(unit)
        os.write(controller, b"typed\n")
        assert running.wait(PATIENCE) == 0
        os.set_blocking(controller, False)
        seen = b""

        def both() -> bool:
            nonlocal seen
            with suppress(BlockingIOError):  # a terminal hands on what was written in its own time
                seen += os.read(controller, 1000)
            return seen.count(b"typed") == 2

        until(both, "the echo, and head's")
    finally:
        os.close(controller)
        os.close(terminal)


#: A mount namespace with listeners of its own in the place of journald's and syslogd's; then the command.
_LOGS = """
import os, socket, subprocess, sys
kind, out, *command = sys.argv[1:]
if kind == "journal":
    os.makedirs("/run/systemd/journal", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/systemd/journal"], check=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("/run/systemd/journal/stdout")
    listener.listen()
else:
    subprocess.run(["mount", "-t", "tmpfs", "none", "/dev"], check=True)
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        os.mknod("/dev/" + name, 0o20666, os.makedev(1, minor))
        os.chmod("/dev/" + name, 0o666)
    if kind == "syslog":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind("/dev/log")
if os.fork() == 0:
    if os.fork():
        os._exit(0)  # nobody's child, and so none of the service's
    for fd in range(3):
        os.dup2(os.open("/dev/null", os.O_RDWR), fd)
    with open(out, "ab", buffering=0) as log:
        while kind == "syslog":
            log.write(listener.recv(65536) + b"\\n")
        while kind == "journal":
            peer, _ = listener.accept()
            if os.fork() == 0:
                while data := peer.recv(65536):
                    log.write(data)
                os._exit(0)
    os._exit(0)
os.wait()
os.execvp(command[0], command)
"""


@pytest.fixture
def namespace(services: Services) -> tuple[list[str], Path]:
    """A command's prefix, to be completed with a kind ("journal", "syslog", "none"), and where the log comes."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare(1)")
    script = services.folder / "logs.py"
    script.write_text(_LOGS)
    out = services.folder / "log"
    return ["unshare", "-m", "--propagation=slave", sys.executable, "-S", str(script)], out


@as_root
def test_journal(services: Services, namespace: tuple[list[str], Path]) -> None:
    """The journal's stream protocol: seven lines of header, then what the program writes."""
    prefix, log = namespace
    unit = services.unit(f"ExecStart={SAY}\nStandardOutput=journal\nSyslogIdentifier=me")
    finished = services.run(unit, "--foreground", prefix=[*prefix, "journal", str(log)])
    assert finished.returncode == 0, finished.stderr
    until(lambda: len(lines(log)) >= 9)
    assert lines(log) == ["me", unit.name, "30", "1", "0", "0", "0", "out", "err"]


@as_root
@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_syslog(services: Services, namespace: tuple[list[str], Path], restart: str) -> None:
    prefix, log = namespace
    unit = services.unit(f"ExecStart={SAY}\nStandardOutput=journal\nRestart={restart}")
    finished = services.run(unit, "--foreground", prefix=[*prefix, "syslog", str(log)])
    assert finished.returncode == 0, finished.stderr
    until(lambda: len(lines(log)) >= 2, "two lines in the log")
    assert [line.rpartition(": ")[2] for line in lines(log)] == ["out", "err"]
    assert all(f"{unit.stem}:" in line and line.startswith("<30>") for line in lines(log))


@as_root
def test_syslog_levels(services: Services, namespace: tuple[list[str], Path]) -> None:
    """SyslogFacility=, SyslogLevel=, and what a line says of itself: sd-daemon(3)."""
    prefix, log = namespace
    script = services.script("echo plain; echo '<3>bad'")
    unit = services.unit(
        f"ExecStart={script}\nStandardOutput=journal\nSyslogIdentifier=me\nSyslogFacility=local3\nSyslogLevel=warning"
    )
    finished = services.run(unit, "--foreground", prefix=[*prefix, "syslog", str(log)])
    assert finished.returncode == 0, finished.stderr
    until(lambda: len(lines(log)) >= 2, "two lines in the log")
    found = {line.rpartition(": ")[2]: line.partition(">")[0] for line in lines(log)}
    assert found == {"plain": f"<{19 << 3 | 4}", "bad": f"<{19 << 3 | 3}"}


@as_root
@pytest.mark.parametrize(
    "streams",
    ["StandardOutput=journal", "StandardOutput=syslog+console", "StandardOutput=null\nStandardError=syslog"],
    ids=["journal", "console", "error"],
)
def test_syslog_gets_the_last_words(services: Services, namespace: tuple[list[str], Path], streams: str) -> None:
    """A stop signals every process of the service; its logger stays for what the program says then, however late it
    reads that."""
    prefix, log = namespace
    script = services.script(
        "say() { echo $1; echo $1 >&2; }\ntrap 'say last-words; exit 0' TERM; say up; while :; do sleep 0.05; done"
    )
    unit = services.unit(f"ExecStart={script}\n{streams}\nRestart=always\nKillMode=mixed")
    running = services.foreground(unit, prefix=[*prefix, "syslog", str(log)])
    until(lambda: any("up" in line for line in lines(log)))
    logger = next(pid for pid in services.started() if comm(pid) == "logger")
    services.active(unit)
    os.kill(logger, signal.SIGSTOP)
    running.send_signal(signal.SIGTERM)
    # By then those that are left have been signalled.
    until(lambda: services.status(unit)["mainPid"] is None, "the program's end")
    os.kill(logger, signal.SIGCONT)
    assert running.wait(PATIENCE) == 0
    until(lambda: any("last-words" in line for line in lines(log)))


@as_root
def test_another_logger_is_stopped(services: Services, namespace: tuple[list[str], Path]) -> None:
    """What the program starts is no reader of its output, though its words be those but for a point."""
    prefix, log = namespace
    pipe, started = services.out / "pipe", services.out / "pid"
    os.mkfifo(pipe)
    words = "logger -t a --tag=b -p daemon.info --prio-prefix"
    script = services.script(f"{words} <> {pipe} & echo $! > {started}; exec sleep 1000")
    unit = services.unit(
        f"ExecStart={script}\nStandardOutput=syslog\nSyslogIdentifier=a.--tag=b\nTimeoutStopSec=2\nRestart=always"
    )
    running = services.foreground(unit, prefix=[*prefix, "syslog", str(log)])
    services.active(unit)
    until(lambda: lines(started) and comm(int(lines(started)[0])) == "logger", "another logger")
    status, _, said = finish(running)
    assert (status, said) == (0, "")
    assert not alive(int(lines(started)[0]))


@as_root
def test_without_any_log(services: Services, namespace: tuple[list[str], Path]) -> None:
    prefix, log = namespace
    unit = services.unit(f"ExecStart={SAY}\nStandardOutput=journal")
    finished = services.run(unit, "--foreground", prefix=[*prefix, "none", str(log)])
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@as_root
@pytest.mark.parametrize("restart", ["no", "always"])
@pytest.mark.parametrize("kind", ["syslog", "none"])
def test_output_of_a_daemon(services: Services, namespace: tuple[list[str], Path], kind: str, restart: str) -> None:
    """What the settings send nowhere goes to the syslog, first words and all; without one it is read all the same."""
    prefix, log = namespace
    done = services.out / "done"
    script = services.script(
        "echo first; sleep 0.1; dd if=/dev/zero bs=1k count=300 2>/dev/null | tr '\\0' 'x' | fold -w 100\n"
        f"echo; echo last; touch {done}; exec sleep 1000"
    )
    unit = services.unit(f"ExecStart={script}\nRestart={restart}\nX-Initkit-SettleSec=50ms")
    finished = services.run(unit, "--daemon", prefix=[*prefix, kind, str(log)])
    assert finished.returncode == 0, finished.stderr
    until(done.exists, "the program is held up")
    if kind == "syslog":
        until(lambda: any(line.endswith(": last") for line in lines(log)))
        assert any(line.endswith(": first") for line in lines(log))
    os.kill(services.pid(unit), 15)
    readers = ("logger", "cat", "sleep")
    until(lambda: not [pid for pid in services.started() if comm(pid) in readers])


FAILURES = {
    "WorkingDirectory=/no/such": (200, "No such file or directory"),
    "EnvironmentFile=/no/such": (78, "No such file or directory"),
    "StandardInput=file:/no/such": (208, "No such file or directory"),
    "StandardOutput=append:/no/such/log": (209, "No such file or directory"),
    "StandardError=file:/no/such/log": (222, "No such file or directory"),
    "StandardInput=socket": (208, "no socket was passed on"),
    "RootDirectory=/no/such": (226, "No such file or directory"),
    "SupplementaryGroups=nosuchgroup": (216, "no group"),
    "Group=nosuchgroup": (216, "no group"),
    "User=nosuchuser": (217, "no such user"),
    "CPUAffinity=4000": (215, "Invalid argument"),
    "StateDirectory=../x": (78, "expected"),
}


@as_root
@pytest.mark.parametrize("how", ["exec", "supervised", "daemon", "supervised daemon"])
@pytest.mark.parametrize("setting", FAILURES)
def test_exit_statuses(services: Services, setting: str, how: str) -> None:
    """What failed before the program ran has systemd's status, and one line that says where it was asked for."""
    status, said = FAILURES[setting]
    unit = services.unit(f"ExecStart=/bin/true\n{setting}\n{'Restart=on-success' if 'supervised' in how else ''}")
    finished = services.run(unit, "--daemon" if "daemon" in how else "--foreground")
    assert finished.returncode == status, finished.stderr
    (line,) = finished.stderr.splitlines()
    key, value = setting.split("=")
    assert f'{unit}:5: {key} = "{value}": ' in line
    assert said in line


@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_program_whose_interpreter_is_not_there(services: Services, how: str) -> None:
    """The kernel says that the program is not."""
    path = services.folder / "program"
    path.write_text("#!/no/such\n")
    path.chmod(0o755)
    finished = services.run(services.unit(f"ExecStart={path}"), how)
    assert finished.returncode == 203
    assert finished.stderr.endswith(" (its interpreter /no/such; the program itself is there)\n")


@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_program_that_cannot_be_executed(services: Services, how: str) -> None:
    path = services.folder / "program"
    path.write_text("no program")
    for command, said in (("/no/such", "No such file"), (str(path), "Permission denied"), ("nosuchprogram", "No such")):
        for more in ("", "Restart=on-success"):
            unit = services.unit(f"ExecStart={command}\n{more}")
            finished = services.run(unit, how)
            assert finished.returncode == 203, finished.stderr
            (line,) = finished.stderr.splitlines()
            assert f'{unit}:4: ExecStart = "{command}": ' in line
            assert said in line


def test_exec_leaves_nothing_behind(services: Services) -> None:
    """The runner becomes the program: same pid, no other process, none of Python in it."""
    command, path = services.probe()
    running = services.foreground(services.unit(f"ExecStart={command}"))
    found = Report(path)
    assert found.pid == running.pid
    until(lambda: os.readlink(f"/proc/{running.pid}/exe").endswith(("/sleep", "busybox", "coreutils")))
    assert services.started() == [running.pid]
    assert "python" not in Path(f"/proc/{running.pid}/maps").read_text()
    finish(running)


@as_root
def test_child_of_systemd_keeps_its_environment(services: Services) -> None:
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command}\nEnvironment=A=1\nRestart=always")
    code = 'SYSTEMD_EXEC_PID=$$ B=2 exec "$@"'
    finished = subprocess.run(
        ["sh", "-c", code, "sh", sys.executable, "-m", "initkit", "run", unit], env=services.environment(), check=True
    )
    assert finished.returncode == 0
    assert Report(path).environment.items() >= {("A", "1"), ("B", "2")}
