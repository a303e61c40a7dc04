"""The end of a service's life: ExecStop=, the signals, ExecStopPost=, with systemd's meaning: systemd.service(5),
systemd.kill(5)."""

from __future__ import annotations

import time

from initkit.plan import log
from initkit.run import pidfile
from initkit.run.family import with_continue
from initkit.run.loop import INFINITY
from initkit.run.outcome import Outcome, result_of, will_restart
from initkit.run.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.run.waiting import Part
    from initkit.settings.command import Command


class Ending(Waiting):
    """How one service is brought down, whatever the cause."""

    def end(self) -> Part[None]:
        """ExecStop=, then the signals, then ExecStopPost=; nothing is left when it is done."""
        service = self.service
        self.watchdog = INFINITY
        if self.main in self.exits and not self.outcome.result:
            self.ended()
        if self.ready and self.outcome.clean:
            self.limit(service.stop_timeout)
            for command in service.exec_stop:
                self._blame((yield from self.command(command, stoppable=False)), command)
        first = service.watchdog_signal if self.outcome.result == "watchdog" else service.kill_signal
        if self.then == "start" and service.restart_kill_signal:
            first = service.restart_kill_signal
        yield from self._kill(first)
        self._take_down_end()
        self.limit(service.stop_timeout)
        for command in service.exec_stop_post:
            self._blame((yield from self.command(command, stoppable=False)), command)
        if service.exec_stop_post:
            yield from self._kill(service.kill_signal)
        self._clean_up()

    def _take_down_end(self) -> None:
        """How the main process ended belongs to the outcome, whatever the cause of its end."""
        if self.main not in self.exits:
            self.outcome = self.outcome if self.outcome.result else Outcome("success")
        elif not self.outcome.result:
            self.ended()
        elif self.outcome.status is None:
            self.outcome = Outcome(self.outcome.result, self.exits[self.main], self.outcome.note)

    def _blame(self, status: int, command: Command) -> None:
        if status and self.outcome.clean:
            self.outcome = Outcome(result_of(self.service, status), status, f"{command.path} failed")

    def _kill(self, number: int) -> Part[None]:
        """systemd.kill(5): `number` to those KillMode= names, SIGKILL to what is left after TimeoutStopSec=."""
        service = self.service
        if service.kill_mode == "none" or self._gone():
            return
        signals = with_continue(number, hangup=service.send_sighup)
        self.limit(service.stop_timeout)
        if service.kill_mode == "control-group":
            self.family.signal_all(signals, self._reader())
            gone = self.family.childless
        else:
            self.signal_main(signals)
            gone = self._main_gone
        yield from self.until_gone(gone)
        if not gone():
            fate = "killed" if service.send_sigkill else "left running"
            self.report(
                "note", f"{service.name}: {self.family.names()} still there after {service.stop_timeout:g} s: {fate}"
            )
            self.outcome = self.outcome if self.outcome.result else Outcome("timeout")
        if service.send_sigkill:
            yield from self._kill_rest()

    def _kill_rest(self) -> Part[None]:
        """FinalKillSignal=, again and again: what was forked while it was being sent hears it, too."""
        service = self.service
        final = (service.final_kill_signal,)
        self.limit(service.stop_timeout)
        while not self._gone() and time.monotonic() < self.deadline:
            if service.kill_mode == "process":
                self.signal_main(final)
            else:
                self.family.signal_all(final, self._reader())
            if not self._gone():
                self.handle((yield self.deadline))

    def _reader(self) -> tuple[str, ...]:
        """The logger that reads the service's output: it ends with its last writer, and hears the last words so."""
        service = self.service
        if service.standard_output is None or service.standard_output.kind not in ("journal", "syslog"):
            return ()
        return log.reader(service.syslog_identifier or service.name)

    def _gone(self) -> bool:
        return self._main_gone() if self.service.kill_mode == "process" else self.family.childless()

    def _main_gone(self) -> bool:
        return all(pid == 0 or pid in self.exits for pid in (self.main, self.control))

    def _clean_up(self) -> None:
        service = self.service
        if service.pid_file:
            pidfile.remove(service.pid_path, self.main)
        self.main = self.control = 0
        self.exits.clear()
        if service.runtime_directory:
            from initkit.run import leftovers

            restarted = self.then == "start" or (not self.stopping and will_restart(service, self.outcome))
            leftovers.remove(service, restarted=restarted)
