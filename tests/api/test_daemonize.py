"""initkit.daemonize: a program makes a daemon of itself, and the process that called tells the truth about it."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from pathlib import Path

import pytest

from .conftest import Place, alive, wait_for

#: Options come as JSON. The daemon says what it is, then does what the second word says.
PROGRAM = """
import atexit, json, os, signal, sys, time
from initkit import AlreadyRunning, InitkitError, daemonize, notify

options = json.loads(sys.argv[1])
before = sys.argv[3] if len(sys.argv) > 3 else ""
exec(before)
try:
    handle = daemonize(**options)
except InitkitError as error:
    told = {"error": type(error).__name__, "text": str(error), "status": error.status, "caller": os.getpid(),
            "pid": getattr(error, "pid", None), "fds": sorted(os.listdir("/proc/self/fd")),
            "term": str(signal.getsignal(signal.SIGTERM))}
    print(json.dumps(told))
    sys.exit(9)
old = os.umask(0)
os.umask(old)
told = {"pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgid(0), "cwd": os.getcwd(), "umask": old,
        "uid": os.getuid(), "groups": sorted(os.getgroups()), "environment": dict(os.environ),
        "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                if os.path.exists(f"/proc/self/fd/{fd}")}}
with open(options["chdir"] + "/told.new", "w") as file:
    json.dump(told, file)
os.rename(options["chdir"] + "/told.new", options["chdir"] + "/told")
exec(sys.argv[2])
"""
SLEEP = "time.sleep(600)"


class Daemonizing:
    """The program above."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pid_file = place.path / "program.pid"
        self.out = place.path / "out"
        self.program = place.write("program.py", PROGRAM)

    def options(self, **more: object) -> dict[str, object]:
        common = {"pid_file": self.pid_file, "stdout": self.out, "chdir": self.place.path}
        return {name: str(each) if isinstance(each, Path) else each for name, each in {**common, **more}.items()}

    def start(
        self, then: str = SLEEP, before: str = "", environment: dict[str, str] | None = None, **more: object
    ) -> dict[str, object]:
        done = self.place.run(self.program, json.dumps(self.options(**more)), then, before, **(environment or {}))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        told = self.place.path / "told"
        wait_for(told.exists, "the daemon tells of itself")
        found: dict[str, object] = json.loads(told.read_text())
        told.unlink()
        return found

    def fail(self, then: str = SLEEP, before: str = "", **more: object) -> dict[str, object]:
        done = self.place.run(self.program, json.dumps(self.options(**more)), then, before)
        assert (done.returncode, done.stderr) == (9, "")
        found: dict[str, object] = json.loads(done.stdout)
        return found


@pytest.fixture
def program(place: Place) -> Daemonizing:
    return Daemonizing(place)


def pid_of(told: dict[str, object]) -> int:
    pid = told["pid"]
    assert isinstance(pid, int)
    return pid


def test_a_daemon_as_daemon_7_has_it(program: Daemonizing) -> None:
    told = program.start(environment={"OWN": "kept", "LISTEN_FDS": "1", "LISTEN_PID": "1", "WATCHDOG_USEC": "1"})
    pid = pid_of(told)
    assert alive(pid)
    assert told["sid"] not in (pid, os.getsid(0))
    assert told["pgid"] == told["sid"]
    assert told["cwd"] == str(program.place.path)
    assert told["umask"] == 0o022
    assert told["uid"] == os.getuid()
    assert told["fds"] == {"0": "/dev/null", "1": str(program.out), "2": str(program.out)}
    environment = told["environment"]
    assert isinstance(environment, dict)
    assert environment["OWN"] == "kept"
    assert not {"LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"} & set(environment)
    first, second = program.pid_file.read_text().splitlines()
    assert int(first) == pid
    assert second.endswith(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert stat[4] == "0"  # no terminal
    assert Path(f"/proc/{pid}/wchan").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, None])
