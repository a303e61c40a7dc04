"""Command lines: systemd.service(5), "COMMAND LINES"."""

from __future__ import annotations

from initkit.settings import syntax
from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PREFIXES = "-@:+!|"
#: What stands for the shell of a user who has none: <paths.h>, _PATH_BSHELL.
SHELL = "/bin/sh"


class Command(Record):
    """A program and its arguments.

    `prefix` holds the characters of "-@:+!|" that stand before the path, in this order ("!!" is two). `path` is the
    program; `words` are its arguments with argv[0], unquoted, before `$` is expanded. With "|" the words are those of
    the shell's command line, none for the shell alone, and `path` only stands for the shell.
    """

    prefix: str
    path: str
    words: tuple[str, ...]

    @property
    def ignore_failure(self) -> bool:
        """-: a failure is recorded, and counts as success."""
        return "-" in self.prefix

    @property
    def named(self) -> bool:
        """@: the second word is argv[0]; with |, the shell is a login shell."""
        return "@" in self.prefix

    @property
    def no_env(self) -> bool:
        """:: variables are not expanded."""
        return ":" in self.prefix

    @property
    def privileged(self) -> bool:
        """+: with full privileges, without User=, sandboxing and the like."""
        return "+" in self.prefix

    @property
    def no_setuid(self) -> bool:
        """!: without User= and Group=, yet with all else."""
        return "!" in self.prefix and not self.ambient

    @property
    def ambient(self) -> bool:
        """!!: as !, only where the kernel has no ambient capabilities (before Linux 4.3); nothing elsewhere."""
        return "!!" in self.prefix

    @property
    def via_shell(self) -> bool:
        """|: the shell of the user runs it."""
        return "|" in self.prefix

    @property
    def program(self) -> str:
        """The program as the settings name it: with |, the first word of the shell's command line, if it has one."""
        return self.words[0] if self.via_shell and self.words else self.path

    def argv(self, environment: Mapping[str, str], shell: str = SHELL) -> tuple[str, ...]:
        """The arguments, with variables expanded unless the prefix says not to; `shell` is the user's."""
        words = self.words if self.no_env else expand(self.words, environment)
        if not self.via_shell:
            return words
        name = f"-{shell}" if self.named else shell
        return (name, "-c", " ".join(words)) if self.words else (name,)


def parse(text: str, expand: Callable[[str], str] | None = None) -> tuple[Command, ...]:
    r"""The commands of a setting such as ExecStart=; a lone `;` separates them, `\;` is the word `;`.

    `expand` expands the specifiers of each word, after unquoting, as systemd does. Without it a path that holds "%" is
    left unchecked. Raises ValueError for an empty line (in a unit file it resets the setting: that is the caller's).
    """
    commands = []
    position = syntax.skip_blanks(text, 0)
    while position < len(text):
        first, position = syntax.word_at(text, position)
        position = syntax.skip_blanks(text, position)
        if first == ";":
            continue
        words, position = _arguments(text, position)
        commands.append(_command(first, words, expand))
    if not commands:
        raise ValueError(f"expected a command such as /usr/bin/app --option, found {text!r}")
    return tuple(commands)


def _arguments(text: str, position: int) -> tuple[list[str], int]:
    """The words up to a lone `;` or the end, and the position after it."""
    words: list[str] = []
    while position < len(text):
        if _is_lone(text, position, ";"):
            return words, syntax.skip_blanks(text, position + 1)
        if _is_lone(text, position, "\\;"):
            word, position = ";", position + 2
        else:
            word, position = syntax.word_at(text, position)
        words.append(word)
        position = syntax.skip_blanks(text, position)
    return words, position


def _is_lone(text: str, position: int, word: str) -> bool:
    """Whether `word` stands at `position`, unquoted and by itself."""
    after = text[position + len(word) : position + len(word) + 1]
    return text.startswith(word, position) and (not after or after in syntax.BLANKS)


def _command(first: str, words: list[str], expand: Callable[[str], str] | None) -> Command:
    prefix, path = split_prefix(first)
    if "|" in prefix:
        line = [path, *words] if path else words
        return Command(prefix, SHELL, tuple(map(expand, line) if expand else line))
    if expand:
        path, words = expand(path), [expand(word) for word in words]
    program = check_path(path) if expand or "%" not in path else path
    if "@" not in prefix:
        words = [path, *words]
    if not words or not words[0]:
        raise ValueError(f"expected a word after {first!r} to name the process, found none")
    return Command(prefix, program, tuple(words))


