"""A unit that initkit has read and written again means the same to systemd as the original did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from initkit.cli import main

from .machine import SYSTEMD_252, SYSTEMD_257, Kind, Machine

UNITS = "usr/lib/systemd/system"

# Runs inside: every unit named on the command line is read by name, with its drop-ins, and written to a folder.
GENERATE = """
import contextlib, os, sys
from initkit.cli import main

folder, *names = sys.argv[1:]
os.makedirs(folder)
for name in names:
    with open(f"{folder}/{name}.service", "x") as file, contextlib.redirect_stdout(file):
        status = main(["gen-unit", name])
    if status:
        sys.exit(f"{name}: status {status}")
"""

# What `systemctl show` tells of the file, and of what became of the unit, not of its meaning.
BESIDES = re.compile(
    r"FragmentPath|DropInPaths|NeedDaemonReload|InvocationID|ControlGroupId|MainPID|Job|NRestarts|\w*Timestamp\w*"
    r"|(CPU|IO|IP|Memory|Tasks)(Usage|Read|Write|Ingress|Egress|Current|Peak|Available)\w*"
)
RUN_OF_A_COMMAND = re.compile(r"(start_time|stop_time|pid|code|status)=[^;}]*")

# Sets of units or paths, shown in no order.
SETS = re.compile(
    r"(After|Before|Requires\w*|Requisite\w*|Wants\w*|Wanted\w*|BindsTo|Bound\w*|PartOf|ConsistsOf|Upholds|UpheldBy"
    r"|Required\w*|Conflict\w*|Trigger\w*|Propagates\w*|ReloadPropagatedFrom|StopPropagatedFrom|OnFailure\w*"
    r"|OnSuccess\w*|JoinsNamespaceOf|SliceOf|Following|Names)"
)

FACETS = """\
# Everything about the grammar of units that a reader can get wrong.
[Unit]
Description=A unit with many facets: 100%% of %n \\
    # this is no part of the description
  ; and nor is this
    in two lines
Documentation=man:one(1)
Documentation=https://example.org/%%25 man:two(2)
After=first.service second.service
After=
After=third.service
Wants="quoted.service" 'other.service'
ConditionPathExists=|!/nowhere
ConditionPathExists=|/etc
BindTo=old-spelling.service
StartLimitInterval=5min 20s

[Service]
Type=oneshot
Environment="ONE=1 2" TWO='3 "4"' "THREE=\\"5\\" \\x41\\u00e9\\n"
Environment=
Environment=FOUR=4 "FIVE=$$HOME %% %H"
Environment=SIX=\\x20six\\x20
EnvironmentFile=-/etc/default/%N
PassEnvironment=LANG
UnsetEnvironment=LANG FOUR=4
ExecStartPre=-/bin/echo one \\; two ; /bin/echo "three; four" ; @/bin/echo argv0 five
ExecStartPre=+/bin/echo ${FOUR} $FIVE $$SIX %%n
ExecStart=/bin/echo a
ExecStart=
ExecStart=:/bin/echo "é\\x41\\101\\t" 'it''s' \\
    continued \\
# a comment in between
    "to the end"
ExecStart=!!/bin/true
ExecStop=
StartLimitBurst=7
TimeoutSec=7
TimeoutStopSec=infinity
RemainAfterExit=1
UMask=27
LimitNOFILE=512:1024
LimitCORE=infinity
LimitAS=1.5G
Nice=-5
CPUAffinity=0 1
CPUAffinity=
CPUAffinity=0-1
CPUSchedulingPolicy=batch
IOSchedulingClass=best-effort
IOSchedulingPriority=6
SupplementaryGroups=adm
SupplementaryGroups=tty
SuccessExitStatus=2 SIGUSR1
SuccessExitStatus=TEMPFAIL 250
RestartPreventExitStatus=78
RuntimeDirectory=one/two three
StateDirectory=%N:link
WorkingDirectory=-~
SystemCallFilter=@system-service
SystemCallFilter=~@resources
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN
CapabilityBoundingSet=~CAP_CHOWN
RestrictAddressFamilies=~AF_PACKET
ReadWriteDirectories=-/var/tmp
BindPaths="/var/tmp:/srv/with a blank:rbind"
TemporaryFileSystem=/var:ro,size=1M
LoadCredential=one:/etc/hostname
SetCredential=two:a "text" with \\x41
LogExtraFields="ONE=1 2" TWO=3
MemoryMax=50%
MemoryHigh=1.5G
CPUQuota=20%
IPAddressDeny=any
DeviceAllow=/dev/null rw
StandardOutput=append:/var/log/%N.log
SyslogIdentifier=facets %i
KillSignal=SIGRTMIN+3
X-Unknown=passed over