def test_the_pid_file_goes_with_the_daemon(program: Daemonizing, number: int | None) -> None:
    go = program.place.path / "go"
    pid = pid_of(program.start(f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"))
    if number is None:
        go.touch()
    else:
        os.kill(pid, number)
    wait_for(lambda: not alive(pid))
    assert not program.pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_start(place: Place, number: int) -> None:
    """Whoever has seen the launcher end has a daemon that keeps its promises."""
    program = place.write(
        "short.py",
        "import sys, time\nfrom initkit import daemonize\ndaemonize(pid_file=sys.argv[1])\n"
        "while True:\n    time.sleep(0.01)\n",
    )
    pid_file = place.path / "short.pid"
    for _ in range(15):
        assert place.run(program, str(pid_file)).returncode == 0
        pid = int(pid_file.read_text().split()[0])
        os.kill(pid, number)
        wait_for(lambda: not alive(pid))  # noqa: B023
        assert not pid_file.exists()


def test_a_forked_child_does_not_remove_the_pid_file(program: Daemonizing) -> None:
    waited = program.place.path / "waited"
    pid = pid_of(program.start(f"os.fork() or sys.exit(0); os.wait(); open({str(waited)!r}, 'w'); {SLEEP}"))
    wait_for(waited.exists)
    assert program.pid_file.exists()
    assert alive(pid)


def test_a_handler_of_the_programs_own_stays(program: Daemonizing) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: print('own handler', flush=True))"
    pid = pid_of(program.start(before=handler))
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: "own handler" in program.out.read_text())
    assert alive(pid)


def test_ignored_signals_are_not_ignored_by_the_daemon(program: Daemonizing) -> None:
    pid = pid_of(program.start(before="signal.signal(signal.SIGUSR1, signal.SIG_IGN)"))
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: not alive(pid))


def test_already_running(program: Daemonizing) -> None:
    pid = pid_of(program.start())
    found = program.fail()
    assert (found["error"], found["pid"]) == ("AlreadyRunning", pid)
    assert found["text"] == f"program is already running, pid {pid}"
    assert alive(pid)
    assert int(program.pid_file.read_text().split()[0]) == pid


def test_one_of_many_starts(program: Daemonizing) -> None:
    words = (program.program, json.dumps(program.options(wait_ready=True)), f"time.sleep(0.1); handle.ready(); {SLEEP}")
    begun = [program.place.begin(*words) for _ in range(6)]
    ends = sorted(each.wait(30) for each in begun)
    assert ends == [0, 9, 9, 9, 9, 9]
    assert alive(int(program.pid_file.read_text().split()[0]))


def test_a_recycled_pid_is_nobody(program: Daemonizing) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    program.pid_file.write_text(f"{os.getpid()}\n1 {boot}")
    assert pid_of(program.start()) != os.getpid()


