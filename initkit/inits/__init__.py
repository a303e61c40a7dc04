"""The inits that initkit writes files for: one module each, whose file name is its name.

Every module has:
  `support(service)`   directive -> `Support`, for the directives that the service sets
  `files(service, …)`  yields `File`s; nothing is written here
  `commands(service)`  what enables, starts, stops and asks: verb -> argv
  `TABLE`              what the settings' table for it may hold: key in CamelCase -> what it is
  `TEMPLATES`          whether it has templates and instances itself: name@instance, systemd.unit(5)
  `RUNS`               a test in sh that holds where the init runs
  `SERVED_BY`          inits whose files serve this one as well, where both go into one package: name -> what to know

The files that belong to no init in particular (sysusers.d(5), logrotate(8) …) are in `initkit.inits.kinds`.
"""

from __future__ import annotations

import os

from initkit.errors import UsageError
from initkit.settings import directives
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    from initkit.settings.service import Service

    class Init(Protocol):
        """What a module in this package offers."""

        TABLE: Mapping[str, str]
        RUNS: str
        TEMPLATES: bool
        SERVED_BY: Mapping[str, str]

        def support(self, service: Service) -> Mapping[str, Support]: ...
        def files(self, service: Service, options: Options) -> Iterator[File]: ...
        def commands(self, service: Service) -> Mapping[str, tuple[str, ...]]: ...


NATIVE, SCRIPT, RUNNER, NONE = "native", "script", "runner", "none"


class Support(Record):
    """How an init keeps a setting: by itself, in the generated script, by `initkit run`, or not at all; and why."""

    how: str
    reason: str = ""


class File(Record):
    """A generated file: where it belongs, its text, its permissions.

    `kind` says what it is ("unit", "script", "sysusers" …), `init` whose it is ("" for any), `runner` whether it calls
    `initkit run`.
    """

    path: str
    text: str
    mode: int = 0o644
    kind: str = ""
    init: str = ""
    runner: bool = False

    @property
    def config(self) -> bool:
        """Whether administrators may edit it, so that no package overwrites it: Debian policy 10.7."""
        return self.path.startswith("/etc/")


#: What tables of several inits may hold.
ALLOW_LOSS = {"AllowLoss": "directives whose loss is accepted, as by `--allow-loss`"}
CALLED = {
    "Settings": "what the script gives to `initkit run`: a name in the load path, or a path",
    "Runner": "the program initkit as the script calls it: a name or a path",
}


class Options(Record):
    """What the command line may ask of a generator.

    `runner`: None lets the settings decide, True calls the runner in any case, False never does. `allow_loss` names the
    directives that may be dropped. `version` is the init's version, 0 for any. `template_dir` is looked in first.
    `runner_path` is the program initkit: a bare name where every init finds it. `packaged` puts the files where a
    package has them, who finds the settings in `SETTINGS_FOLDER` then.
    """

    runner: bool | None = None
    allow_loss: frozenset[str] = frozenset()
    version: int = 0
    template_dir: str = ""
    runner_path: str = "initkit"
    packaged: bool = False


#: Where a package has the settings that its scripts give to the runner; in the load path.
SETTINGS_FOLDER = "/usr/lib/initkit"


def accepted(service: Service, init: str, options: Options) -> frozenset[str]:
    """The directives that may be dropped: those of the command line, and allow_loss in the table of the init.

    Raises:
        SettingsError: for one that there is not.
    """
    found = set(options.allow_loss)
    for entry in service.tables(init):
        if entry.key == "AllowLoss":
            try:
                found.add(directives.named(entry.value))
            except ValueError as fault:
                raise entry.error(str(fault)) from None
    return frozenset(found)


def check_table(service: Service, init: str, known: Mapping[str, str]) -> None:
    """Whether the table of an init has only what is `known` there, as `TABLE` has it.

    Raises:
        SettingsError: for the first that is not.
    """
    for entry in service.tables(init):
        if entry.key not in known:
            near = directives.nearest(entry.key, iter(known))
            raise entry.error(f"no setting of [{init}]", near and f"did you mean {directives.snake(near)}?")


def settings_path(service: Service, options: Options) -> str:
    """The path of the service's settings for whom the files call."""
    return f"{SETTINGS_FOLDER}/{settings_base(service)}" if options.packaged else service.path


def settings_base(service: Service) -> str:
    """What a package calls the settings: as the service, or as the template that it is an instance of."""
    stem, suffix = os.path.splitext(os.path.basename(service.path))
    is_template = stem.endswith("@") and service.name.startswith(stem)
    return (stem if is_template else service.name) + suffix


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
