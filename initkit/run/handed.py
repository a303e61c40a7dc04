"""What a service's main program is handed besides its streams: sockets, and what it has left with its manager. They are
its descriptors from 3 on: sd_listen_fds(3)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from initkit.run.fdstore import Store
    from initkit.run.loop import Event, Loop
    from initkit.run.newline import Newline
    from initkit.run.sockets import Listening
    from initkit.settings.service import Service


class Handed:
    """The descriptors of one service. `passed` are those that the manager itself was given by its caller, with their
    names; where there are such, no socket is opened."""

    def __init__(
        self,
        service: Service,
        loop: Loop,
        note: Callable[[str], None],
        passed: tuple[tuple[int, str], ...] = (),
    ) -> None:
        self._service, self._loop, self._note, self._passed = service, loop, note, passed
        self._listening: Listening | None = None
        self.store: Store | None = None
        self.newline: Newline | None = None
        self._awaited: list[int] = []
        if service.fd_store_max > 0:
            from initkit.run.fdstore import Store

            self.store = Store(loop, service.fd_store_max, note)

    def open(self) -> None:
        """Open the sockets, unless they are open.

        Raises:
            OSError: naming the address; none is open then.
        """
        if self._service.sockets and not self._passed and self._listening is None:
            from initkit.run.sockets import Listening

            self._listening = Listening(self._service, self._note)

    def listen(self, said: Callable[[], tuple[Event, ...]]) -> None:
        """A program with `notification_fd` is about to be started: `said` is called when it has said that it works."""
        if self._service.notification_fd:
            from initkit.run.newline import Newline

            self.newline = Newline(self._loop, said)

    def started(self) -> None:
        """The program has what it was handed."""
        if self.newline:
            self.newline.given()

    def await_traffic(self, came: Callable[[], tuple[Event, ...]]) -> None:
        """Call `came` once, when something can be read from one of the sockets.

        Raises:
            OSError: naming what is no socket, and nothing to wait at.
        """

        def read() -> tuple[Event, ...]:
            self.ignore_traffic()
            return came()

        for fd, name in self.sockets():
            try:
                self._loop.watch(fd, read)
            except PermissionError as fault:  # a regular file, /dev/null
                raise OSError(fault.errno, "such a file can always be read", self._path(fd) or name) from None
            self._awaited.append(fd)

    def ignore_traffic(self) -> None:
        """Leave what comes to the program."""
        for fd in self._awaited:
            self._loop.unwatch(fd)
        self._awaited = []

    def sockets(self) -> list[tuple[int, str]]:
        """The sockets with their names."""
        if self._listening is None:
            return list(self._passed)
        return [(each.fd, each.socket.descriptor_name) for each in self._listening.opened]

    def _path(self, fd: int) -> str:
        opened = self._listening.opened if self._listening else ()
        return next((each.listened.path for each in opened if each.fd == fd), "")

    def all(self) -> list[tuple[int, str]]:
        """All descriptors with their names, in the order in which they are handed over."""
        stored = self.store.kept if self.store else []
        return [*self.sockets(), *((each.fd, each.name) for each in stored)]

    def variables(self) -> dict[str, str]:
        """What the program is told about them, but LISTEN_PID."""
        found = {}
        names = [name for _, name in self.all()]
        if names:
            found = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
        if self.store:
            found["FDSTORE"] = str(self._service.fd_store_max)
        return found

    def fds(self) -> dict[int, int]:
        """The descriptors by their numbers in the program; sockets opened here are as NonBlocking= wants them."""
        for each in self._listening.opened if self._listening else ():
            os.set_blocking(each.fd, not self._service.non_blocking)
        found = {3 + at: fd for at, (fd, _) in enumerate(self.all())}
        if self.newline:
            found[self._service.notification_fd] = self.newline.sink
        return found

    def ended(self) -> None:
        """A life is over: FileDescriptorStorePreserve= says what is kept for the next one."""
        if self.newline:
            self.newline.close()
            self.newline = None
        if self.store and self._service.fd_store_preserve == "no":
            self.store.clear()

    def rest(self) -> None:
        """The service is down until it is asked to start: nothing is listened on."""
        self.ignore_traffic()
        if self.store and self._service.fd_store_preserve != "yes":
            self.store.clear()
        if self._listening:
            self._listening.close()
            self._listening = None
