"""`initkit gen --for INIT,… --root DIR APP`: everything that a package of the service has to hold, below DIR."""

from __future__ import annotations

import json
import os
import sys

from initkit.cli.arguments import Parser
from initkit.cli.gen import add_options, add_standalone, add_systemd_version, options
from initkit.errors import UsageError
from initkit.inits import File
from initkit.install import listing, scripts, tree
from initkit.install.needs import needs
from initkit.settings.load import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(argv: list[str]) -> int:
    """Write the tree, and print what is in it."""
    parsed = parser().parse_args(argv)
    root = parsed.root or "/"
    if parsed.format == "fpm" and not parsed.scripts:
        raise UsageError("--format fpm needs --scripts DIR", hint="fpm takes scripts as files")
    service = load(parsed.app, user=parsed.user, name=parsed.name)
    found = needs(service, parsed.inits.split(","), options(parsed, packaged=True))
    hooks = scripts.render(found, parsed.template_dir or "")
    # Complete before the first byte is written.
    paths = tree.write(found.files, root)
    if parsed.scripts:
        folder = os.path.abspath(parsed.scripts)
        tree.write((File(f"/{name}", text, 0o755) for name, text in hooks.items()), folder)
        hooks = {name: f"{folder}/{name}" for name in hooks}
    for note in found.notes if parsed.format != "json" else ():
        print(f"initkit: {note}", file=sys.stderr)
    if parsed.format == "paths":
        print("\n".join(paths))
    else:
        _print(parsed.format, listing, found, os.path.abspath(root), hooks, bool(parsed.scripts))
    return 0


def _print(form: str, module: Any, *about: Any) -> None:
    made = getattr(module, form)(*about)
    print(made if isinstance(made, str) else json.dumps(made, indent=2, ensure_ascii=False))


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="initkit gen", description=__doc__)
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    made.add_argument("--for", dest="inits", required=True, metavar="INIT,…", help="the inits, with commas")
    made.add_argument("--root", required=True, metavar="DIR", help='where the tree goes: "$DESTDIR"')
    made.add_argument("--name", default="", help="what the service is called, if not as its settings file")
    made.add_argument("--scripts", metavar="DIR", help="write after-install, before-remove and after-remove there")
    made.add_argument(
        "--format",
        choices=("paths", "json", "nfpm", "fpm"),
        default="paths",
        help="what to print: the paths written, a list for programs, a piece of nfpm's configuration, fpm's options",
    )
    made.add_argument("--json", dest="format", action="store_const", const="json", help="short for --format json")
    add_systemd_version(made)
    add_standalone(made)
    add_options(made)
    return made
