#!/usr/bin/env python3
"""A clock that counts its ticks: a service of one class, with commands that it answers while it runs.

./clock.py start | stop | restart | reload | status | run [--foreground] | ticks | set-interval SECONDS
"""

from __future__ import annotations

import os
import threading

from initkit import Daemon, command, notify


class Clock(Daemon):
    """Counts its ticks."""

    count = 0
    interval = 1.0

    def run(self) -> None:
        """Tick until it is stopped."""
        self.stopped = threading.Event()
        self.reload()
        self.ready()
        while not self.stopped.wait(self.interval):
            self.count += 1
            notify.status(f"{self.count} ticks")
            notify.watchdog()
        print(f"stopped after {self.count} ticks", flush=True)

    def reload(self) -> None:
        """Take the interval from $INTERVAL, or from the file that $INTERVAL_FILE names."""
        self.interval = float(os.environ.get("INTERVAL", "1"))
        file = os.environ.get("INTERVAL_FILE", "")
        if file:
            with open(file, encoding="utf-8") as opened:
                self.interval = float(opened.read())

    def stop(self) -> None:
        """Let `run` end when it has waited."""
        self.stopped.set()

    @command
    def ticks(self) -> int:
        """How many ticks there were."""
        return self.count

    @command
    def set_interval(self, seconds: float) -> str:
        """Tick faster, or more slowly."""
        if seconds <= 0:
            raise ValueError("a clock does not stand still")
        self.interval = seconds
        return f"every {seconds:g} s"

    @command
    def state(self) -> dict[str, object]:
        """Everything there is to know."""
        return {"ticks": self.count, "interval": self.interval, "pid": os.getpid()}


if __name__ == "__main__":
    Clock("clock.toml").main()
