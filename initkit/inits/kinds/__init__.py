"""The files that a service needs whatever the init: accounts, directories, rotation of its logs, a file of defaults.

Every module has `files(service, options, inits)`, which yields `File`s as an init's own module does; `inits` are the
names of the inits that the service is installed for.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import File, Options
    from initkit.settings.service import Service

_KINDS = ("sysusers", "tmpfiles", "default", "logrotate")


def files(service: Service, options: Options, inits: tuple[str, ...]) -> Iterator[File]:
    """All of them. A service of a user's own needs none: those are the system's."""
    if service.user:
        return
    for kind in _KINDS:
        module = __import__(f"initkit.inits.kinds.{kind}", fromlist=["files"])
        yield from module.files(service, options, inits)


def source(service: Service) -> str:
    """What the first line of a file says that it was made from."""
    return os.path.basename(service.path)
