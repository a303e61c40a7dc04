"""A small daemon packaged with initkit: the life of its deb on real machines, its rpm against Fedora's guidelines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import packages
from .machine import CHECKOUT, SYSTEMD_257, SYSV, Kind, Machine, root_of
from .package_life import Packaged, check_life, left
from .packages import BOOKWORM, TRIXIE

SOURCE = CHECKOUT / "tests/examples/packaged/tally"

#: Each version but the first has a greeting of its own; in the third one the runner looks after the service.
GREETINGS = {"2": "Guest", "3": "Member", "4": "Friend"}
_SETTINGS = {
    version: f'environment = {{ OPTIONS = "--greeting={greeting}" }}\n' for version, greeting in GREETINGS.items()
}
_SETTINGS["3"] += 'restart = "always"\n'

_BUILD_DEBS = r"""
dpkg --install /out/made/*.deb >/dev/null
for version in 1 2 3 4; do
    mkdir /tmp/$version
    cp -R /checkout/tests/examples/packaged/tally /tmp/$version/tally
    cd /tmp/$version/tally
    sed -i "1s/(1)/($version)/" debian/changelog
    [ ! -e /out/settings/$version ] || cat /out/settings/$version >>debian/initkit.toml
    cp -R . /tmp/before
    dpkg-buildpackage --no-sign --build=full >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
    debian/rules clean >>/tmp/log
    diff -r . /tmp/before
    rm -r /tmp/before
    cp ../tally_*.deb /out
done
"""


@pytest.fixture(scope="session")
def tally(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Suite -> the folder with all versions of its deb, built where the debhelper sequence is installed."""
    folders = {kind: tmp_path_factory.mktemp(f"tally-{kind.suite}") for kind in (BOOKWORM, TRIXIE)}

    def build(kind: Kind) -> None:
        packages.put_debs(made[kind.suite], folders[kind])
        (folders[kind] / "settings").mkdir()
        for version, more in _SETTINGS.items():
            (folders[kind] / "settings" / version).write_text(more)
        packages.run(kind, _BUILD_DEBS, folders[kind], root=True)

    with ThreadPoolExecutor(len(folders)) as pool:
        for _ in pool.map(build, folders):
            pass
    return {kind.suite: folder for kind, folder in folders.items()}


@pytest.fixture(scope="module", params=[SYSTEMD_257, SYSV], ids=str)
def machine(tally: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with the packages in /packages, and with what they depend on where systemd has not brought it."""
    kind: Kind = request.param
    with Machine(kind) as machine:
        for deb in tally["trixie"].glob("*.deb"):
            machine.write(f"/packages/{deb.name}", deb.read_bytes())
        for name in INITKIT:
            (deb,) = (tally["trixie"] / "made").glob(f"{name}_*.deb")
            machine.write(f"/packages/{name}.deb", deb.read_bytes())
        if kind is SYSV:
            assert machine.run("sh", "-c", "command -v systemd-sysusers", check=False).stdout == ""
            for deb in (root_of(TRIXIE) / "debs").iterdir():
                machine.write(f"/debs/{deb.name}", deb.read_bytes())
            machine.sh("dpkg --install /debs/*.deb")
        yield machine


#: What the third version depends on.
INITKIT = ("initkit", "python3-initkit")
TALLY = Packaged(
    name="tally",
    program="/usr/bin/python3 /usr/bin/tally",
    arguments={"1": [], **{version: [f"--greeting={greeting}"] for version, greeting in GREETINGS.items()}},
    debs={version: [f"/packages/tally_{version}_all.deb"] for version in "1234"},
    directories=("/var/lib/tally",),
    default="\n#OPTIONS=\n",
    first_install=lambda machine: check_first_install(machine),
)


def check_first_install(machine: Machine) -> None:
    """It answers, and its user is as the settings have it; there is no initkit."""
    assert ask(machine) == "Visitor 1\n"
    assert machine.read("/var/lib/tally/visits") == "1\n"
    fields = machine.run("getent", "passwd", "tally").stdout.strip().split(":")
    assert fields[4:] == ["Counts its visitors", "/var/lib/tally", "/usr/sbin/nologin"]
    assert int(fields[2]) < 1000
    assert not machine.exists("/usr/bin/initkit")


def ask(machine: Machine) -> str:
    """What it tells a visitor, once it listens."""
    visit = "import socket; print(socket.create_connection(('127.0.0.1', 7070)).makefile().read(), end='')"
    return machine.sh(
        'for i in $(seq 100); do python3 -c "$1" 2>/dev/null && exit; sleep 0.1; done; exit 1', visit
    ).stdout


def test_the_packaging_is_short() -> None:
    """What a packager has to write, all files together."""
    files = [path for path in (SOURCE / "debian").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"changelog", "control", "rules", "initkit.toml", "format"}
    assert sum(len(path.read_text().splitlines()) for path in files) < 25


def test_the_life_of_its_deb(machine: Machine) -> None:
    check_life(machine, TALLY)
    assert left(machine, "tally") == []


def test_versions_with_the_runner_and_without(machine: Machine) -> None:
    """An upgrade ends what the version before has started, the script itself or the runner, and starts its own."""
    TALLY.install(machine, "1")
    TALLY.wait(machine, "1")
    assert managers(machine) == []
    machine.run("dpkg", "--install", *(f"/packages/{name}.deb" for name in INITKIT))
    for version in ("3", "4", "3", "3"):
        before = TALLY.pids(machine)
        TALLY.install(machine, version)
        TALLY.wait(machine, version)
        assert not before.keys() & TALLY.pids(machine)
        assert len(managers(machine)) == (version == "3" and machine.kind is SYSV)
        assert machine.run(*status(machine), check=False).returncode == 0

    machine.reboot()
    TALLY.wait(machine, "3")
    machine.run("dpkg", "--remove", "tally")
    assert not TALLY.pids(machine) and not managers(machine)
    machine.run("dpkg", "--purge", "tally", *INITKIT)
    assert machine.run("dpkg", "--audit").stdout == ""
    assert left(machine, "tally") == []


def managers(machine: Machine) -> list[int]:
    """The processes of `initkit run`."""
    return [pid for pid, command in machine.pids().items() if "initkit" in command]


def status(machine: Machine) -> tuple[str, ...]:
    return ("service", "tally", "status") if machine.kind is SYSV else ("systemctl", "is-active", "tally")


_SYSUSERS = "systemd | systemd-standalone-sysusers | systemd-sysusers"


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_what_its_deb_depends_on(tally: dict[str, Path], suite: str) -> None:
    for version, more in (("1", set()), ("3", {"initkit"})):
        fields = packages.run(TRIXIE, f"dpkg-deb --field /out/tally_{version}_all.deb Depends", tally[suite])
        assert set(fields.strip().split(", ")) == {"python3", _SYSUSERS} | more


# --- the rpm ---------------------------------------------------------------------------------------------------------

#: Macros that Debian's rpm has not: https://docs.fedoraproject.org/en-US/packaging-guidelines/Scriptlets/, and
#: systemd's macros.systemd, of which each macro is a call of this program.
_UPDATE_HELPER = "/usr/lib/systemd/systemd-update-helper"
_HELPER = {
    "systemd_post": ('[ "$1" -eq 1 ]', "install-system-units"),
    "systemd_preun": ('[ "$1" -eq 0 ]', "remove-system-units"),
    "systemd_postun_with_restart": ('[ "$1" -ge 1 ]', "mark-restart-system-units"),
}
_MACROS = "".join(
    f"%{name}() if {when} && [ -x {_UPDATE_HELPER} ]; then {_UPDATE_HELPER} {verb} %{{?*}} || :; fi\n"
    for name, (when, verb) in _HELPER.items()
)
_BUILD_RPM = f"""
dpkg --install /out/made/*.deb >/dev/null
cp /checkout/packaging/rpm/macros.initkit /usr/lib/rpm/macros.d
cat >/usr/lib/rpm/macros.d/macros.systemd <<'END'
{_MACROS}END
mkdir -p /tmp/rpm/SOURCES
cp -R /checkout/tests/examples/packaged/tally /tmp/tally-1
tar -czf /tmp/rpm/SOURCES/tally-1.tar.gz -C /tmp tally-1
rpmbuild -bb --nodeps --define '_topdir /tmp/rpm' /tmp/tally-1/tally.spec >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}
cp /tmp/rpm/RPMS/noarch/tally-1-1.noarch.rpm /out/tally.rpm
cd /out
rpm --query --package --scripts tally.rpm >scripts
rpm --query --package --provides tally.rpm >provides
rpm --query --package --queryformat '[%{{FILENAMES}} %{{FILEMODES:perms}} %{{FILEFLAGS:fflags}}\\n]' tally.rpm >files
rpm2archive --nocompression - <tally.rpm | tar --extract --to-stdout ./usr/lib/systemd/system/tally.service >unit
"""


@pytest.fixture(scope="module")
def rpm(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what rpm tells of the daemon's package."""
    out = tmp_path_factory.mktemp("tally-rpm")
    packages.put_debs(made["trixie"], out)
    packages.run(TRIXIE, _BUILD_RPM, out, root=True)
    return out


def test_the_files_of_its_rpm(rpm: Path) -> None:
    """Units in %_unitdir, accounts in %_sysusersdir; what administrators edit in /etc, and noreplace."""
    files = {path: tuple(about) for path, *about in map(str.split, (rpm / "files").read_text().splitlines())}
    assert files == {
        "/etc/default/tally": ("-rw-r--r--", "cn"),
        "/usr/bin/tally": ("-rwxr-xr-x",),
        "/usr/lib/systemd/system/tally.service": ("-rw-r--r--",),
        "/usr/lib/sysusers.d/tally.conf": ("-rw-r--r--",),
    }
    assert "\nUser=tally\n" in (rpm / "unit").read_text()


def test_the_accounts_of_its_rpm(rpm: Path) -> None:
    """rpm makes what sysusers.d names before it unpacks: it is told in the package, and no scriptlet has to."""
    provides = {line.split()[0] for line in (rpm / "provides").read_text().splitlines()}
    assert {"user(tally)", "group(tally)"} <= provides


def test_the_scriptlets_of_its_rpm(rpm: Path) -> None:
    """%post enables as presets say, %preun disables and stops, %postun restarts: each calls systemd's macro for it."""
    found = {}
    for line in (rpm / "scripts").read_text().splitlines():
        if "scriptlet" in line:
            found[line.split()[0]] = body = []  # type: list[str]
        elif line:
            body.append(line)
    names = dict(zip(_HELPER, ("postinstall", "preuninstall", "postuninstall"), strict=True))
    expected = {
        names[name]: [f"if {when} && [ -x {_UPDATE_HELPER} ]; then {_UPDATE_HELPER} {verb} tally.service || :; fi"]
        for name, (when, verb) in _HELPER.items()
    }
    assert found == expected
