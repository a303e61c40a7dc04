"""`initkit logs` and `initkit call`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from run.harness import PATIENCE, Services, until

from .ways import as_nobody, initkit, needs_root, python


def test_files(services: Services) -> None:
    out, err = services.out / "out", services.out / "err"
    for kind in ("file", "append", "truncate"):
        unit = services.unit(f"ExecStart=/bin/true\nStandardOutput={kind}:{out}")
        missing = initkit(services, "logs", unit)
        assert (missing.returncode, missing.stderr) == (1, f"initkit: {out}: is not there yet\n")
        out.write_text("".join(f"line {n}\n" for n in range(20)))
        assert initkit(services, "logs", unit).stdout == "".join(f"line {n}\n" for n in range(10, 20))
        assert initkit(services, "logs", unit, "-n", "2").stdout == "line 18\nline 19\n"
        out.unlink()
    out.write_text("to out\n")
    err.write_text("to err\n")
    both = services.unit(f"ExecStart=/bin/true\nStandardOutput=append:{out}\nStandardError=append:{err}")
    shown = initkit(services, "logs", both).stdout
    assert str(out) in shown and "to out\n" in shown and str(err) in shown and "to err\n" in shown


def test_a_service_that_writes(services: Services) -> None:
    out = services.out / "-log"
    unit = services.unit(
        f"ExecStart={services.script('echo one; echo two >&2; exec sleep 1000')}\nStandardOutput=append:{out}"
    )
    assert initkit(services, "start", unit).returncode == 0
    until(lambda: initkit(services, "logs", unit).stdout == "one\ntwo\n")
    assert initkit(services, "stop", unit).returncode == 0


def test_follow_beyond_a_rotation(services: Services) -> None:
    out, shown = services.out / "out", services.out / "shown"
    out.write_text("old\n")
    unit = services.unit(f"ExecStart=/bin/true\nStandardOutput=append:{out}")
    with shown.open("w") as file:
        words = [python(), "-m", "initkit", "logs", str(unit), "-f"]
        follower = subprocess.Popen(words, env=services.environment(), stdout=file, stderr=subprocess.DEVNULL)
    try:
        until(lambda: shown.read_text() == "old\n")
        with out.open("a") as file:
            file.write("new\n")
        until(lambda: shown.read_text() == "old\nnew\n")
        out.rename(f"{out}.1")
        out.write_text("rotated\n")
        until(lambda: shown.read_text() == "old\nnew\nrotated\n")
    finally:
        follower.terminate()
        follower.wait(PATIENCE)


def test_a_log_that_initkit_keeps(services: Services) -> None:
    """Lines are found across rotations; -f goes on where they end, and goes along with the next rotation."""
    log, shown = services.out / "log", services.out / "shown"
    unit = services.unit(
        f"ExecStart=/bin/true\nX-Initkit-LogFile={log}\nX-Initkit-LogMaxSize=1K\nX-Initkit-LogMaxFiles=3"
    )
    assert initkit(services, "logs", unit).stderr == f"initkit: {log}: is not there yet\n"
    for number, name in enumerate(("log.2", "log.1", "log")):
        (services.out / name).write_text("".join(f"line {number}{n}\n" for n in range(3)))
    every = [f"line {number}{n}" for number in range(3) for n in range(3)]
    for count in (0, 1, 3, 4, 7, 9, 20):
        shown_now = initkit(services, "logs", unit, "-n", str(count)).stdout.splitlines()
        assert shown_now == (every[-count:] if count else [])
    with shown.open("w") as file:
        words = [python(), "-m", "initkit", "logs", str(unit), "-f", "-n", "4"]
        follower = subprocess.Popen(words, env=services.environment(), stdout=file, stderr=subprocess.DEVNULL)
    try:
        with log.open("a") as file:
            file.write("half")
            file.flush()
            until(lambda: shown.read_text().splitlines() == [*every[-4:], "half"])
            file.write(" and half\n")
        log.rename(f"{log}.1")
        log.write_text("rotated\n")
        until(lambda: shown.read_text().splitlines() == [*every[-4:], "half and half", "rotated"])
    finally:
        follower.terminate()
        follower.wait(PATIENCE)
    assert initkit(services, "logs", unit, "--reopen").returncode == 0  # nobody runs who would have to


def test_any_number_of_lines(services: Services) -> None:
    """However many, and however large the files: none is left out between two files, and bytes stay what they are."""
    log = services.out / "log"
    unit = services.unit(f"ExecStart=/bin/true\nX-Initkit-LogFile={log}\nX-Initkit-LogMaxSize=1M")
    every = [b"%06d \xff %s" % (number, b"x" * (number % 50)) for number in range(30_000)]
    for name, these in (("log.2", every[:10_000]), ("log.1", every[10_000:20_000]), ("log", every[20_000:])):
        (services.out / name).write_bytes(b"".join(b"%s\n" % line for line in these))

    def shown(count: int) -> bytes:
        words = [python(), "-m", "initkit", "logs", str(unit), "-n", str(count)]
        return subprocess.run(words, env=services.environment(), stdout=subprocess.PIPE, check=True).stdout

    for count in (1, 9_999, 10_000, 10_001, 25_000, 30_000, 90_000):
        assert shown(count).splitlines() == every[-count:], count
    with log.open("ab") as file:
        file.write(b"half")
    assert shown(10_001).splitlines() == [*every[-10_000:], b"half"]


def test_lines_of_a_program_that_never_pauses(services: Services) -> None:
    """So many as are asked for, and not what comes while they are shown."""
    log = services.out / "log"
    unit = services.unit(f"ExecStart=/usr/bin/yes\nX-Initkit-LogFile={log}\nX-Initkit-LogMaxSize=1M")
    assert initkit(services, "start", unit).returncode == 0
    try:
        until(lambda: (services.out / "log.1").exists())
        for _ in range(5):
            assert initkit(services, "logs", unit, "-n", "2").stdout in ("y\ny\n", "y\n", "y\ny")
    finally:
        assert initkit(services, "stop", unit).returncode == 0


def test_a_log_directory(services: Services) -> None:
    """Of s6-log, svlogd and multilog it is known where they write."""
    folder = services.out / "log"
    folder.mkdir()
    unit = services.unit(f"ExecStart=/bin/true\nX-Initkit-LogCommand=/usr/bin/s6-log n5 s4096 {folder}")
    unknown = initkit(services, "logs", unit)
    assert unknown.returncode == 1
    assert f" /usr/bin/s6-log n5 s4096 {folder}: where that keeps it is not known\n" in unknown.stderr
    (folder / "@400000006b01b99133b7920f.s").write_text("old\n")
    (folder / "@400000006b01b98033b7920f.s").write_text("older\n")
    (folder / "current").write_text("new\n")
    assert initkit(services, "logs", unit).stdout == "older\nold\nnew\n"
    assert initkit(services, "logs", unit, "-n2").stdout == "old\nnew\n"
    refused = initkit(services, "logs", unit, "--reopen")
    assert (refused.returncode, "--whom=logger" in refused.stderr) == (1, True)


def test_reopening(services: Services) -> None:
    log = services.out / "log"
    unit = services.unit(f"ExecStart=/bin/sleep 1000\nX-Initkit-LogFile={log}")
    assert initkit(services, "start", unit).returncode == 0
    until(log.exists)
    log.rename(f"{log}.1")
    assert initkit(services, "logs", unit, "--reopen").returncode == 0
    until(log.exists)
    main, logger = (
        next(line for line in initkit(services, "status", unit).stdout.splitlines() if f"{name}:" in line).split()[-1]
        for name in ("Main PID", "Logger")
    )
    assert initkit(services, "kill", unit, "--whom=logger", "-s", "KILL").returncode == 0
    until(lambda: not os.path.exists(f"/proc/{logger}"))
    assert os.path.exists(f"/proc/{main}")
    assert initkit(services, "stop", unit).returncode == 0
    refused = initkit(services, "kill", unit, "--whom=logger")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("kind", ["null", "tty"])
def test_what_nobody_keeps(services: Services, kind: str) -> None:
    shown = initkit(services, "logs", services.unit(f"ExecStart=/bin/true\nStandardOutput={kind}"))
    assert (shown.returncode, shown.stderr) == (1, f"initkit: StandardOutput={kind}: nothing of the output is kept\n")


def test_where_no_syslog_is(services: Services) -> None:
    """A container's, mostly: then nothing of the output is kept, and what would keep it is said."""
    places = (
        "/dev/log",
        "/run/systemd/journal/stdout",
        *(f"/var/log/{n}" for n in ("syslog", "messages", "daemon.log")),
    )
    if any(map(os.path.exists, places)):
        pytest.skip("there is one")
    shown = initkit(services, "logs", services.unit("ExecStart=/bin/true"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "nobody is there to take it: nothing of it is kept ([initkit] log_file, or " in shown.stderr


@needs_root
def test_the_syslogs_file(services: Services) -> None:
    """Of the system's log the lines of this service alone."""
    path = next((each for each in ("/var/log/syslog", "/var/log/messages") if os.path.exists(each)), "/var/log/syslog")
    if os.path.exists("/run/systemd/journal/stdout"):
        pytest.skip("the journal has it here")
    unit = services.unit("ExecStart=/bin/true")
    tag = unit.stem
    lines = [f"Nov 21 09:10:08 host {tag}[42]: one\n", f"2025-11-21T09:10:08+01:00 host {tag}: two\n"]
    others = [
        f"Nov 21 09:10:08 host {tag}x[42]: no\n",
        f"Nov 21 09:10:08 host other: of {tag}: no\n",
        f"Nov 21 09:10:08 host x{tag}: no\n",
    ]
    before = Path(path).read_bytes() if os.path.exists(path) else None
    try:
        with open(path, "a") as file:
            file.writelines([others[0], lines[0], others[1], lines[1], others[2]])
        assert initkit(services, "logs", unit).stdout == "".join(lines)
        assert initkit(services, "logs", unit, "-n1").stdout == lines[1]
        if before is None:
            os.chmod(path, 0o600)
            refused = initkit(services, "logs", unit, **as_nobody(services))
            assert (refused.returncode, refused.stderr.endswith(f" {path} may not be read\n")) == (1, True)
    finally:
        os.unlink(path) if before is None else Path(path).write_bytes(before)


def test_usage(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true")
    for argv in (
        ["logs"],
        ["logs", unit, "-n", "-1"],
        ["logs", unit, "-n", "many"],
        ["call", unit],
        ["call"],
        ["call", "-x", "y"],
    ):
        wrong = initkit(services, *argv)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (64, 1), argv
        assert "_count" not in wrong.stderr


def test_call_of_what_does_not_run(services: Services) -> None:
    unit = services.unit(f"ExecStart={services.script('exec sleep 1000')}")
    called = initkit(services, "call", unit, "ticks")
    assert (called.returncode, called.stderr.count("\n")) == (7, 1)


_CLOCK = """
import time
from initkit import Daemon, command

class Clock(Daemon):
    def run(self):
        time.sleep(1000)

    @command
    def add(self, one: int, other: int) -> int:
        return one + other

    @command
    def say(self, text: str) -> str:
        return text

    @command
    def fail(self) -> None:
        raise ValueError("no time")

if __name__ == "__main__":
    Clock("{unit}").main()
"""


def test_call(services: Services) -> None:
    unit = services.folder / f"{services.prefix}clock.toml"
    unit.write_text('description = "A clock"\nrestart = "always"\n')
    program = services.folder / "clock.py"
    program.write_text(_CLOCK.format(unit=unit))
    verb = [python(), str(program)]
    environment = services.environment()
    subprocess.run([*verb, "start"], env=environment, check=True, timeout=PATIENCE)
    try:
        called = initkit(services, "call", unit, "add", "2", "40")
        assert (called.returncode, called.stdout, called.stderr) == (0, "42\n", "")
        assert initkit(services, "call", unit, "say", "--two  words").stdout == "--two  words\n"
        unknown = initkit(services, "call", unit, "tell")
        assert unknown.returncode == 64 and "add" in unknown.stderr and "say" in unknown.stderr
        failed = initkit(services, "call", unit, "fail")
        assert (failed.returncode, failed.stderr.count("\n"), "no time" in failed.stderr) == (1, 1, True)
    finally:
        subprocess.run([*verb, "stop"], env=environment, check=True, timeout=PATIENCE)
    assert initkit(services, "call", unit, "add", "2", "40").returncode == 7
