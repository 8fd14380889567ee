"""Mending what killed tests have left of a stack that goes on."""

from __future__ import annotations

from windtunnel.settings import Settings
from windtunnel.testing import changes, faults, objects


def mend(settings: Settings) -> None:
    """Bring back parts and objects, end runs; next to nothing where the stack is whole.

    Raises:
        WindtunnelError: a part has not come back.
    """
    # First, since the objects are in the database.
    if faults.bring_back(settings):
        faults.wait_for_workers(settings)
    objects.bring_back(settings)
    changes.bring_back(settings)
