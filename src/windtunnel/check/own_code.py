"""Which code is the project's own: a finding is to name a line that its author can change.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

#: A file, a line and a function.
Place = tuple[str, int, str]
#: Folders of installed packages, and of environments.
INSTALLED = frozenset({"site-packages", "dist-packages", ".windtunnel", ".venv", "venv"})
#: Frames that one finding shows.
MOST_FRAMES = 3
PYTHON = "python"
AIRFLOW = "airflow"


class OwnCode:
    """The code of one project while one of its DAG files is parsed."""

    def __init__(self, file: str, root: str) -> None:
        self.file = file
        self.root = root
        self._known: dict[str, bool] = {}
        self._ours = str(Path(__file__).resolve().parents[1])

    def holds(self, name: str) -> bool:
        """Whether a file is the project's own; the DAG file always is."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._holds(name)
        return known

    def _holds(self, name: str) -> bool:
        # A module in a zip file has a path below that file.
        if name == self.file or name.startswith(self.file + os.sep):
            return True
        if not name.startswith(self.root + os.sep) or name.startswith(self._ours + os.sep):
            return False
        if name.startswith(sys.prefix + os.sep) and not self.root.startswith(sys.prefix):
            return False
        return INSTALLED.isdisjoint(Path(name[len(self.root) :]).parts)

    def frames(self, frame: FrameType | None) -> list[Place]:
        """The project's own frames around a frame, the innermost last."""
        found = [_place(each) for each in outwards(frame) if self.holds(each.f_code.co_filename)]
        return found[:MOST_FRAMES][::-1]

    def user_of(self, frame: FrameType | None) -> Place | None:
        """The project's line that uses what this frame belongs to.

        None where another package lies between: its author must change something, not the
        project's. Airflow's own frames and Python's do not count, since both call what they are
        given.
        """
        first = None
        for each in outwards(frame):
            name = each.f_code.co_filename
            if self.holds(name):
                return _place(each)
            package = _package(name)
            first = package if first is None else first
            if package not in (first, PYTHON, AIRFLOW):
                return None
        return None


def _place(frame: FrameType) -> Place:
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _package(name: str) -> str:
    """The package that a file belongs to; each provider of Airflow is one of its own."""
    parts = Path(name).parts
    places = [i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    inner = parts[places[-1] + 1 :] if places else ()
    if not inner or inner[0] == "windtunnel":
        return PYTHON
    if inner[:2] == ("airflow", "providers"):
        return ".".join(inner[:-1])[:40]
    return inner[0]
