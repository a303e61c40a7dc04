"""What every verb's argument parser shares."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn

from initkit.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are initkit's: one line, exit status 64."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see `{self.prog} --help`")

    def add_template_dir(self) -> None:
        """The option of every verb that has templates."""
        self.add_argument("--template-dir", type=_folder, metavar="DIR", help="look for templates here first")


def _folder(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"there is no directory {text!r}")
    return text
