"""dh_initkit: packages of which it makes the services, built by debhelper in clean roots."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import packages
from .packages import BOOKWORM, TRIXIE

_CONTROL = """\
Source: web
Section: net
Maintainer: Nobody <nobody@example.org>
Build-Depends: debhelper-compat (= {compat}), dh-sequence-initkit

Package: web
Architecture: all
Depends: ${{misc:Depends}}, ${{initkit:Depends}}
Description: a daemon

Package: web.tools
Architecture: all
Depends: ${{misc:Depends}}, ${{initkit:Depends}}
Description: another
"""
_CHANGELOG = """\
web (1) unstable; urgency=medium

  * First version.

 -- Nobody <nobody@example.org>  Sat, 21 Nov 2026 12:00:00 +0000
"""
_RULES = "#!/usr/bin/make -f\n%:\n\tdh $@\n"
_WEB = """\
exec_start = ["/usr/bin/web"]
type = "forking"
pid_file = "/run/webs/web.pid"
user = "web"
state_directory = ["web's own"]
standard_output = "append:/var/log/webs/web.log"
environment_file = ["-/etc/default/web", "-/etc/sysconfig/web"]  # for two distributions
wanted_by = ["multi-user.target"]
"""
_WORKER = """\
exec_start = ["/usr/bin/worker"]
restart = "always"
user = "worker"
logs_directory = ["worker"]
environment_file = "-/etc/default/worker"
wanted_by = ["multi-user.target"]
[socket]
listen_stream = "/run/worker.sock"
wanted_by = ["sockets.target"]
[timer]
on_calendar = "daily"
wanted_by = ["timers.target"]
"""
_TOOLS = 'exec_start = ["/usr/bin/tool"]\n'
_LOSS = f"{_TOOLS}memory_ksm = true\n"
_SERVICE = "[Service]\nExecStart=/usr/bin/by-hand\n"
_INIT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: web
# Required-Start:
# Required-Stop:
# Default-Start: 2
# Default-Stop: 0
### END INIT INFO
"""

_ALL = {"web.initkit.toml": _WEB, "web.worker.initkit.toml": _WORKER, "web.tools.initkit.toml": _TOOLS}
#: A source package each: what is in debian/ beside what all have.
SOURCES: dict[str, dict[str, str]] = {
    "13": _ALL,
    "14": _ALL,
    "by-hand": {"initkit.toml": _WORKER.replace("worker", "web"), "web.service": _SERVICE, "web.init": _INIT},
    "loss": {"web.initkit.toml": _LOSS},
    "accepted": {"web.initkit.toml": f'{_LOSS}[sysv]\nallow_loss = ["MemoryKSM"]\n'},
    "template": {"web.initkit.toml": _TOOLS, "web.each@.initkit.toml": 'exec_start = ["/usr/bin/each", "%i"]\n'},
    "changed": {"web.initkit.toml": _WEB, "changed": _TOOLS},
    "kept": {**_ALL, "rules": f"{_RULES}override_dh_initkit:\n\tdh_initkit --no-purge --name=worker\n"},
}
#: Each is built twice where that is about a second build; what the packages hold goes to /out/SOURCE/PACKAGE.
_BUILD = r"""
dpkg --install /out/made/*.deb >/dev/null
build() {
    debian/rules binary >>/out/$1.log 2>&1 || return 0
    for package in web web.tools; do
        rm -rf /out/$1/$package
        dpkg-deb --raw-extract ../${package}_1_all.deb /out/$1/$package
    done
}
for each; do
    cp -R /out/source/$each /tmp/$each
    cd /tmp/$each
    mkdir /out/$each
    build $each
    if [ -e debian/changed ]; then
        cp debian/changed debian/web.initkit.toml
        build $each
    fi
    debian/rules clean >/dev/null
    (cd debian && find . -type f) | sort >/out/$each.left
done
"""

