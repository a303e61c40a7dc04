"""Aligned columns for people."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_WIDEST = 100  # characters: a cell that is longer makes its own line longer, not its column wider


def lines(rows: Iterable[Sequence[str]], indent: str = "  ", right: int = 0) -> Iterator[str]:
    """The rows as lines, their columns aligned; the first `right` columns to the right."""
    flat = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max((n for n in map(len, column) if n <= _WIDEST), default=0) for column in zip(*flat, strict=True)]
    for row in flat:
        cells = [
            cell.rjust(width) if column < right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield (indent + "  ".join(cells)).rstrip()