[X-Other]
Anything=goes

[Install]
WantedBy=multi-user.target "graphical.target"
Alias=other-name.service
Also=third.service
"""

DROP_INS = {
    "10-lists.conf": """\
[Unit]
After=fourth.service
ConditionPathExists=
ConditionPathExists=/etc
[Service]
Environment=SEVEN=7
ExecStartPre=
ExecStartPre=/bin/echo from the drop-in
""",
    "20-resets.conf": """\
[Service]
LimitNOFILE=
Nice=3
SystemCallFilter=
UMask=0077
WorkingDirectory=
IPAddressDeny=
""",
}


@pytest.fixture(params=[SYSTEMD_252, SYSTEMD_257], ids=str)
def machine(lab: None, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with initkit, and with a unit of many facets beside Debian's."""
    with Machine(request.param) as machine:
        machine.install_initkit()
        machine.write(f"/{UNITS}/facets.service", FACETS)
        for name, text in DROP_INS.items():
            machine.write(f"/{UNITS}/facets.service.d/{name}", text)
        machine.run("systemctl", "daemon-reload")
        yield machine


def test_systemctl_shows_the_same(machine: Machine) -> None:
    names = machine.sh(f"cd /{UNITS} && find . -name '*.service' -type f -printf '%f\\n' | sort").stdout.split()
    assert {"facets.service", "nginx.service", "redis-server.service", "user@.service"} <= set(names)
    original = meanings(machine, names)
    machine.run("python3", "-c", GENERATE, "/run/generated", *(name.removesuffix(".service") for name in names))
    # The generated units hold what the drop-ins said.
    machine.sh(f"rm -r /{UNITS}/*.service.d && cp /run/generated/* /etc/systemd/system && systemctl daemon-reload")
    generated = meanings(machine, names)
    assert all(path.startswith("/etc/systemd/system/") for path in fragments(machine, names))
    assert differences(original, generated) == []


def meanings(machine: Machine, names: list[str]) -> dict[str, dict[str, object]]:
    """Of each unit (of an instance, where it is a template) the properties that make its meaning."""
    instances = [name.replace("@.", "@7.") for name in names]
    shown = machine.run("systemctl", "show", "--all", "--", *instances).stdout
    found = [dict(properties(block)) for block in shown.split("\n\n")]
    return {str(each["Id"]): each for each in found}


def properties(block: str) -> Iterator[tuple[str, object]]:
    for line in re.split(r"\n(?=\w+=)", block):
        name, _, value = line.partition("=")
        if SETS.fullmatch(name):
            yield name, sorted(value.split())
        elif not BESIDES.match(name):
            yield name, RUN_OF_A_COMMAND.sub("", value) if name.startswith("Exec") else value


def fragments(machine: Machine, names: list[str]) -> list[str]:
    instances = [name.replace("@.", "@7.") for name in names]
    return machine.run("systemctl", "show", "--property=FragmentPath", "--value", "--", *instances).stdout.split()


def differences(original: dict[str, dict[str, object]], generated: dict[str, dict[str, object]]) -> list[str]:
    assert original.keys() == generated.keys()
    return [
        f"{unit}: {name}: {original[unit].get(name)!r} became {generated[unit].get(name)!r}"
        for unit in original
        for name in sorted(original[unit].keys() | generated[unit].keys())
        if original[unit].get(name) != generated[unit].get(name)
    ]


def test_verify_has_nothing_new_to_say(verifying_machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    originals = [file for file in units(verifying_machine.kind) if not file.is_symlink()]
    assert len(originals) > 60
    for file in originals:
        assert main(["gen-unit", str(file)]) == 0
        verifying_machine.write(f"/run/generated/{file.name}", capsys.readouterr().out)
    before = complaints(verifying_machine, f"/{UNITS}", originals)
    after = complaints(verifying_machine, "/run/generated", originals)
    assert after - before == set()


def units(kind: Kind) -> list[Path]:
    """All that Debian's packages in a root bring."""
    folder = next(folder for name in (UNITS, "lib/systemd/system") if (folder := kind.root / name).is_dir())
    return sorted(folder.glob("*.service"))


def complaints(machine: Machine, folder: str, files: list[Path]) -> set[str]:
    said = machine.run("systemd-analyze", "verify", *(f"{folder}/{file.name}" for file in files), check=False).stderr
    return {re.sub(r"\S*/(\S+):\d+:", r"\1:", line) for line in said.splitlines()}
