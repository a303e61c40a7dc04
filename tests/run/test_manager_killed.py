"""kill -9 of a manager at any moment: nothing of the service is lost, and nothing of it is there twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .harness import PATIENCE, Services, alive, lines, until
from .ups import SLEEP, Up

KILLS = 200
LONG = 6 * PATIENCE  # four of them at once, and whatever else the machine does
#: What a service is run as, and how long its main program lives.
KINDS = {"daemon": "1000", "crashing daemon": "0.1", "foreground": "0.2", "up": "1000"}

#: One process in a session of its own, one that stays, and the main one. All of them have the lock that says that
#: nothing of another life is there.
_PROGRAM = """
exec 9>>"$1.lock"
flock -n 9 || echo "two at a time" >> "$1.faults"
setsid sleep 1001 &
sleep 1002 &
sleep "$2"
exit 1
"""


class Seen(NamedTuple):
    """A process, as far as it is told from others."""

    start: str
    parent: int
    words: tuple[bytes, ...]
    environ: tuple[bytes, ...]

    @classmethod
    def of(cls, pid: int) -> Seen | None:
        """None when it is gone, or not ours to look at."""
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            if not environ:
                return None
            words, stat = (Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "stat"))
        except OSError:
            return None
        fields = stat.rpartition(b")")[2].split()
        return cls(fields[19].decode(), int(fields[1]), (*words.split(b"\0"),), (*environ.split(b"\0"),))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self.start == other.start

    __hash__ = None  # type: ignore[assignment]


def _below(pid: int) -> Iterator[int]:
    """A process's descendants."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _below(child)


_NONE: Mapping[int, Seen] = {}


class Victim:
    """A service whose manager is killed; its processes have a variable that no others have."""

    def __init__(self, services: Services, kind: str, life: str = "1000", settings: str = "") -> None:
        self.services, self.kind = services, kind
        self.place = services.out / f"victim{kind.replace(' ', '-')}"
        self.mark = f"MARK={services.prefix}-{self.place.name}"
        program = services.script(_PROGRAM)
        self.unit = services.unit(
            f"ExecStart={program} {self.place} {life}\nEnvironment={self.mark}\nX-Initkit-SettleSec=0\n"
            f"{settings or 'Restart=always'}\nRestartSec=0\n",
            unit="StartLimitIntervalSec=0",
        )
        self.manager = 0

    def argv(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "initkit", *map(str, words)]

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`initkit VERB` to its end."""
        return subprocess.run(
            self.argv(words[0], self.unit, *words[1:]),
            env=self.services.environment(),
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """The runner, or the launcher; `manager` is known when this returns, unless the start has ended by then."""
        verb = ["up", "--name", f"{self.unit.stem}-up"] if self.kind == "up" else ["run"]
        option = {"up": [], "foreground": ["--foreground"]}.get(self.kind, ["--daemon"])
        process = subprocess.Popen(
            self.argv(*verb, self.unit, *option),
            env=self.services.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.services.folder / f"{self.place.name}.stderr").open("ab"),
        )
        before, self.manager = self.manager, process.pid
        if "daemon" in self.kind:
            until(lambda: self._new_pid(before) or process.poll() is not None, patience=LONG)
            self.manager = self._new_pid(before)
        return process

    def _new_pid(self, before: int) -> int:
        pid = self.services.pid(self.unit)
        return pid if pid not in (0, before) and alive(pid) else 0

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 of the manager; nothing else runs for the service when this returns."""
        with contextlib.suppress(ProcessLookupError):
            if self.manager:
                os.kill(self.manager, signal.SIGKILL)
        process.wait(LONG)
        until(lambda: not alive(self.manager), patience=LONG)

    def processes(self) -> dict[int, Seen]:
        """Those with the mark: what has lost its parent is this process's, so all of them are below it."""
        found = {pid: seen for pid in _below(os.getpid()) if (seen := Seen.of(pid))}
        return {pid: seen for pid, seen in found.items() if self.mark.encode() in seen.environ}

    def mains(self, *, but: Mapping[int, Seen] = _NONE) -> list[int]:
        """The main programs that run, without what they have forked and is not executed yet."""
        seen = self.processes()
        found = {pid for pid, each in seen.items() if str(self.place).encode() in each.words}
        if len(found) > 1:  # looking takes a while: one may have gone before another came
            again = self.processes()
            found = {pid for pid in found if again.get(pid) == seen[pid]}
        return [pid for pid in found if seen[pid].parent not in found and but.get(pid) != seen[pid]]

    def registered(self) -> set[int]:
        path = self.services.runtime / "initkit" / f"{self.unit.stem}.register"
        return {int(line.split()[1]) for line in lines(path) if line.split()[0] in ("main", "control", "manager")}

    def status(self) -> dict[str, object]:
        """What `status` tells, held against /proc."""
        before = self.processes()
        shown = self.do("status", "--json")
        told: dict[str, object] = json.loads(shown.stdout)
        after = self.processes()
        named = {each["pid"] for each in told["processes"]}  # type: ignore[attr-defined]
        stayed = {pid for pid in before if after.get(pid) == before[pid]}
        assert stayed <= named, (told, before, after)
        # What is not executed yet has no mark, but it is known.
        assert named <= {*before, *after, *self.registered()}, (told, before, after)
        assert shown.returncode == (0 if named else 1 if told["state"] == "failed" else 3)
        assert (told["state"] == "active") == bool(named)
        assert told.get("missing") == "manager" if named else told.get("mainPid") is None
        return told

    def close(self) -> None:
        """Stop it: nothing remains."""
        stopped = self.do("stop")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert self.processes() == {}
        assert self.do("status").returncode == 3
        left = {path.suffix for path in (self.services.runtime / "initkit").glob(f"{self.unit.stem}.*")}
        assert left <= {".lock"}
        assert lines(Path(f"{self.place}.faults")) == []


