"""What the manager of several services remembers of what is to be done with one of them."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.run.api import Done

#: systemd's own limit for what it starts by itself: at most so many times in so many seconds.
_BURST, _INTERVAL = 16, 10.0


class Job:
    """What a service waits for its turn to do: "start", "stop", or "restart", which becomes a start."""

    def __init__(self, what: str, done: Done | None) -> None:
        self.what = what
        self._asked = [done] if done else []

    def join(self, earlier: Job | None) -> Job:
        """Take an earlier job's place: whoever has asked for that is told of the end of this."""
        self._asked += earlier._asked if earlier else []
        return self

    def done(self, fault: Exception | None) -> None:
        """Tell all who have asked."""
        for each in self._asked:
            each(fault)


class Quota:
    """How often something may happen: `burst` times in `interval` seconds; where that is no limit, systemd's own."""

    def __init__(self, burst: int, interval: float) -> None:
        self._burst, self._interval = (burst, interval) if burst > 0 and interval > 0 else (_BURST, _INTERVAL)
        self._times: list[float] = []

    def __str__(self) -> str:
        return f"{self._burst} starts within {self._interval:g} s"

    def take(self) -> bool:
        """Whether it may happen now, which it then does."""
        now = time.monotonic()
        self._times = [each for each in self._times if each > now - self._interval]
        if len(self._times) >= self._burst:
            return False
        self._times.append(now)
        return True
