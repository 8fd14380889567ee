"""`windtunnel reset`: stop the stack and delete its own files in the state folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import down

#: A stack writes these into its state folder. A folder that holds anything else is kept.
WRITTEN = (
    "secrets",
    "run",
    "logs",
    "postgres",
    "valkey",
    "bundles",
    "environments",
    "debugger",
    "stack.json",
    "migrated.json",
    "project.json",
    "objects.json",
    ".gitignore",
    ".airflowignore",
)


def reset(settings: Settings) -> list[Path]:
    """Stop the stack and delete its state.

    Returns:
        The deleted paths.

    Raises:
        WindtunnelError: a process could not be ended, or a file could not be deleted.
    """
    down.down(settings)
    deleted = []
    for name in WRITTEN:
        path = settings.state / name
        if not path.exists():
            continue
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            message = f"cannot delete {error.filename} ({error.strerror})"
            raise WindtunnelError(f"{message}: delete it as the user who made it") from None
        deleted.append(path)
    # A person's symlink to another disk stays.
    is_folder = settings.state.is_dir() and not settings.state.is_symlink()
    if is_folder and not any(settings.state.iterdir()):
        settings.state.rmdir()
    return deleted
