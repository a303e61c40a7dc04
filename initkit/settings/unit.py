"""`Unit`: what the settings of a service, its sockets and its timer have in common: assignments, and values of them."""

from __future__ import annotations

from initkit.errors import SettingsError
from initkit.settings import directives, specifiers, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar

    from initkit.settings.rows import Row
    from initkit.settings.service import Entry


class Unit:
    """Assignments, frozen. Attributes of subclasses are rows: see `initkit.settings.rows`.

    `name` is the unit's name without its suffix ("app", "app@one"), `path` the settings file, `user` whether this is
    a unit of an ordinary user's rather than the system's.
    """

    rows: ClassVar[dict[str, Row[Any]]] = {}
    suffix: ClassVar[str] = ""

    def __init__(self, name: str, path: str, entries: tuple[Entry, ...], *, user: bool = False) -> None:
        self.__dict__.update(name=name, path=path, entries=entries, user=user)
        by_key: dict[str, list[Entry]] = {}
        for entry in entries:
            if self.is_meant_by(entry):
                by_key.setdefault(entry.key, []).append(entry)
        self.__dict__["_by_key"] = by_key

    if TYPE_CHECKING:
        name: str
        path: str
        entries: tuple[Entry, ...]
        user: bool

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} from {self.path}>"

    def is_meant_by(self, entry: Entry) -> bool:
        """Whether an assignment says something about this unit."""
        return entry.section in directives.SECTIONS_OF[self.suffix]

    def assignments(self, key: str) -> list[Entry]:
        """The assignments of a directive, in the order read."""
        by_key: dict[str, list[Entry]] = self.__dict__["_by_key"]
        return by_key.get(key, [])

    def has(self, key: str) -> bool:
        """Whether the settings give the directive a value."""
        found = self.assignments(key)
        if found and not found[-1].value and key in self.rows:
            return self.rows[key].empty_counts
        return bool(found) and found[-1].value != ""

    def expand(self, text: str) -> str:
        """`text` with its specifiers (systemd.unit(5)) expanded."""
        if "%" not in text:
            return text
        return specifiers.expand(text, self._lookup)

    def expand_portably(self, text: str) -> str:
        """The same for a file that another machine may get: what depends on the machine stays a specifier."""
        return specifiers.expand(
            text, lambda letter: f"%{letter}" if letter in specifiers.HOST else self._lookup(letter)
        )

    def _lookup(self, letter: str) -> str:
        lookup = self.__dict__.get("_names")
        if lookup is None:
            lookup = specifiers.lookup_for(self.unit, fragment=self.path, user=self.user)
            self.__dict__["_names"] = lookup
        return str(lookup(letter))

    @property
    def unit(self) -> str:
        """The full unit name, such as "app.service"."""
        return f"{self.name}{self.suffix}"

    @property
    def runtime_root(self) -> str:
        """Where files of the running system go: /run, or the user's $XDG_RUNTIME_DIR."""
        return self.expand("%t")

    def wrong_values(self) -> Iterator[SettingsError]:
        """An error for every directive whose value cannot be read."""

        for key in self.__dict__["_by_key"]:
            try:
                self._verify_value(key)
            except SettingsError as fault:
                yield fault

    def _verify_value(self, key: str) -> None:
        row = type(self).rows.get(key)
        if row is not None:
            getattr(self, row.attribute)
            return
        entries = self.assignments(key)
        check = _check(entries[0].section, key)
        for entry in entries:
            if check is not None and entry.value:
                parsed(entry, check)


def _check(section: str, key: str) -> Callable[[str], object] | None:
    if key.startswith("Limit") and key.removeprefix("Limit") in values.LIMITS:
        return lambda text: values.limit(key, text)
    known = directives.find(section, key)
    return known.check() if known else None


def parsed(entry: Entry, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of an assignment's value.

    Raises:
        SettingsError: for its ValueError.
    """
    try:
        return parse(entry.value)
    except ValueError as fault:
        raise entry.error(str(fault)) from None
