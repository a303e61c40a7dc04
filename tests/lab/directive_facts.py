"""Writes initkit/settings/facts.py: which directives systemd has, since which version, and where they are explained.

    python tests/lab/directive_facts.py            # write it anew
    python tests/lab/directive_facts.py --check    # exit 1 if it is not what would be written

Names and kinds come from `systemd --dump-configuration-items` of several versions, in root file systems of Debian's
suites. The exact first version and the manual page come from systemd's manual pages; where those do not tell it, or
tell it wrongly, it stands in directive_versions.py. sid moves on: remove its tree from the lab's cache to look at a
newer systemd.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from directive_versions import ASSERTIONS, GONE, NO_MARKS, TOLD
from machine import CHECKOUT, Kind, LabError, root_of

PRODUCT = CHECKOUT / "initkit/settings/facts.py"

# The lab's roots go without manual pages, so that systemd's are put back from its package.
MANUALS = (
    'chroot "$1" sh -ec "cd /tmp; apt-get download systemd; dpkg-deb --fsys-tarfile systemd_*.deb'
    ' | tar --extract --directory=/ ./usr/share/man; rm systemd_*.deb"'
)
SUITES = ("bullseye", "bookworm", "trixie", "sid")

# Which page explains a directive of a section: the first of these that has it.
COMMON = ("systemd.exec", "systemd.kill", "systemd.resource-control")
PAGES = {
    "Unit": ("systemd.unit",),
    "Service": ("systemd.service", *COMMON, "systemd.unit"),
    "Install": ("systemd.unit",),
    "Socket": ("systemd.socket", *COMMON),
    "Timer": ("systemd.timer",),
}

# (section, directive) -> kind
Dump = dict[tuple[str, str], str]
# (page, directive) -> version, 0 where the page does not tell
Manual = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Sample:
    """What one version of systemd says about its directives."""

    version: int
    dump: Dump
    manual: Manual


@dataclass(frozen=True)
class Fact:
    """A row of the product. `gone` is the first sampled version that does not have it any more, or 0."""

    kind: str
    since: int
    manual: str
    gone: int


def sample(suite: str) -> Sample:
    """What systemd of a Debian suite says; builds the suite's root where the cache does not have it."""
    root = root_of(Kind(suite, "manual", 0, ("systemd",), (MANUALS,)))
    version = re.match(r"systemd (\d+)", _systemd(root, "--version"))
    if version is None:
        raise LabError(f"systemd of {suite} does not tell its version")
    dump = dict(read_dump(_systemd(root, "--dump-configuration-items")))
    pages = sorted({page for section in PAGES.values() for page in section})
    manual = {(page, name): since for page in pages for name, since in read_page(_page(root, page)).items()}
    return Sample(int(version[1]), dump, manual)


def _systemd(root: Path, argument: str) -> str:
    # Warnings about configuration that a chroot cannot read go to stderr.
    argv = ["chroot", str(root), "/lib/systemd/systemd", argument]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout


def _page(root: Path, page: str) -> str:
    return gzip.decompress((root / f"usr/share/man/man5/{page}.5.gz").read_bytes()).decode()


