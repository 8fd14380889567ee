"""The uv on this machine, which brings Python packages.

Standard library only: it may run before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.system import procfs

#: Variables of a person's shell that would put packages elsewhere, or leave some of them out.
MISLEADING = ("UV_TARGET", "UV_PREFIX", "UV_NO_DEPS", "UV_REQUIRE_HASHES", "UV_SYSTEM_PYTHON")
#: A login in an address, and the query, which may be a token. uv hides most logins, but not all.
LOGIN = re.compile(r"(://)[^/@\s]+@")
QUERY = re.compile(r"(://[^\s?`'\"]+\?)[^\s`'\"]+")


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
        done = subprocess.run(
            command,
            cwd=folder,
            env={name: text for name, text in os.environ.items() if name not in MISLEADING},
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            # Else it would write on into a folder that the next command makes anew.
            preexec_fn=procfs.die_with_parent,
        )
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        # Where it works is no cause.
        cause = "\n".join(line for line in said if not line.startswith("Using Python"))
        raise WindtunnelError(f"{fault}, {way_out}:\n{without_secrets(cause)}") from None
    except OSError as error:
        raise WindtunnelError(
            f"{command[0]} cannot be run ({error.strerror}): install uv, {way_out}"
        ) from None
    return without_secrets(done.stderr)


def without_secrets(text: str) -> str:
    """The text with `****` in place of logins and queries of addresses."""
    return QUERY.sub(r"\1****", LOGIN.sub(r"\1****@", text))
