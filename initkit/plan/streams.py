"""The steps that open a program's standard streams: systemd.exec(5), "LOGGING AND STANDARD INPUT/OUTPUT"."""

from __future__ import annotations

import errno
import os

from initkit.plan.step import Process, Shell, Step, quote
from initkit.settings.service import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

#: Inputs that can be written to as well: output goes back there, unless the settings say something else.
_DUPLEX = ("tty", "tty-force", "tty-fail", "socket", "fd")
FILES = ("file", "append", "truncate")
_NAMES = ("stdin", "stdout", "stderr")  # sd_listen_fds_with_names(3), of "fd" without a name


class OpenStream(Step):
    """One standard stream, opened with the privileges that the service starts with."""

    name = "stdio"
    manual = "systemd.exec(5) StandardInput=, StandardOutput=, StandardError="
    directives = (
        *("StandardInput", "StandardOutput", "StandardError", "StandardInputText", "StandardInputData"),
        *("SyslogIdentifier", "SyslogFacility", "SyslogLevel", "SyslogLevelPrefix"),
        *("TTYPath", "TTYReset", "TTYVHangup", "TTYVTDisallocate", "TTYRows", "TTYColumns"),
    )
    status = 208

    fd: int
    stream: Stream
    identifier: str = ""
    priority: str = ""

    @property
    def status_of_fd(self) -> int:
        """208/STDIN, 209/STDOUT, 222/STDERR."""
        return (208, 209, 222)[self.fd]

    def shell(self) -> Shell | None:
        kind = self.stream.kind
        if kind == "inherit":
            return Shell("exec 2>&1" if self.fd == 2 else "")
        if kind == "default" and self.fd == 2:
            return Shell("exec 2>&1")  # where the output is unsaid, both go the same way
        if kind in ("journal", "syslog", "default"):
            return Shell(f"open_log {self.fd} {quote(self.identifier)}") if not self.priority else None
        operator = "<" if self.fd == 0 else {"append": ">>", "file": "<>"}.get(kind, ">")
        if kind == "null":
            return Shell(f"exec {self.fd}{operator}/dev/null")
        if kind not in FILES:
            return None
        return Shell(f"exec {self.fd}{operator}{quote(self.stream.target)} || exit {self.status_of_fd}")

    def apply(self, process: Process) -> None:
        opened = _open(self.fd, self.stream, process)
        if opened != self.fd:
            os.dup2(opened, self.fd)
            if opened > 2 and opened not in (*process.private_fds, *process.fds):
                os.close(opened)
        else:
            os.set_inheritable(opened, True)
        if self.fd == 2 and is_terminal(process.service.standard_input) and process.uid:
            from initkit.plan import terminal

            terminal.give(process.uid)


def is_terminal(stream: Stream) -> bool:
    """Whether it is the terminal, in one of the three ways to get hold of it."""
    return stream.kind in _DUPLEX[:3]


def _open(fd: int, stream: Stream, process: Process) -> int:
    """A descriptor for the stream; `fd` itself when it stays what it is."""
    service, kind = process.service, stream.kind
    if kind == "inherit":
        if fd == 1 and service.standard_input.kind in _DUPLEX:
            return 0
        return 1 if fd == 2 else fd
    if kind in ("default", "pipe"):
        given = process.pipe if kind == "pipe" else process.default_output
        return fd if given is None else given
    if kind == "null":
        return os.open(os.devnull, (os.O_RDONLY if fd == 0 else os.O_WRONLY) | os.O_CLOEXEC)
    if kind in FILES:
        return _open_file(fd, stream, process)
    if kind == "data":
        return _filled(input_data(service))
    if kind in ("socket", "fd"):
        return _handed(fd, stream, process)
    if kind.startswith("tty"):
        from initkit.plan import terminal

        process.environment.setdefault("TERM", terminal.kind(service.tty_path))
        if fd == 0:
            return terminal.acquire(process, kind)
        return 0 if is_terminal(service.standard_input) else terminal.open_output(service.tty_path)
    from initkit.plan import log

    return log.open_stream(process, service.syslog_identifier, kind)


