"""What was found, as text: a table, markdown for the README, JSON, and a plot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

#: row -> who -> what was found
Results = dict[str, dict[str, list[float]]]
Growth = list[tuple[int, float, float]]

US, BARE = "initkit", "python -c pass"
_ORDER = ("one service", "services, ", " up", "--daemon", "status", "restart", "stop", "idle")  # parts of rows' names


class Goal:
    """What a figure of initkit's must be: at most `limit`, or at most `ratio` times that of `peer` in the same run."""

    def __init__(self, limit: float = 0, ratio: float = 0, peer: str = "") -> None:
        self.limit, self.ratio, self.peer = limit, ratio, peer

    def text(self, unit: str) -> str:
        """For people."""
        return f"≤ {self.ratio:.2g} x {self.peer}" if self.ratio else f"≤ {shown(self.limit, unit)}"

    def met(self, ours: float, peers: dict[str, float]) -> bool | None:
        """Whether it is reached; None where the peer was not measured."""
        if not self.ratio:
            return ours <= self.limit
        return ours <= self.ratio * peers[self.peer] if self.peer in peers else None


def goal_of(row: str) -> Goal | None:
    """The goal of a row."""
    goals = {
        "manager of one service, RSS": Goal(limit=12),
        "manager of 200 services, RSS": Goal(limit=16),
        "200 services up": Goal(ratio=1 / 3, peer="supervisor"),
        "--daemon start, until ready": Goal(ratio=1.5, peer="python-daemon"),
        "status": Goal(ratio=3, peer=BARE),
        "restart after a crash": Goal(limit=0.010),
        "stop, beyond the program's own time": Goal(limit=0.005),
    }
    return Goal(limit=0) if row.startswith("idle") else goals.get(row)


def unit_of(row: str) -> str:
    """What a row's figures are: "MiB", "" for a count, "ms" for seconds."""
    return "MiB" if row.endswith(("RSS", "PSS")) else "" if row.startswith("idle") else "ms"


def shown(value: float, unit: str) -> str:
    """A figure for people."""
    if unit == "ms":
        milliseconds = value * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"
    return f"{value:.1f} MiB" if unit else f"{value:.0f}"


def table(results: Results, columns: list[str]) -> list[list[str]]:
    """Rows of cells, with a head: initkit's figure, its goal, then each peer's with the ratio to initkit's."""
    rows = [["", US, "goal", *columns]]
    for row in sorted(results, key=lambda row: next(at for at, part in enumerate(_ORDER) if part in row)):
        figures = {who: median(values) for who, values in results[row].items()}
        rows.append([row, *_cells(row, figures, columns)])
    return rows


def _cells(row: str, figures: dict[str, float], columns: list[str]) -> Iterator[str]:
    unit, goal, ours = unit_of(row), goal_of(row), figures.get(US)
    yield "" if ours is None else shown(ours, unit)
    if goal and ours is not None:
        met = goal.met(ours, figures)
        yield f"{goal.text(unit)}: {'?' if met is None else 'met' if met else 'NOT MET'}"
    else:
        yield ""
    for who in columns:
        if who not in figures:
            yield ""
        elif ours:
            ratio = figures[who] / ours
            yield f"{shown(figures[who], unit)} ({ratio:.{0 if ratio >= 10 else 1 if ratio >= 1 else 2}f})"
        else:
            yield shown(figures[who], unit)


def plain(rows: list[list[str]]) -> Iterator[str]:
    """Aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def markdown(rows: list[list[str]]) -> Iterator[str]:
    """As the README has it, with a column for each peer that has a figure."""
    head, *rest = rows
    kept = [at for at in range(len(head)) if at < 3 or any(row[at] for row in rest)]
    for number, row in enumerate(rows):
        yield "| " + " | ".join(row[at] for at in kept) + " |"
        if number == 0:
            yield "| " + " | ".join("---" for _ in kept) + " |"


def starts(results: Results) -> list[list[str]]:
    """What a start costs, each as a ratio to bare Python's."""
    bare = median(results[BARE][BARE])
    rows = [["start", "median", "ratio"]]
    for name, found in results.items():
        value = median(*found.values())
        rows.append([name, shown(value, "ms"), f"{value / bare:.1f}"])
    return rows


def sandboxes(found: Results) -> list[list[str]]:
    """What a sandbox costs: a row for each who, with the figures by settings and what they are of those without."""
    levels = list(found)
    rows = [["", *levels]]
    for who in dict.fromkeys(who for figures in found.values() for who in figures):
        medians = [median(found[level][who]) if who in found[level] else None for level in levels]
        rows.append([who, *(_beside(value, medians[0]) for value in medians)])
    return rows


def _beside(value: float | None, first: float | None) -> str:
    if value is None:
        return ""
    return shown(value, "ms") + (f" ({value / first:.1f})" if first and value != first else "")


def plot(growth: Growth) -> Iterator[str]:
    """Time and memory by the number of services, as bars, and what one more costs."""
    most = max(seconds for _, seconds, _ in growth), max(size for _, _, size in growth)
    for count, seconds, size in growth:
        time_bar, size_bar = (_bar(value / top) for value, top in zip((seconds, size), most, strict=True))
        yield f"{count:>6} services {seconds * 1000:>8.0f} ms |{time_bar}| {size:>6.1f} MiB |{size_bar}|"
    for (count, seconds, size), (more, later, larger) in pairwise(growth):
        step = more - count
        yield (
            f"{count:>6} to {more}: {(later - seconds) / step * 1000:.2f} ms and"
            f" {(larger - size) / step * 1024:.1f} KiB for each"
        )


def _bar(part: float, width: int = 30) -> str:
    return f"{'#' * round(part * width):<{width}}"


def as_json(results: Results, starting: Results, growth: Growth, sandboxed: Results) -> str:
    """All figures, in seconds, MiB and counts."""
    rows = [{"services": count, "seconds": seconds, "rss": size} for count, seconds, size in growth]
    found = {"managers": results, "starts": starting, "growth": rows, "sandboxes": sandboxed}
    return json.dumps(found, indent=1)
