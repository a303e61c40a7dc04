"""Daemon mode: daemon(7)'s steps, and a launcher whose exit status is the truth."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .harness import PATIENCE, Report, Services, alive, comm, lines, parent, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_what_daemon7_asks_for(services: Services) -> None:
    command, path = services.probe()
    unit = services.unit(f"ExecStart={command}\nStandardOutput=null")
    stray = os.open("/", os.O_RDONLY)
    os.set_inheritable(stray, True)
    finished = services.daemon(unit, close_fds=False, cwd="/usr", umask=0o077, environment={"STRAY": "1"})
    os.close(stray)
    assert (finished.returncode, finished.stderr) == (0, "")
    found = Report(path)
    _, _, group, session, tty = found.stat[:5]
    assert parent(found.pid) in (1, os.getpid())  # init's, or the subreaper's
    assert found.pid not in (int(group), int(session))  # no leader that could get a terminal back
    assert int(session) not in (0, os.getsid(0))
    assert tty == "0"
    assert (found.cwd, found.umask) == ("/", 0o022)
    assert found.fds.items() <= {(0, "/dev/null"), (1, "/dev/null"), (2, "/dev/null"), (10, found.fds.get(10))}
    assert "STRAY" not in found.environment
    assert found.signals("SigBlk") == set()
    assert services.pid(unit) == found.pid  # the program, and nobody else, is the daemon


def test_pid_file(services: Services) -> None:
    for umask in (0, 0o077):
        path = services.folder / f"deep{umask}/er/app.pid"
        unit = services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}")
        assert services.daemon(unit, umask=umask).returncode == 0
        pid = int(path.read_text().split()[0])
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"/bin/sleep\x001000\x00"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o644, 0o755)
        assert path.parents[1].stat().st_mode & 0o777 == 0o755
        assert services.pid(unit) == pid


#: For programs that die: their launcher does not wait so long.
LONG = "X-Initkit-SettleSec=1000"
DEATHS = {
    "default": "",
    "file": "StandardError=file:{log}",
    "append": "StandardOutput=append:{log}",
    "inherit": "StandardOutput=truncate:{log}\nStandardError=inherit",
}


@pytest.mark.parametrize("restart", ["no", "on-success", "on-failure"])
@pytest.mark.parametrize("kind", DEATHS)
def test_program_that_dies_at_once(services: Services, kind: str, restart: str) -> None:
    log = services.folder / "log"
    log.write_text("an older line\nand another one, that is longer than what comes\n")
    script = services.script("for n in 1 2 3; do echo line $n >&2; done; echo last words >&2; exit 42")
    unit = services.unit(
        f"ExecStart={script}\n{DEATHS[kind].format(log=log)}\nRestart={restart}\nRestartSec=1000\n{LONG}"
    )
    finished = services.daemon(unit)
    assert finished.returncode == 42, finished.stderr
    first, *shown = finished.stderr.splitlines()
    assert "exited with status 42" in first
    assert shown[-4:] == ["    line 1", "    line 2", "    line 3", "    last words"]
    assert not any("older" in line for line in shown)
    if restart != "on-failure":
        assert not services.started()
        assert not services.pid_file(unit).exists()


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_program_that_ends_well_at_once(services: Services, restart: str) -> None:
    """Started is what still runs: a program that is no daemon is not one."""
    finished = services.daemon(services.unit(f"ExecStart=/bin/true\nRestart={restart}\n{LONG}"))
    assert finished.returncode == 1
    assert "exited with status 0 right after its start" in finished.stderr


def test_program_that_is_killed_at_once(services: Services) -> None:
    finished = services.daemon(services.unit(f"ExecStart={services.script('kill -SEGV $$')}\n{LONG}"))
    assert finished.returncode == 128 + signal.SIGSEGV
    assert "killed by SIGSEGV" in finished.stderr


def test_ready_and_not_before(services: Services) -> None:
    go = services.out / "go"
    program = services.python(
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\nnotify('READY=1', 'STATUS=fine')\ntime.sleep(1000)"
    )
    unit = services.unit(f"Type=notify\nExecStart={program}")
    launcher = services.spawn(unit, "--daemon")
    until(lambda: services.pid(unit))
    with pytest.raises(subprocess.TimeoutExpired):
        launcher.wait(0.5)
    go.touch()
    assert launcher.wait(10) == 0
    assert launcher.communicate()[1] == ""
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())
    assert not services.pid_file(unit).exists()


def test_notify_that_dies_before_it_is_ready(services: Services) -> None:
    program = services.python("notify('STATUS=trying')\nprint('no luck', file=sys.stderr)\nsys.exit(9)")
    finished = services.daemon(services.unit(f"Type=notify\nExecStart={program}"))
    assert finished.returncode == 9
    assert "exited with status 9" in finished.stderr
    assert "    no luck" in finished.stderr
    finished = services.daemon(services.unit("Type=notify\nExecStart=/bin/true"))
    assert finished.returncode == 1
    assert "before it said READY=1" in finished.stderr
    assert not services.started()


def test_notify_that_says_ready_and_dies(services: Services) -> None:
    program = services.python("notify('READY=1')")
    unit = services.unit(f"Type=notify\nExecStart={program}")
    assert services.daemon(unit).returncode == 0  # it was
    until(lambda: not services.started())


def test_notify_that_never_is_ready(services: Services) -> None:
    unit = services.unit("Type=notify\nExecStart=/bin/sleep 1000\nTimeoutStartSec=0.5")
    finished = services.daemon(unit)
    assert finished.returncode != 0
    assert "no READY=1 in time (TimeoutStartSec=): took too long" in finished.stderr
    assert not services.started()
    assert not services.pid_file(unit).exists()


def forking(services: Services, pid_file: Path, rest: str = "exit 0") -> str:
    return services.script(f"sleep 1000 &\necho $! > {pid_file}\n{rest}")


def test_forking(services: Services) -> None:
    path = services.folder / "app.pid"
    unit = services.unit(f"Type=forking\nPIDFile={path}\nExecStart={forking(services, path)}\nRestart=on-failure")
    assert services.daemon(unit).returncode == 0
    main = int(path.read_text())
    assert parent(main) == services.pid(unit)
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())
    assert not path.exists()


def test_forking_without_a_pid_file(services: Services) -> None:
    unit = services.unit(f"Type=forking\nExecStart={forking(services, services.folder / 'x')}")
    assert services.daemon(unit).returncode == 0
    os.kill(int((services.folder / "x").read_text()), signal.SIGTERM)
    until(lambda: not services.started())  # its end was the service's


def test_forking_that_fails(services: Services) -> None:
    path = services.folder / "app.pid"
    unit = services.unit(f"Type=forking\nPIDFile={path}\nExecStart={forking(services, path, 'exit 5')}")
    finished = services.daemon(unit)
    assert finished.returncode == 5
    assert not services.started()


@pytest.mark.parametrize("text", ["garbage", "", "1", "999999999999999999999", "-1", str(os.getpid())])
def test_forking_that_writes_garbage(services: Services, text: str) -> None:
    """It may be right one day, as long as something of the service lives."""
    path = services.folder / "app.pid"
    script = services.script(f"sleep 0.3 &\nprintf '%s' '{text}' > {path}")
    finished = services.daemon(services.unit(f"Type=forking\nPIDFile={path}\nExecStart={script}"))
    assert finished.returncode == 1
    assert "PID file" in finished.stderr
    assert not services.started()


def test_forking_without_its_pid_file_in_time(services: Services) -> None:
    script = services.script("sleep 1000 &")
    unit = services.unit(f"Type=forking\nPIDFile={services.folder}/app.pid\nExecStart={script}\nTimeoutStartSec=0.3")
    finished = services.daemon(unit)
    assert finished.returncode == 1
    assert f"PID file {services.folder}/app.pid was not written" in finished.stderr
    assert not services.started()


def test_forking_that_does_not_fork(services: Services) -> None:
    unit = services.unit("Type=forking\nExecStart=/bin/sleep 1000\nTimeoutStartSec=0.3")
    finished = services.daemon(unit)
    assert finished.returncode == 1
    assert "Type=forking, and its first process did not end in time (TimeoutStartSec=)" in finished.stderr
    assert not services.started()


def test_oneshot(services: Services) -> None:
    log = services.out / "log"
    say = [f"ExecStart=/bin/sh -c 'echo {n} >> {log}'\n" for n in range(3)]
    assert services.daemon(services.unit(f"Type=oneshot\n{''.join(say)}")).returncode == 0
    assert lines(log) == ["0", "1", "2"]
    unit = services.unit(f"Type=oneshot\n{say[0]}ExecStart=/bin/sh -c 'exit 4'\n{say[1]}")
    finished = services.daemon(unit)
    assert finished.returncode == 4
    assert lines(log) == ["0", "1", "2", "0"]
    until(lambda: not services.started())


def test_oneshot_that_remains(services: Services) -> None:
    log = services.out / "log"
    unit = services.unit(
        f"Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sh -c 'echo stopped > {log}'"
    )
    assert services.daemon(unit).returncode == 0
    assert services.pid(unit)
    assert "already running" in services.daemon(unit).stderr
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())
    assert lines(log) == ["stopped"]


def test_condition_that_does_not_hold(services: Services) -> None:
    finished = services.daemon(services.unit("ExecCondition=/bin/false\nExecStart=/bin/sleep 1000"))
    assert finished.returncode == 0
    assert "skipped: ExecCondition=" in finished.stderr
    until(lambda: not services.started())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("settings", ["Type=notify", "X-Initkit-SettleSec=1000"])
def test_launcher_that_is_stopped_takes_the_start_back(services: Services, number: int, settings: str) -> None:
    unit = services.unit(f"{settings}\nExecStart=/bin/sleep 1000")
    launcher = services.spawn(unit, "--daemon")
    until(lambda: services.pid(unit))
    launcher.send_signal(number)
    assert launcher.wait(10) == 128 + number
    assert not services.started()
    assert not services.pid_file(unit).exists()


@pytest.mark.parametrize("settings", ["Type=notify\n", "X-Initkit-SettleSec=1000\n"])
def test_launcher_that_is_killed(services: Services, settings: str) -> None:
    """The daemon goes on as it would have, known by its PID file; nothing that it writes holds it up."""
    done = services.out / "done"
    program = services.python(
        f"while os.getppid() == {{}}: pass\nprint('x' * 100000)\nopen({str(done)!r}, 'w')\n"
        "if 'NOTIFY_SOCKET' in os.environ: notify('READY=1')\ntime.sleep(1000)".format(0)
    )
    unit = services.unit(f"{settings}ExecStart={program}")
    launcher = services.spawn(unit, "--daemon")
    until(lambda: services.pid(unit))
    launcher.kill()
    launcher.wait(10)
    until(done.exists)
    assert alive(services.pid(unit))
    assert "already running" in services.daemon(unit).stderr


def test_manager_that_is_killed_before_its_service_is_ready(services: Services) -> None:
    """What it has not said is not taken for said, in whatever order its end is heard of."""
    unit = services.unit("ExecStart=/bin/sleep 1000\nType=notify")
    for _ in range(10):
        launcher = services.spawn(unit, "--daemon")
        until(lambda: "sleep" in map(comm, services.started()))
        os.kill(services.pid(unit), signal.SIGKILL)
        _, err = launcher.communicate(timeout=PATIENCE)
        assert launcher.returncode == 128 + signal.SIGKILL
        assert "its manager was killed by SIGKILL right after its start" in err
        until(lambda: not services.started())


def test_one_of_a_hundred(services: Services) -> None:
    """100 starts at the same time: exactly one runs, the others say so, and all of them mean it."""
    log = services.out / "log"
    script = services.script(f"echo $$ >> {log}; exec sleep 1000")
    unit = services.unit(f"ExecStart={script}\nX-Initkit-SettleSec=0.2")
    launchers = [services.spawn(unit, "--daemon") for _ in range(100)]
    said = [launcher.communicate(timeout=60)[1] for launcher in launchers]
    assert {launcher.returncode for launcher in launchers} == {0}
    assert len(lines(log)) == 1
    assert services.pid(unit) == int(lines(log)[0])
    assert sorted(said)[0] == ""
    assert all(f"already running, pid {services.pid(unit)}" in text for text in sorted(said)[1:])


def test_a_start_waits_for_another(services: Services) -> None:
    """What another start is only about to do counts as nothing: when it fails, the next one tries."""
    counter, gate = services.out / "log", services.out / "gate"
    script = services.script(
        f"echo x >> {counter}; [ $(wc -l < {counter}) = 2 ] && exec sleep 1000\n"
        f"until [ -e {gate} ]; do sleep 0.01; done; exit 3"
    )
    unit = services.unit(f"ExecStart={script}\n{LONG}")
    first = services.spawn(unit, "--daemon")
    until(lambda: services.pid(unit))
    unit.write_text(unit.read_text().replace(LONG, "X-Initkit-SettleSec=0"))
    second = services.spawn(unit, "--daemon")
    lock = f":{services.pid_file(unit).with_suffix('.lock').stat().st_ino} "
    until(lambda: any("->" in line and lock in line for line in lines(Path("/proc/locks"))), "one that waits")
    gate.touch()
    assert first.wait(PATIENCE) == 3
    assert second.communicate(timeout=PATIENCE)[1] == ""
    assert second.returncode == 0
    assert alive(services.pid(unit))


def stranger(services: Services) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "999"])


@pytest.mark.parametrize("place", ["own", "PIDFile"])
@pytest.mark.parametrize("kind", ["stale", "empty", "garbage", "binary", "foreign", "recycled", "other boot"])
def test_pid_files_that_name_nobody_of_ours(services: Services, kind: str, place: str) -> None:
    """They never block a start, and the stranger they name goes on undisturbed."""
    other = stranger(services)
    now = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    text = {
        "stale": f"{dead.pid}\n",
        "empty": "",
        "garbage": "what is this?\n",
        "binary": "\0\xff\n",
        "foreign": f"{other.pid}\n",
        "recycled": f"{other.pid}\n{int(now) - 100} {boot}",
        "other boot": f"{other.pid}\n{now} 01234567-89ab-cdef-0123-456789abcdef\n",
    }[kind]
    path = services.folder / "app.pid"
    unit = services.unit(f"ExecStart=/bin/sh -c 'exec /bin/sleep 1000'\nPIDFile={path}")
    file = path if place == "PIDFile" else services.pid_file(unit)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode("latin-1"))
    finished = services.daemon(unit)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert services.pid(unit) == int(path.read_text().split()[0]) != other.pid
    assert other.poll() is None
    other.kill()
    other.wait()


def test_pid_file_older_than_its_process(services: Services) -> None:
    """A file without a start time is not believed of a process that started after it was written."""
    path = services.folder / "app.pid"
    other = stranger(services)
    path.write_text(f"{other.pid}\n")
    os.utime(path, (1e9, 1e9))
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}")
    finished = services.daemon(unit)
    assert (finished.returncode, finished.stderr) == (0, "")
    other.kill()
    other.wait()


def test_program_started_by_others_is_running(services: Services) -> None:
    """A file that names a process of the service's own program, as an init script leaves it."""
    path = services.folder / "app.pid"
    other = stranger(services)
    path.write_text(f"{other.pid}\n")
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nType=forking\nPIDFile={path}")
    assert f"already running, pid {other.pid}" in services.daemon(unit).stderr
    other.kill()
    other.wait()