def split_prefix(word: str) -> tuple[str, str]:
    """The prefixes of a program, in order, and its path. Each counts once; only one of +, ! and !! does."""
    found = ""
    for char in word:
        if char not in PREFIXES or not _may_follow(found, char):
            break
        found += char
    return "".join(sorted(found, key=PREFIXES.index)), word[len(found) :]


def _may_follow(found: str, char: str) -> bool:
    """Whether one more prefix character is a prefix still, and not the first character of the path."""
    if char in "+!":
        return "+" not in found and found.count("!") < (2 if char == "!" else 1)
    return char not in found


def check_path(path: str) -> str:
    """The program's path, simplified as systemd does: absolute, or a name to be searched in the default path."""
    if not path:
        raise ValueError("expected the path of a program, found an empty one")
    if any(ord(char) < 0x20 or char == "\x7f" for char in path) or not syntax.is_utf8(path):
        raise ValueError(f"expected the path of a program without control characters, found {path!r}")
    if path.endswith("/") or path in (".", "..") or _simplified(path) == "/":
        raise ValueError(f"expected the path of a program, found the directory {path!r}")
    if "/" in path and not path.startswith("/"):
        raise ValueError(f"expected an absolute path or a name without a slash, found {path!r}")
    return _simplified(path)


def _simplified(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts) if path.startswith("/") else path


def write(command: Command) -> str:
    r"""One line that `parse` and systemd read back as the same command.

    `$` and `%` are written as they are: they mean what they mean in `command`. Raises ValueError where no line can say
    it: a program whose name begins with a prefix character, or an argv[0] of its own without "@".
    """
    words = command.words
    path = command.path
    if command.via_shell:
        return " ".join([command.prefix, *map(_argument, words)])
    if "%" not in path:
        check_path(path)
    if command.named and not (words and words[0]):
        raise ValueError(f"expected a word that names the process of {path!r}, found none")
    if not command.named:
        if not words or _simplified(words[0]) != _simplified(path):
            raise ValueError(f"expected argv[0] {path!r} (or the prefix @), found {words[:1]!r}")
        path, words = words[0], words[1:]
    first = command.prefix + path
    if split_prefix(first) != (command.prefix, path) or first == ";":
        raise ValueError(f"expected a program that can be told from the prefixes {PREFIXES}, found {path!r}")
    return " ".join([syntax.quote(first), *map(_argument, words)])


def _argument(word: str) -> str:
    return "\\;" if word == ";" else syntax.quote(word)


def write_all(commands: Iterable[Command]) -> str:
    """Several commands on one line, with `;` between them."""
    return " ; ".join(map(write, commands))


def escape(word: str) -> str:
    """Text whose `$` and `%` are doubled, so that `word` arrives as it is; still to be quoted by `write` or `join`."""
    return word.replace("$", "$$").replace("%", "%%")


def expand(words: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The words with variables expanded, as systemd does before it runs the program.

    - `${X}` anywhere is the exact value; `$X` as a whole word is the value split into words, its quotes respected;
      `$$` is `$`.
    - What is unset is empty; a `$X` that is unset or empty is no word at all.
    - `$X` within a longer word stays as it is, but a word that begins with `$X` and goes on is taken as a whole for the
      name of a variable, and so vanishes.
    - `${X:-default}` and `${X:+other}` are known in environment.d(5) only; here they stay as they are.
    - argv[0] is expanded as the other words are; the program's path never is.
    """
    result: list[str] = []
    for word in words:
        if word.startswith("$") and word[1:2] not in ("{", "$"):
            result += syntax.split(environment.get(word[1:], ""), relax=True)
        else:
            result.append(_expanded(word, environment))
    return tuple(result)


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    pieces: list[str] = []
    position = 0
    while True:
        dollar = word.find("$", position)
        if dollar < 0:
            return "".join((*pieces, word[position:]))
        pieces.append(word[position:dollar])
        piece, position = _variable(word, dollar, environment)
        pieces.append(piece)


def _variable(word: str, dollar: int, environment: Mapping[str, str]) -> tuple[str, int]:
    """What stands for the `$` at `dollar`, and the position after it."""
    following = word[dollar + 1 : dollar + 2]
    if following == "$":
        return "$", dollar + 2
    if following != "{":
        return "$" + following, dollar + 2
    end = dollar + 2
    while end < len(word) and word[end] not in "}:":
        end += 1
    if word[end : end + 1] == "}":
        return environment.get(word[dollar + 2 : end], ""), end + 1
    return word[dollar : end + 1], end + 1  # "${X:", as if it were no variable