#: What is built one after the other, and each list beside the others.
_SHARES = ((TRIXIE, [*SOURCES][::2]), (TRIXIE, [*SOURCES][1::2]), (BOOKWORM, ["13"]))


@pytest.fixture(scope="module")
def built(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Suite -> a folder with a folder for each source package, and beside it its log and what a clean has left."""
    folders = {kind: tmp_path_factory.mktemp(f"debhelper-{kind.suite}") for kind in (BOOKWORM, TRIXIE)}
    for kind, folder in folders.items():
        packages.put_debs(made[kind.suite], folder)
        for name in SOURCES:
            write(folder / "source" / name, name)

    def build(kind: packages.Kind, names: list[str]) -> None:
        script = _BUILD.replace("for each;", f"for each in {' '.join(names)};")
        packages.run(kind, script, folders[kind], root=True)

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(build, *zip(*_SHARES, strict=True)):
            pass
    return {kind.suite: folder for kind, folder in folders.items()}


def write(folder: Path, name: str) -> None:
    """The source package."""
    control = _CONTROL.format(compat=14 if name == "14" else 13)
    files = {"control": control, "changelog": _CHANGELOG, "rules": _RULES, "source/format": "3.0 (native)\n"}
    for file, text in {**files, **SOURCES[name]}.items():
        path = folder / "debian" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "debian/rules").chmod(0o755)


def files(package: Path) -> set[str]:
    """Of a package, less what every package has."""
    found = {f"/{path.relative_to(package)}" for path in package.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("/DEBIAN/", "/usr/share/doc/"))}


def script(package: Path, name: str) -> str:
    """A maintainer script; "" where there is none."""
    path = package / "DEBIAN" / name
    return path.read_text() if path.exists() else ""


def depends(package: Path) -> set[str]:
    found = re.search(r"^Depends: (.*)$", (package / "DEBIAN/control").read_text(), re.MULTILINE)
    return set(found[1].split(", ")) if found else set()


_OF_WEB = {"/etc/init.d/web", "/etc/default/web", "/usr/lib/sysusers.d/web.conf", "/usr/lib/tmpfiles.d/web.conf",
           "/etc/logrotate.d/web"}  # fmt: skip
_OF_WORKER = {"/etc/init.d/worker", "/etc/default/worker", "/etc/cron.d/worker", "/etc/logrotate.d/worker",
              "/usr/lib/sysusers.d/worker.conf", "/usr/lib/initkit/worker.toml"}  # fmt: skip
_UNITS = ("worker.service", "worker.socket", "worker.timer")
_SYSUSERS = "systemd | systemd-standalone-sysusers | systemd-sysusers"
_TMPFILES = "systemd | systemd-standalone-tmpfiles | systemd-tmpfiles"


@pytest.mark.parametrize(("suite", "name"), [("bookworm", "13"), ("trixie", "13"), ("trixie", "14")])
def test_everything(built: dict[str, Path], suite: str, name: str) -> None:
    """Three services in two packages, and whatever dh itself then makes of their files."""
    web, tools = built[suite] / name / "web", built[suite] / name / "web.tools"
    folder = "/lib/systemd/system" if suite == "bookworm" else "/usr/lib/systemd/system"
    units = {f"{folder}/{unit}" for unit in ("web.service", *_UNITS)}
    assert files(web) == _OF_WEB | _OF_WORKER | units
    assert files(tools) == {"/etc/init.d/web.tools", f"{folder}/web.tools.service"}
    assert {_SYSUSERS, _TMPFILES, "initkit"} <= depends(web)
    assert "initkit" not in depends(tools)
    assert (web / "usr/lib/initkit/worker.toml").read_text() == _WORKER
    assert (web / "etc/init.d/worker").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(("suite", "name"), [("bookworm", "13"), ("trixie", "13"), ("trixie", "14")])
def test_the_maintainer_scripts(built: dict[str, Path], suite: str, name: str) -> None:
    """Accounts and directories first, then the services; nothing twice."""
    web = built[suite] / name / "web"
    postinst = script(web, "postinst")
    before = ["systemd-sysusers .* web.conf worker.conf", "systemd-tmpfiles .*--create web.conf"]
    units = ["web.service", *_UNITS]
    calls = [*before, *(f"update-rc.d {name} " for name in ("web", "worker"))]
    calls += [
        *(f"deb-systemd-helper enable '{unit}'" for unit in units),
        "deb-systemd-invoke .* 'web.service' 'worker.",
    ]
    for call in calls:
        assert len(re.findall(call, postinst)) == 1, call
    last_of_before = max(re.search(call, postinst).end() for call in calls[:2])  # type: ignore[union-attr]
    assert last_of_before < min(re.search(call, postinst).start() for call in calls[2:])  # type: ignore[union-attr]
    postrm = script(web, "postrm")
    assert "\n\trm -rf '/var/lib/web'\\''s own'\n" in postrm
    assert "\n\trm -rf '/var/log/worker'\n" in postrm
    assert (web / "DEBIAN/conffiles").read_text().split() == sorted(each for each in files(web) if each[:5] == "/etc/")


def test_what_is_written_by_hand_wins(built: dict[str, Path]) -> None:
    """Also where it spares the runner."""
    web = built["trixie"] / "by-hand/web"
    assert (web / "usr/lib/systemd/system/web.service").read_text() == _SERVICE
    assert (web / "etc/init.d/web").read_text() == _INIT
    assert files(web) >= {"/etc/default/web", "/usr/lib/systemd/system/web.timer", "/etc/cron.d/web"}
    assert "/usr/lib/initkit/web.toml" not in files(web)
    assert "initkit" not in depends(web)
    log = (built["trixie"] / "by-hand.log").read_text()
    for each in ("service", "init"):
        assert f"dh_initkit: debian/web.{each} stands in for what would be made of debian/initkit.toml\n" in log


def test_a_loss_ends_the_build(built: dict[str, Path]) -> None:
    """With initkit's own line, unless it is accepted."""
    log = (built["trixie"] / "loss.log").read_text()
    assert re.search(r"^initkit: \S*/debian/web.initkit.toml:2: .* cannot keep MemoryKSM=", log, re.MULTILINE)
    assert "dh_initkit: error: nothing can be made of debian/web.initkit.toml\n" in log
    assert not (built["trixie"] / "loss/web").exists()
    accepted = built["trixie"] / "accepted/web"
    assert "MemoryKSM=yes" in (accepted / "usr/lib/systemd/system/web.service").read_text()


def test_a_template_is_for_systemd_only(built: dict[str, Path]) -> None:
    web = built["trixie"] / "template/web"
    units = {f"/usr/lib/systemd/system/{unit}.service" for unit in ("web", "each@")}
    assert files(web) == {"/etc/init.d/web", *units}
    assert "each@.initkit.toml: a template, for systemd only\n" in (built["trixie"] / "template.log").read_text()


def test_a_second_build_makes_all_anew(built: dict[str, Path]) -> None:
    web = built["trixie"] / "changed/web"
    assert files(web) == {"/etc/init.d/web", "/usr/lib/systemd/system/web.service"}
    assert "ExecStart=/usr/bin/tool\n" in (web / "usr/lib/systemd/system/web.service").read_text()
    assert depends(web) == set()


@pytest.mark.parametrize("name", SOURCES)
def test_a_clean_leaves_what_was_there(built: dict[str, Path], name: str) -> None:
    there = {f"./{file}" for file in ("control", "changelog", "rules", "source/format", *SOURCES[name])}
    assert set((built["trixie"] / f"{name}.left").read_text().split()) == there


def test_options(built: dict[str, Path]) -> None:
    """One service of several, and its user's data are kept."""
    web = built["trixie"] / "kept/web"
    assert "/etc/init.d/worker" in files(web)
    assert not files(web) & _OF_WEB
    assert "rm -rf" not in script(web, "postrm")
