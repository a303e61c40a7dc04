"""`initkit gen-unit`, `initkit gen-init`, `initkit gen`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError

from initkit import inits
from initkit.cli.arguments import Parser
from initkit.cli.runner_path import runner_path
from initkit.errors import InitkitError, UsageError
from initkit.settings import directives
from initkit.settings.load import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_INIT_OF = {"gen-unit": "systemd", "gen-init": "sysv"}
_ABOUT = {
    "gen": "Write all the files that an init needs for a service, below a directory.",
    "gen-unit": "Write a systemd unit for a service to standard output.",
    "gen-init": "Write a SysV init script for a service to standard output.",
}


def main(verb: str, argv: list[str]) -> int:
    """Generate; one file to standard output, or all of an init's below a directory."""
    parsed = parser(verb).parse_args(argv)
    service = load(parsed.app, user=parsed.user)
    init = inits.load(_INIT_OF.get(verb) or parsed.init)
    made = list(init.files(service, _options(parsed)))  # complete before the first byte is written
    if verb == "gen":
        for file in made:
            print(_write(file, parsed.output_dir))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(made[0].text.encode("utf-8", "surrogateescape"))
    return 0


def parser(verb: str) -> Parser:
    """The command line of one of the verbs."""
    made = Parser(prog=f"initkit {verb}", description=_ABOUT[verb])
    if verb == "gen":
        made.add_argument("init", help=f"one of {', '.join(inits.names())}")
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    if verb == "gen":
        made.add_argument("--output-dir", "-o", required=True, metavar="DIR", help="where the files go, below DIR")
    if verb != "gen-init":
        made.add_argument(
            "--systemd-version", type=_version, default=0, metavar="N", help="refuse what systemd N does not know"
        )
    if verb != "gen-unit":
        made.add_argument(
            "--standalone",
            dest="runner",
            action="store_false",
            default=None,
            help="a script that never calls `initkit run`",
        )
    made.add_argument(
        "--runner", dest="runner", action="store_true", default=None, help="call `initkit run` in any case"
    )
    made.add_argument("--user", action="store_true", help="for a user's own manager instead of the system's")
    made.add_argument(
        "--allow-loss", action="append", default=[], metavar="NAME", help="accept that this setting cannot be kept"
    )
    made.add_template_dir()
    return made


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError(f"expected a version of systemd such as 252, found {text!r}")
    return int(text)


def _options(parsed: Namespace) -> inits.Options:
    return inits.Options(
        runner=parsed.runner,
        allow_loss=frozenset(map(_directive, parsed.allow_loss)),
        version=getattr(parsed, "systemd_version", 0),
        template_dir=parsed.template_dir or "",
        runner_path=runner_path(),
    )


def _directive(text: str) -> str:
    """The name of a directive, which may be spelled as in TOML.

    Raises:
        UsageError: when there is none of that name.
    """
    kind, dot, name = text.partition(".")
    suffix = f".{kind.lower()}"
    if dot and suffix in directives.SECTIONS_OF:  # as `Entry.label` has it, or "socket.listen_stream"
        found = next((row for row in directives.every(suffix) if name in (row.name, row.toml)), None)
        if found is not None:
            return f"{kind.capitalize()}.{found.name}"
    row = directives.find_toml(text) or directives.find_own_toml(text) or directives.find_own(text)
    for section in directives.SECTIONS:
        row = row or directives.find(section, text)
    if row is not None:
        return row.name
    near = directives.nearest(text, (each.name for each in (*directives.every(), *directives.own())))
    raise UsageError(f"--allow-loss {text}: there is no such directive", hint=near and f"did you mean {near}?")


def _write(file: inits.File, folder: str) -> str:
    """Write a generated file below `folder`, whole or not at all."""
    path = os.path.join(folder, file.path.lstrip("/"))
    draft = f"{path}.{os.getpid()}~"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(draft, "x", encoding="utf-8", errors="surrogateescape") as out:
            os.fchmod(out.fileno(), file.mode)
            out.write(file.text)
        os.rename(draft, path)
    except OSError as fault:
        raise InitkitError(f"{path}: cannot be written: {fault.strerror}") from None
    return path
