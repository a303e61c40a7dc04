"""The directives of initkit.toml(5), from the table that also reads and checks them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Mapping

import rst

from initkit import cli
from initkit.cli import explain
from initkit.inits import load, names
from initkit.settings import directives
from initkit.settings.directives import Directive
from initkit.settings.service import OWN

#: What the settings of initkit's own do; of the others systemd's manual tells.
_OWN = {
    "Callable": "A Python function that is called in place of a program; there is no ExecStart= then.",
    "SettleSec": "How long a program of Type=simple or exec has to run before a start as a daemon is called done.",
    "LogCommand": "A logger that reads the service's output, behind a pipe that outlives both.",
    "LogFile": "A file for the service's output, which initkit keeps and rotates itself.",
    "LogMaxSize": "The size at which the log file is rotated.",
    "LogMaxFiles": "How many files are kept, the one that is written included.",
    "NotificationFd": "The descriptor on which the program writes a newline when it is ready, as s6's programs do.",
    "OnDemand": "Whether the service is started by the first who comes to its sockets rather than at once.",
    "UserGecos": "The account's comment in passwd(5), where a package makes the account of User=.",
    "UserHome": "The account's home directory.",
    "UserID": "The account's number, where it has to be a certain one.",
    "ControlGroup": "A group whose members may look at the service over its control socket.",
}

#: directive -> init -> {"how": …, "reason": …}
Support = dict[str, dict[str, dict[str, str]]]


def every() -> str:
    """All the directives, by the manual that tells of them; initkit's own have a place of their own."""
    found = support()
    manuals: dict[str, list[Directive]] = {}
    for row in explain.every():
        if row.section != OWN:
            manuals.setdefault(row.manual, []).append(row)
    return "\n".join(_section(f"Directives of {manual}", rows, found) for manual, rows in sorted(manuals.items()))


def own() -> str:
    """The settings of initkit itself."""
    found = support()
    return "\n".join(_item(row, found) for row in directives.own())


def tables() -> str:
    """The settings for one init only."""
    return "\n".join(_table(name, load(name).TABLE) for name in names())


def _table(init: str, known: Mapping[str, str]) -> str:
    """Keys of which the same is to be said stand together."""
    said: dict[str, list[str]] = {}
    for key, what in known.items():
        said.setdefault(what, []).append(f"**{directives.snake(key)}**")
    return "\n".join(rst.item(f"{', '.join(keys)} in *[{init}]*", rst.sentence(what)) for what, keys in said.items())


@functools.cache
def support() -> Support:
    """What each init makes of every directive: the words of `initkit explain`."""
    with contextlib.redirect_stdout(io.StringIO()) as explained:
        cli.main(["explain", "--json"])
    made: Support = json.loads(explained.getvalue())["settings"]
    return made


def _section(title: str, rows: list[Directive], found: Support) -> str:
    return rst.heading(title) + "\n" + "\n".join(_item(row, found) for row in rows)


def _item(row: Directive, found: Support) -> str:
    spelled = f"**{row.toml}**" if row.section != OWN else f"**{row.toml}** in *[initkit]*"
    facts = f"{row.name}= in [{row.section}], {row.manual}{_versions(row)}: {row.expected}"
    kept = "; ".join(_kept(init, **how) for init, how in found.get(row.label, {}).items())
    meaning = rst.text(_OWN.get(row.name, ""))
    return rst.item(spelled, *filter(None, (meaning, rst.sentence(facts), f"{kept}." * bool(kept))))


def _versions(row: Directive) -> str:
    since = f", since systemd {row.since}" if row.since else ""
    return since + (f", not in systemd {row.gone} any more" if row.gone else "")


def _kept(init: str, how: str, reason: str) -> str:
    because = f" ({rst.text(reason)})" if reason and how != "native" else ""
    return f"*{init}*: {how}{because}"


def inits() -> str:
    """The inits there are."""
    return ", ".join(f"*{name}*" for name in names())
