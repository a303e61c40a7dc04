#!/usr/bin/python3
"""Writes the completions for bash, zsh and fish: `completions.py DIRECTORY`.

shtab makes bash's and zsh's from the parsers of the command line. Debian's shtab knows no fish; its lines are written
here, from the same parsers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the initkit beside it, not an installed one

import shtab

from initkit import __version__, inits
from initkit.cli import VERBS, parsers_of
from initkit.settings.find import load_path

#: What an argument is called -> what may stand there.
_SERVICES, _FOLDERS, _INITS = ("app", "files"), ("DIR",), ("init",)
_SIGNALS = ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH")

#: The names in the load path, in POSIX sh; it stands in single quotes in each of the shells' files.
_NAMES = """\
for folder in . {folders}; do
    for file in "$folder"/*.toml "$folder"/*.service; do
        [ -f "$file" ] || continue
        name=${{file##*/}}
        name=${{name%.*}}
        case $name in *@) ;; *) echo "$name" ;; esac
    done
done | sort -u"""

_PREAMBLE = {
    "bash": """\
_initkit_services() {{
    case $1 in
        */* | .*)
            compgen -f -X "!*.toml" -- "$1"
            compgen -f -X "!*.service" -- "$1"
            ;;
        *) compgen -W "$(sh -c '{names}')" -- "$1" ;;
    esac
    compgen -d -- "$1"
}}""",
    "zsh": """\
_initkit_services() {{
    local -a names
    if [[ $PREFIX == */* ]]; then
        _path_files -g "*.(toml|service)"
    else
        names=(${{(f)"$(sh -c '{names}')"}})
        compadd -a names
        _path_files -/
    fi
}}""",
    "fish": """\
function __initkit_services
    set word (commandline -ct)
    if string match -q "*/*" -- $word
        __fish_complete_path $word | string match -r "^[^\\t]*(?:/|[.]toml|[.]service)(?:\\t.*)?\\$"
    else
        sh -c '{names}'
        __fish_complete_directories $word
    end
end""",
}


def main(argv: list[str]) -> int:
    """Write a file for each shell, called as the shell looks for it."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: completions.py DIRECTORY", file=sys.stderr)
        return 64
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    whole = _whole()
    for shell, name in (("bash", "initkit"), ("zsh", "_initkit")):
        (folder / name).write_text(shtab.complete(whole, shell, preamble=_preamble(shell)) + "\n", encoding="utf-8")
    (folder / "initkit.fish").write_text("\n".join(_fish()) + "\n", encoding="utf-8")
    return 0


def _whole() -> argparse.ArgumentParser:
    """The command line with all its verbs."""
    whole = argparse.ArgumentParser(prog="initkit")
    whole.add_argument("-V", "--version", action="version", version=__version__, help="show the version")
    verbs = whole.add_subparsers(dest="verb")
    for verb, (_, about) in VERBS.items():
        made = verbs.add_parser(verb, add_help=False, help=about, description=about)
        for action in _actions(verb):
            _tell_shtab(action)
            made._add_action(action)
    return whole


def _actions(verb: str) -> list[argparse.Action]:
    """The arguments and options of a verb: those of its first form, and the options of the others."""
    first, *others = (parser._actions for parser in parsers_of(verb))
    known = {option for action in first for option in action.option_strings}
    return [*first, *(action for actions in others for action in actions if {*action.option_strings} - known)]


def _tell_shtab(action: argparse.Action) -> None:
    if _is(action, _SERVICES):
        action.complete = dict.fromkeys(("bash", "zsh"), "_initkit_services")  # type: ignore[attr-defined]
    elif _is(action, _FOLDERS):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    else:
        action.choices = _choices(action) or None


def _is(action: argparse.Action, names: tuple[str, ...]) -> bool:
    return action.dest in names or action.metavar in names


def _choices(action: argparse.Action) -> tuple[str, ...]:
    if _is(action, _INITS):
        return inits.names()
    return _SIGNALS if action.dest == "signal" else tuple(map(str, action.choices or ()))


def _preamble(shell: str) -> str:
    return _PREAMBLE[shell].format(names=_NAMES.format(folders=_folders()))


def _folders() -> str:
    """The load path as words of sh, where the user's own folders are what the shell makes of them."""
    os.environ["XDG_CONFIG_HOME"] = "${XDG_CONFIG_HOME:-$HOME/.config}"
    os.environ["XDG_DATA_HOME"] = "${XDG_DATA_HOME:-$HOME/.local/share}"
    return " ".join(dict.fromkeys(f'"{folder}"' if "$" in folder else folder for folder in load_path(user=True)))


# --------------------------------------------------------------------------------------------------------------------
# fish


def _fish() -> Iterator[str]:
    yield _preamble("fish")
    yield "complete -c initkit -f"
    yield "complete -c initkit -n __fish_use_subcommand -s V -l version -d 'show the version'"
    yield "complete -c initkit -s h -l help -d 'show help'"
    for verb, (_, about) in VERBS.items():
        yield f"complete -c initkit -n __fish_use_subcommand -a {verb} -d {_quoted(about)}"
        for action in _actions(verb):
            if not isinstance(action, argparse._HelpAction):
                yield f"complete -c initkit -n '__fish_seen_subcommand_from {verb}' {_fish_words(action)}"


def _fish_words(action: argparse.Action) -> str:
    """The rest of a line of complete(1) of fish for an option, or for what stands without one."""
    if not action.option_strings:
        return f"-a {_fish_values(action)}"
    options = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings]
    value = "" if action.nargs == 0 else f" -x -a {_fish_values(action)}"
    return f"{' '.join(options)}{value} -d {_quoted(action.help or '')}"


def _fish_values(action: argparse.Action) -> str:
    if _is(action, _SERVICES):
        return "'(__initkit_services)'"
    return "'(__fish_complete_directories)'" if _is(action, _FOLDERS) else _quoted(" ".join(_choices(action)))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
