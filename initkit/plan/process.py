"""The steps that every program needs: signals, descriptors, umask, environment, directory, exec."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an `enum`, a third of Python's own start
import os

from initkit.plan.step import Process, Shell, Step, quote
from initkit.settings.service import OptionalPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from initkit.settings.command import Command
    from initkit.settings.service import Service

#: systemd's search path for programs and the PATH of every service: systemd.exec(5), "ENVIRONMENT VARIABLES".
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What a user's services inherit from the user's manager: systemd.exec(5), "ENVIRONMENT VARIABLES".
_OF_USER = ("HOME", "USER", "LOGNAME", "SHELL", "XDG_RUNTIME_DIR")
_HOMELESS = "the user has no home directory"


def base_environment(service: Service) -> dict[str, str]:
    """The variables a service starts from: systemd's own few."""
    from initkit.plan import locale

    environment = {**locale.variables(), "PATH": DEFAULT_PATH, "INVOCATION_ID": os.urandom(16).hex()}
    if service.user:
        environment.update({name: os.environ[name] for name in _OF_USER if name in os.environ})
    else:
        environment["USER"] = "root"
    if service.pid_file:
        environment["PIDFILE"] = service.pid_path
    return environment


class CloseDescriptors(Step):
    """Close every inherited descriptor but the standard streams and the sockets passed by LISTEN_FDS."""

    name = "close_fds"
    manual = "daemon(7) step 1"
    status = 202

    def shell(self) -> Shell:
        # As far as sh knows descriptors: debconf's 3, startpar's and the like are among these.
        return Shell(statement="exec " + " ".join(f"{fd}>&-" for fd in range(3, 10)))

    def apply(self, process: Process) -> None:
        close_all_but((*process.fds, *process.private_fds))
        if process.file_limit:  # not before: none could be opened above it
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, process.file_limit)


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor but the standard streams and these."""
    first, end = 3, _highest_descriptor() + 1
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    # close_range(2): one call; where Python has none it loops, up to the highest open one and not RLIMIT_NOFILE
    os.closerange(first, end)


def _highest_descriptor() -> int:
    """The highest descriptor that may be open: proc(5), FDSize, which costs the same however many there are."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            return int(file.readall().partition(b"FDSize:")[2].split(None, 1)[0]) - 1
    except (OSError, IndexError, ValueError):  # no /proc here
        return int(os.sysconf("SC_OPEN_MAX"))


class ResetSignals(Step):
    """Every signal to its default, IgnoreSIGPIPE= apart."""

    name = "reset_signals"
    manual = "daemon(7) step 2; systemd.exec(5) IgnoreSIGPIPE="
    directives = ("IgnoreSIGPIPE",)
    status = 207

    ignore_sigpipe: bool = True

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(service.ignore_sigpipe)

    def shell(self) -> Shell:
        # What a shell was started with, or starts with "&", stays ignored; only a newer env(1) mends that.
        ignored = " --ignore-signal=PIPE" if self.ignore_sigpipe else ""
        return Shell(
            "trap '' PIPE" if self.ignore_sigpipe else "", prefix=f"${{default_signals:+env --default-signal{ignored}}}"
        )

    def apply(self, process: Process) -> None:
        for number in range(1, _signal.NSIG):
            if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
                _signal.signal(number, _signal.SIG_DFL)
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN if self.ignore_sigpipe else _signal.SIG_DFL)


class ResetSignalMask(Step):
    """No signal blocked."""

    name = "reset_signal_mask"
    manual = "daemon(7) step 3"
    status = 207

    def shell(self) -> Shell:
        return Shell()  # sh has no means, and no init starts its scripts with signals blocked

    def apply(self, process: Process) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


class Umask(Step):
    """UMask=."""

    name = "umask"
    manual = "systemd.exec(5) UMask="
    directives = ("UMask",)

    mask: int

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(service.umask)

    def shell(self) -> Shell:
        return Shell(statement=f"umask {self.mask:04o}")

    def apply(self, process: Process) -> None:
        os.umask(self.mask)


class ChangeDirectory(Step):
    """WorkingDirectory=; as the service's user, who may be the only one allowed in."""

    name = "chdir"
    manual = "systemd.exec(5) WorkingDirectory="
    directives = ("WorkingDirectory",)
    status = 200

    path: str
    optional: bool = False
    as_user: bool = False

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(service.working_directory.path, service.working_directory.optional, bool(service.account))

    def shell(self) -> Shell | None:
        if self.path == "/":
            return Shell(statement="cd /")
        otherwise = "cd /" if self.optional else f"exit {self.status}"
        if not self.as_user:  # whose home is that of who starts the script, or of nobody
            return None if self.path == "~" else Shell(statement=f"cd {quote(self.path)} || {otherwise}")
        where, has_home = quote(self.path), ""
        if self.path == "~":
            where = '"${home:-/}"'
            has_home = f'[ "$home" ] || {{ complain "WorkingDirectory=~: {_HOMELESS}" && exit {self.status}; }}'
        script = f'cd "$0" || {otherwise}; exec "$@"'
        return Shell("" if self.optional else has_home, prefix=f"/bin/sh -c {quote(script)} {where}")

    def apply(self, process: Process) -> None:
        try:
            os.chdir(self._home(process) if self.path == "~" else self.path)
        except (OSError, LookupError):
            if not self.optional:
                raise
            os.chdir("/")

    def _home(self, process: Process) -> str:
        """The user's home. One who is not in passwd(5) has none, which is no reason to take the runner's."""
        if self.as_user and not process.home:
            raise LookupError(_HOMELESS)
        return process.home or os.path.expanduser("~")


