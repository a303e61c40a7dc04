"""Templates to text. A filter for every grammar that values are written in; a template gets the frozen `Service`."""

from __future__ import annotations

import os

import jinja2

from initkit.errors import InitkitError
from initkit.plan.step import quote as sh
from initkit.settings import envfile, syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from initkit.settings.service import Service


def systemd_words(words: Iterable[str]) -> str:
    """Words of a unit file: systemd.syntax(7), "Quoting"."""
    return syntax.join(words)


def systemd_value(text: str) -> str:
    """The right-hand side of an assignment in a unit file, as it stands.

    Raises:
        ValueError: when it would not stay one.
    """
    if "\n" in text or "\0" in text or text != text.strip() or syntax.ends_open(text):
        raise ValueError(f"{text!r} is no value of a unit file")
    return text


def conf_word(text: str) -> str:
    """A field of sysusers.d(5) and tmpfiles.d(5), in which no specifier is meant. Only the escapes that every version
    of systemd takes for the same.

    Raises:
        ValueError: for control characters, which some versions have no escape for.
    """
    text = _one_line(text).replace("%", "%%")
    if text and all(char.isalnum() or char in "%+,-./:=@_" for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def cron(text: str) -> str:
    """A command in crontab(5), where a bare % is the end of the line.

    Raises:
        ValueError: for a command of several lines, and for one with a backslash before a %, which cannot be written.
    """
    if "\\%" in text:
        raise ValueError(f"{text!r}: crontab(5) cannot have a backslash before a %")
    return _one_line(text).replace("%", "\\%")


def env_comment(value: str, name: str) -> str:
    """An assignment of systemd.exec(5)'s EnvironmentFile= as comment lines, to be had by taking each "#" away."""
    lines = envfile.write({name: value}).removesuffix("\n").split("\n")
    if any(line.endswith("\\") or "\r" in line for line in lines):  # a comment would go on there
        return f"#{name}="
    return "\n".join(f"#{line}" for line in lines)


def logrotate_path(text: str, glob: str = "") -> str:
    """The path of one log file, of which logrotate(8) makes a glob(7); or the folder of those that `glob` matches.

    Raises:
        ValueError: when it takes braces or control characters, which logrotate has no escape for.
    """
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r}: logrotate(8) takes no braces in paths")
    return '"' + "".join(f"\\{char}" if char in '"\\*?[]' else char for char in _one_line(text)) + glob + '"'


def _one_line(text: str) -> str:
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError(f"{text!r} has control characters in it")
    return text


def comment(text: str) -> str:
    """Text within one comment line, whatever it holds."""
    return " ".join(text.split())


def toml(value: str | Iterable[str]) -> str:
    """A string of TOML, or an array of strings.

    Raises:
        ValueError: for text that is no UTF-8.
    """
    if not isinstance(value, str):
        return f"[{', '.join(map(toml, value))}]"
    value.encode()
    shown = (char if char.isprintable() and char not in '"\\' else _toml_escape(char) for char in value)
    return f'"{"".join(shown)}"'


def _toml_escape(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def docstring(text: str) -> str:
    """Text within a docstring of Python, whatever it holds."""
    return comment(text).replace("\\", "\\\\").replace('"', '\\"')


def python(text: str) -> str:
    """A string literal of Python, in double quotes where that takes no escapes."""
    literal = ascii(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'


FILTERS = {
    "sh": sh,
    "systemd_words": systemd_words,
    "systemd_value": systemd_value,
    "conf_word": conf_word,
    "cron": cron,
    "env_comment": env_comment,
    "logrotate_path": logrotate_path,
    "comment": comment,
    "toml": toml,
    "python": python,
    "docstring": docstring,
}


def render(template: str, service: Service, template_dir: str = "", **extra: Any) -> str:
    """The text of a template ("systemd/service"), looked for in `template_dir`, in templates/ beside the settings, and
    among initkit's own.

    Raises:
        InitkitError: when the template is missing or wrong; the message names it and its line.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _source(name, service, template_dir)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # no HTML here: every value goes through the filter of its grammar
    )
    environment.filters.update(FILTERS)
    try:
        return environment.get_template(f"{template}.j2").render(service=service, **extra)
    except jinja2.TemplateNotFound as fault:
        raise InitkitError(f"there is no template {fault.name}") from None
    except jinja2.TemplateSyntaxError as fault:
        raise InitkitError(f"{fault.filename or fault.name}:{fault.lineno}: {fault.message}") from None
    except Exception as fault:  # a template of the user's may do anything
        raise InitkitError(f"template {template}.j2: {type(fault).__name__}: {fault}") from None


def _source(name: str, service: Service, template_dir: str) -> tuple[str, str, None] | None:
    beside = os.path.join(os.path.dirname(service.path), "templates")
    for folder in (template_dir, beside, *_own_folders()):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return file.read(), path, None
    return None


def _own_folders() -> tuple[str, str]:
    """Inside the package in a wheel, beside it in a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(package, "templates"), os.path.join(os.path.dirname(package), "templates")
