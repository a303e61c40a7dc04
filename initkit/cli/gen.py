"""`initkit gen-unit`, `initkit gen-init`, `initkit gen`."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError

from initkit import inits
from initkit.cli.arguments import Parser
from initkit.cli.runner_path import runner_path
from initkit.errors import UsageError
from initkit.install import tree
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
    if verb == "gen" and any(word == "--for" or word.startswith("--for=") for word in argv):
        from initkit.cli import gen_tree

        return gen_tree.main(argv)
    parsed = parser(verb).parse_args(argv)
    service = load(parsed.app, user=parsed.user)
    init = inits.load(_INIT_OF.get(verb) or parsed.init)
    made = list(init.files(service, options(parsed)))  # complete before the first byte is written
    if verb == "gen":
        for path in tree.write(made, parsed.output_dir):
            print(path)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(made[0].text.encode("utf-8", "surrogateescape"))
        for file in made[1:]:
            hint = f"`initkit gen {made[0].init} {parsed.app} --output-dir DIR` writes all"
            print(f"initkit: {file.path} belongs to it: {hint}", file=sys.stderr)
    return 0


def other_parsers(verb: str) -> tuple[Parser, ...]:
    """The command line of `initkit gen --for`."""
    from initkit.cli import gen_tree

    return (gen_tree.parser(),) if verb == "gen" else ()


def parser(verb: str) -> Parser:
    """The command line of one of the verbs."""
    about = f"{_ABOUT[verb]} For a package: see `initkit gen --for sysv --help`." if verb == "gen" else _ABOUT[verb]
    made = Parser(prog=f"initkit {verb}", description=about)
    if verb == "gen":
        made.add_argument("init", help=f"one of {', '.join(inits.names())}")
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    if verb == "gen":
        made.add_argument("--output-dir", "-o", required=True, metavar="DIR", help="where the files go, below DIR")
    if verb != "gen-init":
        add_systemd_version(made)
    if verb != "gen-unit":
        add_standalone(made)
    add_options(made)
    return made


def add_systemd_version(made: Parser) -> None:
    made.add_argument(
        "--systemd-version", type=_version, default=0, metavar="N", help="refuse what systemd N does not know"
    )


def add_standalone(made: Parser) -> None:
    made.add_argument(
        "--standalone",
        dest="runner",
        action="store_false",
        default=None,
        help="a script that never calls `initkit run`",
    )


def add_options(made: Parser) -> None:
    """What every verb that generates takes."""
    made.add_argument(
        "--runner", dest="runner", action="store_true", default=None, help="call `initkit run` in any case"
    )
    made.add_argument("--user", action="store_true", help="for a user's own manager instead of the system's")
    made.add_argument(
        "--allow-loss", action="append", default=[], metavar="NAME", help="accept that this setting cannot be kept"
    )
    made.add_template_dir()


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError(f"expected a version of systemd such as 252, found {text!r}")
    return int(text)


def options(parsed: Namespace, *, packaged: bool = False) -> inits.Options:
    """What the command line asks of a generator."""
    return inits.Options(
        runner=parsed.runner,
        allow_loss=frozenset(map(_directive, parsed.allow_loss)),
        version=getattr(parsed, "systemd_version", 0),
        template_dir=parsed.template_dir or "",
        runner_path="initkit" if packaged else runner_path(),
        packaged=packaged,
    )


def _directive(text: str) -> str:
    try:
        return directives.named(text)
    except ValueError as fault:
        raise UsageError(f"--allow-loss {text}: {fault}") from None