def test_after_a_kill_the_next_start_works(program: Daemonizing) -> None:
    first = pid_of(program.start())
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not alive(first))
    assert program.pid_file.exists()
    assert alive(pid_of(program.start()))


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({"user": "no-such-user"}, 217, 'user = "no-such-user": there is no such user'),
        ({"group": "no-such-group"}, 216, "group"),
        ({"stdout": "/nowhere/out"}, 209, 'stdout = "append:/nowhere/out": /nowhere/out: No such file or directory'),
        ({"stdin": "/nowhere/in"}, 208, "/nowhere/in: No such file or directory"),
        ({"stderr": "truncate:/nowhere/err"}, 222, "/nowhere/err: No such file or directory"),
        ({"chdir": "/nowhere"}, 200, 'chdir = "/nowhere": /nowhere: No such file or directory'),
        ({"chdir": "relative"}, 78, "expected an absolute path"),
        ({"pid_file": "/proc/nowhere/pid"}, 1, "/proc/nowhere"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_the_caller(
    program: Daemonizing, options: dict[str, object], status: int, text: str
) -> None:
    if {"user", "group"} & set(options) and os.geteuid() and status > 200:
        pytest.skip("needs root")
    found = program.fail(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)", **options)
    assert text in str(found["text"])
    assert "Errno" not in str(found["text"])
    assert found["status"] == status
    assert found["term"] == "1"  # the caller's handlers are as they were
    assert not program.pid_file.exists()
    assert program.place.processes() == []


def test_the_callers_descriptors_survive_a_failure(program: Daemonizing) -> None:
    before = "file = open(__file__); os.dup2(file.fileno(), 40)"
    found = program.fail(before=before, chdir="/nowhere")
    fds = found["fds"]
    assert isinstance(fds, list)
    assert set(fds) == {"0", "1", "2", "3", "4", "40"}  # 3 the file, 4 that of listing them


def test_threads_would_be_lost(program: Daemonizing) -> None:
    found = program.fail(
        before="import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    assert "threads" in str(found["text"])


def test_descriptors(program: Daemonizing) -> None:
    """What the program has opened stays open, what was passed to it does not, unless it is to be kept."""
    before = """
file = open(__file__)
for fd in (40, 41):  # as if they had come with the exec
    os.dup2(file.fileno(), fd)
options["keep_fds"] = [40]
"""
    told = program.start(before=before)
    own = str(program.program)
    expected = {"0": "/dev/null", "1": str(program.out), "2": str(program.out), "3": own, "40": own}
    fds = told["fds"]
    assert isinstance(fds, dict)
    assert {fd: where for fd, where in fds.items() if not where.endswith("told.new")} == expected


def test_buffered_output_is_written_once(place: Place) -> None:
    program = "print('said before')\nfrom initkit import daemonize\ndaemonize()\nprint('lost')\n"
    file = place.write("buffered.py", program)
    assert place.run(file).stdout == "said before\n"


def test_a_percent_sign_is_a_percent_sign(program: Daemonizing) -> None:
    out = program.place.path / "out 100%n"
    told = program.start(stdout=out)
    fds = told["fds"]
    assert isinstance(fds, dict)
    assert fds["1"] == str(out)


# --- readiness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["handle.ready()", "notify.ready()"])
def test_the_launcher_waits(program: Daemonizing, how: str) -> None:
    go = program.place.path / "go"
    then = f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\nassert {how}\n{SLEEP}"
    launcher = program.place.begin(program.program, json.dumps(program.options(wait_ready=True)), then)
    wait_for((program.place.path / "told").exists)
    time.sleep(0.1)
    assert launcher.poll() is None
    go.touch()
    assert launcher.wait(20) == 0
    assert alive(int(program.pid_file.read_text().split()[0]))


@pytest.mark.parametrize(
    ("then", "status", "text"),
    [
        ("print('the last words'); sys.exit(7)", 7, "exited with status 7 right after its start: the last words"),
        ("sys.exit(0)", 1, "exited with status 0 right after its start"),
        ("raise ValueError('what it was')", 1, "ValueError: what it was"),
        ("os.kill(os.getpid(), 9)", 137, "killed by SIGKILL"),
    ],
)
def test_a_daemon_that_dies_before_it_is_ready(program: Daemonizing, then: str, status: int, text: str) -> None:
    begun = time.monotonic()
    found = program.fail(then, wait_ready=True)
    assert text in str(found["text"])
    assert found["status"] == status
    assert time.monotonic() - begun < 10
    assert not program.pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_broken_off(program: Daemonizing, number: int) -> None:
    launcher = program.place.begin(program.program, json.dumps(program.options(wait_ready=True)), SLEEP)
    wait_for((program.place.path / "told").exists)
    pid = int(program.pid_file.read_text().split()[0])
    launcher.send_signal(number)
    assert launcher.wait(20) == -number
    assert not alive(pid)
    assert not program.pid_file.exists()


# --- as another user --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_another_user(program: Daemonizing) -> None:
    program.place.path.chmod(0o1777)
    folder = program.place.path / "pids"  # root's: the daemon may not remove a file there
    folder.mkdir(mode=0o755)
    program.pid_file = folder / "program.pid"
    nobody = pwd.getpwnam("nobody")
    told = program.start(user="nobody", pid_file=program.pid_file)
    assert told["uid"] == nobody.pw_uid
    assert told["groups"] == [nobody.pw_gid]
    environment = told["environment"]
    assert isinstance(environment, dict)
    assert environment["USER"] == "nobody"
    os.kill(pid_of(told), signal.SIGTERM)
    wait_for(lambda: not alive(pid_of(told)))
    assert program.pid_file.read_text() == ""  # it names nobody


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_pid_file_where_others_may_plant_one(program: Daemonizing) -> None:
    folder = program.place.path / "everybody's"
    folder.mkdir()
    folder.chmod(0o777)
    found = program.fail(pid_file=folder / "program.pid")
    assert (found["error"], found["status"]) == ("UnsafePidFile", 4)