def kill_again_and_again(victim: Victim, seed: int) -> None:
    """At random moments of its life, in turn while it starts, and when what was left is known to be gone."""
    chance = random.Random(seed)
    for turn in range(KILLS // len(KINDS)):
        left = victim.processes()
        process = victim.start()
        if turn % 2:
            until(lambda: victim.mains(but=left), patience=LONG)  # noqa: B023
            assert len(victim.mains()) <= 1
            assert not [pid for pid, start in victim.processes().items() if left.get(pid) == start]
        moment = chance.uniform(0, 0.15)
        if chance.random() < 0.3:
            time.sleep(moment * chance.random())
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.manager or process.pid, signal.SIGTERM)
        time.sleep(moment)
        victim.kill(process)
        for pid in (*left, victim.manager):  # as init would do
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG) if pid else None
        victim.status()
        assert lines(Path(f"{victim.place}.faults")) == []


def test_random_kills(services: Services) -> None:
    settings = "Restart=always\nExecStartPre=/bin/sleep 0.02\nExecStop=/bin/sleep 0.02\nExecStopPost=/bin/sleep 0.02"
    victims = [Victim(services, kind, life, settings) for kind, life in KINDS.items()]
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with ThreadPoolExecutor(len(victims)) as pool:
        runs = [pool.submit(kill_again_and_again, each, seed + n) for n, each in enumerate(victims)]
    for run in runs:
        run.result()
    for victim in victims:
        victim.close()


def register(services: Services, unit: Path) -> Path:
    return services.runtime / "initkit" / f"{unit.stem}.register"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))


