"""`windtunnel init`: new files in a project's folder, only where nothing is.

A project is somebody else's text: no symlink in it is followed, and nothing is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.project import starting_files
from windtunnel.project.claims import PYPROJECT
from windtunnel.project.packages import REQUIREMENTS
from windtunnel.project.survey import Project

#: Open a folder, not what a symlink in its place names.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Make a file; it is an error where there is anything, a symlink to nothing included.
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Result:
    """What became of one file. `why` is empty where it was written."""

    path: str
    written: bool
    why: str = ""


class _Occupied(Exception):
    """Something is there that is left alone."""


def create(project: Project) -> Iterator[Result]:
    """Write the files, one at a time.

    Raises:
        WindtunnelError: a file cannot be written. Those before it stay.
    """
    for path, text in starting_files.texts(project).items():
        try:
            _write(project.root, path, text)
        except _Occupied as occupied:
            yield Result(path, False, str(occupied))
        except OSError as error:
            raise WindtunnelError(
                f"cannot write {project.root / path} ({error.strerror}): "
                "make the folder writable, or copy the project to one that is"
            ) from None
        else:
            yield Result(path, True)


def remarks(project: Project, results: list[Result]) -> list[str]:
    """What is left to do by hand, one line each."""
    written = {each.path for each in results if each.written}
    lines = []
    if not project.packages.own_environment:
        add = "uv add --dev windtunnel"
        if REQUIREMENTS in project.packages.files and PYPROJECT in written:
            # Such an environment is used as it is, without requirements.txt.
            add = f"uv add --requirements {REQUIREMENTS} && {add}"
        lines.append(
            f"windtunnel as a part of the project is optional. It takes one line: `{add}`, "
            "then `uv run windtunnel up`"
        )
    if starting_files.WORKFLOW in written:
        dag = starting_files.dag(project)
        lines.append(
            f"{starting_files.WORKFLOW}: it runs the DAG {dag}; name one that needs nothing from "
            "outside and succeeds"
        )
        if not project.packages.own_environment:
            lines.append(f"{starting_files.WORKFLOW}: replace OWNER in WINDTUNNEL")
        above = _repository_above(project.root)
        if above:
            lines.append(
                f"{starting_files.WORKFLOW}: GitHub reads workflows at the top of the repository, "
                f"{above}: move it there, and give its steps this folder as working-directory"
            )
    return lines


def _repository_above(root: Path) -> Path | None:
    """The top of the repository that the folder is a part of, where it is not the top itself."""
    # `Path.exists` raises where this user may not look.
    found = next((each for each in (root, *root.parents) if os.path.exists(each / ".git")), None)  # noqa: PTH110
    return found if found != root else None


def _write(root: Path, path: str, text: str) -> None:
    """Make one file and the folders on its way."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as opened:

        def keep(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        here = keep(os.open(root, FOLDER))
        for number, folder in enumerate(folders):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, dir_fd=here)
            try:
                here = keep(os.open(folder, FOLDER, dir_fd=here))
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                occupied = "/".join(folders[: number + 1])
                raise _Occupied(f"{occupied} is a file or a symlink") from None
        try:
            file = os.open(name, NEW_FILE, 0o666, dir_fd=here)
        except FileExistsError:
            raise _Occupied("it exists") from None
        try:
            with open(file, "w", encoding="utf-8") as stream:
                stream.write(text)
        except BaseException:
            # A half of a file would be left alone for ever.
            os.unlink(name, dir_fd=here)
            raise
