"""The folder of the report: what in it is ours, and a folder in it for each failed test."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

#: Marks a folder whose page and folder of tests are ours.
MARK = ".windtunnel-report"
PAGE = "index.html"
TESTS = "failed"
#: One file for each process of pytest: the test that it runs.
RUNNING = ".running"


class NotOurs(Exception):
    """The folder holds something that another session of ours did not write."""


def prepare(folder: Path) -> None:
    """Make the folder, or take our former report out of it. Anything else in it stays.

    Raises:
        OSError: it cannot be made or written. NotOurs: our names are taken in it.
    """
    # A task may print what only its user should read, so the stack's own logs are private too.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = [name for name in (PAGE, TESTS) if (folder / name).exists()]
    if taken and not (folder / MARK).is_file():
        raise NotOurs(f"its {' and '.join(taken)} are not of a former report")
    (folder / MARK).write_text("windtunnel's report of failed tests; replaced by the next one\n")
    (folder / PAGE).unlink(missing_ok=True)
    for name in (TESTS, RUNNING):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        (folder / name).mkdir()


def of_test(folder: Path, node: str) -> Path:
    """A new folder for a failed test. Several processes of pytest-xdist may ask at once."""
    name = file_name(f"{Path(node.partition('::')[0]).stem}.{node.partition('::')[2]}", 80)
    for number in range(1, 10_000):
        found = folder / TESTS / (name if number == 1 else f"{name}-{number}")
        try:
            found.mkdir()
        except FileExistsError:
            continue
        return found
    raise OSError(f"too many folders {name}")


def file_name(text: str, longest: int = 100) -> str:
    """A name that every file system and every store of CI artefacts takes."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "_", text)[:longest].strip("._") or "unnamed"


def has_tests(folder: Path) -> bool:
    """Whether a failed test is in the report."""
    try:
        return any((folder / TESTS).iterdir())
    except OSError:
        return False


def trouble(folder: Path, error: Exception) -> str:
    """The one line that says why there is no report: no test fails because of it."""
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return f"windtunnel: no report in {folder}: {reason}: name another folder"