def read_dump(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    """The items of the sections wanted, in the dump's `[Section]` and `Directive=KIND` lines."""
    section = ""
    for line in text.splitlines():
        name, equals, kind = line.partition("=")
        if line.startswith("["):
            section = line.strip("[]")
        elif equals and section in PAGES:
            yield (section, name), kind


def read_page(text: str) -> dict[str, int]:
    """The directives that a manual page explains -> their version; 0 where the page does not tell.

    In the roff that systemd's pages are made into, the terms of a list stand in one line between .PP and .RS, their
    text between .RS and .RE. Lists nest: values of a directive have versions of their own.
    """
    found: dict[str, int] = {}
    around: list[list[str]] = []
    terms: list[str] = []
    before = ""
    for line in text.splitlines():
        if line == ".PP":
            terms = []
        elif line.startswith(".RS"):
            around.append(terms)
            found = {**dict.fromkeys(terms, 0), **found}
            terms = []
        elif line.startswith(".RE"):
            around.pop()
        elif added := re.match(r"Added in version (\d+)", line):
            found |= {name: int(added[1]) for name in (around[-1] if around else []) if not found[name]}
        elif not line.startswith("."):
            terms = re.findall(r"\\fI(\w+)=", line) if before == ".PP" else []
        before = line
    return found


def facts(samples: list[Sample]) -> Iterator[tuple[tuple[str, str], Fact]]:
    """Everything about every directive, sorted; of what the samples say differently, the newest counts."""
    for section, name in sorted(set().union(*(one.dump for one in samples))):
        has = [one for one in samples if (section, name) in one.dump]
        page, _ = explained(samples, section, name)
        gone = GONE.get(name) or next((one.version for one in samples if one.version > has[-1].version), 0)
        yield (section, name), Fact(has[-1].dump[section, name], first(samples, section, name), f"{page}(5)", gone)


def first(samples: list[Sample], section: str, name: str) -> int:
    """The first version that has the directive; 0 where nothing tells it."""
    if name.startswith("Assert"):  # the manual tells the version of each condition, but one for all assertions
        return max(ASSERTIONS, first(samples, section, name.replace("Assert", "Condition", 1)))
    page, marked = explained(samples, section, name)
    told = TOLD.get(f"{section}.{name}", TOLD.get(name))
    since = (0 if (page, marked) in NO_MARKS else marked) if told is None else told
    has = next(one.version for one in samples if (section, name) in one.dump)
    lacks = max((one.version for one in samples if one.version < has), default=0)
    if lacks < since <= has or not (lacks or since):
        return since
    if told is not None:
        raise LabError(f"{section}.{name} is said to have come in {told}, but {lacks} lacks it or {has} has it")
    return has if lacks else 0


def explained(samples: list[Sample], section: str, name: str) -> tuple[str, int]:
    """The page that explains a directive, and the version it tells; the section's own page where none explains it."""
    for one in reversed(samples):
        for page in PAGES[section]:
            if (page, name) in one.manual:
                return page, one.manual[page, name]
    return PAGES[section][0], 0


def product(samples: list[Sample]) -> str:
    """The text of the module."""
    rows = dict(facts(samples))
    versions = [one.version for one in samples]
    lines = [
        '"""Facts about systemd\'s directives. Generated by tests/lab/directive_facts.py; do not edit.',
        "",
        f"From systemd {', '.join(map(str, versions))}: `systemd --dump-configuration-items` and the manual pages.",
        '"""',
        "",
        "# The versions of systemd that were asked.",
        f"VERSIONS = ({', '.join(map(str, versions))})",
        "",
        "# section -> directive -> (kind as systemd prints it, first version or 0: before 247 and untold, manual)",
        "FACTS: dict[str, dict[str, tuple[str, int, str]]] = {",
    ]
    for section in PAGES:
        lines.append(f'    "{section}": {{')
        for (where, name), fact in rows.items():
            if where == section:
                lines.append(f'        "{name}": ("{fact.kind}", {fact.since}, "{fact.manual}"),')
        lines.append("    },")
    lines += ["}", "", "# section -> directive -> first of VERSIONS that does not have it any more"]
    lines.append("GONE: dict[str, dict[str, int]] = {")
    for section in PAGES:
        gone = {name: fact.gone for (where, name), fact in rows.items() if where == section and fact.gone}
        if gone:
            lines.append(f'    "{section}": {{')
            lines += [f'        "{name}": {version},' for name, version in gone.items()]
            lines.append("    },")
    return "\n".join([*lines, "}", ""])


def main() -> int:
    """Write or check the product; returns the exit status."""
    with ThreadPoolExecutor(2) as pool:
        text = product(list(pool.map(sample, SUITES)))
    if "--check" in sys.argv[1:]:
        if PRODUCT.read_text() == text:
            return 0
        print(f"{PRODUCT} is not what systemd says; run {sys.argv[0]}", file=sys.stderr)
        return 1
    PRODUCT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
