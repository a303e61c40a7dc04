"""StandardInput=tty and its kin: a service's own terminal, as systemd.exec(5) and tty_ioctl(4) have it."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from initkit.plan.step import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

_TIOCVHANGUP, _VT_DISALLOCATE = 0x5437, 0x5608
_MODE = 0o600  # of the terminal, which is its user's alone
_NO_CAPABILITY = (errno.EPERM, errno.EINVAL, errno.ENOTTY)
#: termios(3): what a terminal is like before anybody has used it.
_CONTROL = {
    "VINTR": 3, "VQUIT": 28, "VERASE": 127, "VKILL": 21, "VEOF": 4, "VSTART": 17, "VSTOP": 19, "VSUSP": 26,
    "VLNEXT": 22, "VWERASE": 23, "VREPRINT": 18, "VEOL": 0, "VEOL2": 0, "VTIME": 0, "VMIN": 1,
}  # fmt: skip


def kind(path: str) -> str:
    """What $TERM says of the terminal."""
    return "linux" if _is_virtual(path) else "vt220"


def open_output(path: str) -> int:
    """The terminal, to write to."""
    return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)


def acquire(process: Process, how: str) -> int:
    """The terminal as this process's controlling one: "tty" waits until it is nobody's, "tty-fail" does not, and
    "tty-force" takes it away.

    Raises:
        OSError: when it cannot be had.
    """
    service = process.service
    path = service.tty_path
    _prepare(service, path)
    try:
        os.setsid()
    except PermissionError:
        pass  # a session's leader already
    while True:
        watch = _Watch(path) if how == "tty" else None
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, termios.TIOCSCTTY, int(how == "tty-force"))
            return fd
        except OSError as fault:
            os.close(fd)
            if watch is None or fault.errno != errno.EPERM:
                raise OSError(fault.errno, fault.strerror, path) from None
            watch.wait()
        finally:
            if watch:
                watch.close()


class _Watch:
    """Waits for somebody to close a file: inotify(7)."""

    def __init__(self, path: str) -> None:
        from initkit.plan import libc

        self.fd = libc.watch_closes(path)

    def wait(self) -> None:
        os.read(self.fd, 4096)

    def close(self) -> None:
        os.close(self.fd)


def give(uid: int) -> None:
    """The terminal is the service's user's: as getty(8) has it."""
    os.fchown(0, uid, -1)
    os.fchmod(0, _MODE)


def _is_virtual(path: str) -> bool:
    name = os.path.basename(os.path.realpath(path))
    return name == "console" or (name.startswith("tty") and name[3:].isdigit())


def _prepare(service: Service, path: str) -> None:
    """TTYVHangup=, TTYReset=, TTYVTDisallocate=, TTYRows=, TTYColumns=."""
    if service.tty_vhangup:
        _request(path, _TIOCVHANGUP)
    if service.tty_reset:
        _reset(path)
    if service.tty_vt_disallocate and _is_virtual(path):
        _disallocate(path)
    if service.tty_rows or service.tty_columns:
        _resize(path, service.tty_rows, service.tty_columns)


def _request(path: str, request: int, argument: int = 0) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, request, argument)
    except OSError as fault:
        if fault.errno not in _NO_CAPABILITY:
            raise
    finally:
        os.close(fd)


def _disallocate(path: str) -> None:
    number = os.path.basename(os.path.realpath(path)).removeprefix("tty")
    if number.isdigit() and number != "0":
        _request("/dev/tty0", _VT_DISALLOCATE, int(number))


def _reset(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, termios.TIOCNXCL)
        flags = termios.tcgetattr(fd)
        flags[0] &= ~(termios.IGNBRK | termios.BRKINT | termios.ISTRIP | termios.INLCR | termios.IGNCR)
        flags[0] |= termios.ICRNL | termios.IMAXBEL | 0o40000  # IUTF8
        flags[1] |= termios.ONLCR | termios.OPOST
        flags[2] |= termios.CREAD
        flags[3] = (
            termios.ISIG | termios.ICANON | termios.IEXTEN | termios.ECHO | termios.ECHOE | termios.ECHOK
            | termios.ECHOCTL | termios.ECHOKE
        )  # fmt: skip
        for name, value in _CONTROL.items():
            flags[6][getattr(termios, name)] = value if name in ("VTIME", "VMIN") else bytes((value,))
        termios.tcsetattr(fd, termios.TCSANOW, flags)
        termios.tcflush(fd, termios.TCIOFLUSH)
    finally:
        os.close(fd)


def _resize(path: str, rows: int, columns: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        now = struct.unpack("4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows or now[0], columns or now[1], *now[2:]))
    finally:
        os.close(fd)
