"""What a start costs, beside a bare interpreter and initkit's peers.

    python tests/bench/start.py [ROUNDS]

Makes a virtual environment with the wheel of this checkout and the `bench` extra (python-daemon, zdaemon), and prints
medians of interleaved runs, each as a ratio to `python -c pass` of the same interpreter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0

_PYTHON_DAEMON = """
import sys, time
import daemon, daemon.pidfile
with daemon.DaemonContext(pidfile=daemon.pidfile.PIDLockFile(sys.argv[1])):
    time.sleep(1000)
"""
_ZDAEMON = """
<runner>
  program /bin/sleep 1000
  socket-name {folder}/zdsock
  directory {folder}
</runner>
"""


def environment() -> dict[str, str]:
    """As at a boot: nothing of Python's own, so that bytecode is cached and found."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def prepare(folder: Path) -> Path:
    """A virtual environment with everything that is measured; its bin folder."""
    place = folder / "venv"
    venv.create(place, with_pip=True)
    pip = [place / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    copy = folder / "checkout"
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", "__pycache__"))
    more = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([*pip, f"{copy}[bench]"], check=True, env=more)
    return place / "bin"


def seconds(command: list[str | Path]) -> float:
    """How long a command takes to its end."""
    before = time.perf_counter()
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - before


def until_file(command: list[str | Path], path: Path, end: Callable[[], None]) -> float:
    """How long it takes from a command's start until a file is there with something in it; then `end` is called."""
    path.unlink(missing_ok=True)
    before = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    while not (path.exists() and (path.is_socket() or path.stat().st_size)):
        if time.perf_counter() - before > PATIENCE:
            raise TimeoutError(f"{path} is not there after {PATIENCE:g} s: {command}")
        time.sleep(0.0002)  # leaves the processor to what is measured
    taken = time.perf_counter() - before
    process.wait()
    end()
    return taken


def kill_named(path: Path) -> None:
    """End the daemon whose pid is in a file, and see it gone."""
    pid = int(path.read_text().split()[0])
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        if time.monotonic() > end:
            raise TimeoutError(f"{pid} does not end")
        time.sleep(0.001)
    path.unlink(missing_ok=True)


def measures(folder: Path, bin_folder: Path) -> dict[str, Callable[[], float]]:
    """What is measured: a name, and a function that does it once."""
    python, initkit = bin_folder / "python", bin_folder / "initkit"
    unit, toml, daemon = folder / "true.service", folder / "true.toml", folder / "sleeper.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    toml.write_text('exec_start = ["/bin/true"]\n')
    pid_file, peer_file = folder / "sleeper.pid", folder / "peer.pid"
    daemon.write_text(
        f"[Service]\nExecStart=/bin/sleep 1000\nPIDFile={pid_file}\nStandardOutput=null\nX-Initkit-SettleSec=1ms\n"
    )
    peer, config = folder / "peer.py", folder / "zdaemon.conf"
    peer.write_text(_PYTHON_DAEMON)
    config.write_text(_ZDAEMON.format(folder=folder))
    zdaemon: list[str | Path] = [bin_folder / "zdaemon", "-C", config]

    def stop_zdaemon() -> None:
        subprocess.run([*zdaemon, "stop"], check=True, env=environment(), stdout=subprocess.DEVNULL)

    return {
        "python -c pass": lambda: seconds([python, "-c", "pass"]),
        "initkit run true.service": lambda: seconds([initkit, "run", unit, "--foreground"]),
        "initkit run true.toml": lambda: seconds([initkit, "run", toml, "--foreground"]),
        "python -m initkit run true.service": lambda: seconds([python, "-m", "initkit", "run", unit, "--foreground"]),
        "initkit run --daemon, to its PID file": lambda: until_file(
            [initkit, "run", daemon, "--daemon"], pid_file, lambda: kill_named(pid_file)
        ),
        "initkit run --daemon, to its return": lambda: _returned([initkit, "run", daemon, "--daemon"], pid_file),
        "python-daemon, to its PID file": lambda: until_file(
            [python, peer, peer_file], peer_file, lambda: kill_named(peer_file)
        ),
        "zdaemon start, to its socket": lambda: until_file([*zdaemon, "start"], folder / "zdsock", stop_zdaemon),
    }


def _returned(command: list[str | Path], pid_file: Path) -> float:
    taken = seconds(command)
    kill_named(pid_file)
    return taken


def main(rounds: int) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory(prefix="initkit-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        todo = measures(folder, prepare(folder))
        for measure in todo.values():  # warm, and bytecode written
            measure()
        times: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(rounds):
            for name, measure in todo.items():
                times[name].append(measure())
    bare = median(times["python -c pass"])
    print(f"{'':<40} {'median':>8} {'ratio':>6}   of {rounds} interleaved runs")
    for name, found in times.items():
        print(f"{name:<40} {median(found) * 1000:>5.1f} ms {median(found) / bare:>6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
