"""`python -m initkit` and the `initkit` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the verb on the command line; returns the exit status."""
    from initkit.cli import main as cli

    return cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
