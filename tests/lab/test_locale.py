"""$LANG and its kin: what a program is told of the machine's locale is the same as under systemd."""

from __future__ import annotations

import pytest

from .machine import SYSTEMD_257, SYSV, Kind, Machine

UNIT = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'env | grep -E "^(LANG|LC_|FOO)" | sort >/var/tmp/seen'
"""
TEXTS = {
    "none": None,
    "all of it": '# a comment\nLANG="de_DE.UTF-8"\nLC_TIME=en_US.UTF-8\nLC_ALL=C\nFOO=bar\nLANGUAGE=de:en\n',
    "nothing in it": "\n# LANG=de_DE.UTF-8\n",
    "empty": "LANG=\nLC_PAPER=fr_FR.UTF-8\n",
    "no text": "LANG=de_DE.UTF-8\nLC_TIME=\0\n",
}


def seen(kind: Kind, start: tuple[str, ...]) -> dict[str, str]:
    found = {}
    with Machine(kind) as machine:
        machine.install_initkit()
        machine.write("/etc/systemd/system/locale.service", UNIT)
        for name, text in TEXTS.items():
            machine.run("rm", "--force", "/etc/locale.conf", "/etc/default/locale")
            if text is not None:
                machine.write("/etc/locale.conf", text)
                machine.run("ln", "--symbolic", "../locale.conf", "/etc/default/locale")
            if kind.init == "systemd":
                machine.reboot()
            machine.run(*start)
            found[name] = machine.read("/var/tmp/seen")
    return found


@pytest.fixture(scope="module")
def under_systemd(lab: None) -> dict[str, str]:
    return seen(SYSTEMD_257, ("systemctl", "start", "locale"))


@pytest.fixture(scope="module")
def under_initkit(lab: None) -> dict[str, str]:
    return seen(SYSV, ("initkit", "run", "locale", "--foreground"))


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_as_under_systemd(name: str, under_systemd: dict[str, str], under_initkit: dict[str, str]) -> None:
    assert under_initkit[name] == under_systemd[name]


def test_what_is_told(under_initkit: dict[str, str]) -> None:
    assert under_initkit["none"] == "LANG=C.UTF-8\n"
    assert under_initkit["all of it"] == "LANG=de_DE.UTF-8\nLANGUAGE=de:en\nLC_TIME=en_US.UTF-8\n"