@pytest.mark.parametrize("directive", ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload"])
@pytest.mark.parametrize("how", ["status and stop", "start"])
def test_killed_during_a_command(services: Services, directive: str, how: str) -> None:
    """Whatever runs at that moment is told of, and goes."""
    out = services.out / "pid"
    command = services.script(f"echo $$ >> {out}; setsid sleep 1001 & exec sleep 1000")
    main = "" if directive == "ExecStart" else f"ExecStart={services.script('exec sleep 999')}\n"
    unit = services.unit(f"{main}{directive}={command}\nRestart=always")
    running = services.foreground(unit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if directive == "ExecReload":
        until(lambda: len(services.started()) > 1)
        until(lambda: running.send_signal(signal.SIGHUP) or lines(out))  # type: ignore[func-returns-value]
    until(lambda: lines(out))
    (first, *_) = map(int, lines(out))
    until(lambda: Path(f"/proc/{first}/comm").read_text() == "sleep\n")
    running.kill()
    running.wait()
    told = status(services, unit)
    assert told["state"] == "active" and told["missing"] == "manager"
    assert {each["pid"] for each in told["processes"]} == set(services.started())
    if how == "start":
        unit.write_text(f"[Service]\nExecStart={services.script('exec sleep 998')}\n")  # no manager from now on
        started = services.daemon(unit)
        assert started.returncode == 0
        assert f"its manager is gone; stopped before it is started anew: sleep[{first}]" in started.stderr.replace(
            f"sleep[{told['mainPid']}], ", "" if told["mainPid"] != first else f"sleep[{first}], "
        )
        assert not alive(first)
    assert initkit(services, "stop", unit).returncode == 0
    assert not services.started()
    assert initkit(services, "status", unit).returncode == 3


def initkit(services: Services, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "initkit", *map(str, words)],
        env=services.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )


def status(services: Services, unit: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(initkit(services, "status", unit, "--json").stdout)
    return told


def killed(services: Services, settings: str = "", script: str = "exec sleep 1000") -> tuple[Path, int]:
    """A service whose manager was killed: its settings, and its main process."""
    unit = services.unit(f"ExecStart={services.script(script)}\nRestart=always\n{settings}")
    assert services.daemon(unit).returncode == 0
    main = status(services, unit)["mainPid"]
    kill(services.pid(unit))
    return unit, main


def test_for_people(services: Services) -> None:
    unit, main = killed(services)
    shown = initkit(services, "status", unit)
    assert shown.returncode == 0
    assert "State: active, but its manager is gone since " in shown.stdout and f"Main PID: {main}\n" in shown.stdout
    listed = json.loads(initkit(services, "status", "--json").stdout)
    assert [each["state"] for each in listed if each["name"] == unit.stem] == ["active"]


def test_a_service_without_processes(services: Services) -> None:
    unit = services.unit("Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true")
    assert services.daemon(unit).returncode == 0
    kill(services.pid(unit))
    shown = initkit(services, "status", unit)
    assert shown.returncode == 1 and "State: failed, and its manager is gone\n" in shown.stdout
    assert services.daemon(unit).returncode == 0
    assert status(services, unit)["state"] == "active"
    assert initkit(services, "stop", unit).returncode == 0


def test_the_signals_are_the_settings(services: Services) -> None:
    out = services.out / "heard"
    script = f"trap 'echo USR1 >> {out}; exit' USR1; echo up >> {out}; while :; do sleep 1000 & wait; done"
    unit, main = killed(services, "KillSignal=SIGUSR1\nKillMode=mixed", script)
    until(lambda: lines(out))
    assert initkit(services, "stop", unit).returncode == 0
    assert lines(out) == ["up", "USR1"] and not alive(main)


def test_nothing_is_started_beside_what_stays(services: Services) -> None:
    unit, main = killed(services, "KillMode=none")
    started = services.daemon(unit)
    assert (started.returncode, started.stderr.splitlines()[-1]) == (
        1,
        f"initkit: {unit.stem}: not started: sleep[{main}] still there",
    )
    assert alive(main)


def test_a_stopped_process_is_replaced_as_well(services: Services) -> None:
    unit, main = killed(services)
    os.kill(main, signal.SIGSTOP)
    started = services.daemon(unit)
    assert started.returncode == 0 and not alive(main)


@pytest.mark.parametrize("line", ["main {pid} {other}", "control {pid} 1", "manager {pid} 5 /x", "main {pid}"])
def test_recycled_pids_in_the_register(services: Services, line: str) -> None:
    """And the session of one: who has the number now is a stranger."""
    unit, main = killed(services)
    stranger = subprocess.Popen(["/bin/sh", "-c", "sleep 1000 & wait"], start_new_session=True)
    with register(services, unit).open("a") as file:
        file.write(line.format(pid=stranger.pid, other=12345) + "\n")
    assert str(stranger.pid) not in initkit(services, "status", unit, "--json").stdout
    assert services.daemon(unit).returncode == 0
    assert initkit(services, "stop", unit).returncode == 0
    assert stranger.poll() is None and not alive(main)


@pytest.mark.parametrize("what", ["garbage", "empty", "binary", "other boot", "foreign", "link", "folder"])
def test_registers_that_are_not_believed(services: Services, what: str) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "1000"])
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}\nRestart=always")
    path = register(services, unit)
    path.parent.mkdir(exist_ok=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    start = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19]
    true = f"boot {boot}main {stranger.pid} {start}\n"
    path.write_bytes(
        {"garbage": b"what is this?\n\n \n", "empty": b"", "binary": b"\0\xff\n" * 99}.get(what, true.encode())
    )
    if what == "other boot":
        path.write_text(true.replace(boot, "01234567-89ab-cdef-0123-456789abcdef\n"))
    elif what == "foreign":
        path.chmod(0o666)
    elif what == "link":
        path.rename(services.folder / "target")
        path.symlink_to(services.folder / "target")
    elif what == "folder":
        path.unlink()
        path.parent.chmod(0o755)
        path.write_text(true)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        else:
            path.chmod(0o666)
    assert initkit(services, "status", unit).returncode == 3
    finished = services.daemon(unit)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert initkit(services, "stop", unit).returncode == 0
    assert stranger.poll() is None


