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
from initkit.settings.find import check_name
from initkit.settings.service import Service

_PORT = 8080
_ABOUT = "Write a commented settings file; without COMMAND also a small service in Python to go with it."


def main(verb: str, argv: list[str]) -> int:
    """Write the files, whole or not at all, and say what to do next."""
    words, command = _split(argv)
    parsed = parser(verb).parse_args(words)
    name = parsed.app.removesuffix(".toml")
    check_name(name)
    service = Service(name, os.path.abspath(f"{name}.toml"), ())
    if command is None:
        script = os.path.abspath(f"{name}.py")
        interpreter = os.path.abspath(sys.executable) if sys.executable else "/usr/bin/python3"
        texts = {f"{name}.py": (_render("service.py", service, parsed.template_dir), 0o755)}
        line = _escaped([interpreter, script])
    else:
        texts, line = {}, _escaped([_program(command[0]), *command[1:]])
    about = {"command": line, "script": command is None, "unfenced": _unfenced(), "temporary": _is_temporary(line)}
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


def _unfenced() -> str:
    """Why the sandbox of the service would not start here; "" where it does."""
    from initkit.plan import filters, libc

    try:
        filters.library()
    except LookupError as fault:
        return f"System call filters: {fault}"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc.unshare(libc.CLONE_NEWNS | (libc.CLONE_NEWUSER if os.geteuid() else 0))
            status = 0
        finally:
            os._exit(status)
    return "No namespaces may be made here" if os.waitpid(child, 0)[1] else ""


def _is_temporary(words: list[str]) -> bool:
    """Whether anything of the command is where PrivateTmp= would hide it."""
    return any(os.path.realpath(word).startswith(("/tmp/", "/var/tmp/")) for word in words)


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
    lines = [f"wrote {' and '.join(sorted(written, reverse=True))}", "", "next:"]
    lines.append(f"  initkit run {name} --foreground")
    if served:
        lines.append(f"  curl http://127.0.0.1:{_PORT}/")
    lines += [f"  initkit check {name}", f"  initkit explain {name}"]
    lines += [f"  initkit gen-unit {name} > {name}.service", f"  initkit gen-init {name} > /etc/init.d/{name}"]
    return lines
