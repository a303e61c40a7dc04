"""The path by which what is generated calls initkit."""

from __future__ import annotations

import os
import shutil
import sys

from initkit.plan.process import DEFAULT_PATH


def runner_path() -> str:
    """The name `initkit` where every init finds it; else, as in a virtual environment, the path of the one running."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "initkit")
    if shutil.which("initkit", path=DEFAULT_PATH) is None:
        for path in (os.path.abspath(sys.argv[0]), beside):
            if os.path.basename(path) == "initkit" and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return "initkit"
