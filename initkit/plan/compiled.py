"""The step that makes filters of system calls ready, before the view of the file system hides what that takes.

libseccomp's binding takes longer to import, and a long list to compile, than all the rest of a start. So the programs
that the kernel is given are kept below %t, for every service and every start that wants the same ones.
"""

from __future__ import annotations

import binascii
import marshal
import os

from initkit import __version__, plan
from initkit.plan import libc
from initkit.plan.step import Process, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from initkit.plan.filters import Filter
    from initkit.settings.service import Service

_KEPT = "initkit/filters"  # below %t


class CompileFilters(Step):
    """The filters of all the steps that load one, as the kernel takes them."""

    name = "compile_filters"
    manual = "systemd.exec(5) SYSTEM CALL FILTERING"
    status = 228

    @classmethod
    def of(cls, service: Service) -> Self | None:
        return cls() if any(plan.filtering(service)) else None

    def apply(self, process: Process) -> None:
        steps = {str(step): step for step in plan.filtering(process.service) if step.is_needed()}
        if not steps:
            return
        about: tuple[str | int, ...] = (__version__, os.uname().machine, libc.personality(), *steps)
        folder = f"{process.service.runtime_root}/{_KEPT}"
        path = f"{folder}/{binascii.crc32(repr(about).encode()):08x}"
        programs = _read(path, about)
        if not programs:
            programs = [_compiled(step) for step in steps.values()]
            _keep(path, about, programs)
        process.filters = dict(zip(steps, programs, strict=True))


def _compiled(step: Filter) -> bytes:
    try:
        return step.program()
    except (OSError, LookupError, ValueError, RuntimeError) as fault:
        # It is that step which fails.
        failed = LookupError(str(fault))
        failed.directives, failed.status = step.directives, step.status  # type: ignore[attr-defined]
        raise failed from None


def _read(path: str, about: tuple[str | int, ...]) -> list[bytes]:
    """What is kept there; nothing where it is about something else, or another libseccomp's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if os.fstat(fd).st_uid != os.geteuid():
                return []
            kept, library, changed, programs = marshal.load(file)
        return programs if kept == about and os.stat(library).st_mtime_ns == changed else []
    except (OSError, EOFError, ValueError, TypeError):
        return []


def _keep(path: str, about: tuple[str | int, ...], programs: list[bytes]) -> None:
    """Keep it, whole or not at all; where that cannot be done, the next start compiles again."""
    draft = f"{path}.{os.getpid()}"
    try:
        library = _library()
        data = marshal.dumps((about, library, os.stat(library).st_mtime_ns, programs))
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError:
        pass


def _library() -> str:
    """The file of the libseccomp that this process has loaded; in some bindings it is built in."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        mapped = (line.rstrip("\n").partition("/") for line in file if "seccomp" in line)
        return next((f"/{path}" for _, _, path in mapped if ".so" in path), "")
