"""What a user has left behind for processes to talk by: RemoveIPC=, systemd.exec(5)."""

from __future__ import annotations

import os

from initkit.plan import libc

_FOLDERS = ("/dev/shm", "/dev/mqueue")  # shm_overview(7), mq_overview(7)


def remove(user: int) -> None:
    """Remove the user's message queues, semaphores and shared memory."""
    for kind in ("shm", "sem", "msg"):
        for number in _numbers(kind, user):
            try:
                libc.remove_ipc(kind, number)
            except OSError:
                pass  # gone meanwhile
    for folder in _FOLDERS:
        if os.path.isdir(folder):
            _empty(folder, user)


def _numbers(kind: str, user: int) -> list[int]:
    """The identifiers of the user's objects: proc(5), /proc/sysvipc."""
    try:
        with open(f"/proc/sysvipc/{kind}") as file:
            names, *rows = (line.split() for line in file)
    except (OSError, ValueError):
        return []
    owner, number = names.index("uid"), 1
    return [int(row[number]) for row in rows if int(row[owner]) == user]


def _empty(folder: str, user: int) -> None:
    for entry in os.scandir(folder):
        try:
            if entry.stat(follow_symlinks=False).st_uid == user and not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
        except OSError:
            pass  # gone meanwhile
