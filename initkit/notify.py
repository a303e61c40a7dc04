"""Telling whoever started this program how it is: sd_notify(3), s6's notification fd, or nobody at all.

Every function may be called at any time and from any thread, and returns whether somebody was told: `False` where
nobody listens, which does no harm. Who listens is found in the environment:

- `NOTIFY_SOCKET`: systemd, `initkit`'s own manager, and everything else that speaks sd_notify(3), a socket in the file
  system or (`@…`) in the abstract namespace. The sdnotify package sends the messages.
- `NOTIFY_FD`: the number of a descriptor that `ready()` writes a newline to and closes. That is what s6 waits for; s6
  itself tells a program nothing of it, so name it in the run script beside the file `notification-fd` that holds 3:
  `NOTIFY_FD=3 exec program`. dinit has `ready-notification = pipevar:NOTIFY_FD`.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Socket(Protocol):
        def settimeout(self, seconds: float) -> None: ...
        def sendmsg(self, data: list[bytes], ancillary: list[tuple[int, int, bytes]]) -> int: ...
        def close(self) -> None: ...

    class _Notifier(Protocol):
        socket: _Socket

        def notify(self, state: str) -> None: ...


#: How long a manager that takes in nothing may hold us up, in seconds.
PATIENCE = 5.0

_ready_fd = -1


def ready() -> bool:
    """READY=1: the service works. What waits for a start goes on."""
    told = send("READY=1")
    return _write_newline() or told


def status(text: str) -> bool:
    """STATUS=: one line for people, such as "3 of 10 files read"; other lines of `text` are joined to it."""
    return send("STATUS=" + " ".join(text.split("\n")))


def reloading() -> bool:
    """RELOADING=1 with MONOTONIC_USEC=: settings are read anew. Call `ready` when that is done."""
    return send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> bool:
    """STOPPING=1: the service is about to end."""
    return send("STOPPING=1")


def watchdog() -> bool:
    """WATCHDOG=1: a sign of life. One is due every `watchdog_interval` seconds."""
    return send("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between two calls of `watchdog`: half of what WatchdogSec= allows, as sd_watchdog_enabled(3) advises.

    `None` when nobody waits for signs of life, or for those of another process.
    """
    limit = os.environ.get("WATCHDOG_USEC", "")
    whose = os.environ.get("WATCHDOG_PID", "")
    if not (limit.isascii() and limit.isdigit()) or int(limit) == 0 or whose not in ("", str(os.getpid())):
        return None
    return int(limit) / 2e6


def main_pid(pid: int) -> bool:
    """MAINPID=: another process is the service's main one from now on."""
    return send(f"MAINPID={pid:d}")


def extend_timeout(seconds: float) -> bool:
    """EXTEND_TIMEOUT_USEC=: the start, stop or reload that goes on may take this much longer, from now."""
    return send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")


def store(name: str, *fds: int) -> bool:
    """FDSTORE=1: keep copies of these descriptors for the next start, which finds them behind its sockets with this
    name: sd_listen_fds_with_names(3). FileDescriptorStoreMax= says how many are kept."""
    return send("FDSTORE=1", f"FDNAME={name}", fds=fds)


def remove_stored(name: str) -> bool:
    """FDSTOREREMOVE=1: let go of the kept descriptors of this name."""
    return send("FDSTOREREMOVE=1", f"FDNAME={name}")


def barrier(timeout: float = PATIENCE) -> bool:
    """BARRIER=1: wait `timeout` seconds at most until all that was said has been taken in; returns whether it has.

    For a process that says something and exits at once: sd_notify_barrier(3).
    """
    import select

    answer, passed = os.pipe2(os.O_CLOEXEC)
    try:
        told = send("BARRIER=1", fds=(passed,))
        os.close(passed)
        passed = -1
        waiting = select.poll()
        waiting.register(answer, 0)  # POLLHUP comes unasked: the other side has closed its copy
        return told and bool(waiting.poll(max(0.0, timeout) * 1000))
    finally:
        for fd in (answer, passed):
            if fd >= 0:
                os.close(fd)


def send(*assignments: str, fds: tuple[int, ...] = ()) -> bool:
    """Send assignments ("NAME=VALUE") in one message, with descriptors when the protocol has them: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or len(address) < 2:  # sdnotify knows no vsock:
        return False
    import sdnotify  # type: ignore[import-untyped]

    try:
        notifier: _Notifier = sdnotify.SystemdNotifier(debug=True)  # else it keeps its errors to itself
    except (OSError, ValueError):
        return False
    try:
        notifier.socket.settimeout(PATIENCE)
        data = "\n".join(assignments).encode("utf-8", "surrogateescape")
        if fds:
            import array
            import socket

            notifier.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())])
        else:
            notifier.notify(data.decode("latin-1"))  # it encodes Latin-1: so our bytes come through as they are
    except OSError:  # it has gone, or takes in nothing
        return False
    finally:
        notifier.socket.close()
    return True


def listen_on(fd: int) -> None:
    """Have `ready` write its newline to this descriptor and close it, as well as to that of NOTIFY_FD."""
    global _ready_fd
    _ready_fd = fd


def _write_newline() -> bool:
    global _ready_fd
    own, _ready_fd = _ready_fd, -1
    named = os.environ.pop("NOTIFY_FD", "")  # once, and not for our children
    other = int(named) if named.isascii() and named.isdigit() and len(named) < 10 else -1
    told = [_write_to(fd) for fd in dict.fromkeys((own, other)) if fd > 2 and _can_listen(fd)]
    return any(told)


def _can_listen(fd: int) -> bool:
    """Whether it is a pipe or a socket: a stale number may be any file of ours by now."""
    try:
        return os.fstat(fd).st_mode & 0o170000 in (0o010000, 0o140000)  # S_IFIFO, S_IFSOCK
    except OSError:
        return False


def _write_to(fd: int) -> bool:
    try:
        os.write(fd, b"\n")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
