"""Units that look at themselves see the same under systemd and, where there is none, under `initkit run`."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.machine import SYSTEMD_257, SYSV, Kind, Machine

from .cases import PLACE, Case, every

CASES = every()

# What a unit has printed, and how it ended: one line a unit with its name, result and status. A unit's end is its
# program's, or the one of the step that was in its way.
SYSTEMD = f"""\
systemctl daemon-reload
systemctl start conformance.target # systemd forgets a unit that has ended, unless another names it
for unit in "$@"; do
    [ ! -e {PLACE}/before/$unit ] || sh {PLACE}/before/$unit
    systemctl start "$unit" 2>/dev/null
    shown=$(systemctl show -p Id,ActiveState,Result,ExecMainCode,ExecMainStatus,ConditionResult,AssertResult "$unit")
    echo $shown
    case $shown in
    *ActiveState=inactive*) continue ;; # it has ended, and there is nothing to forget
    esac
    systemctl stop "$unit" 2>/dev/null
    systemctl reset-failed "$unit" 2>/dev/null
done
"""
RUNNER = f"""\
#!/bin/sh
[ "$(cut -d" " -f5 /proc/self/mountinfo | grep -cx /sys)" = 1 ] || umount --lazy /sys # the whole one is below
cd {PLACE}/scripts
for unit in *; do
    [ ! -e {PLACE}/before/$unit ] || sh {PLACE}/before/$unit
    initkit run /etc/systemd/system/$unit.service --foreground 2>{PLACE}/errors/$unit
    echo "$? $unit"
done >{PLACE}/ends 2>&1
cat {PLACE}/ends >{PLACE}/ended # a FIFO: who reads it waits without looking again and again
"""


class Seen:
    """What the units of one machine have seen."""

    def __init__(self, ends: dict[str, str], printed: dict[str, str]) -> None:
        self.ends, self.printed = ends, printed


def _see(kind: Kind, initkit: bool) -> Seen:
    with Machine(kind) as machine:
        machine.run_bytes("tar", "--extract", "--directory=/", input=_files())
        if initkit:
            machine.install_initkit()
            machine.write(f"{PLACE}/run", RUNNER)
            machine.run("mkfifo", f"{PLACE}/ended")
            machine.by_init(f"{PLACE}/run")
            done = machine.run("cat", f"{PLACE}/ended", timeout=600).stdout
            ends = dict(map(_runners_end, done.splitlines()))
        else:
            done = machine.sh(SYSTEMD, *(case.name for case in CASES), timeout=600).stdout
            ends = dict(map(_systemds_end, done.splitlines()))
        output = machine.run_bytes("tar", "--create", f"--directory={PLACE}", "out", "errors").stdout
    return Seen(ends, _printed(output))


def _files() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as target:
        for folder in ("out", "errors"):
            entry = tarfile.TarInfo(f"{PLACE[1:]}/{folder}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            target.addfile(entry)
        units = " ".join(f"{case.name}.service" for case in CASES)
        _add(target, "etc/systemd/system/conformance.target", f"[Unit]\nAfter={units}\n")
        for case in CASES:
            _add(target, f"etc/systemd/system/{case.name}.service", case.unit)
            _add(target, f"{PLACE[1:]}/scripts/{case.name}", case.text)
            if case.before:
                _add(target, f"{PLACE[1:]}/before/{case.name}", "".join(f"{line}\n" for line in case.before))
    return archive.getvalue()


def _add(target: tarfile.TarFile, path: str, text: str) -> None:
    entry = tarfile.TarInfo(path)
    data = text.encode()
    entry.size, entry.mode = len(data), 0o644
    target.addfile(entry, io.BytesIO(data))


def _printed(archive: bytes) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        for entry in source:
            file = source.extractfile(entry) if entry.isfile() else None
            if file:
                found[entry.name] = file.read().decode(errors="replace")
    return found


def _systemds_end(line: str) -> tuple[str, str]:
    shown = dict(word.split("=", 1) for word in line.split())
    name, status = shown["Id"].removesuffix(".service"), shown["ExecMainStatus"]
    if shown["ConditionResult"] == "no":
        return name, "skipped"
    if shown["AssertResult"] == "no":
        return name, "refused"
    if shown["Result"] == "resources":
        return name, "resources"
    if shown["Result"] == "success" and shown["ExecMainCode"] == "1":  # a failure does not count behind "-"
        return name, "0"
    return name, status if shown["ExecMainCode"] in ("0", "1") else str(-int(status))


def _unrun(status: str) -> bool:
    """Whether a unit that ends like this was refused, or failed at a step: it prints nothing."""
    return status == "78" or 200 <= int(status) <= 245


def _runners_end(line: str) -> tuple[str, str]:
    status, name = line.split()
    return name, str(128 - int(status)) if 128 < int(status) < 193 else status


@pytest.fixture(scope="module")
def seen(lab: None) -> tuple[Seen, Seen]:
    """Under systemd and under initkit, both machines at the same time."""
    with ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(_see, (SYSTEMD_257, SYSV), (False, True))
    return theirs, ours


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_as_systemd(case: Case, seen: tuple[Seen, Seen]) -> None:
    under_systemd, under_initkit = seen
    name = f"out/{case.name}"
    theirs, ours = under_systemd.printed.get(name, ""), under_initkit.printed.get(name, "")
    assert case.agrees(theirs), f"under systemd:\n{theirs}"
    assert under_systemd.ends[case.name] == case.end, f"under systemd:\n{theirs}"
    if case.differs:
        assert case.agrees(ours) or _unrun(case.differs), f"under initkit:\n{ours}"
        assert under_initkit.ends[case.name] == case.differs
        return
    assert ours == theirs, under_initkit.printed.get(f"errors/{case.name}", "")
    assert under_initkit.ends[case.name] == {"skipped": "0", "refused": "1"}.get(case.end, case.end)
