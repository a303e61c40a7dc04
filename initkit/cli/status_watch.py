"""`initkit status --watch`: every change, as the manager tells of it."""

from __future__ import annotations

import os
import select
import sys
import time

from initkit.cli import charge as charges
from initkit.cli import managed, status, status_text
from initkit.run import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from initkit.cli.charge import Charge

    Told = dict[str, Any]

_TICK = 1.0  # seconds: between looks at /proc, and between the changes of a time that is left
_HOME_AND_CLEAR = "\x1b[H\x1b[2J"


def watch(charge: Charge, as_json: bool) -> int:
    """Show every change until Ctrl-C."""
    terminal = sys.stdout.isatty() and not as_json
    last: Told = {}
    try:
        for told in _changes(charge, terminal):
            if terminal or _essence(told, as_json) != _essence(last, as_json):
                _show(told, as_json, terminal)
            last = told
    except KeyboardInterrupt:
        pass
    return status.status_of(last, charge) if last else 0


def _show(told: Told, as_json: bool, terminal: bool) -> None:
    text = status.text_of(told) if as_json else "\n".join(status_text.block(told, status.colours(), progress=terminal))
    print((_HOME_AND_CLEAR if terminal else "") + text, flush=True)


def _essence(told: Told, as_json: bool) -> Told:
    """What makes a change, and is shown; memory and time pass in any case."""
    left_out = ("memory", "cpu") if as_json else ("memory", "cpu", "waitingFor", "deadline")
    return {name: value for name, value in told.items() if name not in left_out}


def _changes(charge: Charge, terminal: bool) -> Iterator[Told]:
    while True:
        if charge.socket:
            yield from _streamed(charge, terminal)
        else:
            told = status.state(charge)
            yield told
            _pause(told.get("mainPid") or 0)
        charge = charges.find(charge.service)


def _streamed(charge: Charge, terminal: bool) -> Iterator[Told]:
    """From the manager, until it ends."""
    told: Told = {}
    mailbox = _Mailbox(charge)
    while not mailbox.closed:
        moving = terminal and told.get("waitingFor")
        came = mailbox.wait(_TICK if moving else None)
        if moving and not came and not mailbox.closed:
            came = _now(charge)
        told = came[-1] if came else told
        yield from came


def _now(charge: Charge) -> list[Told]:
    """The state at this moment; none when the manager has just ended."""
    try:
        return [managed.status(charge)]
    except client.NoManager:
        return []


class _Mailbox:
    """What a stream brings, so that there can be a limit to the waiting for it: a thread reads it."""

    def __init__(self, charge: Charge) -> None:
        import threading

        self.closed = False
        self._charge = charge
        self._letters: list[Told] = []
        self._fault: Exception | None = None
        self._bell, self._ring = os.pipe2(os.O_CLOEXEC)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for reply in client.stream(self._charge.socket, "Status", {"name": self._charge.service.name}):
                self._letters.append(reply["service"])
                os.write(self._ring, b".")
        except client.NoManager:
            pass
        except Exception as fault:
            self._fault = fault
        finally:
            os.close(self._ring)

    def wait(self, seconds: float | None) -> list[Told]:
        """What has come, at the latest after so many seconds.

        Raises:
            InitkitError: when the manager refuses.
        """
        if select.select([self._bell], [], [], seconds)[0] and not os.read(self._bell, 4096):
            self.closed = True
            os.close(self._bell)
            if self._fault:
                raise self._fault
        letters = self._letters[:]
        del self._letters[: len(letters)]
        return letters


def _pause(pid: int) -> None:
    """A moment, or until a process has ended: where nobody tells of changes /proc is looked at again and again."""
    try:
        pidfd = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return
    if pidfd < 0:
        time.sleep(_TICK)
        return
    select.select([pidfd], [], [], _TICK)
    os.close(pidfd)
