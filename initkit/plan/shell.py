"""Plans in POSIX sh: the exec chain of a service's programs, and their command lines with variables."""

from __future__ import annotations

from initkit import plan
from initkit.plan.process import DEFAULT_PATH
from initkit.plan.step import Shell, quote
from initkit.settings import command as commands
from initkit.settings import syntax
from initkit.settings.envfile import is_name
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from initkit.settings.command import Command
    from initkit.settings.service import Service

#: The one variable that only the script knows: systemd.exec(5), "ENVIRONMENT VARIABLES".
_MAINPID = ("MAINPID", '${pid:+"MAINPID=$pid"}')
_MERGED = "setpriv"  # links of one tool, side by side, are one


class Chain(Record):
    """A function of the script that becomes "$@" with the service's attributes.

    `statements` are lines of its body, `links` the programs that exec one another, `tools` their names but those that
    change the user: `setpriv` says whether there are such, and whether there is something "else" where it is missing,
    `variables` the words for env(1), and `dropped` the names that are taken out again at run time.
    """

    name: str
    statements: tuple[str, ...]
    links: tuple[str, ...]
    tools: tuple[str, ...]
    setpriv: str
    variables: tuple[str, ...]
    dropped: tuple[str, ...]


class Call(Record):
    """A command of the service as the script runs it.

    `words` are the words of the call when they fit on one line; else `lines` build them as "$@" first.
    """

    chain: str
    words: str
    lines: tuple[str, ...]
    path: str
    ignore_failure: bool


def chain(service: Service, command: Command) -> Chain:
    """The chain that the command needs: all commands of a service but those with the prefixes + and ! share one.

    Raises:
        ValueError: for a step without a form in sh.
    """
    forms = [_form(step.name, step.shell()) for step in plan.before_exec(service, plan.spared(command))]
    statements = [line for form in forms for line in form.statement.splitlines()]
    links = _merged(forms)
    variables = [("PATH", f"PATH={DEFAULT_PATH}"), *(each for form in forms for each in form.variables)]
    if service.exec_start_post or service.exec_reload or service.exec_stop or service.exec_stop_post:
        variables.append(_MAINPID)
    return Chain(
        _chain_name(command),
        tuple(statements),
        ("setsid", *(each for link in links for each in _alternatives(link))),
        ("setsid", *dict.fromkeys(_tool(link) for link in links if _needs_tool(link))),
        next(("else" if link.otherwise else "setpriv" for link in links if _changes_user(link)), ""),
        tuple(_kept(service, variables)),
        tuple(sorted(_unset(service))) if _is_open(service) else (),
    )


def _chain_name(command: Command) -> str:
    return "as_root" if command.privileged else "as_oneself" if command.no_setuid else "as_service"


def _form(name: str, form: Shell | None) -> Shell:
    if form is None:
        raise ValueError(f"{name} has no form in sh")
    return form


def _merged(forms: list[Shell]) -> list[Shell]:
    found: list[Shell] = []
    for link in (form for form in forms if form.prefix):
        before = found[-1] if found else None
        # What has another way is not tied to what has none.
        if before and _tool(link) == _tool(before) == _MERGED and not (link.otherwise and not before.otherwise):
            options = link.prefix.removeprefix(_MERGED)
            found[-1] = Shell(prefix=before.prefix + options, otherwise=before.otherwise)
        else:
            found.append(Shell(prefix=link.prefix, otherwise=link.otherwise))
    return found


def _tool(link: Shell) -> str:
    return link.prefix.split()[0]


def _needs_tool(link: Shell) -> bool:
    return link.prefix[0] not in "$/" and not _changes_user(link)


def _changes_user(link: Shell) -> bool:
    return _tool(link) == "setpriv" and ("--reuid" in link.prefix or "groups" in link.prefix)


def _alternatives(link: Shell) -> tuple[str, ...]:
    if not link.otherwise:
        return (link.prefix,)
    return (f"${{setpriv:+{link.prefix}}}", f"${{switch:+{link.otherwise}}}")


def _is_open(service: Service) -> bool:
    """Whether the script learns variables only when it runs."""
    return bool(service.environment_files or service.pass_environment)


def _unset(service: Service) -> set[str]:
    return {each for each in service.unset_environment if "=" not in each}


def _kept(service: Service, variables: list[tuple[str, str]]) -> Iterator[str]:
    """The words of variables that a later one does not replace and UnsetEnvironment= does not take away."""
    last = {name: word for name, word in variables if not word.startswith("${")}
    gone = _unset(service) | {each.partition("=")[0] for each in service.unset_environment if _holds(service, each)}
    for name, word in variables:
        if name not in gone and (word.startswith("${") or last[name] is word):
            yield word


def _holds(service: Service, assignment: str) -> bool:
    name, equals, value = assignment.partition("=")
    return bool(equals) and static_environment(service).get(name) == value


def static_environment(service: Service) -> dict[str, str]:
    """The variables that are known before the service runs."""
    found = {"PATH": DEFAULT_PATH}
    for attribute, letter in (("runtime", "t"), ("state", "S"), ("cache", "C"), ("logs", "L"), ("configuration", "E")):
        directories = getattr(service, f"{attribute}_directory")
        if directories:
            root = service.expand(f"%{letter}")
            found[f"{attribute.upper()}_DIRECTORY"] = ":".join(f"{root}/{each.path}" for each in directories)
    if service.account and not service.account.isdigit():
        found.update(USER=service.account, LOGNAME=service.account)
    found.update(service.environment)
    return found


