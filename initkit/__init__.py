"""initkit: one settings file for a service; run it, and write what systemd, SysV init and other inits want."""

from __future__ import annotations

__version__ = "0.1.0"

#: public name -> module that has it; imported on first use (PEP 562), so that `import initkit` costs nothing
_PUBLIC = {
    "Service": "initkit.settings.service",
    "load": "initkit.settings.load",
    "InitkitError": "initkit.errors",
    "SettingsError": "initkit.errors",
    "UsageError": "initkit.errors",
    "AlreadyRunning": "initkit.errors",
    "NotRunning": "initkit.errors",
    "NotPermitted": "initkit.errors",
    "NoSuchCommand": "initkit.errors",
    "CommandFailed": "initkit.errors",
    "Control": "initkit.daemon.control",
    "Daemon": "initkit.daemon",
    "command": "initkit.daemon",
    "daemonize": "initkit.detach",
    "notify": "initkit.notify",
}

__all__ = [
    "AlreadyRunning",
    "CommandFailed",
    "Control",
    "Daemon",
    "InitkitError",
    "NoSuchCommand",
    "NotPermitted",
    "NotRunning",
    "Service",
    "SettingsError",
    "UsageError",
    "__version__",
    "command",
    "daemonize",
    "load",
    "notify",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit import notify
    from initkit.daemon import Daemon, command
    from initkit.daemon.control import Control
    from initkit.detach import daemonize
    from initkit.errors import (
        AlreadyRunning,
        CommandFailed,
        InitkitError,
        NoSuchCommand,
        NotPermitted,
        NotRunning,
        SettingsError,
        UsageError,
    )
    from initkit.settings.load import load
    from initkit.settings.service import Service


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'initkit' has no attribute {name!r}")
    module = __import__(_PUBLIC[name], fromlist=[name])
    return module if _PUBLIC[name] == f"{__name__}.{name}" else getattr(module, name)
