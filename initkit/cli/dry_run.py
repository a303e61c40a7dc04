"""`initkit run APP --dry-run`: the plan, step by step. Nothing is run."""

from __future__ import annotations

from initkit import plan
from initkit.cli import table
from initkit.plan import process, streams
from initkit.plan.step import quote
from initkit.run import detect
from initkit.settings import command as commands
from initkit.settings.envfile import is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from initkit.plan.step import Step
    from initkit.settings.service import Service

#: Directives whose commands are run besides the main program, in the order of systemd.service(5).
_OTHERS = ("ExecCondition", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost")
#: What makes a parent necessary by its value; of other directives it tells enough that they are there.
_VALUES = ("Restart", "Type", "NotifyAccess", "ExitType", "TimeoutStopFailureMode", "OOMPolicy")
_PEOPLE = {detect.TERMINAL: "a person", detect.SCRIPT: "a script", detect.SUPERVISOR: "a supervisor"}


def show(service: Service, mode: str) -> int:
    """Print how the service would be run as `mode` says: "foreground", "daemon", "" for what the caller makes right."""
    print("\n".join(_text(service, mode, detect.surroundings())))
    return 0


def _text(service: Service, mode: str, caller: detect.Surroundings) -> Iterator[str]:
    daemon = mode == "daemon" or (not mode and caller.forks)
    yield f"{service.unit}: {service.description}" if service.description else service.unit
    yield ""
    yield from table.lines(_about(service, mode, caller, daemon), indent="")
    if daemon:
        yield from _part("The daemon", [("#", "STEP", "VALUES", "MANUAL", "BY"), *_daemon_rows(service)])
    if service.callable:
        yield from _program("The program", plan.main_program(service))
    for number, command in enumerate(service.exec_start, 1):
        of = f" {number} of {len(service.exec_start)}" if len(service.exec_start) > 1 else ""
        yield from _program(f"The program{of}", plan.program(service, command))
    if service.has_logger:
        from initkit.plan import logger

        yield from _part("Its logger", _rows(logger.steps(service)))
    others = [(name, command) for name in _OTHERS for command in getattr(service, type(service).rows[name].attribute)]
    if others:
        yield from ("", "The other commands, each after the steps of the program:")
        yield from table.lines((name, commands.write(command)) for name, command in others)


def _about(service: Service, mode: str, caller: detect.Surroundings, daemon: bool) -> Iterator[tuple[str, str]]:
    yield "settings", service.path
    for path in dict.fromkeys(entry.file for entry in service.entries if entry.file != service.path):
        yield "drop-in", path
    cause = f"--{mode}" if mode else f"started by {_PEOPLE.get(caller.who, caller.who)}: {caller.proof}"
    managed = caller.who == detect.SYSTEMD and not daemon
    stays = plan.needs_parent(service) and not managed
    if daemon:
        yield "mode", f"daemon ({cause})"
    else:
        yield "mode", f"{'supervise' if stays else 'exec'} ({cause})"
    if managed:
        yield "because", "systemd itself looks after the program"
    else:
        needing = f"{', '.join(_reasons(service))}: needs a parent"
        yield "because", needing if stays else "nothing needs a parent: initkit becomes the program"


def _reasons(service: Service) -> Iterator[str]:
    for name in plan.parental(service):
        if name in _VALUES:
            yield f"{name}={getattr(service, 'type' if name == 'Type' else type(service).rows[name].attribute)}"
        else:
            yield name if "." in name else f"{name}="


def _daemon_rows(service: Service) -> Iterator[tuple[str, ...]]:
    for number, step in enumerate(plan.daemon(service), 1):
        yield str(number), step.name, _values(step), step.manual, step.role


def _rows(steps: Iterable[Step]) -> Iterator[tuple[str, ...]]:
    yield "#", "STEP", "VALUES", "MANUAL"
    for number, step in enumerate(steps, 1):
        yield str(number), step.name, _values(step), step.manual


def _part(title: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from ("", f"{title}:")
    yield from table.lines(rows, right=1)


def _program(title: str, steps: tuple[Step, ...]) -> Iterator[str]:
    """The steps, then the same in a script."""
    yield from _part(title, _rows(steps))
    yield from ("", f"{title}, in a script:")
    for number, step in enumerate(steps, 1):
        first, *more = _shell(step).splitlines() or ["nothing to do"]
        yield f"  {number:>2}  {first}"
        yield from (f"      {line}" for line in more)


def _values(step: Step) -> str:
    """A step's fields, for people."""
    if isinstance(step, process.Exec):
        return commands.write(step.command)
    if isinstance(step, streams.OpenStream):
        kind, target = step.stream.kind, step.stream.target
        where = "as the runner's" if kind == "default" else f"{kind}:{target}" if target else kind
        return f"{('input', 'output', 'error')[step.fd]} {where}"
    return " ".join(f"{name}={_value(name, value)}" for name, value in vars(step).items() if value not in ("", ()))


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name in ("mask", "mode"):
        return f"{value:04o}"
    if isinstance(value, tuple):
        return f"[{' '.join(map(_item, value))}]"
    return quote(str(value))


def _item(value: object) -> str:
    """An item of a step's tuple: a limit, a name and what belongs to it, a path that may be missing, or a word."""
    if isinstance(value, tuple):
        name, *inner = value
        if isinstance(inner[0], tuple):
            return f"{name}={':'.join('infinity' if each == -1 else str(each) for each in inner[0])}"
        return quote(f"{name}={' '.join(str(each) for each in inner if each != '')}")
    optional = "-" if getattr(value, "optional", False) else ""
    return quote(optional + str(getattr(value, "path", value)))


def _shell(step: Step) -> str:
    if isinstance(step, process.Exec) and not step.command.via_shell:
        show = quote if step.command.no_env else _word
        return " ".join(["exec", quote(step.command.path), *map(show, step.command.words[1:])])
    shell = step.shell()
    if shell is None:
        return "by the runner only"
    if shell.prefix:
        return f"exec {shell.prefix} …"
    return "" if shell.statement == ":" else shell.statement


def _word(word: str) -> str:
    """A word whose variables the shell is to expand: a `$NAME` of its own is split into words, `${NAME}` is not."""
    if "$" not in word:
        return quote(word)
    if word.startswith("$") and is_name(word[1:]):
        return word
    for char in '\\"`':
        word = word.replace(char, f"\\{char}")
    return '"' + word.replace("$$", "\\$") + '"'
