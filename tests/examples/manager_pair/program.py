"""The program of the pair: it knows nothing of its manager, or of initkit."""

from __future__ import annotations

import itertools
import os
import time


def main() -> None:
    """Beat ten times a second."""
    for beat in itertools.count(1):
        print(f"{os.getpid()} beat {beat}", flush=True)
        time.sleep(0.1)
