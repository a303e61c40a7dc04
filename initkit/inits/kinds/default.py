"""A commented template of the service's own EnvironmentFile=: /etc/default/NAME, or wherever a distribution has it."""

from __future__ import annotations

import os

from initkit.inits import File
from initkit.inits.kinds import source
from initkit.plan import shell
from initkit.settings import specifiers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from initkit.inits import Options
    from initkit.settings.service import Service

_FOLDERS = ("/etc/default", "/etc/sysconfig", "/etc/conf.d")


def files(service: Service, options: Options, inits: tuple[str, ...]) -> Iterator[File]:
    """One that the settings name and that bears the service's name; others belong to somebody else."""
    from initkit.inits.render import render

    names = (service.name, specifiers.prefix(service.name))
    for path in dict.fromkeys(each.path for each in service.environment_files):
        if os.path.dirname(path) in _FOLDERS and os.path.basename(path) in names:
            values = {name: service.environment.get(name, "") for name in _names(service)}
            text = render("kinds/default", service, options.template_dir, source=source(service), values=values)
            yield File(path, text, kind="default")


def _names(service: Service) -> list[str]:
    """The variables that the settings have a value for, then those that the commands ask for."""
    return list(dict.fromkeys((*service.environment, *shell.named(service))))
