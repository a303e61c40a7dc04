"""Typed attributes of `Unit`: each row says how the assignments of one directive become a value.

systemd.syntax(7): of a single value the last assignment counts; list values add up; an empty assignment resets both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Generic, Self, TypeVar, overload

    from initkit.settings.unit import Unit

    T = TypeVar("T")
    U = TypeVar("U")
else:  # `typing` costs as much as starting Python
    T = U = None

    def overload(function: object) -> object:
        return function

    class Generic:
        def __class_getitem__(cls, _: object) -> type:
            return cls


class Row(Generic[T]):
    """A descriptor that reads a directive's assignments from a `Unit` once and keeps the value."""

    name: str
    attribute: str
    empty_counts = False  # whether an empty assignment is a value rather than none

    def __init__(self, name: str, default: T) -> None:
        self.name, self.default = name, default

    def __set_name__(self, owner: type[Unit], attribute: str) -> None:
        self.attribute = attribute
        owner.rows[self.name] = self

    @overload
    def __get__(self, service: None, owner: type[Unit]) -> Self: ...
    @overload
    def __get__(self, service: Unit, owner: type[Unit]) -> T: ...  # noqa: F811 - the real `overload` is not here
    def __get__(self, service: Unit | None, owner: type[Unit]) -> Self | T:  # noqa: F811
        if service is None:
            return self
        value = service.__dict__[self.attribute] = self.value(service)
        return value

    def value(self, service: Unit) -> T:
        """The directive's value.

        Raises:
            SettingsError: naming the assignment that cannot be read.
        """
        value = self.default
        for entry in service.assignments(self.name):
            try:
                value = self.add(value, entry.value, service.expand) if entry.value else self.reset()
            except ValueError as fault:
                raise entry.error(str(fault)) from None
        return value

    def add(self, so_far: T, text: str, expand: Callable[[str], str]) -> T:
        """What `so_far` becomes with one more assignment."""
        raise NotImplementedError

    def reset(self) -> T:
        """What an empty assignment leaves."""
        return self.default


class One(Row[T]):
    """A single value; `expand` says that the directive takes specifiers."""

    def __init__(self, name: str, parse: Callable[[str], T], default: T, *, expand: bool = False) -> None:
        super().__init__(name, default)
        self.parse, self.expand = parse, expand

    def add(self, so_far: T, text: str, expand: Callable[[str], str]) -> T:
        return self.parse(expand(text) if self.expand else text)


class Many(Row["tuple[U, ...]"], Generic[U]):
    """A list: each assignment adds what `parse(text, expand)` finds in it."""

    def __init__(self, name: str, parse: Callable[[str, Callable[[str], str]], Iterable[U]]) -> None:
        super().__init__(name, ())
        self.parse = parse

    def add(self, so_far: tuple[U, ...], text: str, expand: Callable[[str], str]) -> tuple[U, ...]:
        return (*so_far, *self.parse(text, expand))
