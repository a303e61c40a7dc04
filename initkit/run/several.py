"""What clients of several services ask of one, and that one's own manager answers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from initkit.run.api import Answered
    from initkit.run.manager import LifeManager


class Several:
    """The part of `initkit.run.api.Manager` that has nothing to do with the other services."""

    def __init__(self, managers: Mapping[str, LifeManager]) -> None:
        self._managers = managers

    def names(self) -> list[str]:
        """The services, in the order of their files."""
        return list(self._managers)

    def kill(self, name: str, signal: int, whom: str) -> None:
        """Signal the main process, the logger, or all."""
        self._managers[name].kill(name, signal, whom)

    def status(self, name: str) -> dict[str, Any]:
        """A service's state."""
        return self._managers[name].status(name)

    def log_path(self, name: str, stream: str) -> str:
        """The file that the output goes to."""
        return self._managers[name].log_path(name, stream)

    def older_logs(self, name: str, stream: str) -> list[str]:
        """Those that have been rotated away from it."""
        return self._managers[name].older_logs(name, stream)

    def reopen_logs(self, name: str) -> None:
        """Have its logger open its file anew."""
        self._managers[name].reopen_logs(name)

    def clear_logs(self, name: str) -> None:
        """Empty the files that its output is appended to."""
        self._managers[name].clear_logs(name)

    def commands(self, name: str) -> list[str]:
        """The commands that it has registered."""
        return self._managers[name].commands(name)

    def refresh(self, name: str, done: Callable[[], None]) -> None:
        """Ask it for them."""
        self._managers[name].refresh(name, done)

    def call(self, name: str, command: str, arguments: list[str], done: Answered) -> None:
        """Run one of them."""
        self._managers[name].call(name, command, arguments, done)

    def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Call `told` at every change of any."""
        ends = [manager.subscribe(told) for manager in self._managers.values()]

        def end() -> None:
            for each in ends:
                each()

        return end
