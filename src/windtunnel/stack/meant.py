"""Whose stack a command would end, where the current folder has none."""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.errors import UsageError
from windtunnel.settings import Settings, checkout_state, named_state, outside_checkouts


def require(settings: Settings, what: str) -> None:
    """Refuse to end the checkout's own stack from the folder of a project that never had one.

    Args:
        what: what the command would do to the stack.

    Raises:
        UsageError: neither the folder nor a variable names that stack.
    """
    named = settings.project or named_state(os.environ)
    # `nix run` derives the folder of the current folder, `./dev` that of its checkout.
    of_here = settings.state != settings.root / checkout_state(os.environ)
    if named or of_here or not outside_checkouts():
        return
    fault = f"{Path.cwd()} has no stack, and this would {what} that of {settings.root}"
    raise UsageError(f"{fault}: change to that folder, or set WINDTUNNEL_STATE={settings.state}")