def test_a_folder_that_others_may_write_to(services: Services) -> None:
    """Nothing in it is believed, and a manager says that it is not looked after."""
    runtime = services.folder / "shared"
    (runtime / "initkit").mkdir(parents=True)
    (runtime / "initkit").chmod(0o777)
    code = "import sys; from initkit.run import register; print(register.read(sys.argv[1]))"
    path = runtime / "initkit" / "app.register"
    path.write_text(f"boot {Path('/proc/sys/kernel/random/boot_id').read_text()}")
    words = [sys.executable, "-c", code, str(path)]
    for mode, believed in ((0o777, False), (0o755, True)):
        path.parent.chmod(mode)
        shown = subprocess.run(words, env=services.environment(), capture_output=True, text=True, check=True).stdout
        assert shown.startswith("Known(") == believed


def test_what_a_main_process_leaves_is_no_secret(services: Services) -> None:
    """Also of a daemon that nobody supervises: what has left its tree and its session goes with a stop."""
    out = services.out / "pids"
    script = f"setsid sh -c 'sleep 1000 & echo $! >> {out}' & wait; sleep 1000"
    unit = services.unit(f"ExecStart={services.script(script)}")
    assert services.daemon(unit).returncode == 0
    until(lambda: lines(out))
    orphan = int(lines(out)[0])
    assert orphan in {each["pid"] for each in status(services, unit)["processes"]}
    kill(services.pid(unit))
    told = status(services, unit)
    assert (told["state"], told["missing"]) == ("active", "main process")
    assert initkit(services, "stop", unit).returncode == 0
    assert not alive(orphan) and not services.started()


def test_the_manager_of_several(services: Services) -> None:
    """`up`: while it lives it is asked, when it was killed the next one replaces what it has left."""
    units = [services.unit(f"ExecStart={services.script('exec sleep 1000')}") for _ in range(2)]
    words = [sys.executable, "-m", "initkit", "up", "--name", f"{services.prefix}up", *map(str, units)]

    def up() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            env=services.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    def mains() -> list[int]:
        told = [status(services, unit) for unit in units]
        return [each["mainPid"] for each in told if each["state"] == "active" and "missing" not in each]

    first = up()
    until(lambda: len(mains()) == 2)
    before = mains()
    assert "is already running" in services.daemon(units[0]).stderr
    first.kill()
    first.wait()
    for unit, main in zip(units, before, strict=True):
        told = status(services, unit)
        assert (told["mainPid"], told["missing"]) == (main, "manager")
    assert initkit(services, "stop", units[0]).returncode == 0
    assert not alive(before[0]) and alive(before[1])
    second = up()
    until(lambda: len(mains()) == 2)
    assert not alive(before[1])
    second.terminate()
    assert second.wait(PATIENCE) == 0
    assert second.stderr and f"stopped before it is started anew: sleep[{before[1]}]" in second.stderr.read().decode()
    assert not services.started()