class Environment(Step):
    """The variables that the program gets, and none of the caller's: systemd.exec(5), "ENVIRONMENT VARIABLES"."""

    name = "environment"
    manual = "daemon(7) step 4; systemd.exec(5) Environment=, EnvironmentFile=, PassEnvironment=, UnsetEnvironment="
    # Those that are to blame for a failure come first.
    directives = ("EnvironmentFile", "Environment", "PassEnvironment", "UnsetEnvironment", "ExecSearchPath")
    status = 78

    assignments: tuple[tuple[str, str], ...] = ()
    files: tuple[OptionalPath, ...] = ()
    passed: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    account: str = ""
    search_path: tuple[str, ...] = ()

    @classmethod
    def of(cls, service: Service) -> Self:
        return cls(
            tuple(service.environment.items()),
            service.environment_files,
            service.pass_environment,
            service.unset_environment,
            service.account,
            service.exec_search_path,
        )

    def shell(self) -> Shell | None:
        """The files' variables join the program's words, where env(1) takes them for its own: after all others."""
        if self.search_path:
            return None  # a script looks for programs where it always does
        reads = [f"words=$(environment_file {pattern(file)}) || exit {self.status}" for file in self.files]
        statement = "\n".join(f'{read}\neval "set -- $words \\"\\$@\\""' for read in reversed(reads))
        passed = ((name, f'${{passed_{name}:+"$passed_{name}"}}') for name in self.passed)
        static = ((name, quote(f"{name}={value}")) for name, value in self.assignments)
        return Shell(statement, variables=(*passed, *static))

    def apply(self, process: Process) -> None:
        environment = process.environment
        if self.search_path:
            environment["PATH"] = ":".join(self.search_path)
        environment.update({name: _callers(name) for name in self.passed if name in os.environ})
        environment.update(self.assignments)
        for file in self.files:
            environment.update(_read_environment(file))
        for each in self.unset:
            name, equals, value = each.partition("=")
            if not equals or environment.get(name) == value:
                environment.pop(name, None)


def _callers(name: str) -> str:
    return os.environb[name.encode("utf-8", "surrogateescape")].decode("utf-8", "surrogateescape")


def pattern(file: OptionalPath) -> str:
    """The file's name as words of sh, with its wildcards left to the shell."""
    pieces = [""]
    for char in file.path:
        if char in "*?[]":
            pieces += [char, ""]
        else:
            pieces[-1] += char
    words = "".join(piece if piece in ("*", "?", "[", "]") else quote(piece) for piece in pieces if piece)
    return f"- {words}" if file.optional else words


def _read_environment(file: OptionalPath) -> dict[str, str]:
    from initkit.settings import envfile
    from initkit.settings.load import contents

    found = {}
    try:
        for path in _matches(file.path):
            found.update(envfile.parse(contents(path).decode("utf-8", "surrogateescape")))
    except (OSError, ValueError):
        if not file.optional:
            raise
    return found


def _matches(path: str) -> list[str]:
    if not any(char in path for char in "*?["):
        return [path]
    from initkit.plan import glob

    found = glob.paths(path)
    if not found:
        raise FileNotFoundError(2, "no file matches", path)
    return found


class Exec(Step):
    """The program itself: execve(2)."""

    name = "exec"
    manual = "systemd.service(5) ExecStart="
    directives = ("ExecStart",)
    status = 203

    command: Command
    folders: tuple[str, ...] = ()

    def apply(self, process: Process) -> None:
        os.execve(*self.arguments(process))

    def arguments(self, process: Process) -> tuple[bytes, tuple[bytes, ...], dict[bytes, bytes]]:
        """execve(2)'s: whatever the locale is, and bytes that are not UTF-8 as they were written."""
        path = process.shell if self.command.via_shell else search(self.command.path, self.folders)
        argv = self.command.argv(process.environment, process.shell)
        environment = {_encoded(name): _encoded(value) for name, value in process.environment.items()}
        return path.encode(), tuple(map(_encoded, argv)), environment


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def search(path: str, folders: tuple[str, ...] = ()) -> str:
    """A program's absolute path; a bare name is looked for in ExecSearchPath=, else in systemd's default path.

    Raises:
        FileNotFoundError: when no executable file of that name is there.
    """
    if "/" in path:
        return path
    folders = folders or tuple(DEFAULT_PATH.split(":"))
    for folder in folders:
        candidate = f"{folder}/{path}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    raise FileNotFoundError(2, f"no such program in {':'.join(folders)}", path)


class Call(Step):
    """`callable`: import a Python function and run it as the program, in this process."""

    name = "call"
    manual = "initkit.toml(5) callable"
    directives = ("Callable",)
    status = 203

    function: str
    folder: str

    def apply(self, process: Process) -> None:
        import sys

        os.environ.clear()
        os.environ.update(process.environment)
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        module, _, name = self.function.partition(":")
        try:
            function: Any = __import__(module, fromlist=["_"])
            for part in name.split("."):
                function = getattr(function, part)
        except Exception as fault:  # whatever a module does while it is imported
            raise LookupError(f"cannot be imported: {fault}") from fault
        for fd in process.private_fds:  # as an exec does
            if fd > 2:
                _close(fd)
        try:
            result = function()
        except Exception as fault:
            sys.excepthook(type(fault), fault, fault.__traceback__ and fault.__traceback__.tb_next)
            result = 1
        raise SystemExit(result)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # closed already
