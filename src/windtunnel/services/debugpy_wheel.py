"""debugpy from its wheel, for `windtunnel debug`: in the state folder, never in an environment."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from windtunnel.services import pinned_wheels
from windtunnel.settings import Settings

PACKAGE = "debugpy"
#: The folder in the state folder; in it is one folder for each version and interpreter.
FOLDER = "debugger"


def make(settings: Settings, python: str) -> Path:
    """The folder to import debugpy from; it is made where it is missing.

    Args:
        python: the interpreter of the workers.

    Raises:
        WindtunnelError: there is no uv, or it found no fitting wheel.
    """
    made_from = f"{python}\n{pinned_wheels.requirements([PACKAGE])}"
    folder = settings.state / FOLDER / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        way_out = "see docs.astral.sh/uv"
        pinned_wheels.install([PACKAGE], new, python, PACKAGE, way_out)
        # Those of other versions; a task that runs has loaded its own.
        for former in folder.parent.iterdir():
            if former != new:
                shutil.rmtree(former, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder
