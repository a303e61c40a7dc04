"""A process has the same attributes whoever starts it: systemd itself, a generated script, or the runner."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .machine import SYSTEMD_257, Machine, wait_until
from .ways import SYSTEMD, SYSV, UNIT, Way

PROBE = "/usr/local/bin/probe"
REPORT = "/var/tmp/probe"
DIRECTORIES = ("/run/probed", "/run/probed/deep", "/var/lib/probed", "/var/cache/probed", "/var/log/probed")

# Writes down what the kernel knows of it, as sections, then stays. It reads with what is built into the shell: dash
# blocks signals while it starts others.
PROBE_TEXT = f"""\
#!/bin/sh
exec 9>{REPORT}.unfinished
section() {{ echo "[$1]" >&9; }}
show() {{ while read -r line; do echo "$line"; done <"$1" >&9; }}
section status; show /proc/$$/status
section limits; show /proc/$$/limits
section scheduling; show /proc/$$/oom_score_adj; ps -o cls=,ni=,rtprio=,tty= -p $$ >&9; ionice -p $$ >&9
section directory; readlink /proc/$$/cwd /proc/$$/root >&9
section environment; tr '\\0' '\\n' </proc/$$/environ | sort >&9
section descriptors; for fd in /proc/$$/fd/[0-8]; do [ ! -e "$fd" ] || readlink "$fd" >&9; done
section flags; for fd in 0 1 2; do show /proc/$$/fdinfo/$fd; done
section directories; stat -c '%n %A %U:%G %F' {" ".join(DIRECTORIES)} >&9 2>/dev/null
section words; for word; do echo "$word" >&9; done
mv {REPORT}.unfinished {REPORT}
exec 9>&- sleep 1000000
"""

# Of these sections, the lines that are looked at.
KEPT = {
    "status": r"(Uid|Gid|Groups|Umask|NoNewPrivs|SigBlk|SigIgn|Cpus_allowed_list|Cap(Prm|Eff|Amb)):",
    "limits": r"Max (open files|core file size|stack size|address space|file size) ",
    "flags": r"flags:",
    # Not what only systemd tells its services, and a PATH without the names of one folder that a merged /usr saves.
    "environment": r"(?!INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|MEMORY_PRESSURE_|LANG=|PATH=/usr/loc|USER=root)",
}

ROOTS = f"""\
exec_start = ["{PROBE}", "%n", "%N", "%p", "%t", "%S", "%C", "%L", "%E", "%T", "%V", "%u", "%U", "%g", "%G", "%h", "%s"]
"""
STREAMS = """\
standard_output = "null"
standard_error = "truncate:/var/tmp/probe.err"
"""

EVERYTHING = """\
user = "daemon"
group = "adm"
supplementary_groups = ["tty", "audio"]
umask = "0027"
nice = 5
oom_score_adjust = 123
io_scheduling_class = "best-effort"
io_scheduling_priority = 6
cpu_scheduling_policy = "batch"
cpu_affinity = [0]
limit_nofile = "1000:2000"
limit_core = 0
limit_stack = "4M:8M"
limit_as = "infinity"
limit_fsize = "1G"
working_directory = "/var/tmp"
environment = { ONE = "1", TWO = "2 2", THREE = "3", HOME = "/nowhere" }
unset_environment = ["ONE", "TWO=2 2", "THREE=4"]
standard_input = "file:/etc/hostname"
standard_output = "append:/var/log/probe.out"
no_new_privileges = true
ignore_sigpipe = false
runtime_directory = ["probed", "probed/deep"]
runtime_directory_mode = "0750"
state_directory = "probed"
cache_directory = "probed"
logs_directory = "probed"
configuration_directory = "probed"
"""

NUMBERS = """\
user = "33"
group = "4"
working_directory = "~"
"""

CASES = {"as-root": ROOTS + STREAMS, "everything": ROOTS + EVERYTHING, "by-number": ROOTS + NUMBERS + STREAMS}


@pytest.fixture(scope="module")
def expected(lab: None) -> Iterator[dict[str, list[str]]]:
    """By case, what the probe says when systemd 257 starts it from a native unit."""
    with Machine(SYSTEMD_257) as machine:
        yield {name: report(machine, UNIT, settings) for name, settings in CASES.items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", SYSTEMD, ids=str)
def test_systemd(systemd_machine: Machine, way: Way, case: str, expected: dict[str, list[str]]) -> None:
    assert report(systemd_machine, way, CASES[case]) == expected[case]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", SYSV, ids=str)
def test_sysv(sysv_machine: Machine, way: Way, case: str, expected: dict[str, list[str]]) -> None:
    assert report(sysv_machine, way, CASES[case]) == expected[case]


def report(machine: Machine, way: Way, settings: str) -> list[str]:
    """What the probe says of itself: "SECTION: LINE"."""
    if not machine.exists("/usr/bin/initkit"):
        machine.install_initkit()
    machine.write(PROBE, PROBE_TEXT, mode=0o755)
    machine.write("/srv/probed.toml", settings)
    machine.sh("rm -rf /var/tmp/probe* /run/probed /var/*/probed /etc/probed /var/log/probe.out")
    way.start(machine, "/srv/probed.toml")
    try:
        wait_until(lambda: machine.exists(REPORT), what="the report")
        text = machine.read(REPORT)
    finally:
        way.stop(machine, "probed")
        wait_until(lambda: "sleep 1000000" not in machine.pids().values(), what="the end of the service")
    sections = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)[1:]
    found = dict(zip(sections[::2], (section.splitlines() for section in sections[1::2]), strict=True))
    # A container's init has fewer capabilities than whoever enters it from outside: some, or none?
    found["status"] = [re.sub(r"^(Cap\w+):\t0*[1-9a-f].*", r"\1: some", line) for line in found["status"]]
    if "limit_" not in settings:
        del found["limits"]  # each init has its own
    return [f"{name}: {line}" for name, lines in found.items() for line in lines if re.match(KEPT.get(name, ""), line)]
