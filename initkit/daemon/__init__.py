"""`Daemon`: a service as a Python class, with commands that it answers while it runs."""

from __future__ import annotations

import os
import sys

from initkit.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, ClassVar, NoReturn, TypeVar

    from initkit.daemon.control import Control
    from initkit.settings.service import Entry, Service

    F = TypeVar("F", bound=Callable[..., Any])

#: The verbs of `Daemon.main`, which no command may be called by.
VERBS = ("start", "stop", "restart", "reload", "status", "run")

_RELOAD = '/bin/sh -c "kill -HUP $$MAINPID"'  # kill(1) is not everywhere


def command(method: F) -> F:
    """Make a method of a `Daemon` a command: `initkit call NAME COMMAND ARG…`, or `./program COMMAND ARG…`.

    Its arguments are positional; those annotated `int`, `float` or `bool` are converted from the caller's strings, all
    others are `str`. A result other than a string is shown as JSON, `None` as nothing. It runs in a thread of its own
    beside `run`, one command after the other, and should be short. Its name has dashes for underscores.
    """
    method.__initkit_command__ = True  # type: ignore[attr-defined]
    return method


class Daemon:
    """A service. Subclasses say what it does in `run`; settings, directives of systemd's, say how it is run.

    `Clock("clock.toml")` reads a settings file, a relative path being beside the module of the class;
    `Clock(name="clock", pid_file="/run/clock.pid")` has directives as TOML spells them. The two go together: a
    directive given here adds to the file's, or replaces it. The class itself is the program: ExecStart= is left to the
    units that initkit writes.

    A subclass that has its own `__init__` calls this one. What it opens there is closed in the daemon: open in `run`.
    """

    #: name -> method, of those that `command` marks
    commands: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        marked = (name for name in dir(cls) if hasattr(getattr(cls, name), "__initkit_command__"))
        cls.commands = {name.replace("_", "-"): getattr(cls, name) for name in marked}
        taken = [name for name in cls.commands if name in VERBS]
        if taken:
            raise TypeError(f"{cls.__name__}.{taken[0]} cannot be a command: `{taken[0]}` is a verb of its own")

    def __init__(self, settings: str | os.PathLike[str] | None = None, /, *, name: str = "", **directives: Any) -> None:
        self._settings = os.fspath(settings) if settings is not None else ""
        self._name, self._directives = name, directives
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The settings, read when they are first asked for.

        Raises:
            SettingsError: naming file, line, key, value and what was expected.
        """
        if self._service is None:
            self._service = _service(type(self), self._settings, self._name, self._directives)
        return self._service

    def run(self) -> int | None:
        """The service; it has ended when this returns: its exit status, `None` for 0."""
        raise NotImplementedError

    def reload(self) -> None:
        """On SIGHUP, in the main thread in the midst of `run`. The default does nothing.

        What it raises is printed to standard error, and the service goes on as it was.
        """

    def stop(self) -> None:
        """On the first SIGTERM or SIGINT, in the main thread in the midst of `run`. The default raises `SystemExit(0)`
        there; an override may instead have `run` return soon."""
        raise SystemExit(0)

    def ready(self) -> None:
        """To be called by `run`, with `type = "notify"`, when the service works. Any other type is ready at once."""
        from initkit.daemon.serving import ready

        ready()

    @property
    def control(self) -> Control:
        """This daemon as others see it: start, stop and ask it from another process."""
        from initkit.daemon.control import Control

        return Control(self)

    def main(self, argv: Sequence[str] | None = None) -> NoReturn:
        """The program's command line: start, stop, restart, reload, status, run, and the commands of the class.

        `argv` are the words after the program's name, `sys.argv`'s own by default. Ends in `SystemExit`. The exit
        status of `status` is LSB's: 0 running, 1 dead with a PID file, 3 stopped.
        """
        from initkit.daemon.verbs import main

        sys.exit(main(self, list(sys.argv[1:] if argv is None else argv)))


def _service(cls: type[Daemon], file: str, name: str, directives: Mapping[str, Any]) -> Service:
    """The settings of a class's service."""
    from initkit.settings.find import check_name
    from initkit.settings.service import OWN, Entry, Service

    user = os.geteuid() != 0
    path = _module_file(cls)
    entries: tuple[Entry, ...] = ()
    if file:
        from initkit.settings.load import parse

        found = parse(_beside(path, file), user=user)
        path, entries = found.path, found.entries
        name = name or found.name
    name = name or cls.__name__.lower()
    check_name(name)
    kept = (*(each for each in entries if each.key not in ("ExecStart", "Callable")), *_given(cls, directives))
    own = [Entry(OWN, "Callable", "initkit.daemon.serving:main")]
    service = Service(name, path, (*kept, *own), user=user)
    if not service.exec_reload and service.type != "notify-reload":  # or a supervisor would have nothing to reload by
        service = Service(name, path, (*kept, *own, Entry("Service", "ExecReload", _RELOAD)), user=user)
    service.verify()
    return service


def _given(cls: type[Daemon], directives: Mapping[str, Any]) -> Iterator[Entry]:
    from initkit.settings.toml import entries

    if "exec_start" in directives:
        where = f"{cls.__name__}()"
        raise SettingsError("exec_start: the class itself is the program", where=where, hint="leave it out")
    yield from entries(directives, f"{cls.__name__}()")


def _module_file(cls: type[Daemon]) -> str:
    """The file that defines the class; where there is none, something with the folder that we are in."""
    module = sys.modules.get(cls.__module__)
    return os.path.abspath(getattr(module, "__file__", None) or cls.__module__)


def _beside(module: str, file: str) -> str:
    """A relative path is beside the module, where there is such a file."""
    near = os.path.join(os.path.dirname(os.path.realpath(module)), file)
    return near if os.path.lexists(near) else file
