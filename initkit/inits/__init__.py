"""The inits that initkit writes files for: one module each, whose file name is its name.

Every module has:
  `support(service)`   directive -> `Support`, for the directives that the service sets
  `files(service, …)`  yields `File`s; nothing is written here
  `commands(service)`  what enables, starts, stops and asks: verb -> argv
"""

from __future__ import annotations

import os

from initkit.errors import UsageError
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    from initkit.settings.service import Service

    class Init(Protocol):
        """What a module in this package offers."""

        def support(self, service: Service) -> Mapping[str, Support]: ...
        def files(self, service: Service, options: Options) -> Iterator[File]: ...
        def commands(self, service: Service) -> Mapping[str, tuple[str, ...]]: ...


NATIVE, SCRIPT, RUNNER, NONE = "native", "script", "runner", "none"


class Support(Record):
    """How an init keeps a setting: by itself, in the generated script, by `initkit run`, or not at all; and why."""

    how: str
    reason: str = ""


class File(Record):
    """A generated file: where it belongs, its text, its permissions."""

    path: str
    text: str
    mode: int = 0o644


class Options(Record):
    """What the command line may ask of a generator.

    `runner`: None lets the settings decide, True calls the runner in any case, False never does. `allow_loss` names the
    directives that may be dropped. `version` is the init's version, 0 for any. `template_dir` is looked in first.
    `runner_path` is the program initkit: a bare name where every init finds it.
    """

    runner: bool | None = None
    allow_loss: frozenset[str] = frozenset()
    version: int = 0
    template_dir: str = ""
    runner_path: str = "initkit"


def names() -> tuple[str, ...]:
    """The inits there are."""
    found = (file.removesuffix(".py") for file in os.listdir(os.path.dirname(__file__)) if file.endswith(".py"))
    return tuple(sorted(name for name in found if name not in ("__init__", "render")))


def load(name: str) -> Init:
    """The module of an init.

    Raises:
        UsageError: when there is none of that name.
    """
    if name not in names():
        raise UsageError(f"unknown init {name!r}: expected one of {', '.join(names())}")
    module: Init = __import__(f"initkit.inits.{name}", fromlist=["files"])
    return module
