"""XML-RPC's calls and responses as text: http://xmlrpc.com/spec.md. `xmlrpc.client` knows it as well, and would cost a
manager more memory than all the rest of it."""

from __future__ import annotations

import binascii
import pyexpat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DEPTH = 64  # elements within elements
_VALUES = ("int", "i4", "i8", "boolean", "double", "string", "dateTime.iso8601", "base64", "nil", "array", "struct")
#: What may stand in an element; text may in all others.
_INSIDE = {
    "": ("methodCall",),
    "methodCall": ("methodName", "params"),
    "params": ("param",),
    "param": ("value",),
    "value": _VALUES,
    "array": ("data",),
    "data": ("value",),
    "struct": ("member",),
    "member": ("name", "value"),
}


class _Element:
    """One that is being read: its text, and what the elements in it stand for."""

    def __init__(self, name: str) -> None:
        self.name, self.text = name, ""
        self.found: list[Any] = []


class _Reading:
    """What the parser tells; it ends in `call`."""

    def __init__(self) -> None:
        self.open = [_Element("")]

    def start(self, name: str, attributes: object) -> None:
        outer = self.open[-1].name
        if name not in _INSIDE.get(outer, ()):
            raise ValueError(f"<{name}> in <{outer}>")
        if len(self.open) > _DEPTH:
            raise ValueError("nested too deeply")
        self.open.append(_Element(name))

    def data(self, text: str) -> None:
        self.open[-1].text += text

    def end(self, name: str) -> None:
        element = self.open.pop()
        if name in _INSIDE and (name != "value" or element.found) and element.text.strip():
            raise ValueError(f"text in <{name}>")
        self.open[-1].found.append(_MEANING[name](element))

    @property
    def call(self) -> tuple[str, tuple[Any, ...]]:
        method, *arguments = self.open[0].found[0]
        if not isinstance(method, str) or len(arguments) > 1 or (arguments and not isinstance(arguments[0], tuple)):
            raise ValueError("expected a method's name, and its parameters")
        return method, arguments[0] if arguments else ()


def _refuse(*about: object) -> None:
    raise ValueError("expected no document type declaration")


def _only(element: _Element) -> Any:
    (found,) = element.found
    return found


def _value(element: _Element) -> Any:
    return _only(element) if element.found else element.text


def _integer(element: _Element) -> int:
    number = int(element.text) if len(element.text) < 32 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("the number is too large")
    return number


def _member(element: _Element) -> tuple[str, Any]:
    name, value = element.found
    if not isinstance(name, _Name):
        raise ValueError("expected a member's name before its value")
    return str(name), value


class _Name(str):
    """Not a value."""

    __slots__ = ()


_MEANING: dict[str, Callable[[_Element], Any]] = {
    "methodCall": lambda element: element.found,
    "methodName": lambda element: element.text.strip(),
    "params": lambda element: tuple(element.found),
    "param": _only,
    "value": _value,
    "array": _only,
    "data": lambda element: element.found,
    "struct": lambda element: dict(element.found),
    "member": _member,
    "name": lambda element: _Name(element.text),
    "int": _integer,
    "i4": _integer,
    "i8": _integer,
    "boolean": lambda element: {"0": False, "1": True}[element.text.strip()],
    "double": lambda element: float(element.text),
    "string": lambda element: element.text,
    "dateTime.iso8601": lambda element: element.text,
    "base64": lambda element: binascii.a2b_base64(element.text),
    "nil": lambda element: None,
}


def read(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """A call's method and arguments. A document type declaration, where entities grow, is refused whatever it says.

    Raises:
        ValueError: when it is no call.
    """
    reading, parser = _Reading(), pyexpat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(body, True)
        return reading.call
    except (pyexpat.ExpatError, LookupError) as fault:
        raise ValueError(f"expected XML-RPC: {fault}") from None


def response(result: object) -> bytes:
    """The response with a result of dicts, lists, strings, numbers and None."""
    return _document(f"<params><param>{_written(result)}</param></params>")


def fault(code: int, text: str) -> bytes:
    """The response that tells of an error."""
    return _document(f"<fault>{_written({'faultCode': code, 'faultString': text})}</fault>")


def _document(inner: str) -> bytes:
    return f"<?xml version='1.0'?>\n<methodResponse>{inner}</methodResponse>\n".encode()


def _written(value: object) -> str:
    """A value as XML-RPC can hold it: integers of 32 bits, and no None in a struct."""
    if isinstance(value, bool):
        inner = f"<boolean>{value:d}</boolean>"
    elif isinstance(value, int) and -(1 << 31) <= value < 1 << 31:
        inner = f"<int>{value}</int>"
    elif isinstance(value, int | float):
        inner = f"<double>{float(value)!r}</double>"
    elif isinstance(value, str):
        inner = f"<string>{_text(value)}</string>"
    elif isinstance(value, dict):
        members = ((name, each) for name, each in value.items() if each is not None)
        inner = "".join(f"<member><name>{_text(name)}</name>{_written(each)}</member>" for name, each in members)
        inner = f"<struct>{inner}</struct>"
    elif isinstance(value, list | tuple):
        inner = f"<array><data>{''.join(map(_written, value))}</data></array>"
    elif value is None:
        inner = "<nil/>"
    else:
        raise TypeError(f"{type(value).__name__} is no value of XML-RPC")
    return f"<value>{inner}</value>"


def _text(text: str) -> str:
    """Text between tags, without the characters that XML has no place for."""
    if not text.isprintable():
        text = "".join(char if _is_xml(char) else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _is_xml(char: str) -> bool:
    """https://www.w3.org/TR/xml/#charsets"""
    return char in "\t\n\r" or " " <= char < "\ud800" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
