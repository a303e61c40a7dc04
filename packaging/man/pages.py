#!/usr/bin/python3
"""Writes the manual pages: `pages.py DIRECTORY`.

The prose lies in *.rst beside this file. Where it says `@synopsis@`, `@verbs@` or the like, comes what the parsers of
the command line, the directive table and the Varlink interface know. docutils makes man pages of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout's or the source package's initkit, not an installed one

import commands  # noqa: E402
import rst  # noqa: E402
import settings  # noqa: E402
import varlink  # noqa: E402
from docutils.core import publish_string  # noqa: E402
from docutils.writers.manpage import Writer  # noqa: E402

from initkit import __version__  # noqa: E402

#: For a page whose prose is all in the help texts.
_PLAIN = "Synopsis\n--------\n\n@synopsis@\n@verbs@\nSee also\n--------\n\n@see_also@\n"


def main(argv: list[str]) -> int:
    """Write every page below the directory: NAME.SECTION."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: pages.py DIRECTORY", file=sys.stderr)
        return 64
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    for (name, section), source in pages().items():
        (folder / f"{name}.{section}").write_bytes(_page(source))
    return 0


def pages() -> dict[tuple[str, int], str]:
    """(name, section) -> reStructuredText."""
    made = {("initkit", 1): _filled("initkit", 1, "run services, and write what inits need", index=commands.index(),
                                    see_also=commands.see_also(""))}  # fmt: skip
    for family, verbs in commands.families().items():
        made[f"initkit-{family}", 1] = _filled(
            f"initkit-{family}",
            1,
            commands.about(family, verbs),
            synopsis=commands.synopsis(verbs),
            verbs=commands.verbs(verbs),
            see_also=commands.see_also(family),
        )
    made["initkit.toml", 5] = _filled(
        "initkit.toml",
        5,
        "settings of a service",
        directives=settings.every(),
        own=settings.own(),
        inits=settings.inits(),
        tables=settings.tables(),
    )
    made["initkit-varlink", 7] = _filled(
        "initkit-varlink", 7, "the control socket of a service",
        introduction=varlink.introduction(), members=varlink.members(),
    )  # fmt: skip
    return made


def _filled(name: str, section: int, about: str, **parts: str) -> str:
    """The prose of a page with the parts that are made, behind the header that docutils asks for."""
    prose = HERE / f"{name}.rst"
    body = prose.read_text(encoding="utf-8") if prose.exists() else _PLAIN
    for key, part in parts.items():
        body = body.replace(f"@{key}@", part)
    facts = f":Manual section: {section}\n:Manual group: initkit\n:Version: initkit {__version__}\n"
    return "\n".join([rst.title(name, "="), rst.title(rst.text(about), "-"), facts, body])


def _page(source: str) -> bytes:
    strict = {"halt_level": 2, "report_level": 2, "input_encoding": "unicode", "output_encoding": "utf-8"}
    made: bytes = publish_string(source, writer=Writer(), settings_overrides=strict)
    return made.replace(b".ft C\n", b"").replace(b".ft P\n", b"")  # of docutils before 0.20; groff has no font C


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
