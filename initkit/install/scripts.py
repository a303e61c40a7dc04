"""What has to be run when a package is installed and removed: scripts in sh that dpkg, rpm and apk can call."""

from __future__ import annotations

import os

from initkit import inits
from initkit.plan.step import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from initkit.install.needs import Needs

NAMES = ("after-install", "before-remove", "after-remove")


def render(found: Needs, template_dir: str = "") -> dict[str, str]:
    """The text of each script, by its name. Empty for a user's own service: those are enabled by their users."""
    from initkit.inits.render import render as text

    if found.service.user:
        return {}
    names = [name for name in found.inits if any(file.init == name for file in found.files)]
    view = {
        "needs": found,
        "source": os.path.basename(found.service.path),
        "inits": names,
        "commands": {name: _words(inits.load(name).commands(found.service)) for name in names},
        "units": [unit.unit for unit in (*found.service.units[1:], found.service)],  # sockets before the service
        "kinds": {file.kind for file in found.files},
        "purged": found.purged,
    }
    return {name: text(f"install/{name}", found.service, template_dir, **view) for name in NAMES}


def _words(commands: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Commands as words of sh."""
    return {verb: " ".join(map(quote, argv)) for verb, argv in commands.items()}