def _open_file(fd: int, stream: Stream, process: Process) -> int:
    service, path = process.service, stream.target
    other = service.standard_output if fd == 0 else service.standard_input
    both = other is not None and (stream.kind, other.kind, other.target) == ("file", "file", path)
    if both and fd == 1:
        return 0
    flags = open_flags(fd, stream)
    if both:
        flags = flags & ~os.O_ACCMODE | os.O_RDWR | os.O_CREAT
    old = os.umask(service.umask)
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o666)
    except PermissionError:
        if not _is_open(fd, path):
            raise
        return fd  # systemd, which had the right to, has opened it before us
    except OSError as fault:
        if fault.errno != errno.ENXIO:
            raise
        return _connected(path)  # a socket, to which a stream may be a connection
    finally:
        os.umask(old)


def _connected(path: str) -> int:
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
    except OSError as fault:
        connection.close()
        raise OSError(fault.errno, fault.strerror, path) from None
    return connection.detach()


def open_flags(fd: int, stream: Stream) -> int:
    """open(2)'s, for a stream that is a file."""
    create = os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT
    return create | os.O_NOCTTY | {"append": os.O_APPEND, "truncate": os.O_TRUNC}.get(stream.kind, 0)


def _is_open(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def _filled(data: bytes) -> int:
    """A file in memory that holds the data, and can be read only."""
    import fcntl

    writer = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(writer, view) :]
        fcntl.fcntl(writer, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        return os.open(f"/proc/self/fd/{writer}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writer)


def _handed(fd: int, stream: Stream, process: Process) -> int:
    """A socket or descriptor that was passed on: sd_listen_fds(3). For "socket" it is the only one there may be."""
    names = process.environment.get("LISTEN_FDNAMES", "").split(":")
    if stream.kind == "socket":
        if not process.fds:
            raise LookupError("no socket was passed on")
        return process.fds[0]
    wanted = stream.target or _NAMES[fd]
    found = next((each for each, name in zip(process.fds, names, strict=False) if name == wanted), None)
    if found is None:
        raise LookupError(f"no descriptor of the name {wanted!r} was passed on")
    return found


def input_data(service: Service) -> bytes:
    """StandardInputText= and StandardInputData=, in the order in which they were written."""
    data = b""
    rows = {"StandardInputText": service.standard_input_text, "StandardInputData": service.standard_input_data}
    left = {key: list(reversed(values)) for key, values in rows.items()}
    for entry in service.entries:
        if entry.key in left:
            data = data + left[entry.key].pop() if entry.value else b""
    return data


def streams(service: Service) -> tuple[OpenStream, ...]:
    """The three streams. Where the settings send output nowhere, it goes where the runner was told ("default")."""
    wanted = service.standard_input
    has_data = service.has("StandardInputText") or service.has("StandardInputData")
    if wanted.kind in ("null", "data"):
        wanted = Stream("data" if has_data else "null")
    output = service.standard_output or Stream("default" if is_unsaid(service) else "inherit")
    error = service.standard_error or (output if output.kind == "default" else Stream("inherit"))
    if error == output and error.kind != "default":
        error = Stream("inherit")  # opened twice, a file would be written over by each in turn
    identifier, priority = service.syslog_identifier or service.name, ""
    if any(map(service.has, ("SyslogFacility", "SyslogLevel", "SyslogLevelPrefix"))):
        priority = f"{service.syslog_facility}.{service.syslog_level}"
    return (
        OpenStream(0, wanted),
        OpenStream(1, output, identifier, priority),
        OpenStream(2, error, identifier, priority),
    )


def is_unsaid(service: Service) -> bool:
    """Whether the settings send output nowhere."""
    return not service.standard_output and service.standard_input.kind not in _DUPLEX
