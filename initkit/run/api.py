"""What a manager can be asked, whatever language it is asked in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    #: Called once: with None when what was asked for is done, else with why it is not.
    Done = Callable[["Exception | None"], None]
    #: Called once, with a command's result or its error.
    Answered = Callable[["str | Exception"], None]

    class Manager(Protocol):
        """Looks after services. Everything that takes time takes a function to call at its end.

        Raises, and hands to `done`: `Fault`, in the words of `initkit.run.interface`; NotImplementedError for what
        this manager has no means for.
        """

        def names(self) -> list[str]:
            """The services, in the order to show them."""

        def status(self, name: str) -> dict[str, Any]:
            """A service's state: the interface's type Service."""

        def start(self, name: str, done: Done) -> None:
            """Start it; done when it is ready, at once when it is."""

        def stop(self, name: str, done: Done, *, stay: bool = False) -> None:
            """Stop it; done when nothing is left. A manager that has nothing else to do then ends, unless told to
            `stay`."""

        def restart(self, name: str, done: Done) -> None:
            """Stop and start it; done when it is ready."""

        def reload(self, name: str, done: Done) -> None:
            """Reload it; done when the service has."""

        def kill(self, name: str, signal: int, whom: str) -> None:
            """Signal the "main" process, the "logger", or "all" the processes that are not the logger's."""

        def log_path(self, name: str, stream: str) -> str:
            """The file that "stdout" or "stderr" goes to; empty when there is none."""

        def older_logs(self, name: str, stream: str) -> list[str]:
            """The files that have been rotated away from it, the youngest first."""

        def reopen_logs(self, name: str) -> None:
            """Have initkit's own logger open its file anew."""

        def clear_logs(self, name: str) -> None:
            """Empty the files that the output is appended to."""

        def commands(self, name: str) -> list[str]:
            """The commands that the service has registered, as far as is known."""

        def refresh(self, name: str, done: Callable[[], None]) -> None:
            """Find out about them; done soon, perhaps at once, whether the service says or not."""

        def call(self, name: str, command: str, arguments: list[str], done: Answered) -> None:
            """Run one of them."""

        def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
            """Call `told` with the name of every service that changes; returns how to end that."""

        def quit(self) -> None:
            """Stop everything, and end."""


#: What a client may do.
NOTHING, READ, EVERYTHING = range(3)


class Fault(Exception):  # noqa: N818 - the word of both protocols
    """An answer other than the one asked for: an error of `initkit.run.interface`, with its parameters."""

    def __init__(self, name: str, /, **parameters: object) -> None:
        said = ", ".join(f"{key}: {value}" for key, value in parameters.items() if key != "name")
        super().__init__(f"{name} ({said})" if said else name)
        self.name, self.parameters = name, parameters


def refreshed(manager: Manager, names: list[str], done: Callable[[], None]) -> None:
    """Have a manager find out about the commands of several services; done once, when it has."""
    left = len(names)

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done()

    for name in names:
        manager.refresh(name, one)
    if not names:
        done()


class Violation(Exception):  # noqa: N818
    """A client that breaks the protocol: nothing more can be said to it."""


def one_of(manager: Manager, name: str | None) -> str:
    """The service that is meant: where there is only one, it need not be named.

    Raises:
        Fault: NoSuchService.
    """
    names = manager.names()
    if not name and len(names) == 1:
        return names[0]
    if name not in names:
        raise Fault("NoSuchService", name=name or "")
    return name
