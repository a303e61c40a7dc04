"""The other end of sd_notify(3): the socket that a service tells its state to where no systemd listens."""

from __future__ import annotations

import _socket
import os
import sys

from initkit.run.pidfile import make_folder, unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 4096
_CREDENTIALS = 12  # struct ucred: pid, uid, gid
_MOST_FDS = 253  # <linux/net/scm.h>, SCM_MAX_FD
_MOST = 512  # messages that are taken in at once: who floods us holds up nobody else


class NotifySocket:
    """A datagram socket at `path`, as systemd's is: some programs know no other, and a network of one's own does not
    hide it. Where it cannot be made there, or without a path, its name is one that the kernel chooses, unix(7)
    "Autobind", and is reached from a chroot. Who may say what is decided by the sender's pid."""

    def __init__(self, path: str = "") -> None:
        self._socket = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        self._path = path if path and self._bind(path) else ""
        if not self._path:
            self._socket.bind("")
        #: $NOTIFY_SOCKET
        self.address = self._path or "@" + self._socket.getsockname()[1:].decode()

    def _bind(self, path: str) -> bool:
        try:
            make_folder(os.path.dirname(path))
            unlink(path)  # of a manager that was killed
            self._socket.bind(path)
            os.chmod(path, 0o666)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._socket.fileno()

    def messages(self) -> Iterator[tuple[int, int, dict[str, str], list[int]]]:
        """What has arrived: (pid and uid of the sender, its assignments, descriptors that came along). Those that are
        not taken out of the list are closed, which is what BARRIER=1 waits for."""
        space = _socket.CMSG_SPACE(_CREDENTIALS) + _socket.CMSG_SPACE(4 * _MOST_FDS)
        for _ in range(_MOST):
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(_SIZE, space, _socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            pid, uid = 0, -1
            fds: list[int] = []
            for level, kind, content in ancillary:
                numbers = [int.from_bytes(content[at : at + 4], sys.byteorder) for at in range(0, len(content) - 3, 4)]
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_CREDENTIALS:
                    pid, uid, _ = numbers
                elif level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    fds += numbers
            try:
                if not flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
                    yield pid, uid, _fields(data), fds
            finally:
                for fd in fds:
                    os.close(fd)

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        if self._path:
            unlink(self._path)


def _fields(data: bytes) -> dict[str, str]:
    lines = data.decode("utf-8", "replace").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)
