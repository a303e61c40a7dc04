"""The pages of section 1, from the parsers of the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import rst

from initkit.cli import VERBS, parsers_of

#: Modules of initkit.cli whose verbs stand on another one's page; every other module has a page of its own.
_TOGETHER = {"status": "control", "logs": "control", "call": "control", "explain": "check", "schema": "check"}
#: Page -> what it is about, where the help of its first verb does not say it.
_ABOUT = {
    "control": "start, stop and ask services",
    "check": "judge settings, and show what becomes of them",
    "gen": "write the files that inits need",
}


def families() -> dict[str, list[str]]:
    """Page -> the verbs on it."""
    found: dict[str, list[str]] = {}
    for verb, (module, _) in VERBS.items():
        found.setdefault(_TOGETHER.get(module, module), []).append(verb)
    return found


def about(page: str, verbs: list[str]) -> str:
    """What a page is about, as its name section says it."""
    return _ABOUT.get(page, VERBS[verbs[0]][1])


def synopsis(verbs: list[str]) -> str:
    """How each of the verbs is called."""
    return rst.literal([line for verb in verbs for line in _usage(verb)])


def verbs(names: list[str]) -> str:
    """What each of the verbs does, and its arguments and options."""
    if len(names) == 1:
        return _describe(names[0], "Arguments and options", "-")
    return rst.heading("Commands") + "\n" + "\n".join(_describe(verb, f"initkit {verb}", "~") for verb in names)


def index() -> str:
    """Every verb, for the page of the whole command."""
    found = families()
    page = {verb: name for name, verbs in found.items() for verb in verbs}
    return "\n".join(
        rst.item(f"**{verb}**", f"{rst.sentence(line)} See **initkit-{page[verb]}**\\(1).")
        for verb, (_, line) in VERBS.items()
    )


def see_also(page: str) -> str:
    """The other pages."""
    others = ["initkit", *(f"initkit-{name}" for name in families() if name != page)]
    return ", ".join(f"**{name}**\\(1)" for name in others) + ", **initkit.toml**\\(5), **initkit-varlink**\\(7)"


def _usage(verb: str) -> list[str]:
    os.environ["COLUMNS"] = "78"  # argparse wraps by it
    lines = "".join(parser.format_usage() for parser in parsers_of(verb)).rstrip().splitlines()
    return [line.removeprefix("usage: ").removeprefix(" " * len("usage: ")) for line in lines]


def _describe(verb: str, title: str, line: str) -> str:
    return "\n".join([rst.heading(title, line), *(part for parser in parsers_of(verb) for part in _form(parser))])


def _form(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield rst.sentence(parser.description or "") + "\n"
    yield from _arguments(parser)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # argparse has no other list of them; shtab and argparse-manpage read it too
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        value = _value(action)
        names = [f"**{option}**{value and f' {value}'}" for option in action.option_strings] or [value]
        yield rst.item(", ".join(names), rst.sentence(action.help or action.dest))


def _value(action: argparse.Action) -> str:
    if action.option_strings and action.nargs == 0:
        return ""
    if action.choices:
        return rst.text("{" + ",".join(map(str, action.choices)) + "}")
    return f"*{rst.text(str(action.metavar or action.dest.upper()))}*"
