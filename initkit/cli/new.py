"""`initkit new APP [-- COMMAND ARG…]`: a commented settings file, and without COMMAND a small service to go with it."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack

from initkit.cli.arguments import Parser
from initkit.errors import EX_CANTCREAT, InitkitError, UsageError
from initkit.settings import specifiers
from initkit.settings.command import escape
from initkit.settings.directives import snake
from initkit.settings.find import check_name
from initkit.settings.service import Service

_PORT = 8080
_ABOUT = "Write a commented settings file; without COMMAND also a small service in Python to go with it."


def main(verb: str, argv: list[str]) -> int:
    """Write the files, whole or not at all, and say what to do next."""
    words, command = _split(argv)
    parsed = parser(verb).parse_args(words)
    name = parsed.app.removesuffix(".toml").removesuffix(".service")
    check_name(name)
    service = Service(name, os.path.abspath(f"{name}.toml"), ())
    if command is None:
        script = os.path.abspath(f"{name}.py")
        interpreter = os.path.abspath(sys.executable) if sys.executable else "/usr/bin/python3"
        texts = {f"{name}.py": (_render("service.py", service, parsed.template_dir), 0o755)}
        line = _escaped([interpreter, script])
    else:
        texts, line = {}, _escaped([_program(command[0]), *command[1:]])
    obstacles = _obstacles()
    about = {
        "command": line,
        "script": command is None,
        "obstacles": ", and ".join(filter(None, obstacles)),
        "barred": _barred(*obstacles, temporary=_is_temporary(line)),
        "plain": name.partition("@")[0] or name,
        "instance": _instance(name),
    }
    settings = _render("settings.toml", service, parsed.template_dir, **about)
    texts[f"{name}.toml"] = (settings, 0o644)
    _write_all(texts)
    print("\n".join(_next_steps(name, list(texts), command is None)))
    return 0


def parser(verb: str) -> Parser:
    """The command line of `initkit new`, without what follows "--"."""
    made = Parser(prog=f"initkit {verb}", description=_ABOUT, usage="initkit new [-h] APP [-- COMMAND ARG…]")
    made.add_argument("app", metavar="APP", help="the name of the service: APP.toml is written here")
    made.add_template_dir()
    return made


def _split(argv: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before "--", and the command after it."""
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    if not argv[at + 1 :]:
        raise UsageError("expected a command after --", hint="see `initkit new --help`")
    return argv[:at], argv[at + 1 :]


def _program(word: str) -> str:
    found = shutil.which(word)
    if found is None:
        where = "no such program" if "/" in word else "no such program in $PATH"
        raise InitkitError(f"{word}: {where}", hint="the settings need one that exists")
    return os.path.abspath(found)


def _escaped(words: list[str]) -> list[str]:
    """The words as settings have them, where "$" and "%" are special; in the program's path only "%" is."""
    for word in words:
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            hint = "write a .service file, with \\xNN for such bytes"
            raise UsageError(f"{word!r} is not UTF-8, and TOML is", hint=hint)
    return [specifiers.escape(words[0]), *map(escape, words[1:])]


def _render(template: str, service: Service, template_dir: str | None, **extra: object) -> str:
    from initkit.inits.render import render

    return render(f"new/{template}", service, template_dir or "", **extra)


def _obstacles() -> tuple[str, str]:
    """Why system call filters, and why namespaces, cannot be had here; "" where they can."""
    from initkit.plan import filters, libc

    try:
        filters.library()
        filterless = ""
    except LookupError as fault:
        filterless = f"a system call filter {fault}"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc.unshare(libc.CLONE_NEWNS | (libc.CLONE_NEWUSER if os.geteuid() else 0))
            status = 0
        finally:
            os._exit(status)
    return filterless, "no namespaces may be made" if os.waitpid(child, 0)[1] else ""


def _barred(filterless: str, viewless: str, *, temporary: bool) -> frozenset[str]:
    """The lines of the sandbox that would keep the service from starting here, as TOML spells them."""
    from initkit import plan

    found = {"PrivateTmp"} if temporary else set()
    found.update((*plan.FILTERED, "SystemCallErrorNumber") if filterless else ())
    found.update((*plan.VIEW, "CapabilityBoundingSet") if viewless else ())
    return frozenset(map(snake, found))


def _is_temporary(words: list[str]) -> bool:
    """Whether anything of the command is where PrivateTmp= would hide it."""
    paths = (path for word in words for path in (word, os.path.realpath(word)))
    return any(path.startswith(("/tmp/", "/var/tmp/")) for path in paths)


def _write_all(texts: dict[str, tuple[str, int]]) -> None:
    """Write the files, none of which may be there: all of them, or none.

    Raises:
        InitkitError: with exit status 73 (EX_CANTCREAT).
    """
    with ExitStack() as undo:
        for path in texts:
            if os.path.lexists(path):
                raise _refusal(path, "is there already", "`initkit new` never overwrites")
        for path, (text, mode) in texts.items():
            try:
                _write(path, text.encode(), mode)
            except OSError as fault:
                raise _refusal(path, fault.strerror or str(fault)) from None
            undo.callback(os.unlink, path)
        undo.pop_all()


def _refusal(path: str, message: str, hint: str = "") -> InitkitError:
    return InitkitError(f"{path}: {message}; nothing was written", hint=hint, status=EX_CANTCREAT)


def _write(path: str, data: bytes, mode: int) -> None:
    """A new file under its name at once and complete; link(2) never replaces another."""
    draft = f".{path}.{os.getpid()}~"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.link(draft, path)
    finally:
        os.unlink(draft)


def _next_steps(name: str, written: list[str], served: bool) -> list[str]:
    one = _instance(name)
    lines = [f"wrote {' and '.join(sorted(written, reverse=True))}", "", "next:"]
    lines.append(f"  initkit run {one} --foreground")
    if served:
        lines.append(f"  curl http://127.0.0.1:{_PORT}/")
    lines += [f"  initkit check {name}", f"  initkit explain {name}", f"  initkit gen-unit {name} > {name}.service"]
    lines.append(f"  initkit gen-init {one} > /etc/init.d/{one} && chmod +x /etc/init.d/{one}")
    return lines


def _instance(name: str) -> str:
    """What can be run of a service of this name: an instance where it is a template."""
    return f"{name}1" if name.endswith("@") else name
