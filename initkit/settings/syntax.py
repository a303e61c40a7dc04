r"""The syntax of unit files and of lists of words: systemd.syntax(7).

Text is `str`; a byte that is not UTF-8 (written `\xff` in a unit) is a surrogate, as `os.fsdecode` makes them.
"""

from __future__ import annotations

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLANKS = " \t\n\r"
QUOTES = "'\""
COMMENTS = "#;"

_LETTERS = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ",
    "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_WRITTEN = {"\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_HEX = "0123456789abcdefABCDEF"
_OCTAL = "01234567"
# The letter after the backslash -> where its digits begin, how many they are, which they are, and their base.
_NUMBERS = {
    "x": (1, 2, _HEX, 16),
    "u": (1, 4, _HEX, 16),
    "U": (1, 8, _HEX, 16),
    **dict.fromkeys(_OCTAL, (0, 3, _OCTAL, 8)),
}


class SyntaxFault(ValueError):  # noqa: N818 - a fault of the text, with its line
    """A line of a unit file that cannot be read; `number` is its line, from 1."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Line(Record):
    """One assignment of a unit file: the number of its (first) line, its section, key and value."""

    number: int
    section: str
    key: str
    value: str


def octets(text: str) -> bytes:
    """The bytes that `text` stands for. Raises ValueError for a surrogate that stands for no byte."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"expected text, found a lone surrogate in {text!r}") from None


def is_character(code: int) -> bool:
    """Whether systemd takes a code point as part of valid UTF-8: no surrogates, no noncharacters."""
    return code < 0xD800 or (0xDFFF < code <= 0x10FFFF and not 0xFDD0 <= code <= 0xFDEF and code & 0xFFFE != 0xFFFE)


def is_utf8(text: str) -> bool:
    """Whether every character of `text` is one that systemd accepts in UTF-8."""
    return text.isascii() or all(is_character(ord(char)) for char in text)


def split(text: str, *, relax: bool = False, strict: bool = False) -> tuple[str, ...]:
    r"""The words of a value, unquoted: systemd.syntax(7), "Quoting".

    Quotes may begin anywhere in a word; C escapes are undone; an unknown escape stays as it is written.
    With `relax`, as for the value of a `$VARIABLE` in a command: a quote that is never closed ends with the text, and
    a backslash only makes the next character an ordinary one. With `strict`, as for Environment=, an unknown escape is
    an error. Raises ValueError for that, for a quote that is never closed, and for NUL (also when written `\x00`).
    """
    words = []
    position = skip_blanks(text, 0)
    while position < len(text):
        word, position = word_at(text, position, relax=relax, strict=strict)
        words.append(word)
        position = skip_blanks(text, position)
    return tuple(words)


def skip_blanks(text: str, position: int) -> int:
    """The first position from `position` on that is no blank."""
    while position < len(text) and text[position] in BLANKS:
        position += 1
    return position


def word_at(text: str, position: int, *, relax: bool = False, strict: bool = False) -> tuple[str, int]:
    """The word that begins at `position`, unquoted as `split` says, and the position after it."""
    unescape = _bare if relax else _strict if strict else _lenient
    pieces = []
    quote = ""
    while position < len(text):
        char = text[position]
        if char == "\\":
            piece, position = unescape(text, position + 1)
            pieces.append(piece)
            continue
        if char == quote:
            quote = ""
        elif char in QUOTES and not quote:
            quote = char
        elif char in BLANKS and not quote:
            break
        else:
            pieces.append(char)
        position += 1
    if quote and not relax:
        raise ValueError(f"expected a closing quote {quote}, found none in {text!r}")
    return _whole("".join(pieces)), position


def _bare(text: str, position: int) -> tuple[str, int]:
    return text[position : position + 1], position + 1


def _lenient(text: str, position: int) -> tuple[str, int]:
    char, end = _escape(text, position)
    return (char, end) if char else ("\\" + text[position : position + 1], position + 1)


def _strict(text: str, position: int) -> tuple[str, int]:
    char, end = _escape(text, position)
    if not char:
        found = text[position - 1 : position + 1]
        raise ValueError(f"expected an escape such as \\n or \\x20, found {found} in {text!r}")
    return char, end


def unescape(text: str, *, nul: bool = False) -> bytes:
    """The bytes that a text with C-style escapes stands for; `nul` allows for those of zero.

    Raises:
        ValueError: for an escape that systemd does not know.
    """
    pieces = bytearray()
    position = 0
    while position < len(text):
        if text[position] != "\\":
            pieces += octets(text[position])
            position += 1
        elif nul and text[position + 1 : position + 4] in ("x00", "000"):
            pieces.append(0)
            position += 4
        else:
            char, position = _strict(text, position + 1)
            pieces += octets(char)
    return bytes(pieces)


def _escape(text: str, position: int) -> tuple[str, int]:
    """What the escape stands for whose backslash is before `position`, or nothing; and the position after it."""
    letter = text[position : position + 1]
    if letter in _LETTERS:
        return _LETTERS[letter], position + 1
    if letter not in _NUMBERS:
        return "", position
    skip, count, known, base = _NUMBERS[letter]
    start, end = position + skip, position + skip + count
    digits = text[start:end]
    sound = len(digits) == count and all(digit in known for digit in digits)
    return (_numbered(letter, int(digits, base)) if sound else ""), end


