"""The folder of a stack's socket when the path of its state folder is too long for a socket.

It belongs to this user alone. It is never below the temporary folder: `nix develop` gives each
shell another one, and a stack must be found from every shell.
Standard library only, as `windtunnel.settings`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from windtunnel.errors import WindtunnelError


def private(longest: int) -> Path:
    """Below the cache folder, or below XDG_RUNTIME_DIR where the first cannot serve.

    logind removes XDG_RUNTIME_DIR at the user's last logout, and the stack must be found after it.
    `su` keeps the XDG_RUNTIME_DIR of the other user.

    Args:
        longest: the folder's path may have this many bytes.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(named) if named.startswith("/") else Path.home() / ".cache"
    folder = cache / "windtunnel" / "run"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    serves = len(os.fsencode(folder)) <= longest and _can_be_made(folder)
    if serves or not runtime.is_absolute() or _owner(runtime) != os.getuid():
        return folder
    return runtime / "windtunnel"


def make(folder: Path) -> None:
    """Creates the folder if it is missing.

    Raises:
        WindtunnelError: it cannot be created, or other users could put a socket into it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise WindtunnelError(
            f"cannot make the folder {folder} for the stack's socket ({error.strerror}): "
            "set WINDTUNNEL_STATE to a shorter path, or XDG_CACHE_HOME to a folder of your own"
        ) from None
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_own or stat.S_IMODE(found.st_mode) != 0o700:
        raise WindtunnelError(
            f"the folder {folder} for the stack's socket is not this user's alone: "
            "it must be your own and have mode 0700; "
            "correct that, or set WINDTUNNEL_STATE to a shorter path"
        )


def _can_be_made(folder: Path) -> bool:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None
