"""What is measured, each thing once: the rounds are another's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from peers import Initkit, Peer
from place import Place, environment, memory, switches, until, wait_for_end

#: What was found: (row, who, value); seconds or MiB or a count.
Found = Iterator[tuple[str, str, float]]

PYTHON_DAEMON = "python-daemon"
READY, ITS_PID_FILE = "initkit run --daemon, until it says ready", f"{PYTHON_DAEMON}, until its PID file"
_PYTHON_DAEMON = """
import sys, time
import daemon, daemon.pidfile
with daemon.DaemonContext(pidfile=daemon.pidfile.PIDLockFile(sys.argv[1])):
    time.sleep(1000)
"""


def up(place: Place, peer: Peer, count: int) -> float:
    """Start so many services: how long until the last program has begun."""
    peer.prepare(count)
    place.forget_stamps()
    before = time.monotonic()
    peer.start()
    taken = max(place.stamps(count)) - before
    peer.settled()
    return taken


def many(place: Place, peer: Peer, count: int) -> Found:
    """Many services under one manager."""
    yield f"{count} services up", peer.title, up(place, peer, count)
    time.sleep(0.3)  # whatever it does when all is up
    rss, pss = memory(place.managers())
    yield f"manager of {count} services, RSS", peer.title, rss
    yield f"manager of {count} services, PSS", peer.title, pss
    place.end_all()


def one(place: Place, peer: Peer, lived: float) -> Found:
    """One service: what its manager takes, and how long the common things last. It has lived so many seconds when it
    crashes: with a second or more no manager holds its restart back."""
    up(place, peer, 1)
    began = time.monotonic()
    if status := peer.status():
        yield "status", peer.title, place.run(status)
    time.sleep(max(0.0, began + lived - time.monotonic()))
    if managers := place.managers():
        rss, pss = memory(managers)
        yield "manager of one service, RSS", peer.title, rss
        yield "manager of one service, PSS", peer.title, pss
        yield "restart after a crash", peer.title, _restart(place)
    if stop := peer.stop():
        yield "stop, beyond the program's own time", peer.title, _stop(place, stop)
    place.end_all()


def _restart(place: Place) -> float:
    pid = place.only_program()
    pidfd = os.pidfd_open(pid)
    place.forget_stamps()
    os.kill(pid, signal.SIGKILL)
    dead = wait_for_end(pidfd)
    return place.stamps(1)[0] - dead


def _stop(place: Place, command: list[str | Path]) -> float:
    pid = place.only_program()
    pidfd = os.pidfd_open(pid)
    process = place.begin(command)
    dead = wait_for_end(pidfd)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)  # it has become ours, and a zombie has not ended for those who poll
    process.wait()
    return time.monotonic() - dead


def idle(place: Place, peers: list[Peer], span: float) -> Found:
    """How often managers wake up while nothing happens; all of them at once."""
    found: dict[str, list[int]] = {}
    known: set[int] = set()
    for peer in peers:
        up(place, peer, 1)
        time.sleep(0.2)  # launchers end
        found[peer.title] = [pid for pid in place.managers() if pid not in known]
        known.update(found[peer.title])
    time.sleep(min(1.0, span))
    before = {who: switches(pids) for who, pids in found.items()}
    time.sleep(span)
    for who, pids in found.items():
        if pids:
            yield f"idle, wake-ups in {span:g} s", who, switches(pids) - before[who]
    place.end_all()


def growth(place: Place, counts: tuple[int, ...], rounds: int) -> Iterator[tuple[int, float, float]]:
    """So many services of initkit's: count, seconds, MiB."""
    for count in counts:
        times, sizes = [], []
        for _ in range(rounds):
            times.append(up(place, Initkit(place), count))
            time.sleep(0.3)
            sizes.append(memory(place.managers())[0])
            place.end_all()
        yield count, sorted(times)[len(times) // 2], sorted(sizes)[len(sizes) // 2]


# --- starts -----------------------------------------------------------------------------------------------------------


def starts(place: Place) -> dict[str, Callable[[], float]]:
    """What a start costs: a name, and a function that does it once."""
    python, initkit = place.tool("python"), place.tool("initkit")
    folder = place.fresh("starts")
    unit, toml, daemon = (folder / f"{place.name('true')}{suffix}" for suffix in (".service", ".toml", "d.service"))
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    toml.write_text('exec_start = ["/bin/true"]\n')
    pid_file = folder / "daemon.pid"
    daemon.write_text(
        f"[Service]\nExecStart={place.program}\nPIDFile={pid_file}\nStandardOutput=null\nX-Initkit-SettleSec=0\n"
    )
    place.name("trued")
    found = {
        "python -c pass": lambda: place.run([python, "-c", "pass"]),
        "initkit run true.service": lambda: place.run([initkit, "run", unit, "--foreground"]),
        "initkit run true.toml": lambda: place.run([initkit, "run", toml, "--foreground"]),
        "initkit run --daemon, until its PID file": lambda: _until_file(
            place, [initkit, "run", daemon, "--daemon"], pid_file
        ),
        READY: lambda: _until_ready(place, [initkit, "run", daemon, "--daemon"]),
    }
    if _imports(python, "daemon"):
        script, peer_file = folder / "peer.py", folder / "peer.pid"
        script.write_text(_PYTHON_DAEMON)
        found[ITS_PID_FILE] = lambda: _until_file(place, [python, script, peer_file], peer_file)
    return found


def _imports(python: str, module: str) -> bool:
    command = [python, "-c", f"import {module}"]
    return subprocess.run(command, env=environment(), capture_output=True).returncode == 0


def _until_file(place: Place, command: list[str | Path], path: Path) -> float:
    path.unlink(missing_ok=True)
    place.forget_stamps()
    before = time.perf_counter()
    place.begin(command)
    until(lambda: path.exists() and path.stat().st_size, f"{path}", pause=0.0002)
    taken = time.perf_counter() - before
    place.end_all()
    return taken


def _until_ready(place: Place, command: list[str | Path]) -> float:
    place.forget_stamps()
    taken = place.run(command)
    place.end_all()
    return taken
