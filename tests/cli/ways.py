"""Ways to run initkit beside services that live: as somebody, or at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from run.harness import PATIENCE, Services, lines, until

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


def python() -> str:
    """A Python that every user can run: the tests' own may lie in somebody's home."""
    path = Path(sys.executable).resolve()
    return sys.executable if all(each.stat().st_mode & 1 for each in (path, *path.parents)) else "/usr/bin/python3"


def initkit(
    services: Services, *argv: str | Path, environment: Mapping[str, str] | None = None, **more: object
) -> subprocess.CompletedProcess[str]:
    """`initkit` to its end, with the environment of the services' folder."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [python(), "-m", "initkit", *map(str, argv)],
        env=services.environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        **{"cwd": services.folder, **more},
    )


def as_nobody(services: Services) -> dict[str, object]:
    """Options for `initkit` to be run by nobody, whose runtime folder is a private one."""
    runtime = services.folder / "nobody"
    if not runtime.exists():
        runtime.mkdir(mode=0o700)
        os.chown(runtime, NOBODY, NOBODY)
    environment = {"XDG_RUNTIME_DIR": str(runtime), "HOME": str(services.folder)}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": [], "environment": environment}


def written(path: Path, count: int = 1) -> list[str]:
    """The lines in a file, as soon as there are so many."""
    until(lambda: len(lines(path)) >= count, f"{count} lines in {path}")
    return lines(path)


class Terminal:
    """A program at a pseudo-terminal of its own, of which it has the session."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(argv[0], list(argv), dict(environment))
            finally:
                os._exit(255)
        self.text = ""
        self.status: int | None = None

    def read(self, what: str) -> str:
        """Everything that was shown, as soon as `what` is in it."""
        deadline = time.monotonic() + PATIENCE
        while what not in self.text:
            assert self._more(deadline), f"ended without {what!r}: {self.text!r}"
        return self.text

    def _more(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        assert left > 0 and select.select([self.fd], [], [], left)[0], f"late: {self.text!r}"
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # nobody has it open any more
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        """As from the keyboard."""
        os.write(self.fd, text.encode())

    def wait(self) -> int:
        """Its exit status, once it has ended; `text` is complete then."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self) -> None:
        """End it."""
        if self.status is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def at_terminal(services: Services, *argv: str | Path, **environment: str) -> Terminal:
    """`initkit` at a terminal."""
    words = [sys.executable, "-m", "initkit", *map(str, argv)]
    return Terminal(words, services.environment({"TERM": "xterm", **environment}))
