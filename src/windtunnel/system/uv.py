"""The uv on this machine, which brings Python packages.

Standard library only: it may run before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from windtunnel.errors import WindtunnelError


def program(purpose: str, way_out: str) -> str:
    """Absolute path of uv.

    Raises:
        WindtunnelError: there is none. The message has the purpose and the way out.
    """
    # uv names itself for what it runs.
    found = shutil.which(os.environ.get("UV") or "uv")
    if found is None:
        raise WindtunnelError(f"{purpose}: install uv, {way_out}")
    return str(Path(found).absolute())


def run(command: list[str], folder: Path, fault: str, way_out: str) -> str:
    """Run uv in a folder.

    Returns:
        What it wrote on standard error: its warnings.

    Raises:
        WindtunnelError: it cannot be run, or it failed. The message has what uv said.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        # Where it works is no cause.
        cause = "\n".join(line for line in said if not line.startswith("Using Python"))
        raise WindtunnelError(f"{fault}, {way_out}:\n{cause}") from None
    except OSError as error:
        raise WindtunnelError(
            f"{command[0]} cannot be run ({error.strerror}): install uv, {way_out}"
        ) from None
    return done.stderr