def test_a_bare_pid_is_not_believed_where_initkit_writes_the_file(services: Services) -> None:
    """Many a stranger runs the same program."""
    path = services.folder / "app.pid"
    other = stranger(services)
    path.write_text(f"{other.pid}\n")
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}")
    finished = services.daemon(unit)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert other.poll() is None
    other.kill()
    other.wait()


def test_unsafe_pid_files(services: Services) -> None:
    link = services.folder / "link.pid"
    link.symlink_to(services.folder / "target")
    shared = services.folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    fifo = services.folder / "fifo.pid"
    os.mkfifo(fifo)
    for path, why in (
        (link, "symbolic link"),
        (fifo, "no regular file"),
        (shared / "app.pid", "others may write"),
        (Path("/tmp/a.pid"), "others"),
    ):
        finished = services.daemon(services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}"))
        assert finished.returncode == 4
        assert why in finished.stderr
    assert not services.started()
    assert not (services.folder / "target").exists()


@as_root
def test_pid_file_in_a_folder_of_the_users(services: Services) -> None:
    folder = services.folder / "user"
    folder.mkdir()
    os.chown(folder, 33, 33)
    path = folder / "app.pid"
    assert services.daemon(services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}")).returncode == 4
    assert services.daemon(services.unit(f"ExecStart=/bin/sleep 1000\nPIDFile={path}\nUser=www-data")).returncode == 0


@as_root
def test_pid_file_of_a_program_in_a_folder_of_others(services: Services) -> None:
    """A manager takes only its own processes from it: what somebody else has put there is neither an obstacle nor the
    service."""
    folder = services.folder / "user"
    folder.mkdir()
    os.chown(folder, 33, 33)
    path = folder / "app.pid"
    with subprocess.Popen(["/bin/sleep", "1000"]) as stranger:
        path.write_text(f"{stranger.pid}\n")
        program = f"/bin/sh -c '/bin/sleep 1000 & echo $$! >{path}'"
        unit = services.unit(f"Type=forking\nExecStart={program}\nPIDFile={path}\nRestart=always")
        assert services.daemon(unit).returncode == 0
        assert int(path.read_text()) != stranger.pid
        os.kill(services.pid(unit), signal.SIGTERM)
        until(lambda: services.started() == [stranger.pid])
        stranger.kill()


def test_nothing_remains_after_a_stop(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/sh -c 'echo a word; exec /bin/sleep 1000'\nRestart=always")
    assert services.daemon(unit).returncode == 0
    os.kill(services.pid(unit), signal.SIGTERM)
    until(lambda: not services.started())
    assert not services.pid_file(unit).exists()
    assert services.daemon(unit).returncode == 0
