"""Clean Debian roots to build packages in: nothing of the host is there but the checkout, and no network.

Run as a program, it builds there what `packaging/build` knows: ``python -m tests.lab.packages DIRECTORY``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .machine import CHECKOUT, GUEST_ENVIRONMENT, Kind, LabError, mountpoint, root_of

#: What debian/control asks for; `dpkg-buildpackage` complains where this falls behind.
_DEB = (
    *("build-essential", "debhelper", "dh-python", "pybuild-plugin-pyproject", "python3-all", "python3-hatchling"),
    *(
        "python3-docutils",
        "python3-shtab",
        "python3-jinja2",
        "python3-sdnotify",
        "python3-pytest",
        "python3-hypothesis",
    ),
)
#: The other families' tools, and everybody's critics.
_OTHERS = (
    *("autopkgtest", "lintian", "man-db", "shellcheck"),
    *(
        "rpm",
        "rpmlint",
        "fakeroot",
        "libarchive-tools",
        "makepkg",
        "pacman-package-manager",
        "zstd",
        "python3-build",
        "python3-installer",
        "python-is-python3",
    ),
)
#: What a package may depend on that machines without systemd lack: /debs, for there is no network later.
_DEBS = ('mkdir "$1/debs" && chroot "$1" sh -c "cd /debs && apt-get download systemd-standalone-sysusers"',)
BOOKWORM = Kind("bookworm", "build", 0, _DEB)
TRIXIE = Kind("trixie", "build", 0, (*_DEB, *_OTHERS), _DEBS)

#: Nobody: a package is not built as root, and makepkg refuses to.
BUILDER = 65534

# Arguments: the tree, the directory to mount on, the checkout, the directory for what is made, then the command.
_ENTER = """
tree=$1 space=$2 checkout=$3 out=$4; shift 4
mount -t tmpfs -o mode=755 initkit-lab "$space"
mkdir "$space/upper" "$space/work" "$space/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$space/upper,workdir=$space/work" initkit-lab "$space/root"
mount -t proc proc "$space/root/proc"
mkdir "$space/root/checkout" "$space/root/out"
mount --bind "$checkout" "$space/root/checkout"
mount -o remount,bind,ro "$space/root/checkout"
mount --bind "$out" "$space/root/out"
exec chroot "$space/root" "$@"
"""


def run(kind: Kind, script: str, out: Path, *, root: bool = False, timeout: float = 600) -> str:
    """Run a shell script on a fresh copy of a root, and return what it printed.

    The checkout is /checkout there, read-only, and `out` is /out; it belongs to the builder, as whom the script runs.

    Raises:
        LabError: with what it printed, when it fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    os.chown(out, BUILDER, BUILDER)
    alone = ("unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", _ENTER, "sh")
    places = (root_of(kind), mountpoint(), CHECKOUT, out)
    user = 0 if root else BUILDER
    builder = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "env", "-i")
    environment = [f"{name}={value}" for name, value in {**GUEST_ENVIRONMENT, "HOME": "/tmp"}.items()]
    done = subprocess.run(
        [*alone, *map(str, places), *builder, *environment, "sh", "-e", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{kind}: {script}\n{done.stdout}")
    return done.stdout


def name(package: Path) -> str:
    """The name of a package in Debian's file name for it."""
    return package.name.partition("_")[0]


def put_debs(made: Path, out: Path) -> None:
    """Copies of the Debian packages in a folder, below another one's "made"."""
    (out / "made").mkdir()
    for deb in made.glob("*.deb"):
        shutil.copy(deb, out / "made")


def build(kind: Kind, what: str, out: Path) -> str:
    """`packaging/build` there."""
    return run(kind, f"/checkout/packaging/build {what} /out", out)


def build_each(work: Iterable[tuple[Kind, str, Path]]) -> None:
    """The same several times, two at a time, each to a folder of its own."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda each: build(*each), work):
            pass


def _main(folder: Path) -> None:
    """Every package, each suite's Debian packages in a folder of their own."""
    work = ((BOOKWORM, "deb", folder / "bookworm"), (TRIXIE, "deb", folder / "trixie"),
            (TRIXIE, "rpm", folder / "rpm"), (TRIXIE, "arch", folder / "arch"))  # fmt: skip
    build_each(work)
    for made in sorted(folder.glob("*/*")):
        print(made)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
