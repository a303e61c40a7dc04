"""The life of a service whose output a logger of its own reads. The logger is there before the service, through all of
its restarts, and until it has read the last word."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os
import time

from initkit.run.family import with_continue
from initkit.run.kin import Kin, Roll
from initkit.run.life import Life
from initkit.run.logger import Logger
from initkit.run.outcome import Outcome, unspawned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from initkit.run.loop import Task
    from initkit.run.waiting import Part


def kin() -> Kin:
    """The family of a service that is alone with its logger: whoever is not the logger's is the service's."""
    roll = Roll()
    roll.heir = Kin(roll)
    return roll.heir


class Logged(Life):
    """As `Life`, with `kin`. Output that the settings send nowhere goes to the logger, and the logger's to `output`."""

    logger: Logger

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self.kin
        self.logger = Logger(self.service, self.loop, self.report, self.kin.roll, reader=self.kin, output=self.output)

    def _lives(self) -> Task:
        status = yield from super()._lives()
        yield from self._finish()
        return status

    def come_up(self) -> Part[None]:
        yield from self._begin()
        if not self.ending:
            yield from super().come_up()

    def _let_go(self) -> Part[None]:
        yield from self._finish()
        yield from super()._let_go()

    def _begin(self) -> Part[None]:
        """A logger that cannot even be started is as bad as a program that cannot."""
        logger = self.logger
        logger.enrol, logger.fork = self.enrolling("logger"), lambda: self.bear(os.fork)
        logger.begin()
        self.output = logger.sink
        self.limit(self.service.start_timeout)
        while logger.tries and not self.stopping and time.monotonic() < self.deadline:
            self.handle((yield self.deadline))
        if self.stopping or logger.works:
            return
        failed = bool(logger.failure) and logger.pid == 0
        result = "timeout" if not failed else "resources" if unspawned(logger.status) else "exit-code"
        self.outcome = Outcome(result, note=logger.failure, command=logger.status) if failed else Outcome(result)

    def _finish(self) -> Part[None]:
        """Let the logger read to the end; one that does not come to it is ended after TimeoutStopSec=."""
        service, logger = self.service, self.logger
        if logger.sink < 0 or not self.family.childless():
            return  # it is not there; or KillMode= leaves processes that may write still
        logger.end()
        if (yield from self._logger_goes()):
            return
        for number, fate in ((_signal.SIGTERM, "terminated"), (_signal.SIGKILL, "killed")):
            if number == _signal.SIGKILL and not service.send_sigkill:
                break
            names = logger.kin.names() or "its logger"
            self.report("note", f"{service.name}: {names} has not read to the end in time: {fate}")
            logger.close()
            logger.kin.signal_all(with_continue(number))
            if (yield from self._logger_goes()):
                break
        logger.close()

    def _logger_goes(self) -> Part[bool]:
        self.limit(self.service.stop_timeout)
        yield from self.until_gone(self.logger.gone)
        if self.logger.gone():
            self.logger.close()
        return self.logger.gone()
