"""Where a stack's socket lies whose state folder has too long a path for one: a folder of this user alone.

Never the temporary folder: `nix develop` gives each shell another one, and a stack must be found from every shell.
Standard library only, as `windtunnel.settings`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from windtunnel.errors import WindtunnelError


def private() -> Path:
    """XDG_RUNTIME_DIR's where that is this user's own (`su` keeps another's), else the cache folder's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and _owner(Path(runtime)) == os.getuid():
        return Path(runtime) / "windtunnel"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "windtunnel" / "run"


def make(folder: Path) -> None:
    """Make the folder where it is missing.

    Raises:
        WindtunnelError: it cannot be made, or others could put a socket of theirs into it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise WindtunnelError(
            f"cannot make the folder {folder} for the stack's socket ({error.strerror}): set WINDTUNNEL_STATE to a shorter path, "
            "or XDG_RUNTIME_DIR to a folder of your own"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise WindtunnelError(
            f"the folder {folder} for the stack's socket is not this user's alone: it must be your own and have mode 0700; "
            "mend that, or set WINDTUNNEL_STATE to a shorter path"
        )


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None
