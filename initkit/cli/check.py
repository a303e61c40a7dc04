"""`initkit check APP`: judge settings, this machine's fitness for them, and the files generated from them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from initkit import inits
from initkit.cli import check_files, check_settings
from initkit.cli.arguments import Parser
from initkit.cli.finding import ERROR, NOTE, WARNING, Finding, of_error
from initkit.errors import EX_CONFIG, SettingsError
from initkit.settings.load import parse


def main(verb: str, argv: list[str]) -> int:
    """Print the findings; 0 when there is no error among them, else 78 (EX_CONFIG)."""
    parsed = parser(verb).parse_args(argv)
    count = dict.fromkeys((ERROR, WARNING, NOTE), 0)
    for finding in findings(parsed.app, parsed.init, user=parsed.user):
        how = ERROR if parsed.strict and finding.how == WARNING else finding.how
        count[how] += 1
        print(Finding(finding.where, how, finding.text))
    said = ", ".join(f"{number} {how}{'s' * (number > 1)}" for how, number in count.items() if number and how != NOTE)
    print(f"{parsed.app}: {said or 'nothing found'}", file=sys.stderr)
    return EX_CONFIG if count[ERROR] else 0


def parser(verb: str) -> Parser:
    """The command line of `initkit check`."""
    made = Parser(
        prog=f"initkit {verb}",
        description="Judge settings, this machine's fitness for them, and the files generated from them.",
    )
    made.add_argument("app", help="a settings file, or the name of one in the load path")
    made.add_argument("--strict", action="store_true", help="warnings are errors")
    made.add_argument(
        "--init", action="append", default=[], metavar="NAME", help=f"only this: {', '.join(inits.names())}"
    )
    made.add_argument("--user", action="store_true", help="for a user's own manager instead of the system's")
    return made


def findings(app: str, names: list[str], *, user: bool = False) -> Iterator[Finding]:
    """Everything there is to say, in the order of looking; nothing more once the settings cannot be used."""
    chosen = [(name, inits.load(name)) for name in names or inits.names()]
    faults: list[SettingsError] = []
    try:
        service = parse(app, user=user, complain=faults.append)
        if faults:  # whether the rest makes a service cannot be said
            faults += [fault for unit in service.sample().units for fault in unit.wrong_values()]
        else:
            faults += service.faults()
    except SettingsError as fault:
        faults.append(fault)
    yield from map(of_error, faults)
    if not faults:
        sample = service.sample()
        if sample is service:
            yield from check_settings.findings(service)
        else:
            told = f"a template: what it asks of the machine is seen for an instance, such as {service.name}1"
            yield Finding(service.path, NOTE, told)
        for name, init in chosen:
            yield from check_files.findings(service if init.TEMPLATES else sample, name, init)
