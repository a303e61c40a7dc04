"""`python -m initkit` and the `initkit` command."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> int:
    """Run the verb on the command line; returns the exit status."""
    from initkit.cli import main as cli

    return cli(sys.argv[1:])


def run() -> NoReturn:
    """The same, and exit. Nothing of Python's is to be put in order, which would take a third as long as its start."""
    status = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush() if stream is not None else None
    finally:
        os._exit(status)


if __name__ == "__main__":
    run()
