#!/usr/bin/env python3
"""A manager of one program: it starts and stops it, tells how it is, and offers functions besides.

./manager.py start | stop | restart | status | program-start | program-stop | program-status | add A B | echo WORD…
"""

from __future__ import annotations

import os
import threading
import time

from initkit import AlreadyRunning, Control, Daemon, command

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.toml")


class Manager(Daemon):
    """Manages a program."""

    def run(self) -> None:
        """Have the program run as long as its manager does."""
        self.began = time.monotonic()
        self.stopped = threading.Event()
        self.program = Control(PROGRAM)
        self.program_start()
        self.ready()
        self.stopped.wait()
        self.program.stop()

    def stop(self) -> None:
        """Let `run` end."""
        self.stopped.set()

    @command
    def program_start(self) -> int:
        """Start the program, where it does not run; returns its pid."""
        try:
            return self.program.start()
        except AlreadyRunning as running:
            return running.pid

    @command
    def program_stop(self) -> bool:
        """Stop the program; returns whether it was running."""
        return self.program.stop()

    @command
    def program_status(self) -> dict[str, object]:
        """How the program is."""
        status = self.program.status()
        return {"state": status.state, "pid": status.pid}

    @command
    def uptime(self) -> float:
        """How long the manager has been there, in seconds."""
        return time.monotonic() - self.began

    @command
    def add(self, first: int, second: int) -> int:
        """The sum of two numbers."""
        return first + second

    @command
    def echo(self, *words: str) -> str:
        """Say what was said."""
        return " ".join(words)


if __name__ == "__main__":
    Manager("manager.toml").main()
