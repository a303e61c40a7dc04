"""What a plan is made of. A step is one act on the way to a program's first instruction.

A step can be described (`name`, `manual`, `shell`) and performed (`apply`). The generators print steps, the runner
performs them, so that a script and the runner cannot disagree.
"""

from __future__ import annotations

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Self

    from initkit.settings.service import Service

# The processes of a daemon's start, by daemon(7): who performs a step.
LAUNCHER = "launcher"  # the one that was called
CHILD = "child"  # its child, which exits
DAEMON = "daemon"  # the one that stays


class Shell(Record):
    """A step in POSIX sh, as source text: a `statement` that changes the shell itself, a `prefix` of the program's
    command line that execs the rest (a link of an exec chain), `otherwise` a link that does the same where the prefix's
    tool is missing, `variables` for the program: (name, word) with the word of sh that stands for NAME=VALUE, or for no
    word at all. initkit.plan.shell puts them together."""

    statement: str = ""
    prefix: str = ""
    otherwise: str = ""
    variables: tuple[tuple[str, str], ...] = ()


class Process:
    """What the steps change besides the kernel's idea of the process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.role = DAEMON
        self.environment: dict[str, str] = {}
        self.argv: tuple[str, ...] = ()
        self.path = ""
        self.fds: tuple[int, ...] = ()  # inherited ones that the program is to have, from 3 on
        self.private_fds: tuple[int, ...] = ()  # ours, gone when the program runs
        self.file_limit: tuple[int, int] | None = None  # RLIMIT_NOFILE for it, where ours is another
        self.uid: int | None = None  # of User=, once it has been looked up, or DynamicUser='s
        self.gid: int | None = None  # of Group= or of the user, and all groups
        self.groups: list[int] = []
        self.home = ""
        self.shell = "/bin/sh"  # of the user, for a command that a shell runs
        self.child = 0  # pid of the process that Fork made
        self.held: set[int] = set()  # the signals that Fork has blocked in the launcher
        self.group = ""  # the folder of the service's control group, where it has one
        self.pipe: int | None = None  # the end that a logger reads
        self.default_output: int | None = None  # a fd for output that the settings send nowhere
        self.private_tmp = ""  # whose PrivateTmp= it shares: LIFE-UNIT, "" for its own
        self.owns_users = False  # it is in a user namespace of an ordinary user's
        self.namespaces: dict[str, int] = {}  # those that the service's programs share, "net" and "ipc"
        self.filters: dict[str, bytes] = {}  # by their steps, what the kernel takes
        self.hooks: dict[str, Callable[[], object]] = {}  # what the runner does in "fork", "pid_file", "ready", "wait"


class Step(Record):
    """One act. Subclasses say in class variables what it is, in fields with which values.

    `status` is the exit status (systemd.exec(5), "PROCESS EXIT CODES") of a program whose start fails in this step.
    """

    name: ClassVar[str] = ""
    manual: ClassVar[str] = ""
    directives: ClassVar[tuple[str, ...]] = ()
    status: ClassVar[int] = 1
    role: ClassVar[str] = DAEMON
    reason: ClassVar[str] = ""  # what there is to know where it cannot be done in sh; "": the manual says it

    @classmethod
    def of(cls, service: Service) -> Self | None:
        """The step that the service needs; None when it needs none."""
        return cls()

    def shell(self) -> Shell | None:
        """The step in POSIX sh; None when sh has no honest form of it, so that a script needs the runner."""
        return None

    def apply(self, process: Process) -> None:
        """Do it, by system call.

        Raises:
            OSError, LookupError, ValueError: when it cannot be done; the program must then not be run.
        """
        raise NotImplementedError

    def __str__(self) -> str:
        fields = ", ".join(f"{name}={_shown(self.__dict__[name])}" for name in self._fields)
        return f"{self.name}({fields})"


def _shown(value: object) -> str:
    return repr(value)


def quote(word: str) -> str:
    """A word of POSIX sh that stands for `word` whatever it holds."""
    if word and all(char.isascii() and (char.isalnum() or char in "%+,-./:=@_") for char in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