def _numbered(letter: str, code: int) -> str:
    """The character, or byte, of a numeric escape; empty where systemd does not know it."""
    if code == 0:
        raise ValueError("expected no NUL byte, found an escape for one")
    if letter == "u" and 0xD800 <= code <= 0xDFFF:
        return chr(code).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    if letter == "u":
        return chr(code)
    if letter == "U":
        return chr(code) if is_character(code) else ""
    if code > 0xFF:
        return ""
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def _whole(word: str) -> str:
    """The word with the bytes that make a UTF-8 character together made that character."""
    if "\0" in word:
        raise ValueError("expected no NUL byte, found one")
    return word if word.isascii() else octets(word).decode("utf-8", "surrogateescape")


def join(words: Iterable[str]) -> str:
    """Words as one line that `split` and systemd read back as the same words, quoted only where needed.

    Raises ValueError for a word with NUL.
    """
    return " ".join(map(quote, words))


def quote(word: str) -> str:
    """One word as `join` writes it."""
    if "\0" in word:
        raise ValueError(f"expected no NUL byte, found one in {word!r}")
    needs = not word or any(char in word for char in " '\"")
    if not needs and word.isprintable() and "\\" not in word:
        return word
    shown = "".join(map(_shown, word))
    if not needs:
        return shown
    mark = "'" if '"' in word and "'" not in word else '"'
    return mark + shown.replace(mark, "\\" + mark) + mark


def _shown(char: str) -> str:
    """A character, or the escape for one that cannot be seen."""
    code = ord(char)
    if char in _WRITTEN:
        return _WRITTEN[char]
    if char.isprintable():
        return char
    if code < 0x80 or not is_character(code):
        return "".join(f"\\x{byte:02x}" for byte in octets(char))
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def read(text: str) -> Iterator[Line]:
    """The assignments of a unit file, in order: systemd.syntax(7).

    A line of the result is a logical one: continuations are joined, comments and blank lines are gone.
    Raises SyntaxFault for what systemd would pass over with a warning: an assignment outside a section, a line without
    "=", a bad section header, bytes that are not UTF-8.
    """
    section = ""
    for number, line in _logical(text.removeprefix("\ufeff")):
        if line.startswith("["):
            section = _header(number, line)
            continue
        key, equals, value = line.partition("=")
        key = key.strip(BLANKS)
        if not equals or not key:
            raise SyntaxFault(f"expected Key=value or [Section], found {line!r}", number)
        if not section:
            raise SyntaxFault(f"expected a [Section] before the first setting, found {line!r}", number)
        yield Line(number, section, key, value.strip(BLANKS))


def _physical(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined, stripped; no blank ones, no comments (also within a continuation)."""
    start, parts = 0, ""
    for number, line in enumerate(_physical(text), 1):
        if line.lstrip(BLANKS).startswith(("#", ";")):
            continue
        if not is_utf8(line) or "\0" in line:
            raise SyntaxFault(f"expected UTF-8 text, found {line!r}", number)
        start = start if parts else number
        if ends_open(parts + line):
            parts += line[:-1] + " "
            continue
        whole, parts = (parts + line).strip(BLANKS), ""
        if whole:
            yield start, whole
    if parts.strip(BLANKS):
        yield start, parts.strip(BLANKS)


def ends_open(text: str) -> bool:
    """Whether a line ends in a backslash that no other backslash escapes, and so goes on in the next line."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _header(number: int, line: str) -> str:
    section = line[1:-1]
    if not line.endswith("]") or not section or any(char in section for char in "[]"):
        raise SyntaxFault(f"expected a section header such as [Service], found {line!r}", number)
    return section


def write(pairs: Iterable[tuple[str, str, str]]) -> str:
    """The text of a unit file from (section, key, value), in order; a section is headed once a run.

    Raises ValueError for what `read` would not give back: a newline in a value, an open backslash at its end, blanks
    around it, bytes that are not UTF-8 (write words with `join`, which escapes them).
    """
    lines: list[str] = []
    current: str | None = None
    for section, key, value in pairs:
        if section != current:
            lines += ["", f"[{_sound_section(section)}]"] if lines else [f"[{_sound_section(section)}]"]
            current = section
        lines.append(f"{_sound_key(key)}={_sound_value(key, value)}")
    return "\n".join(lines) + "\n" if lines else ""


def _sound_section(section: str) -> str:
    if not section or any(char in section for char in "[]\n\r\0") or not is_utf8(section):
        raise ValueError(f"expected a section name, found {section!r}")
    return section


def _sound_key(key: str) -> str:
    if not key or key[0] in "[#;\ufeff" or any(char in key for char in "= \t\n\r\0\\") or not is_utf8(key):
        raise ValueError(f"expected the name of a setting, found {key!r}")
    return key


def _sound_value(key: str, value: str) -> str:
    if any(char in value for char in "\n\r\0") or not is_utf8(value):
        raise ValueError(f"expected one line of UTF-8 text for {key}, found {value!r}")
    if value != value.strip(BLANKS) or ends_open(value):
        raise ValueError(f"expected no blank around and no open backslash after the value of {key}, found {value!r}")
    return value
