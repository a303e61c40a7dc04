"""Which of a service's socket settings initkit keeps where systemd does not open the sockets: systemd.socket(5)."""

from __future__ import annotations

from initkit.settings import directives
from initkit.settings.companions import LISTENS, Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.errors import SettingsError
    from initkit.settings.service import Entry, Service

_COMMANDS = ("ExecStartPre", "ExecStartPost", "ExecStopPre", "ExecStopPost")
_ACCEPTED = "a process for each connection is systemd's alone; a service that accepts by itself needs no Accept="
#: What cannot be kept, and why.
_REFUSED = {
    "ListenNetlink": "Netlink sockets are opened by systemd only",
    "ListenMessageQueue": "message queues are opened by systemd only",
    "ListenUSBFunction": "USB endpoints are opened by systemd only",
    **dict.fromkeys(_COMMANDS, "commands around the opening of sockets are run by systemd only"),
}
#: What says nothing where the manager itself opens the sockets and starts the service.
_MEANINGLESS = frozenset((
    "Service", "MaxConnections", "MaxConnectionsPerSource", "TimeoutSec", "PollLimitBurst", "PollLimitIntervalSec",
    "PassFileDescriptorsToExec", "AcceptFileDescriptors",
))  # fmt: skip


def refusal(entry: Entry) -> str:
    """Why the runner cannot keep an assignment about a socket; "" when it can."""
    if entry.section != "Socket" or not entry.value:
        return ""
    if entry.key == "Accept" and entry.value.lower() not in ("no", "false", "off", "0", "n", "f"):
        return _ACCEPTED
    known = directives.find(entry.section, entry.key)
    if entry.key in _REFUSED:
        return _REFUSED[entry.key]
    if entry.key in _MEANINGLESS or entry.key in LISTENS or entry.key in Socket.rows:
        return ""
    # What systemd.exec(5) and its kin say here is about the commands, which are refused themselves.
    return "systemd only" if known and known.manual == "systemd.socket(5)" else ""


def refusals(service: Service) -> Iterator[SettingsError]:
    """An error for each assignment that keeps the runner from opening the sockets."""
    for socket in service.sockets:
        for entry in socket.entries:
            reason = refusal(entry)
            if reason:
                yield entry.error(reason)
    there = {socket.unit for socket in service.sockets}
    for entry in service.assignments("Sockets"):
        for unit in entry.value.split():
            if service.expand(unit) not in there:
                yield entry.error(f"there is no {service.expand(unit)} beside the settings")
