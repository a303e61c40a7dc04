"""A service's logger: the pipe that outlives both sides, and the log file that initkit keeps itself."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from initkit.run import client

from .harness import CHECKOUT, PATIENCE, Report, Services, alive, finish, lines, parent, seen, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

#: Moves what it reads to the file $1, as initkit's own logger does; says in $1.pids that it has been started.
_EXACT = """
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
with open(sys.argv[1] + ".pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
os.lseek(log, 0, os.SEEK_END)
while os.splice(0, log, 65536):
    pass
"""


class Logged:
    """A service with a logger."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.log = services.out / "log"

    def exact(self) -> str:
        """A logger that loses nothing whatever happens to it."""
        return f"{self.services.python(_EXACT)} {self.log}"

    def unit(self, program: str, logger: str, more: str = "", *, unit: str = "") -> Path:
        return self.services.unit(f"ExecStart={program}\nX-Initkit-LogCommand={logger}\n{more}", unit=unit)

    def kept(self, program: str, more: str = "", *, unit: str = "") -> Path:
        """Its log is kept by initkit."""
        return self.services.unit(f"ExecStart={program}\nX-Initkit-LogFile={self.log}\n{more}", unit=unit)

    def call(self, unit: Path, method: str, **parameters: Any) -> dict[str, Any]:
        path = f"{self.services.runtime}/initkit/{unit.stem}.sock"
        return client.call(path, method, parameters, timeout=PATIENCE)

    def status(self, unit: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.call(unit, "Status")["service"]
        except client.NoManager:
            return {"state": "", "loggerPid": None}
        return found

    def logger(self, unit: Path, *, but: int = 0) -> int:
        """The pid of its logger, once there is another than `but`."""
        found: int = seen(lambda: self.status(unit)["loggerPid"], lambda pid: pid not in (None, but), "a logger")
        return found

    def files(self) -> list[Path]:
        """The log's files, the oldest first."""
        rotated = sorted(self.log.parent.glob("log.[0-9]*"), key=lambda path: -int(path.suffix[1:]))
        return [*rotated, *([self.log] if self.log.exists() else [])]

    def grows(self) -> None:
        """Wait for more."""
        size = self.size()
        until(lambda: self.size() > size)

    def size(self) -> int:
        while True:
            try:
                return sum(path.stat().st_size for path in self.files())
            except FileNotFoundError:
                pass  # it was renamed between the two looks: a rotation

    def text(self) -> str:
        return "".join(path.read_text() for path in self.files())


@pytest.fixture
def logged(services: Services) -> Iterator[Logged]:
    yield Logged(services)


# --- log_command ------------------------------------------------------------------------------------------------------


def test_output_and_errors_go_to_the_logger(logged: Logged) -> None:
    program = logged.services.script("echo out; echo err >&2; exec sleep 1000")
    unit = logged.unit(program, logged.exact())
    running = logged.services.foreground(unit)
    until(lambda: lines(logged.log) == ["out", "err"])
    assert finish(running) == (0, "", "")
    assert not logged.services.started()


def test_errors_that_go_elsewhere(logged: Logged) -> None:
    errors = logged.services.out / "errors"
    program = logged.services.script("echo out; echo err >&2")
    finished = logged.services.run(
        logged.unit(program, logged.exact(), f"StandardError=append:{errors}"), "--foreground"
    )
    assert finished.returncode == 0, finished.stderr
    assert (lines(logged.log), lines(errors)) == (["out"], ["err"])


def test_it_is_a_part_of_the_service(logged: Logged) -> None:
    unit = logged.unit("/bin/sleep 1000", logged.exact())
    running = logged.services.foreground(unit)
    logger = logged.logger(unit)
    until(lambda: logged.status(unit)["state"] == "active")
    status = logged.status(unit)
    shown = {each["pid"]: each for each in status["processes"]}
    assert set(shown) == {status["mainPid"], logger}
    assert (shown[logger]["parent"], shown[logger]["command"].endswith(str(logged.log))) == (0, True)
    assert os.getsid(logger) == logger
    finish(running)


@as_root
def test_it_has_the_services_attributes(logged: Logged) -> None:
    """Those of the service's other programs: user, umask, limits, environment."""
    command, path = logged.services.probe("exec cat")
    settings = "User=nobody\nUMask=0077\nLimitNOFILE=123\nEnvironment=A=1\nWorkingDirectory=/usr"
    running = logged.services.foreground(logged.unit("/bin/sleep 1000", command, settings))
    found = Report(path)
    assert found.uids[0] == 65534
    assert found.umask == 0o077
    assert found.limit("Max open files") == ("123", "123")
    assert found.environment["A"] == "1"
    assert found.cwd == "/usr"
    assert found.fds[0].startswith("pipe:")
    assert list(found.fds.values()).count(found.fds[0]) == 1  # no other end of it
    finish(running)


def test_last_words_are_waited_for(logged: Logged) -> None:
    """The program ends first; the logger reads to the end in its own time. Another process that writes for the program
    may be forked in time for the signal."""
    slow = logged.services.script(
        f'while read -r line; do sleep 0.01; echo "$line" >> {logged.log}; done; echo . >> {logged.log}'
    )
    program = logged.services.script(
        "count() { n=1; while [ $n -le 50 ]; do echo $n; n=$((n + 1)); done; }\n"
        "exec 2> /dev/null; trap 'count; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    for kill_mode in ("control-group", "mixed"):
        logged.log.unlink(missing_ok=True)
        unit = logged.unit(program, slow, f"KillMode={kill_mode}")
        running = logged.services.foreground(unit)
        until(lambda: lines(logged.log) == ["up"])
        assert finish(running) == (0, "", "")
        assert lines(logged.log) == ["up", *map(str, range(1, 51)), "."]


@pytest.mark.parametrize(("trap", "fate"), [("", "terminated"), ("trap '' TERM; ", "killed")])
def test_logger_that_does_not_end(logged: Logged, trap: str, fate: str) -> None:
    logger = logged.services.script(f"{trap}echo up >> {logged.log}; while :; do sleep 0.05; done")
    unit = logged.unit("/bin/sleep 1000", logger, "TimeoutStopSec=300ms")
    running = logged.services.foreground(unit)
    until(lambda: lines(logged.log) == ["up"] and logged.status(unit)["state"] == "active")
    status, out, err = finish(running)
    assert (status, out) == (0, "")
    assert err.splitlines()[-1].endswith(f" has not read to the end in time: {fate}")
    assert err.count("\n") == (1 if fate == "terminated" else 2)
    assert not logged.services.started()


def test_output_of_a_service_that_ends_by_itself(logged: Logged) -> None:
    program = logged.services.script("seq 1000; exit 3")
    finished = logged.services.run(logged.unit(program, logged.exact()), "--foreground")
    assert finished.returncode == 3
    assert lines(logged.log) == [str(number) for number in range(1, 1001)]


def test_pipe_outlives_the_service_and_the_logger(logged: Logged) -> None:
    """One life after the other writes to the same logger; one logger after the other reads the same pipe."""
    program = logged.services.script("echo $$; exec sleep 1000")
    unit = logged.unit(program, logged.exact(), "Restart=always\nRestartSec=0", unit="StartLimitIntervalSec=0")
    running = logged.services.foreground(unit)
    first = logged.logger(unit)
    for count in range(1, 4):
        until(lambda count=count: len(lines(logged.log)) == count)  # type: ignore[misc]
        os.kill(int(lines(logged.log)[-1]), signal.SIGKILL)
    until(lambda: len(lines(logged.log)) == 4)
    assert logged.logger(unit) == first
    os.kill(first, signal.SIGKILL)
    second = logged.logger(unit, but=first)
    os.kill(int(lines(logged.log)[-1]), signal.SIGKILL)
    until(lambda: len(lines(logged.log)) == 5)
    assert logged.logger(unit) == second
    assert lines(Path(f"{logged.log}.pids")) == [str(first), str(second)]
    status, _, err = finish(running)
    assert status == 0
    assert ": its logger killed by SIGKILL; started again in 0." in err


def test_what_is_in_the_pipe_is_not_lost(logged: Logged) -> None:
    """Also when the logger dies while the service is being stopped."""
    said = logged.services.out / "said"
    gate = logged.services.folder / "gate"
    logger = logged.services.python(f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n{_EXACT}")
    program = logged.services.script(f"seq 1000; touch {said}; exec sleep 1000")
    unit = logged.unit(program, f"{logger} {logged.log}")
    running = logged.services.foreground(unit)
    until(said.exists)
    first = logged.logger(unit)
    running.send_signal(signal.SIGTERM)
    until(lambda: logged.status(unit)["mainPid"] is None)
    assert logged.status(unit)["waitingFor"].endswith(f"[{first}] to end")
    os.kill(first, signal.SIGKILL)
    logged.logger(unit, but=first)
    gate.touch()
    assert running.wait(PATIENCE) == 0
    running.communicate()
    assert lines(logged.log) == [str(number) for number in range(1, 1001)]


def test_logger_that_dies_at_once_is_no_reason_to_hurry(logged: Logged) -> None:
    starts = logged.services.out / "starts"
    logger = logged.services.script(f"echo . >> {starts}; exit 1")
    unit = logged.unit("/bin/sleep 1000", logger, "TimeoutStopSec=1")
    running = logged.services.foreground(unit)
    until(lambda: len(lines(starts)) == 5)  # StartLimitBurst='s default
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(1)
    assert len(lines(starts)) == 5
    assert logged.status(unit)["state"] == "active"
    status, _, err = finish(running)
    assert status == 0
    assert re.search(r": its logger exited with status 1; started again in [1-9]\.\d s\n", err)


@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_logger_that_cannot_be_executed(logged: Logged, how: str) -> None:
    unit = logged.unit("/bin/sleep 1000", "/no/such --logger")
    finished = logged.services.run(unit, how)
    assert finished.returncode == 203, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert f'{unit}:5: X-Initkit-LogCommand = "/no/such --logger": ' in line
    assert "No such file" in line
    assert not logged.services.started()


def test_daemon(logged: Logged) -> None:
    program = logged.services.script("echo first; exec sleep 1000")
    unit = logged.unit(program, logged.exact())
    assert logged.services.daemon(unit).returncode == 0
    until(lambda: lines(logged.log) == ["first"])
    logged.call(unit, "Stop")
    until(lambda: not logged.services.started())


def test_processes_that_are_meant_to_stay_are_read_still(logged: Logged) -> None:
    """KillMode=process leaves some; the logger stays with them, and ends with the last of them."""
    more, pid = logged.services.folder / "more", logged.services.out / "pid"
    stays = f"(trap '' TERM; until [ -e {more} ]; do sleep 0.02; done; echo late) & echo $! > {pid}; exec sleep 1000"
    unit = logged.unit(logged.services.script(stays), logged.exact(), "KillMode=process")
    running = logged.services.foreground(unit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: lines(pid))
    logger = logged.logger(unit)
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 0
    assert alive(logger) and alive(int(lines(pid)[0]))
    more.touch()
    until(lambda: not logged.services.started())
    assert lines(logged.log) == ["late"]


def test_logger_with_processes_of_its_own(logged: Logged) -> None:
    """They are not the service's: nobody ends them before they have read."""
    said, gate = logged.services.out / "said", logged.services.out / "gate"
    logger = logged.services.script(
        'while read -r line; do echo "$line"; done'
        f" | (trap '' TERM; until [ -e {gate} ]; do sleep 0.01; done; cat >> {logged.log})"
    )
    program = logged.services.script(f"seq 10; touch {said}; exec sleep 1000")
    unit = logged.unit(program, logger)
    running = logged.services.foreground(unit)
    until(said.exists)
    until(lambda: any(each["command"] == "sleep 0.01" for each in logged.status(unit).get("processes", ())))
    os.kill(logged.logger(unit), signal.SIGKILL)  # what its children have is theirs
    running.send_signal(signal.SIGTERM)
    until(lambda: logged.status(unit)["mainPid"] is None)
    gate.touch()
    running.communicate(timeout=PATIENCE)
    assert lines(logged.log) == [str(number) for number in range(1, 11)]
    assert not logged.services.started()


def test_signal_to_the_logger(logged: Logged) -> None:
    logger = logged.services.python(
        "import signal\ndef say(text):\n    with open(sys.argv[1], 'a') as file:\n        file.write(text + '\\n')\n"
        "signal.signal(signal.SIGHUP, lambda *_: say('hup'))\nsay('up')\nwhile os.read(0, 1000):\n    pass"
    )
    logger = f"{logger} {logged.log}"
    unit = logged.unit("/bin/sleep 1000", logger)
    running = logged.services.foreground(unit)
    until(lambda: lines(logged.log) == ["up"])
    main = logged.status(unit)["mainPid"]
    logged.call(unit, "Kill", signal="SIGHUP", whom="logger")
    logged.call(unit, "Kill", signal="SIGCONT", whom="all")
    until(lambda: lines(logged.log) == ["up", "hup"])
    assert logged.status(unit)["mainPid"] == main
    with pytest.raises(client.RemoteError, match="NoLog"):
        logged.call(unit, "ReopenLogs")
    finish(running)


@pytest.mark.parametrize(
    ("program", "words", "kept"),
    [
        ("s6-log", "n3 s4096", "@*.s"),
        ("svlogd", "", "@*.[su]"),
    ],
)
def test_loggers_of_others(logged: Logged, program: str, words: str, kept: str) -> None:
    """Rotated by the logger, in a directory of its own: not a line is missing."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program}")
    folder = logged.services.out / "folder"
    folder.mkdir()
    (folder / "config").write_text("s4096\nn10\n")
    unit = logged.unit(logged.services.script("seq 1500; exec sleep 1000"), f"{path} {words} {folder}")
    assert logged.services.daemon(unit).returncode == 0
    until(lambda: any("1500" in lines(file) for file in folder.glob("[@c]*[su_t]")))
    told = logged.call(unit, "Logs", lines=3)["lines"]
    assert told == ["1498", "1499", "1500"]
    logged.call(unit, "Stop")
    files = [*sorted(folder.glob(kept)), folder / "current"]
    assert len(files) > 1
    assert "".join(file.read_text() for file in files).split() == [str(number) for number in range(1, 1501)]
    until(lambda: not logged.services.started())


# --- log_file ---------------------------------------------------------------------------------------------------------

#: Says lines of different lengths as fast as it can, each by one write(2): "NUMBER xxx…"
_NUMBERED = """
for number in range({count}):
    os.write(1, b"%d %s\\n" % (number, b"x" * (number * 7919 % {longest})))
"""


def numbered(text: str, longest: int) -> int:
    """How many such lines the text is of; anything else fails."""
    count = 0
    for line in text.splitlines():
        assert line == f"{count} {'x' * (count * 7919 % longest)}"
        count += 1
    return count


@pytest.mark.parametrize(("files", "size"), [(1000, 4096), (4, 65536)])
def test_rotation(logged: Logged, files: int, size: int) -> None:
    """Lines are whole, and none is missing but those in files beyond the count."""
    program = logged.services.python(_NUMBERED.format(count=900, longest=900))
    settings = f"X-Initkit-LogMaxSize={size}\nX-Initkit-LogMaxFiles={files}"
    finished = logged.services.run(logged.kept(program, settings), "--foreground")
    assert finished.returncode == 0, finished.stderr
    found = logged.files()
    assert len(found) <= files
    assert len(found) > 90 or files == 4
    for path in found[:-1]:
        assert size <= path.stat().st_size <= size + 910
        assert path.read_bytes().endswith(b"\n")
    text = logged.text()
    if files == 1000:
        assert numbered(text, 900) == 900
    else:
        assert text.splitlines()[-1].startswith("899 ")
        numbers = [int(line.split()[0]) for line in text.splitlines()]
        assert numbers == list(range(numbers[0], 900))


def test_one_file_only(logged: Logged) -> None:
    program = logged.services.script("seq 1000")
    unit = logged.kept(program, "X-Initkit-LogMaxSize=100\nX-Initkit-LogMaxFiles=1")
    logged.services.run(unit, "--foreground")
    assert logged.files() == [logged.log]
    assert lines(logged.log)[-1] == "1000"
    assert logged.log.stat().st_size <= 105


def test_line_without_end_is_bounded(logged: Logged) -> None:
    program = logged.services.script("head -c 300000 /dev/zero | tr '\\0' x; echo; echo end")
    unit = logged.kept(program, "X-Initkit-LogMaxSize=1000\nX-Initkit-LogMaxFiles=100")
    logged.services.run(unit, "--foreground")
    assert logged.text() == "x" * 300000 + "\nend\n"
    assert max(path.stat().st_size for path in logged.files()) == 1000 + 64 * 1024


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_again_and_again(logged: Logged, number: int) -> None:
    """Whenever it is killed, in a rotation or not: no byte is lost, none is there twice, no line is split."""
    program = logged.services.python(
        "number = 0\nwhile not os.path.exists(sys.argv[1]):\n"
        "    os.write(1, b'%d %s\\n' % (number, b'x' * (number * 7919 % 300)))\n    number += 1\n"
        "os.write(1, b'%d' % number)"
    )
    stop = logged.services.folder / "stop"
    settings = "X-Initkit-LogMaxSize=100K\nX-Initkit-LogMaxFiles=100000"
    unit = logged.kept(f"{program} {stop}", settings, unit="StartLimitIntervalSec=0")
    running = logged.services.foreground(unit)
    dice = random.Random(number)
    logger = logged.logger(unit)
    for _ in range(20):
        logged.grows()
        time.sleep(dice.random() / 50)
        os.kill(logger, number)
        logger = logged.logger(unit, but=logger)
    stop.touch()
    assert running.wait(PATIENCE) == 0
    running.communicate()
    whole, _, last = logged.text().rpartition("\n")
    assert numbered(whole, 300) == int(last)
    for path in logged.files()[:-1]:
        assert path.read_bytes().endswith(b"\n")


def test_moved_by_another_program(logged: Logged) -> None:
    """logrotate(8) moves the file; the next line is in a new one, whether somebody says so or not."""
    gate = logged.services.folder / "gate"
    os.mkfifo(gate)
    unit = logged.kept(f"/bin/sh -c 'while :; do cat {gate}; done'")
    running = logged.services.foreground(unit)

    def say(text: str) -> None:
        gate.write_text(text)

    say("one\n")
    until(lambda: lines(logged.log) == ["one"])
    logged.log.rename(f"{logged.log}.1")
    say("two\n")
    until(lambda: lines(logged.log) == ["two"])
    logged.log.rename(f"{logged.log}.2")
    logged.call(unit, "ReopenLogs")
    until(logged.log.exists)
    say("thr")
    until(lambda: logged.log.read_text() == "thr")
    logged.log.rename(f"{logged.log}.3")
    logged.call(unit, "ReopenLogs")
    say("ee\nfour\n")
    until(lambda: lines(logged.log) == ["four"])
    logged.log.write_text("")  # copytruncate
    say("five\n")
    until(lambda: logged.log.read_text() == "five\n")
    assert [Path(f"{logged.log}.{n}").read_text() for n in (1, 2, 3)] == ["one\n", "two\n", "three\n"]
    finish(running)


@as_root
def test_disk_that_is_full(logged: Logged) -> None:
    """It says so once, what comes waits in the pipe, and nothing is lost when there is room again."""
    disk = logged.services.folder / "disk"
    disk.mkdir()
    gate = logged.services.folder / "gate"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    try:
        (disk / "ballast").write_bytes(bytes(60 * 1024))
        logged.log = disk / "log"
        program = logged.services.script(f"seq 10000; touch {gate}; exec sleep 1000")
        unit = logged.kept(program)
        running = logged.services.foreground(unit)
        until(lambda: logged.log.exists() and logged.log.stat().st_size >= 4096)
        logger = logged.logger(unit)
        assert running.stderr is not None
        line = running.stderr.readline()
        assert line == f"initkit: {logged.log}: No space left on device: what comes waits in the pipe\n"
        os.kill(logger, signal.SIGKILL)
        logger = logged.logger(unit, but=logger)
        (disk / "ballast").unlink()
        until(lambda: len(lines(logged.log)) == 10000)
        assert lines(logged.log) == [str(number) for number in range(1, 10001)]
        status, _, err = finish(running)
        assert status == 0
        assert sum("No space left" in each for each in err.splitlines()) <= 1  # the second logger's
    finally:
        logged.services.close()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("path", "said"), [("/no/such/log", "No such file or directory"), ("/dev/null", "is no ordinary file")]
)
@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_file_that_cannot_be_written(logged: Logged, how: str, path: str, said: str) -> None:
    unit = logged.services.unit(f"ExecStart=/bin/sleep 1000\nX-Initkit-LogFile={path}")
    finished = logged.services.run(unit, how)
    assert finished.returncode == 209, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert f'{unit}:5: X-Initkit-LogFile = "{path}": ' in line
    assert said in line
    assert not logged.services.started()


@as_root
def test_it_is_kept_as_the_services_user(logged: Logged) -> None:
    """In a folder that is made for the service; below RootDirectory= nothing of it is needed."""
    folder = logged.services.prefix
    log = Path(f"/var/log/{folder}/log")
    unit = logged.services.unit(
        f"ExecStart={logged.services.script('echo hello; exec sleep 1000')}\nUser=nobody\nLogsDirectory={folder}\n"
        f"UMask=0027\nX-Initkit-LogFile={log}"
    )
    try:
        running = logged.services.foreground(unit)
        until(lambda: lines(log) == ["hello"])
        found = log.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (65534, 0o640)
        logger = logged.logger(unit)
        assert Path(f"/proc/{logger}/comm").read_text() == "initkit: logger\n"
        assert Path(f"/proc/{logger}/cmdline").read_bytes().rstrip(b"\0").startswith(b"initkit: logger of /var/log/")
        finish(running)
    finally:
        shutil.rmtree(log.parent, ignore_errors=True)


def test_last_words_of_a_start_that_fails(logged: Logged) -> None:
    unit = logged.kept(logged.services.script("echo cannot read the map >&2; exit 3"))
    finished = logged.services.daemon(unit)
    assert finished.returncode == 3
    assert finished.stderr.endswith("    cannot read the map\n")


def test_its_logs_over_the_socket(logged: Logged) -> None:
    """The last lines, also those that have been rotated away."""
    program = logged.services.script("seq 100; exec sleep 1000")
    unit = logged.kept(program, "X-Initkit-LogMaxSize=50\nX-Initkit-LogMaxFiles=10")
    running = logged.services.foreground(unit)
    until(lambda: lines(logged.log)[-1:] == ["100"])
    for count in (1, 20, 40):
        assert logged.call(unit, "Logs", lines=count)["lines"] == [str(n) for n in range(101 - count, 101)]
    finish(running)


def test_its_logs_have_no_gap(logged: Logged) -> None:
    """Of large files not all is read: then lines are missing at the beginning, and none in the middle."""
    program = logged.services.script("seq 100000 150000; exec sleep 1000")
    unit = logged.kept(program, "X-Initkit-LogMaxSize=150K\nX-Initkit-LogMaxFiles=10")
    running = logged.services.foreground(unit)
    until(lambda: lines(logged.log)[-1:] == ["150000"])
    found = [logged.call(unit, "Logs", lines=10_000)["lines"] for _ in range(2)][-1]
    assert found == [str(n) for n in range(150_001 - len(found), 150_001)]
    finish(running)


def test_idle_logger_does_not_wake_up(logged: Logged) -> None:
    unit = logged.kept("/bin/sleep 1000")
    running = logged.services.foreground(unit)
    pids = [running.pid, logged.logger(unit)]
    until(lambda: logged.status(unit)["state"] == "active")

    def switches() -> list[str]:
        return [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt" in line]

    before = []
    while before != (before := switches()):  # until the last call is over
        time.sleep(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)
    assert switches() == before
    finish(running)


# --- beside others ----------------------------------------------------------------------------------------------------


def test_under_up(logged: Logged) -> None:
    """The logger goes with its service, and comes with it again; nothing of what it reads is shown."""
    services = logged.services
    one = services.unit(
        f"ExecStart={services.script('echo hello; exec sleep 1000')}\nX-Initkit-LogFile={logged.log}", name="one"
    )
    other = services.unit(f"ExecStart={services.script('echo shown; exec sleep 1000')}", name="other")
    words = [sys.executable, "-m", "initkit", "up", "--name", f"{services.prefix}up", str(one), str(other)]
    running = subprocess.Popen(
        words, env=services.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    path = f"{services.runtime}/initkit/{services.prefix}up.sock"

    def status(unit: Path) -> dict[str, Any]:
        try:
            return client.call(path, "Status", {"name": unit.stem}, timeout=PATIENCE)["service"]  # type: ignore[no-any-return]
        except client.NoManager:
            return {"state": ""}

    until(lambda: lines(logged.log) == ["hello"])
    until(lambda: status(other)["state"] == status(one)["state"] == "active")
    logger = status(one)["loggerPid"]
    assert logger in {each["pid"] for each in status(one)["processes"]}
    assert logger not in {each["pid"] for each in status(other)["processes"]}
    client.call(path, "Stop", {"name": one.stem}, timeout=PATIENCE)
    assert not alive(logger)
    assert status(one)["processes"] == []
    client.call(path, "Start", {"name": one.stem}, timeout=PATIENCE)
    until(lambda: lines(logged.log) == ["hello", "hello"])
    assert alive(status(one)["loggerPid"])
    assert finish(running) == (0, f"{other.stem} | shown\n", "")
    assert not services.started()


@as_root
@pytest.mark.parametrize("own", [True, False])
def test_under_systemd(logged: Logged, own: bool) -> None:
    """The runner becomes the program, which systemd looks after; a small process keeps the logger."""
    program = logged.services.script("trap 'echo last words; exit 0' TERM; echo $$; while :; do sleep 0.02; done")
    unit = logged.kept(program) if own else logged.unit(program, logged.exact())
    code = 'SYSTEMD_EXEC_PID=$$ exec "$@"'
    words = ["sh", "-c", code, "sh", sys.executable, "-m", "initkit", "run", str(unit), "--foreground"]
    running = subprocess.Popen(words, env=logged.services.environment(), text=True, stderr=subprocess.PIPE)
    until(lambda: lines(logged.log) == [str(running.pid)])
    others = [pid for pid in logged.services.started() if pid != running.pid and not _is_child(pid, running.pid)]
    assert len(others) == 2
    loggers = [pid for pid in others if b"keeps" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(loggers[0], signal.SIGKILL)
    for pid in others:
        if pid not in loggers:
            os.kill(pid, signal.SIGTERM)  # as systemd does with the whole control group
    running.terminate()
    _, err = running.communicate(timeout=PATIENCE)
    until(lambda: not logged.services.started())
    assert lines(logged.log) == [str(running.pid), "last words"]
    assert "its logger killed by SIGKILL" in err


def _is_child(pid: int, of: int) -> bool:
    """Whether it is one of the program's, which come and go."""
    try:
        return parent(pid) == of
    except (FileNotFoundError, ProcessLookupError):
        return True


@as_root
def test_under_systemd_without_its_file(logged: Logged) -> None:
    unit = logged.services.unit("ExecStart=/bin/sleep 1000\nX-Initkit-LogFile=/no/such/log")
    code = 'SYSTEMD_EXEC_PID=$$ exec "$@"'
    words = ["sh", "-c", code, "sh", sys.executable, "-m", "initkit", "run", str(unit), "--foreground"]
    finished = subprocess.run(
        words, env=logged.services.environment(), text=True, capture_output=True, check=False, cwd=CHECKOUT
    )
    assert finished.returncode == 209, finished.stderr
    assert finished.stderr.count("\n") == 1
    until(lambda: not logged.services.started())
