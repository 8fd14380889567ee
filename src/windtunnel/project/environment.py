"""The Python environment of a project, which uv makes in the project's state folder.

The project's packages, the Airflow that it pins, and this very windtunnel.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.project import lock_pins, ourselves, versions
from windtunnel.project.limits import Limits
from windtunnel.project.pyproject import LOCK
from windtunnel.project.survey import Project
from windtunnel.project.wanted import Wanted
from windtunnel.settings import find_root
from windtunnel.system import nix_store, uv

#: The folder of the environments in the state folder, each named by its digest.
FOLDER = "environments"
#: The last file that is written: without it the environment is not complete. It holds the folder's
#: path, since the programs of a moved environment name an interpreter that is not there.
COMPLETE = "windtunnel-complete"
#: The versions of the project's lock.
PINS = "locked.txt"
FAR_FUTURE = "2999-01-01T00:00:00Z"


def place(project: Project, wanted: Wanted, state: Path) -> Path:
    """The environment's folder, made or not. Without symlinks, as its Python names itself."""
    return (state / FOLDER).resolve() / wanted.digest(project.root)


def find(project: Project, wanted: Wanted, state: Path) -> Path | None:
    """The environment's folder if it is complete."""
    folder = place(project, wanted, state)
    try:
        whole = (folder / COMPLETE).read_text() == str(folder)
    except (OSError, ValueError):
        return None
    # The interpreter is a link to another one, which may have been uninstalled.
    return folder if whole and (folder / "bin" / "python").exists() else None


def require_installer() -> None:
    """Raises `UsageError` where this windtunnel is from Nix: its Python takes no other packages."""
    if not nix_store.holds(sys.prefix):
        return
    dev = find_root(os.environ) / "dev"
    command = shlex.quote(str(dev)) if dev.is_file() else "./dev"
    where = "" if dev.is_file() else " in a checkout of windtunnel"
    raise UsageError(
        "this windtunnel is from Nix, which cannot install the project's packages: type "
        f"`WINDTUNNEL_NO_NIX=1 {command} windtunnel up`{where}, or have Nix build the packages "
        "(`windtunnel.lib.dagRepository`, docs/guides/your-dags.md)"
    )


def make(
    project: Project,
    wanted: Wanted,
    limits: Limits,
    state: Path,
    say: Callable[[str], None],
) -> Path:
    """Make the environment.

    Raises:
        WindtunnelError: uv cannot make it; the message has what uv said.
    """
    require_installer()
    folder = place(project, wanted, state)
    # An incomplete one of an interrupted run.
    remove(folder)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    program = uv.program("uv has to install the project's packages", "see docs.astral.sh/uv")
    # The interpreter that runs here is at hand, also where PATH does not have it.
    here = wanted.python == versions.here()
    python = sys.executable if here else wanted.python
    venv = [program, "venv", "--quiet", "--python", python, str(folder)]
    fault = f"uv cannot make an environment with Python {wanted.python}"
    uv.run(venv, project.root, fault, "install that Python, or let uv download it")
    inputs = _inputs(project, wanted, limits, folder, program)
    command = [program, "pip", "install", "--python", str(folder), "--compile-bytecode", *inputs]
    try:
        said = _uv(project, command)
    except WindtunnelError:
        if not wanted.locked:
            raise
        changes = _loosen_lock(project, wanted, folder, program)
        said = _uv(project, command)
        say(f"{LOCK} excludes what the stack needs; it gives way here: {', '.join(changes)}")
    for line in said.splitlines():
        if line.startswith("warning:"):
            say(line)
    if not list(folder.glob("lib/python3*/site-packages/airflow")):
        fault = f"uv has put no Airflow into {folder}"
        raise WindtunnelError(f"{fault}: take target, prefix and no-deps out of [tool.uv.pip]")
    ourselves.put_into(folder)
    (folder / COMPLETE).write_text(str(folder))
    return folder


def remove_others(state: Path, kept: Path | None) -> None:
    """Delete the environments of former requirements. No stack of the state folder may run."""
    if (state / FOLDER).is_symlink():
        return  # Several stacks share that folder.
    kept = kept and kept.resolve()
    for folder in (state / FOLDER).resolve().glob("*"):
        if folder != kept:
            remove(folder)


def remove(folder: Path) -> None:
    """Delete one environment."""
    # First: a run that is killed here must not leave half an environment that counts as a whole.
    with contextlib.suppress(OSError):
        (folder / COMPLETE).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _inputs(
    project: Project,
    wanted: Wanted,
    limits: Limits,
    folder: Path,
    program: str,
) -> list[str]:
    """The files for uv, which may hold passwords of package indexes, as its arguments."""
    folder.chmod(0o700)
    lines = [*wanted.indexes, *wanted.requirements]
    if wanted.locked:
        export = [program, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
        export += ["--no-hashes", "--python", str(folder), "--output-file"]
        pins = folder / PINS
        _uv(project, [*export, str(pins)])
        lines.append(f"-r {pins.name}")
    requirements = folder / "requirements.txt"
    constraints = folder / "constraints.txt"
    requirements.write_text("".join(f"{line}\n" for line in lines))
    constraints.write_text("".join(f"{line}\n" for line in limits.constraints))
    found = ["--requirements", str(requirements)]
    if limits.constraints:
        # Of an empty file uv warns.
        found += ["--constraints", str(constraints)]
    if limits.until:
        found += ["--exclude-newer", limits.until]
        for name in limits.newer:
            found += ["--exclude-newer-package", f"{name}={FAR_FUTURE}"]
    return found


def _loosen_lock(project: Project, wanted: Wanted, folder: Path, program: str) -> list[str]:
    """Let versions of the lock give way that the project does not name itself.

    Returns:
        What changed, for people.

    Raises:
        WindtunnelError: there is no solution either; the message has what uv said.
    """
    pins = folder / PINS
    locked = pins.read_text()
    lines = [*wanted.indexes, *wanted.requirements]
    lines += lock_pins.kept(locked, project.packages.lines)
    requirements = folder / "loosened.in"
    requirements.write_text("".join(f"{line}\n" for line in lines))
    # uv prefers the versions that the output file holds already.
    command = [program, "pip", "compile", "--quiet", "--python", str(folder / "bin" / "python")]
    command += ["--no-annotate", "--no-header", "--output-file", str(pins), str(requirements)]
    if wanted.constraints:
        command += ["--constraints", str(folder / "constraints.txt")]
    _uv(project, command)
    return lock_pins.changes(locked, pins.read_text())


def _uv(project: Project, command: list[str]) -> str:
    # In the project's folder: its settings for uv, such as a private index, count.
    files = ", ".join([*project.packages.files, *([LOCK] if project.packages.lock else [])])
    fault = f"uv cannot install the packages of {project.root}"
    return uv.run(command, project.root, fault, f"correct {files or 'its requirements'}")
