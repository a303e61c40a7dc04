"""A manager that waits while its service is down: a start is a word to it, not a second manager."""

from __future__ import annotations

from initkit.errors import InitkitError
from initkit.run import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service

_PATIENCE = 5.0  # seconds that a manager has to say how it is
_UP = ("active", "reloading")


def start(service: Service, manager: int, path: str) -> str:
    """Have the manager with this pid, which listens there, start its service, and wait until that is ready: "started";
    "running" where it is up already, "" where nobody answers.

    Raises:
        InitkitError: why it could not be started, with the exit status of that; or the manager does not answer.
    """
    name = {"name": service.name}
    try:
        if client.call(path, "Ping", timeout=_PATIENCE)["pid"] != manager:
            return ""
        if client.call(path, "Status", name, timeout=_PATIENCE)["service"]["state"] in _UP:
            return "running"
        client.call(path, "Start", name)
    except client.RemoteError as fault:
        said = fault.parameters
        raise InitkitError(said.get("reason") or fault.message, status=said.get("status") or 1) from None
    except client.NoManager:
        return ""
    return "started"
