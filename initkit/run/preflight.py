"""What is seen to before any start that systemd has no part in."""

from __future__ import annotations

from initkit import plan
from initkit.run.tell import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from initkit.settings.service import Service


def check(service: Service) -> int | None:
    """Name what is not kept, and look at the conditions of a service that has no manager, which does so itself.

    Returns the exit status of what is not to be started, else None.

    Raises:
        SettingsError: for settings that cannot be kept.
    """
    plan.verify(service)
    note = plan.unkept_note(service)
    if note:
        tell(note)
    if not plan.has_conditions(service) or plan.needs_parent(service):
        return None
    from initkit.run import conditions

    unmet = conditions.outcome(service)
    if not unmet:
        return None
    tell(f"{service.name}: {unmet}")
    return unmet.exit_status
