"""`windtunnel reset`: stop the stack and delete its own files in the state folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.project import environment
from windtunnel.services import postgres, state_folder
from windtunnel.settings import STACK_FILE, Settings
from windtunnel.stack import down, locks

#: A stack writes these into its state folder. A folder that holds anything else is kept.
WRITTEN = (
    "valkey",
    "rabbitmq",
    "postgres",
    "secrets",
    "logs",
    "bundles",
    "environments",
    "debugger",
    STACK_FILE,
    "migrated.json",
    "project.json",
    "objects.json",
    ".gitignore",
    ".airflowignore",
    # The last one: it has the lock that keeps `up` away.
    "run",
)


def reset(settings: Settings) -> list[Path]:
    """Stop the stack and delete its state.

    Returns:
        The deleted paths.

    Raises:
        WindtunnelError: a process could not be ended, or a file could not be deleted.
    """
    if not settings.run.is_dir():
        return _delete(settings)  # Nothing was ever started here.
    # An `up` that installs packages would be left with half of them.
    with locks.project(settings):
        return _delete(settings)


def _delete(settings: Settings) -> list[Path]:
    down.down(settings)
    deleted = []
    try:
        # First: a reset that is killed leaves no half that `up` takes for a whole.
        (settings.state / "postgres" / postgres.CREATED).unlink(missing_ok=True)
        environment.remove_others(settings.state, None)
        # A command that was killed leaves a file that it had begun.
        names = (each for name in WRITTEN for each in (name, name + state_folder.NEW))
        for path in (settings.state / name for name in names):
            if path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                deleted.append(path)
    except OSError as error:
        message = f"cannot delete {error.filename} ({error.strerror})"
        raise WindtunnelError(f"{message}: delete it as the user who made it") from None
    # A person's symlink to another disk stays.
    is_folder = settings.state.is_dir() and not settings.state.is_symlink()
    if is_folder and not any(settings.state.iterdir()):
        settings.state.rmdir()
    return deleted
