"""A service's state as text for people."""

from __future__ import annotations

from initkit.cli import humane, table
from initkit.cli.humane import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
_COLOURS = {"active": _GREEN, "failed": _RED, "inactive": _DIM}  # all the others are on their way
_MARKS = {"active": "●", "failed": "✗", "inactive": "○"}


def block(told: dict[str, Any], colours: bool, *, progress: bool) -> list[str]:
    """Everything about one service, a line for each fact; with `progress` also what it waits for at this moment."""
    title = printable(f"{told['name']} - {told['description']}" if told["description"] else told["name"])
    state = told["state"]
    facts = [(f"{name}:", text) for name, text in _facts(told, colours, progress) if text]
    return [f"{_coloured(_MARKS.get(state, '◐'), state, colours)} {title}", *_aligned(facts), *_processes(told)]


def _facts(told: dict[str, Any], colours: bool, progress: bool) -> Iterator[tuple[str, str]]:
    state, since = _coloured(told["state"], told["state"], colours), told["since"]
    result = f" ({printable(told['result'])})" if told["result"] not in ("", "success") else ""
    missing = told.get("missing")
    lacking = f", {'but' if told['processes'] else 'and'} its {missing} is gone" if missing else ""
    yield "State", state + result + lacking + (f" since {humane.moment(since)}" if since else "")
    if progress and told.get("waitingFor"):
        yield "Waiting for", printable(told["waitingFor"]) + _limit(told.get("deadline"))
    yield "Main PID", str(told.get("mainPid") or "")
    yield "Logger", str(told.get("loggerPid") or "")
    yield "Status", printable(told.get("statusText") or "")
    if told.get("errno"):
        import os

        yield "Error", f"{told['errno']} ({os.strerror(told['errno'])})"
    if told["processes"]:
        yield "Memory", humane.size(told["memory"])
        yield "CPU", humane.span(told["cpu"] / 1e6)
    yield "Restarts", str(told["restarts"] or "")
    if told.get("exitCode"):
        yield "Last exit", printable(f"{told['exitCode']}, {told.get('exitStatus') or '?'}")
    yield "Commands", " ".join(map(printable, told["commands"]))


def _limit(deadline: int | None) -> str:
    if not deadline:
        return ""
    from initkit.run.survey import now

    return f", {humane.span(max(0.0, (deadline - now()) / 1e6 // 1))} left"


def _aligned(facts: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len("Processes:"), *(len(name) for name, _ in facts))
    return (f"  {name:>{width}} {text}" for name, text in facts)


def _processes(told: dict[str, Any]) -> Iterator[str]:
    """The processes as a tree."""
    below: dict[int, list[dict[str, Any]]] = {}
    for each in told["processes"]:
        below.setdefault(each["parent"], []).append(each)
    if below:
        yield "  Processes:"
        yield from _tree(below, 0, "    ")


def _tree(below: dict[int, list[dict[str, Any]]], parent: int, indent: str) -> Iterator[str]:
    children = below.pop(parent, [])
    for place, each in enumerate(children, 1):
        last = place == len(children)
        yield f"{indent}{'└─' if last else '├─'}{each['pid']} {printable(each['command'])}"
        yield from _tree(below, each["pid"], indent + ("  " if last else "│ "))


def overview(services: list[dict[str, Any]], colours: bool) -> Iterator[str]:
    """One line for each service."""
    rows = [("SERVICE", "STATE", "SINCE", "PID", "MEMORY", "")]
    rows += [
        (
            printable(each["name"]),
            each["state"],
            humane.moment(each["since"]).rpartition(", ")[2] if each["since"] else "",
            str(each.get("mainPid") or ""),
            humane.size(each["memory"]) if each["processes"] else "",
            printable(each.get("statusText") or each["description"]),
        )
        for each in services
    ]
    for line, state in zip(table.lines(rows, indent=""), ["", *(each["state"] for each in services)], strict=True):
        # Coloured when the columns are in their places: the codes have no width.
        yield line.replace(f" {state} ", f" {_coloured(state, state, colours)} ", 1) if state else line


def _coloured(text: str, state: str, colours: bool) -> str:
    return f"{_COLOURS.get(state, _YELLOW)}{text}{_PLAIN}" if colours else text
