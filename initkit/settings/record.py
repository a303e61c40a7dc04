"""Frozen records without `dataclasses`, whose import costs more than a whole Python start (see tests/bench)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_: object):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A base for immutable values: the annotations of a class are its fields, in order, with their defaults.

    Equal when of one class with equal fields; hashable when the fields are.
    """

    __slots__ = ("__dict__",)
    _fields: tuple[str, ...] = ()
    _defaults: dict[str, Any] = {}  # noqa: RUF012 - replaced, never mutated, by each subclass

    def __init_subclass__(cls) -> None:
        written = cls.__dict__.get("__annotations__", {}).items()  # noqa: RUF063 - `inspect` costs more than all of this
        own = [name for name, kind in written if name[0] != "_" and not kind.startswith("ClassVar")]
        cls._fields = (*cls._fields, *own)
        cls._defaults = {**cls._defaults, **{name: cls.__dict__[name] for name in own if name in cls.__dict__}}

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self.__dict__
        fields.update(self._defaults)
        fields.update(zip(self._fields, values, strict=False))
        fields.update(named)
        if len(fields) != len(self._fields) or len(values) + len(named) > len(self._fields):
            missing = [name for name in self._fields if name not in fields]
            unknown = [name for name in fields if name not in self._fields]
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}, {len(values)} values")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({inner})"
