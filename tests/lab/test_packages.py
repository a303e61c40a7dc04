"""The distributions' packages: built in clean roots without a network, judged, installed, upgraded, removed, purged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import initkit

from . import packages
from .machine import SYSTEMD_252, SYSTEMD_257, SYSV, Kind, Machine, wait_until
from .packages import BOOKWORM, TRIXIE

VERSION = initkit.__version__
_INSTALLED = "/usr/lib/python3/dist-packages/initkit"
#: Nothing that a build may hang on is the same the second time.
OTHERWISE = "export TZ=Pacific/Kiritimati HOME=/nonexistent DEB_BUILD_OPTIONS=nocheck; umask 077; sleep 1"


@pytest.fixture(
    scope="module",
    params=[(SYSTEMD_252, "bookworm"), (SYSTEMD_257, "trixie"), (SYSV, "trixie")],
    ids=lambda it: str(it[0]),
)
def host(made: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of the suite with the packages in /packages, not yet installed."""
    kind, suite = request.param
    with Machine(kind) as machine:
        for deb in made[suite].glob("*.deb"):
            machine.write(f"/packages/{packages.name(deb)}.deb", deb.read_bytes())
        yield machine


def test_builds_are_reproducible(made: dict[str, Path], tmp_path: Path) -> None:
    """One suite stands for all: what makes bytes differ is in the rules of the packages."""
    packages.run(TRIXIE, f"{OTHERWISE}; /checkout/packaging/build all /out", tmp_path)
    once, kept = made["trixie"], (".tar.gz", ".tar.xz", ".dsc", ".deb", ".rpm", ".zst")
    names = {path.name for path in once.iterdir() if path.name.endswith(kept)}
    assert names
    assert [name for name in names if (once / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_lintian_has_nothing_to_say(made: dict[str, Path]) -> None:
    """Of the packages of either suite."""
    lint = "lintian --pedantic --display-info /out/*.changes"
    with ThreadPoolExecutor(len(made)) as pool:
        assert [*pool.map(lambda folder: packages.run(TRIXIE, lint, folder), made.values())] == ["", ""]


def test_rpmlint_has_nothing_to_say(made: dict[str, Path]) -> None:
    lint = "rpmlint --config /checkout/packaging/rpm/rpmlint.toml /checkout/packaging/rpm/initkit.spec /out/*.rpm"
    said = packages.run(TRIXIE, f"export XDG_CONFIG_HOME=/tmp; {lint}", made["trixie"])
    assert "4 packages and 1 specfiles checked; 0 errors, 0 warnings" in said


def test_fedora_takes_its_own_macros(made: dict[str, Path]) -> None:
    """Which are not here: they stay in the spec as they stand."""
    parse = "rpmspec --parse --define 'fedora 42' /checkout/packaging/rpm/initkit.spec"
    parsed = packages.run(TRIXIE, parse, made["trixie"])
    lines = parsed.splitlines()
    assert {"%pyproject_wheel", "%pyproject_install", "BuildRequires:  pyproject-rpm-macros"} <= set(lines)
    assert "installer" not in parsed and "hatchling build" not in parsed


def test_autopkgtest(made: dict[str, Path]) -> None:
    tested = "cd /tmp; autopkgtest --no-built-binaries /out/*.deb /out/*.dsc -- null"
    said = packages.run(TRIXIE, tested, made["trixie"], root=True)
    assert re.findall(r"^(\S+) +PASS$", said, re.MULTILINE)[-3:] == ["command", "module", "debhelper"]


#: What a suite's versions of Python, jinja2 and sdnotify could change: generated files, daemons that are classes. The
#: build itself has run the tests of the settings.
_TESTS = (
    *("inits/test_systemd.py", "inits/test_openrc.py", "inits/test_kinds.py", "inits/test_cron.py"),
    *("inits/test_sysv.py::test_golden", "cli/test_gen.py", "api/test_daemon_class.py::test_a_life"),
    "api/test_notify.py",
)
_RUN_TESTS = f"""
dpkg --install /out/initkit_*.deb /out/python3-initkit_*.deb >/dev/null
mkdir /tmp/apart
cp -R /checkout/tests /tmp/apart
cd /tmp/apart/tests
export PYTHONPATH=/usr/lib/python3/dist-packages # also for python3 -S
python3 -m pytest -p no:cacheprovider {" ".join(_TESTS)} >/tmp/log || {{ cat /tmp/log; exit 1; }}
python3 -c 'import initkit; print(initkit.__file__)'
for test in command module; do
    export AUTOPKGTEST_TMP=/tmp/$test
    mkdir $AUTOPKGTEST_TMP
    sh /checkout/packaging/debian/tests/$test >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}
done
"""


def test_the_versions_of_each_distribution(made: dict[str, Path]) -> None:
    """The installed package, with what each suite has beside it."""

    def run(kind: Kind) -> str:
        return packages.run(kind, _RUN_TESTS, made[kind.suite], root=True)

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(run, (BOOKWORM, TRIXIE))] == [f"{_INSTALLED}/__init__.py\n"] * 2


# --- what is in them -------------------------------------------------------------------------------------------------

_COMMAND = {
    "usr/bin/initkit",
    "usr/share/bash-completion/completions/initkit",
    "usr/share/man/man1/initkit.1.gz",
    "usr/share/man/man1/initkit-run.1.gz",
    "usr/share/man/man5/initkit.toml.5.gz",
    "usr/share/man/man7/initkit-varlink.7.gz",
}
_MODULE = {f"usr/lib/python3/dist-packages/initkit/{file}" for file in ("__init__.py", "templates/systemd/service.j2")}


def files(folder: Path, command: str) -> set[str]:
    """What a package lists, less the "./" or "/" before it."""
    listed = packages.run(TRIXIE, f"cd /out; {command}", folder)
    return {line.removeprefix("./").removeprefix("/") for line in listed.splitlines()}


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_debs(made: dict[str, Path], suite: str) -> None:
    content = "dpkg-deb --fsys-tarfile {}_*.deb | tar --list".format
    command, module = files(made[suite], content("initkit")), files(made[suite], content("python3-initkit"))
    completions = {"usr/share/zsh/vendor-completions/_initkit", "usr/share/fish/vendor_completions.d/initkit.fish"}
    assert command >= _COMMAND | completions
    assert module >= _MODULE
    assert not {file for file in command & module if not file.endswith("/") and "." in file}


def test_the_rpms(made: dict[str, Path]) -> None:
    content = "cat {}-[0-9]*.noarch.rpm | rpm2archive --nocompression - | tar --list".format
    completions = {"usr/share/zsh/site-functions/_initkit", "usr/share/fish/vendor_completions.d/initkit.fish"}
    assert files(made["trixie"], content("initkit")) >= _COMMAND | completions
    assert files(made["trixie"], content("python3-initkit")) >= _MODULE
    assert "usr/lib/rpm/macros.d/macros.initkit" in files(made["trixie"], content("initkit-rpm-macros"))


def test_the_arch_package(made: dict[str, Path]) -> None:
    found = files(made["trixie"], "bsdtar -tf *.pkg.tar.zst")
    completions = {"usr/share/zsh/site-functions/_initkit", "usr/share/fish/vendor_completions.d/initkit.fish"}
    assert found >= _COMMAND | _MODULE | completions | {".PKGINFO", "usr/share/licenses/initkit/LICENSE"}
    about = packages.run(TRIXIE, "cd /out; bsdtar -xOf *.pkg.tar.zst .PKGINFO usr/bin/initkit", made["trixie"])
    assert f"\npkgver = {VERSION}-1\n" in about
    assert "#!/usr/bin/python\n" in about


_ALPINE = f"""
export DEB_PYTHON_INSTALL_LAYOUT=deb_system
tar -xzf /out/initkit-{VERSION}.tar.gz -C /tmp
cd /tmp/initkit-{VERSION}
shellcheck packaging/alpine/APKBUILD
sh -n packaging/alpine/APKBUILD
. packaging/alpine/APKBUILD
for each in "$pkgname" "$pkgver" "$pkgrel" "$pkgdesc" "$arch" "$license" "$source"; do test -n "$each"; done
pkgdir=/tmp/made
build >/dev/null
check >/tmp/log || {{ cat /tmp/log; exit 1; }}
package >/dev/null
cd /tmp/made
find . -type f | sed 's/[.][157]$/&.gz/'
"""


def test_what_alpines_functions_make(made: dict[str, Path]) -> None:
    """There is no abuild here: the functions of the APKBUILD are called as it calls them."""
    found = files(made["trixie"], _ALPINE)
    assert found >= _COMMAND | _MODULE | {"usr/share/licenses/initkit/LICENSE"}


_SPEC = """
Name: web
Version: 1
Release: 1
Summary: A daemon
License: MIT
BuildArch: noarch
%description
A daemon.
%prep
%setup -c -T
cat >settings.toml <<'END'
exec_start = ["/usr/bin/web"]
user = "web"
environment_file = ["-/etc/default/web", "-/etc/sysconfig/web"]
wanted_by = ["multi-user.target"]
END
%install
%initkit_install web settings.toml
%files -f %{initkit_files web}
"""
_WITH_MACROS = f"""
dpkg --install /out/initkit_*.deb /out/python3-initkit_*.deb >/dev/null
cp /checkout/packaging/rpm/macros.initkit /usr/lib/rpm/macros.d
cat >/tmp/web.spec <<'SPEC'
{_SPEC}SPEC
rpmbuild -bb --nodeps --define '_topdir /tmp/rpm' /tmp/web.spec >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}
cat /tmp/rpm/RPMS/noarch/web-1-1.noarch.rpm | rpm2archive --nocompression - | tar --extract --directory=/
cat /usr/lib/systemd/system/web.service
ls -d /etc/*/web
"""


def test_the_rpm_macros(made: dict[str, Path]) -> None:
    unit = packages.run(TRIXIE, _WITH_MACROS, made["trixie"], root=True)
    assert {"ExecStart=/usr/bin/web", "User=web", "WantedBy=multi-user.target"} <= set(unit.splitlines())
    assert unit.splitlines()[-1] == "/etc/sysconfig/web" and "\n/etc/default/web\n" not in unit


# --- installed -------------------------------------------------------------------------------------------------------

#: dpkg's own notes, and what lives for one boot.
_SNAPSHOT = r"""
cd /var/lib/dpkg
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /packages \
    -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd \
    -o -path "$PWD/*-old" -o -path "$PWD/status" -o -path "$PWD/lock*" -o -path "$PWD/triggers" \) -prune \
    -o -printf '%M %u:%g %p %l\n' | sort
"""
_UPGRADE = r"""
cd /packages
for package in initkit python3-initkit; do
    rm -rf made && dpkg-deb -R $package.deb made
    sed -i "s/$1/$2/" made/DEBIAN/control
    dpkg-deb --root-owner-group -b made $package-next.deb
done
dpkg --install initkit-next.deb python3-initkit-next.deb
"""
_SERVICE = 'exec_start = ["/bin/sleep", "1000"]\nrestart = "always"\n'


def test_the_life_of_the_packages(host: Machine) -> None:
    before = host.sh(_SNAPSHOT).stdout
    host.run("dpkg", "--install", "/packages/initkit.deb", "/packages/python3-initkit.deb")
    assert host.run("dpkg", "--audit").stdout == ""
    assert host.run("initkit", "--version").stdout == f"initkit {VERSION}\n"
    assert host.exists("/usr/lib/python3/dist-packages/initkit/cli/__pycache__")

    host.write("/run/tick/tick.toml", _SERVICE)
    host.run("initkit", "run", "/run/tick/tick.toml", "--daemon")
    service = host.run("initkit", "status", "/run/tick/tick.toml", "--json").stdout
    host.sh(_UPGRADE, f"{VERSION}-1", f"{VERSION}-2")
    assert host.run("dpkg-query", "-W", "-f", "${Version}", "initkit").stdout == f"{VERSION}-2"
    assert host.run("dpkg", "--audit").stdout == ""
    upgraded = host.run("initkit", "status", "/run/tick/tick.toml", "--json").stdout
    main_pid = re.compile(r'"mainPid": \d+')
    assert main_pid.findall(service) == main_pid.findall(upgraded) != []  # the upgrade has left it alone
    host.run("initkit", "stop", "/run/tick/tick.toml")
    wait_until(lambda: not [line for line in host.pids().values() if "sleep 1000" in line], what="the end of sleep")

    host.run("dpkg", "--remove", "initkit", "python3-initkit")
    assert host.run("dpkg", "--audit").stdout == ""
    assert not host.exists("/usr/lib/python3/dist-packages/initkit")
    host.run("dpkg", "--purge", "initkit", "python3-initkit")
    assert host.run("dpkg", "--audit").stdout == ""
    assert host.sh(_SNAPSHOT).stdout == before


# --- the one command -------------------------------------------------------------------------------------------------


def test_the_command_line_of_build(tmp_path: Path) -> None:
    build = packages.CHECKOUT / "packaging/build"
    assert subprocess.run(["shellcheck", build], check=False).returncode == 0
    for words in ([], ["deb"], ["floppy", tmp_path]):
        done = subprocess.run([build, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (64, "")
        assert done.stderr.startswith("usage: packaging/build ")
