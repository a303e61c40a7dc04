"""The names of a manager's services: symlinks to its socket, so that who looks for NAME.sock finds it.

None is taken from a manager that listens at it. Later the service's register keeps others away, where there is one: see
`initkit.run.claim`. What a killed manager leaves points to a socket where nobody listens, and the next manager of
either name takes its place.
"""

from __future__ import annotations

import os

from initkit.run import control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Aliases:
    """Symlinks to the socket `path`, for each of `names`; `say` is told of those that cannot be had."""

    def __init__(self, path: str, names: Iterable[str], say: Callable[[str], None]) -> None:
        self._target = os.path.basename(path)
        self._links: list[str] = []
        for name in names:
            link = f"{os.path.dirname(path)}/{name}.sock"
            if link == path:
                continue
            try:
                lock = control.lock(f"{link}.lock")
                try:
                    self._point(link)
                finally:
                    os.close(lock)
                self._links.append(link)
            except BlockingIOError:
                say(f"{name}: another manager listens at {link}")
            except OSError as fault:
                say(f"{name}: no {link}: {fault.strerror}")

    def _point(self, link: str) -> None:
        draft = f"{link}.new"
        control.unlink(draft)
        os.symlink(self._target, draft)
        os.rename(draft, link)

    def withdraw(self) -> None:
        """Leave the names to others: before the registers are gone."""
        for link in self._links:
            if self._is_ours(link):
                control.unlink(link)
        self._links.clear()

    def _is_ours(self, link: str) -> bool:
        try:
            return os.readlink(link) == self._target
        except OSError:
            return False
