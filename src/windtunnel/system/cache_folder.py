"""The folder for files that all projects of this user share.

Standard library only: it may run before anything is installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.errors import UsageError


def cache() -> Path:
    """The folder; WINDTUNNEL_CACHE replaces it.

    For root a folder that everybody can read: PostgreSQL then runs as another user.

    Raises:
        UsageError: this user has no home folder.
    """
    if named := os.environ.get("WINDTUNNEL_CACHE"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/windtunnel")
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "windtunnel"
    except RuntimeError:
        fault = f"the user {os.geteuid()} has no home folder"
        raise UsageError(f"{fault}: set WINDTUNNEL_CACHE to a folder for it") from None
