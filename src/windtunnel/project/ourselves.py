"""This very windtunnel, as it is put into a project's environment."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import windtunnel
from windtunnel.errors import WindtunnelError
from windtunnel.project.claims import PYPROJECT

#: The programs of windtunnel and their modules. No path of Python in the first line: one with a
#: space could not be run.
PROGRAMS = {"windtunnel": "windtunnel.cli", "process-compose": "windtunnel.stack.launcher"}
PROGRAM = """#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -c '
import sys; sys.argv[0] = "{name}"
from {module} import main; main()' "$@"
"""


def put_into(folder: Path) -> None:
    """Put this windtunnel into the environment.

    Its own requirement of one Airflow does not count there, so no installer is asked.

    Raises:
        WindtunnelError: the disk is full, for example.
    """
    (site,) = folder.glob("lib/python3*/site-packages")
    package = Path(windtunnel.__file__).parent if windtunnel.__file__ else None
    if package is None:
        raise WindtunnelError("windtunnel has no folder: install it anew")
    if is_checkout(package):
        (site / "windtunnel.pth").write_text(f"{package.parent}\n")
    else:
        ignored = shutil.ignore_patterns("__pycache__")
        try:
            shutil.copytree(package, site / "windtunnel", ignore=ignored)
        except shutil.Error as error:
            # It lists every file that was not copied; a full disk is the reason of them all.
            _, target, why = error.args[0][0]
            raise WindtunnelError(f"cannot write {target}: {why}") from None
    for file in metadata.distribution("windtunnel").files or []:
        if file.parts[0].endswith(".dist-info"):
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)
    for name, module in PROGRAMS.items():
        program = folder / "bin" / name
        program.write_text(PROGRAM.format(name=name, module=module))
        program.chmod(0o755)


def identity() -> str:
    """The windtunnel that would be put into the environment: a checkout, or a wheel's content."""
    folder = Path(__file__).resolve().parents[1]
    if is_checkout(folder):
        return f"{metadata.version('windtunnel')} {folder}"
    # Not its place: the copy in an environment is the same one.
    return metadata.distribution("windtunnel").read_text("RECORD") or str(folder)


def is_checkout(folder: Path) -> bool:
    """Whether windtunnel's own package lies in a checkout, whose changes count at once."""
    return (folder.parents[1] / PYPROJECT).is_file()
