"""What a version of systemd does not know is known here: `gen-unit --systemd-version` against systemd's own word."""

from __future__ import annotations

from pathlib import Path

import pytest
from inits import since

from initkit.cli import main

from .machine import Machine

SETTINGS = {
    "Type": 'type = "notify-reload"',
    "OpenFile": 'open_file = "/etc/hostname"',
    "MemoryZSwapMax": 'memory_zswap_max = "1G"',
    "RestartMode": 'restart_mode = "direct"',
    "ExitType": 'exit_type = "cgroup"',
    "StandardOutput": 'standard_output = "truncate:/var/log/new"',
}
SINCE = {
    "Type": 253,
    "OpenFile": 253,
    "MemoryZSwapMax": 253,
    "RestartMode": 254,
    "ExitType": 250,
    "StandardOutput": 248,
}


#: What verify takes without a word, though the version does not know it: 247 makes a directory "a:b". And a program
#: without its path, for which 247's verify alone does not search.
UNSEEN = ("ConditionSecurity=", "StateDirectory=a::ro", "RuntimeDirectory=a:b", "ExecStop=true")


def test_what_came_later(verifying_machine: Machine) -> None:
    """systemd-analyze complains of exactly those that came after it: directives, values, prefixes and specifiers."""
    told = {**since.DIRECTIVES, **{line: version for line, (version, _) in {**since.PARTS, **since.COMPANIONS}.items()}}
    cases = {f"since{number:03}": line for number, line in enumerate((*told, *since.OLD))}
    paths = []
    for name, line in cases.items():
        for suffix, text in since.unit(line).items():
            paths.append(f"/run/since/{name}.{suffix}")
            verifying_machine.write(paths[-1], text)
    said = verifying_machine.run("systemd-analyze", "--man=no", "verify", *paths, check=False).stderr
    version = verifying_machine.kind.version
    wrong = {
        f"{line}: {told.get(line, 0)}": [each for each in said.splitlines() if f"{name}." in each]
        for name, line in cases.items()
        if not any(each in line for each in UNSEEN) and (f"{name}." in said) != (told.get(line, 0) > version)
    }
    assert wrong == {}


def test_a_version_is_kept_to(verifying_machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, version = tmp_path / "new.toml", verifying_machine.kind.version
    path.write_text("\n".join(['exec_start = ["/bin/true"]', *SETTINGS.values()]))
    argv = ["gen-unit", str(path), "--systemd-version", str(version)]
    too_new = [key for key in sorted(SETTINGS) if SINCE[key] > version]
    if too_new:
        assert main(argv) == 78
        told = capsys.readouterr()
        assert told.out == ""
        assert [key for key in sorted(SETTINGS) if f"{key}= (" in told.err] == too_new
        hint = " ".join(f"--allow-loss {key}" for key in too_new)
        assert told.err.rstrip().endswith(f"(accept it with {hint})")
    allowed = [word for key in too_new for word in ("--allow-loss", key)]
    assert main([*argv, *allowed]) == 0
    unit = capsys.readouterr().out
    assert {key for key in SETTINGS if f"\n{key}=" in unit} == {*SETTINGS} - {*too_new}
    verifying_machine.write("/run/new.service", unit)
    verified = verifying_machine.run("systemd-analyze", "--man=no", "verify", "/run/new.service")
    assert verified.stdout + verified.stderr == ""