def known_environment(service: Service) -> tuple[dict[str, str], frozenset[str]]:
    """The variables whose values the generated file may hold, and the names of those that only the script will know.

    With environment files every name is of the latter kind: the first part then holds their defaults.
    """
    static = static_environment(service)
    unset = _unset(service)
    for each in service.unset_environment:
        name, equals, value = each.partition("=")
        if equals and static.get(name) == value:
            unset.add(name)
    known = {name: value for name, value in static.items() if name not in unset}
    account = ("HOME", "SHELL", "USER", "LOGNAME") if service.account else ()
    late = {*service.pass_environment, *(name for name in account if name not in known)} - unset
    return known, frozenset({*late, "MAINPID"} - set(service.environment))


def named(service: Service) -> tuple[str, ...]:
    """The variables that the script has to look up for its commands."""
    words = [word for each in every_command(service) if not each.no_env for word in each.words]
    names = {name for word in words for name in _names(word) if is_name(name)}
    _, late = known_environment(service)
    if service.environment_files:
        return tuple(sorted(names - _unset(service) - {"MAINPID"}))
    return tuple(sorted(names & late - {"MAINPID"}))


def every_command(service: Service) -> tuple[Command, ...]:
    """All commands of the service, in the order in which they may run."""
    return (
        *service.exec_condition,
        *service.exec_start_pre,
        *service.exec_start,
        *service.exec_start_post,
        *service.exec_reload,
        *service.exec_stop,
        *service.exec_stop_post,
    )


class _Seen(dict[str, str]):
    """A mapping that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        self.names.append(name)
        return f"\0{name}\0"


def _names(word: str) -> list[str]:
    if _is_whole(word):
        return [word[1:]]
    seen = _Seen()
    commands.expand([word], seen)
    return seen.names


def _is_whole(word: str) -> bool:
    """Whether the word is $NAME, whose value is split into words."""
    return word.startswith("$") and word[1:2] not in ("{", "$")


def call(service: Service, command: Command) -> Call:
    """The command with its variables, expanded now as far as they are known."""
    pieces = [piece for word in command.words[1:] for piece in _pieces(service, command, word)]
    first = quote(command.words[0])
    if "/" not in command.words[0] and not _searched_by_env(service):
        first = f'"$(find_program {first})"'
    if "=" in command.words[0]:  # env(1) would take it for an assignment
        first = f'"$(find_program nice)" -n 0 {first}'
    lines: list[str] = []
    if any(split for split, _ in pieces):
        lines.append(f"set -- {first}")
        for split, text in pieces:
            lines.append(f'eval "set -- \\"\\$@\\" $(split_words {text})"' if split else f'set -- "$@" {text}')
        words = '"$@"'
    else:
        words = " ".join([first, *(text for _, text in pieces)])
    return Call(_chain_name(command), words, tuple(lines), command.words[0], command.ignore_failure)


def _searched_by_env(service: Service) -> bool:
    """Whether env(1) itself finds a bare name where systemd does."""
    open_names = {*service.environment, *service.pass_environment, *_unset(service)}
    return "PATH" not in open_names and not service.environment_files


def _pieces(service: Service, command: Command, word: str) -> Iterator[tuple[bool, str]]:
    """(False, words of sh) and (True, a word of sh to be split) that stand for one word of the command."""
    if command.no_env or "$" not in word:
        yield False, quote(word)
        return
    known, late = known_environment(service)
    if service.environment_files:  # they may set any variable
        late = frozenset({*filter(is_name, _names(word)), "MAINPID"} - _unset(service))
    if _is_whole(word):
        name = word[1:]
        if name == "MAINPID":
            yield False, '${pid:+"$pid"}'
        elif name in late:
            yield True, f'"$env_{name}"'
        else:
            yield from ((False, quote(each)) for each in syntax.split(known.get(name, ""), relax=True))
        return
    marked = {**known, **{name: f"\0{name}\0" for name in late}}
    (text,) = commands.expand([word], marked)
    parts = text.split("\0")
    found = "".join(_variable(part) if at % 2 else quote(part) for at, part in enumerate(parts) if at % 2 or part)
    yield False, found or "''"


def _variable(name: str) -> str:
    return '"$pid"' if name == "MAINPID" else f'"$env_{name}"'


def assigned(service: Service) -> tuple[tuple[str, str], ...]:
    """For each of `named`: the word of sh for its value, before environment files are read."""
    known, _ = known_environment(service)
    account = {"HOME": '"$home"', "SHELL": '"$shell"', "USER": '"$logname"', "LOGNAME": '"$logname"'}
    found = []
    for name in named(service):
        word = quote(known.get(name, ""))
        if name not in service.environment and service.account:
            word = account.get(name, word)
        if name not in service.environment and name in service.pass_environment:
            word = f'"${{passed_{name}#{name}=}}"'
        found.append((name, word))
    return tuple(found)
