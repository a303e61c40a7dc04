"""What a version of systemd does not know is known here: `gen-unit --systemd-version` against systemd's own word."""

from __future__ import annotations

from pathlib import Path

import pytest

from initkit.cli import main
from initkit.inits.systemd import NEW_VALUES

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


def test_new_values(verifying_machine: Machine) -> None:
    """systemd-analyze complains of exactly those that came after it."""
    cases = [(key, value, since) for key, values in NEW_VALUES.items() for value, since in values.items()]
    wrong = {}
    for key, value, since in cases:
        shown = f"{value}/var/log/new" if value.endswith(":") else value
        verifying_machine.write("/run/new.service", f"[Service]\nExecStart=/bin/true\n{key}={shown}\n")
        said = verifying_machine.run("systemd-analyze", "--man=no", "verify", "/run/new.service", check=False).stderr
        directive_is_known = "Unknown" not in said
        if directive_is_known and (said == "") != (verifying_machine.kind.version >= since):
            wrong[f"{key}={shown}"] = said
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
