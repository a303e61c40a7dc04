"""The sections of initkit-varlink(7), from the interface description that the manager serves."""

from __future__ import annotations

import rst

from initkit.run.interface import DESCRIPTION

_TITLES = {"type": "Types", "method": "Methods", "error": "Errors"}


def introduction() -> str:
    """What the interface says of itself before its first member."""
    head = DESCRIPTION.split("\n\n", 1)[0].splitlines()
    return rst.text(" ".join(line.removeprefix("# ") for line in head if line.startswith("#")))


def members() -> str:
    """Types, methods and errors, each with its comment and its definition."""
    made = {keyword: [rst.heading(title)] for keyword, title in _TITLES.items()}
    for member in DESCRIPTION.strip().split("\n\n")[1:]:
        lines = member.splitlines()
        comment = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
        definition = [line for line in lines if not line.startswith("#")]
        keyword, name = definition[0].split(maxsplit=1)
        made[keyword] += [
            rst.heading(name.split("(")[0].strip(), "~"),
            *([rst.sentence(comment) + "\n"] * bool(comment)),
        ]
        made[keyword].append(rst.literal(definition))
    return "\n".join(part for parts in made.values() for part in parts)
