"""A `Daemon` in its own process: signals, readiness, and its commands beside `run`."""

from __future__ import annotations

import os
import signal
import sys

from initkit import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.daemon import Daemon
    from initkit.daemon.thread import Listener

#: The daemon that this process is, or is to become.
daemon: Daemon | None = None
#: Where it answers commands, found in the environment of its caller.
path = ""

_is_ready = False
_NOTIFYING = ("notify", "notify-reload")


def main() -> int:
    """Run the daemon to its end; returns its exit status. This is the service's callable."""
    assert daemon is not None, "a Daemon starts itself: use its main()"
    import atexit

    _Signals(daemon).install()
    listener = _listen(daemon)
    try:
        if daemon.service.type not in _NOTIFYING:
            ready()
        return daemon.run() or 0
    except Exception:  # the runner would take some of them for a step of its own that failed
        import traceback

        traceback.print_exc()
        return 1
    finally:
        notify.stopping()
        if listener is not None:
            listener.close()
        atexit._run_exitfuncs()  # whoever called us may leave by _exit(2)


def ready() -> None:
    """The service works."""
    global _is_ready
    _is_ready = True
    notify.ready()


def _listen(daemon: Daemon) -> Listener | None:
    """Serve the commands, if there are any."""
    if not daemon.commands:
        return None
    from initkit.daemon.commands import Answering
    from initkit.daemon.thread import Listener

    try:
        return Listener(path, Answering(daemon, os.getpid()))
    except BlockingIOError:
        why = "another process does so"
    except OSError as fault:
        why = str(fault.strerror)
    print(f"{daemon.service.name}: answers no commands at {path}: {why}", file=sys.stderr, flush=True)
    return None


class _Signals:
    """SIGTERM, SIGINT and SIGHUP, turned into `stop` and `reload`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._terminal = _has_terminal()
        self._stopping = self._reloading = self._again = False

    def install(self) -> None:
        """Handle them from now on."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _stop(self, number: int, frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            self._daemon.stop()
        elif number == signal.SIGINT:  # somebody at a terminal has had enough
            raise SystemExit(128 + number)

    def _hang_up(self, number: int, frame: object) -> None:
        if self._terminal and not _has_terminal():  # no request: the terminal is gone
            self._stop(number, frame)
            return
        self._again = True
        if self._reloading or self._stopping:
            return
        self._reloading = True
        try:
            while self._again:
                self._again = False
                self._reload()
        finally:
            self._reloading = False

    def _reload(self) -> None:
        if _is_ready:
            notify.reloading()
        try:
            self._daemon.reload()
        except Exception:
            import traceback

            traceback.print_exc()
        if _is_ready:
            notify.ready()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
