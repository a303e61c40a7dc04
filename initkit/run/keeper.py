"""A logger beside a program that systemd looks after: a small process keeps it reading until the program has gone."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`
import os

from initkit.plan import kernel, libc
from initkit.plan.process import CloseDescriptors
from initkit.plan.step import Process
from initkit.run.hearing import STOP
from initkit.run.kin import Roll
from initkit.run.logger import Logger
from initkit.run.loop import INFINITY, Loop
from initkit.run.outcome import shell_status
from initkit.run.perform import StepError
from initkit.run.tell import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from initkit.run.loop import Task
    from initkit.settings.service import Service


def start(service: Service) -> int:
    """Start a logger, and who keeps it: returns the end that the program is to write to.

    Raises:
        StepError: when the logger cannot be started.
    """
    source, sink = os.pipe2(os.O_CLOEXEC)
    report, told = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        if os.fork():
            os._exit(0)  # the program has no child that it does not know of
        _keep(service, source, told)
    os.waitpid(middle, 0)
    for fd in (source, told):
        os.close(fd)
    with open(report, encoding="utf-8", errors="replace") as file:
        status, _, text = file.read().partition(" ")
    if text:
        raise StepError(text, status=int(status))
    return sink


def _keep(service: Service, source: int, told: int) -> NoReturn:
    """Without the end that is written to: when the program has gone, and all that it has started, the logger ends."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        process = Process(service)
        process.private_fds = (source, told)
        CloseDescriptors().apply(process)
        kernel.become_subreaper()
        libc.set_title(f"initkit: keeps the logger of {service.name}")
        # systemd signals the whole control group: the program's last words are to be read still.
        loop = Loop((*STOP, _signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGQUIT))
        status = loop.run(_Keeper(service, loop).task(source, told), service)
    finally:
        os._exit(status)


class _Keeper:
    def __init__(self, service: Service, loop: Loop) -> None:
        roll = Roll()
        loop.whose = roll.strike
        self.logger = Logger(service, loop, _complain, roll, reader=service)

    def task(self, source: int, told: int) -> Task:
        logger = self.logger
        logger.begin(source)
        while logger.tries:
            yield INFINITY
        if not logger.works:
            os.write(told, f"{shell_status(logger.status)} {logger.failure}".encode("utf-8", "replace"))
            return 1
        os.close(told)
        while not logger.gone():
            yield INFINITY
        return 0


def _complain(word: str, text: str) -> None:
    tell(text)