@pytest.mark.parametrize("how", ["stop", "start"])
def test_the_socket_of_the_manager_of_several(up: Up, how: str) -> None:
    """It goes with the first of its services, unless the manager lives; nobody takes it for a service."""
    services, folder = up.services, up.services.runtime / "initkit"
    socket = folder / f"{up.name}.sock"
    up.add("one", SLEEP)
    up.add("two", SLEEP)
    running = up.start()
    up.wait_for(one="active", two="active")
    assert initkit(services, "stop", up.units[0]).returncode == 0
    assert socket.exists()
    running.kill()
    running.communicate()
    assert up.name not in initkit(services, "status").stdout
    assert initkit(services, how, up.units[1]).returncode == 0
    assert not socket.exists()
    if how == "start":
        assert initkit(services, "stop", up.units[1]).returncode == 0
    assert not services.started()
    assert services.prefix not in initkit(services, "status").stdout.replace(up.units[0].stem, "")
    assert initkit(services, "stop", up.units[0]).returncode == 0
    assert not [each.name for each in folder.glob(f"{services.prefix}*") if each.suffix != ".lock"]


@pytest.mark.parametrize("how", ["stop", "start"])
def test_its_logger(services: Services, how: str) -> None:
    """It reads to the last word, and goes then."""
    log = services.out / "app.log"
    script = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 1000 & wait; done"
    unit = services.unit(f"ExecStart={services.script(script)}\nX-Initkit-LogFile={log}\nRestart=always")
    assert services.daemon(unit).returncode == 0
    until(lambda: lines(log) == ["up"])
    kill(services.pid(unit))
    told = status(services, unit)
    assert {each["pid"] for each in told["processes"]} <= set(services.started())
    assert "initkit: logger of" in str(told["processes"])
    if how == "start":
        assert services.daemon(unit).returncode == 0
        until(lambda: lines(log) == ["up", "bye", "up"])
    assert initkit(services, "stop", unit).returncode == 0
    assert lines(log)[-2:] == ["up", "bye"]
    assert not services.started()


_MANAGER = """
import sys
from initkit.run.register import Register
made = Register(sys.argv[1])
print("made", flush=True)
sys.stdin.readline()
made.managed("/run/nowhere.sock")
sys.stdin.readline()
"""


_WAITER = """
import os, signal, sys, threading
from initkit.run import register
register._PATIENCE = 0.2
signal.setitimer(signal.ITIMER_REAL, 1000)
waiting = threading.Thread(target=lambda: print(register.settle(sys.argv[1])))
waiting.start()
waiting.join()
print(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
try: os.waitpid(-1, 0)
except ChildProcessError: print("alone")
"""


def test_a_start_that_does_not_come_out_of_its_first_moment(services: Services) -> None:
    """Nobody waits for it for ever, nor is anything left of the waiting."""
    path = services.runtime / "initkit" / f"{services.prefix}moment.register"
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": services.environment()}
    manager = subprocess.Popen([sys.executable, "-c", _MANAGER, str(path)], **given)  # type: ignore[call-overload]
    assert manager.stdout.readline() == "made\n"
    waiting = subprocess.Popen([sys.executable, "-c", _WAITER, str(path)], **given)  # type: ignore[call-overload]
    assert waiting.communicate(timeout=PATIENCE)[0] == "None\nTrue\nalone\n"
    manager.communicate("\n\n", timeout=PATIENCE)


def test_a_start_in_its_first_moment(services: Services) -> None:
    """Whoever comes then waits until it is known who the manager is, and no longer: that one lives on."""
    path = services.runtime / "initkit" / f"{services.prefix}moment.register"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": services.environment()}
    manager = subprocess.Popen([sys.executable, "-c", _MANAGER, str(path)], **pipes)  # type: ignore[call-overload]
    assert manager.stdout.readline() == "made\n"
    code = (
        f"from initkit.run import register; register._PATIENCE = 1000; register.settle({str(path)!r});"
        f" print(register.read({str(path)!r}))"
    )
    waiting = subprocess.Popen([sys.executable, "-c", code], **pipes)  # type: ignore[call-overload]
    locked = f":{path.stat().st_ino} "
    until(lambda: any("->" in line and locked in line for line in lines(Path("/proc/locks"))), "one that waits")
    manager.stdin.write("\n")
    manager.stdin.flush()
    told, _ = waiting.communicate(timeout=PATIENCE)
    assert f"manager=Identity(pid={manager.pid}," in told
    assert manager.poll() is None
    manager.communicate("\n", timeout=PATIENCE)
