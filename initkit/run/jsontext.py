"""JSON by the C parts of the standard library's `json`, whose Python parts import `re`: five times as long to load."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLANKS = " \t\n\r"


class _Reading:
    """What the scanner asks for."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner empties it

    @staticmethod
    def parse_int(digits: str) -> int:
        """An integer of 64 bits, as varlink has them."""
        number = int(digits) if len(digits) < 21 else 1 << 64
        if not -(1 << 63) <= number < 1 << 63:
            raise ValueError("the number is too large")
        return number

    @staticmethod
    def parse_constant(word: str) -> float:
        """NaN and Infinity are none of JSON's."""
        raise ValueError(f"{word} is not JSON")


_scan = _json.make_scanner(_Reading)  # type: ignore[arg-type]  # it reads attributes


def loads(text: bytes) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: when it is none.
    """
    characters = text.decode("utf-8").strip(_BLANKS)
    try:
        value, end = _scan(characters, 0)
    except (StopIteration, SystemError):  # it has no words for most errors while `json.decoder` is not loaded
        raise ValueError("expected JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end != len(characters):
        raise ValueError("expected nothing behind the JSON")
    return value


def dumps(value: object) -> bytes:
    """A value of dicts, lists, strings, numbers and None as ASCII."""
    encode = _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False)
    return "".join(encode(value, 0)).encode("ascii")


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON")
