"""`initkit up`."""

from __future__ import annotations

import os

from initkit.cli.run import is_users_own
from initkit.errors import SettingsError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

_SUFFIXES = (".toml", ".service")
_OTHERS = ("pyproject.toml", "Cargo.toml")  # settings of other tools, that lie where services are developed


def main(verb: str, argv: list[str]) -> int:
    """Run several services in the foreground. argparse would stay in memory as long as they run."""
    files: list[str] = argv
    name: str | None = None
    if len(argv) > 1 and argv[0] == "--name":
        name, files = argv[1], argv[2:]
    if any(word.startswith("-") for word in files):
        parsed = parser(verb).parse_args(argv)
        files, name = parsed.files, parsed.name
    from initkit.settings.find import check_name
    from initkit.settings.load import load

    if name is not None:
        check_name(name)
    user = is_users_own()
    services = [load(file, user=user) for file in files or _here()]
    for service in services:
        service.demand_instance()
    names: set[str] = set()
    for each in services:
        if each.name in names:
            raise UsageError(f"{each.path}: there is another service {each.name}")
        names.add(each.name)
    from initkit.run.up import up

    return up(services, name or "")


def _here() -> list[str]:
    """The settings files in the current directory: of one name the TOML file, as everywhere; no templates."""
    found: dict[str, str] = {}
    for file in sorted(os.listdir(), reverse=True):
        name, dot, suffix = file.rpartition(".")
        if name and dot + suffix in _SUFFIXES and not name.endswith("@") and file not in _OTHERS and name[0] != ".":
            found[name] = f"./{file}"
    if not found:
        raise SettingsError("no settings here", hint="expected *.toml or *.service in the current directory, or FILE…")
    return [found[name] for name in sorted(found)]


def parser(verb: str) -> ArgumentParser:
    """The command line of `initkit up`."""
    from initkit.cli.arguments import Parser

    made = Parser(
        prog=f"initkit {verb}",
        usage="initkit up [--name NAME] [FILE…]",
        description="Run several services under one manager in the foreground, in the order that After= and Before="
        " give them; what they require, conflict with or uphold means what systemd.unit(5) says. Their output is shown"
        " line by line, each behind its service's name. SIGTERM or SIGINT stops them in reverse order. The other verbs"
        " find them by their names.",
    )
    made.add_argument("files", nargs="*", metavar="FILE", help="settings files; without any, all in this directory")
    made.add_argument(
        "--name",
        help="of the control socket, NAME.sock beside those of services: one that no other manager has"
        " (the default is up, or the first of up-2, up-3, … that is free)",
    )
    return made
