"""What has to be run when a package is installed and removed: scripts in sh that dpkg, rpm and apk can call."""

from __future__ import annotations

import os

from initkit import inits
from initkit.plan.step import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from initkit.install.needs import Needs
    from initkit.settings.service import Service

NAMES = ("after-install", "before-remove", "after-remove")


def render(found: Needs, template_dir: str = "") -> dict[str, str]:
    """The text of each script, by its name. Empty for a user's own service: those are enabled by their users."""
    from initkit.inits.render import render as text

    if found.service.user:
        return {}
    names = [name for name in found.inits if any(file.init == name for file in found.files)]
    units = [unit.unit for unit in (*found.service.units[1:], found.service)]  # sockets before the service
    view = {
        "needs": found,
        "source": os.path.basename(found.service.path),
        "inits": names,
        "commands": {name: _words(inits.load(name).commands(found.service)) for name in names},
        "units": units,
        "single": [unit for unit in units if "@." not in unit],
        "first_instances": list(_first_instances(found.service, units)),
        "instances": [_instances(unit) for unit in units if "@." in unit],
        "kinds": {file.kind for file in found.files},
        "purged": found.purged,
    }
    return {name: text(f"install/{name}", found.service, template_dir, **view) for name in NAMES}


def _first_instances(service: Service, units: list[str]) -> Iterator[str]:
    """What is started of templates that are enabled: DefaultInstance=."""
    told = [entry.value for entry in service.assignments("DefaultInstance")]
    if told and told[-1]:
        yield from (unit.replace("@.", f"@{service.expand(told[-1])}.") for unit in units if "@." in unit)


def _instances(unit: str) -> str:
    """The pattern of a template's instances, as systemctl(1) and find(1) take it."""
    return unit.replace("\\", "\\\\").replace("@.", "@*.")


def _words(commands: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Commands as words of sh."""
    return {verb: " ".join(map(quote, argv)) for verb, argv in commands.items()}
