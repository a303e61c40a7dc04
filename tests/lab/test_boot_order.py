"""In which order generated scripts are run by a booting machine: by their LSB headers, by depend()."""

from __future__ import annotations

import pytest

from .machine import OPENRC, SYSV, Kind, Machine, wait_until

#: What brings the network up, in each init's own words.
NETWORKING = {
    SYSV: """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          networking
# Required-Start:    mountkernfs $local_fs
# Required-Stop:     $local_fs
# Default-Start:     S
# Default-Stop:      0 6
# Short-Description: Network
# Description:       Network
### END INIT INFO
[ "$1" != start ] || echo network >>/var/order
""",
    OPENRC: """\
#!/sbin/openrc-run
depend() {
    provide net
}
start() {
    echo network >>/var/order
}
""",
}
ENABLE = {SYSV: ["update-rc.d", "networking", "defaults"], OPENRC: ["rc-update", "add", "networking", "boot"]}

#: In the order of their start, which is not that of their names: systemd.special(7).
SERVICES = {
    "wall": """\
type = "oneshot"
remain_after_exit = true
wants = ["network-pre.target"]
before = ["network-pre.target"]
""",
    "names": """\
wants = ["nss-lookup.target"]
before = ["nss-lookup.target"]
after = ["network.target"]
""",
    "asks": """\
after = ["nss-lookup.target"]
requires = ["names.socket"]
""",
}
SETTINGS = """\
exec_start = ["/bin/sh", "-c", "echo {name} >>/var/order; exec sleep {seconds}"]
wanted_by = ["multi-user.target"]
"""


@pytest.mark.parametrize("kind", NETWORKING, ids=str)
def test_the_order_of_a_boot(lab: None, kind: Kind) -> None:
    with Machine(kind) as machine:
        machine.install_initkit()
        machine.write("/etc/init.d/networking", NETWORKING[kind], mode=0o755)
        machine.run(*ENABLE[kind])
        for name, lines in SERVICES.items():
            settings = SETTINGS.format(name=name, seconds=0 if name == "wall" else 1000)
            machine.write(f"/etc/initkit/{name}.toml", settings + lines)
            machine.run("initkit", "gen", kind.init, name, "--output-dir", "/")
            if kind is SYSV:
                machine.run("update-rc.d", name, "defaults")
            else:
                machine.run("rc-update", "add", name, "boot" if name == "wall" else "default")
        machine.write("/var/order", "")
        machine.reboot()
        wait_until(lambda: "asks" in machine.read("/var/order"), what="the boot")
        # OpenRC starts what has been added to a runlevel before it leaves that one.
        assert machine.read("/var/order").split()[-4:] == ["wall", "network", "names", "asks"]
