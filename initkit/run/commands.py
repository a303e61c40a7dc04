"""The commands that a service's own process answers while it runs: where it listens, and how it is asked.

It listens beside its manager, whose socket is another one, and speaks the same Varlink interface.
"""

from __future__ import annotations

import os

from initkit.errors import CommandFailed, InitkitError, NoSuchCommand, NotPermitted, NotRunning
from initkit.run import client, pidfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service


def path_of(service: Service) -> str:
    """Where the service's process listens: in a folder that it may write to, and nobody else but root.

    Of a service without settings (its `path` is empty) that is wherever there is such a socket.
    """
    root = service.runtime_root
    if not service.path:
        own = (f"initkit/{service.name}.d/commands", f"{service.name}/initkit-commands")
        found = (f"{root}/{each}" for each in own if os.path.exists(f"{root}/{each}"))
        return next(found, f"{root}/initkit/{service.name}.commands")
    if service.runtime_directory:
        return f"{root}/{service.runtime_directory[0].path}/initkit-commands"
    if service.account:
        return f"{root}/initkit/{service.name}.d/commands"
    return f"{root}/initkit/{service.name}.commands"


def prepare(service: Service) -> None:
    """Make the folder for a process that will be another user's, while we may.

    Raises:
        InitkitError: when it cannot be made.
    """
    from initkit.plan.identity import find_user

    if not service.account or service.runtime_directory or os.geteuid() != 0:
        return
    try:
        entry = find_user(service.account)
    except LookupError:
        return  # the start itself will say so, with the right status
    uid = entry.pw_uid if entry else int(service.account)
    folder = os.path.dirname(path_of(service))
    try:
        pidfile.make_folder(folder)
        if os.lstat(folder).st_uid != uid:
            os.chown(folder, uid, -1, follow_symlinks=False)
    except OSError as fault:
        raise InitkitError(f"{folder}: {fault.strerror}") from None


def call(service: Service, command: str, arguments: tuple[str, ...] = (), *, timeout: float = 60.0) -> str:
    """Run a command in the service's process: its result as text.

    `timeout` is in seconds.

    Raises:
        NotRunning: nobody answers.
        NotPermitted: it is another user's.
        NoSuchCommand: naming those that there are.
        CommandFailed: it raised, or took too long.
    """
    given = {"name": service.name, "command": command, "arguments": list(arguments)}
    try:
        return str(client.call(path_of(service), "Call", given, timeout=timeout)["result"])
    except client.NoManager as fault:
        raise NotRunning(f"{service.name} does not answer: {fault.message}") from None
    except client.RemoteError as fault:
        raise _meant(service, command, fault) from None
    except InitkitError as fault:
        if fault.status == NotPermitted.status:
            raise _not_permitted(service) from None
        raise CommandFailed(command, fault.message) from None


def ping(service: Service, *, timeout: float = 1.0) -> int:
    """The pid of the process that answers commands, 0 when none does."""
    try:
        return int(client.call(path_of(service), "Ping", timeout=timeout)["pid"])
    except InitkitError:
        return 0


def _meant(service: Service, command: str, fault: client.RemoteError) -> InitkitError:
    name, told = fault.name.rpartition(".")[2], fault.parameters
    if name == "NoSuchCommand":
        return NoSuchCommand(command, tuple(map(str, told.get("known", ()))))
    if name == "CommandFailed":
        return CommandFailed(command, str(told.get("reason", "")))
    return _not_permitted(service) if name == "PermissionDenied" else fault


def _not_permitted(service: Service) -> NotPermitted:
    return NotPermitted(f"{service.name} is another user's: only that user and root may ask it")
