"""Reads one project's files within bounds, and collects one line for each thing that is unusable.

A project is somebody else's text. A file may be huge, binary, a pipe, or a symlink to itself.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

#: Bytes of a text file; the longest `requirements.txt` that pip-compile writes has a tenth.
TEXT_LIMIT = 1024 * 1024
#: The number of entries of a folder that are looked at.
MOST_ENTRIES = 2000
#: The number of characters and of names that one line shows.
LONGEST = 120
MOST_NAMES = 12
#: Characters of a fault, which may list names.
LONGEST_FAULT = 400
MISSING = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True)
class Remark:
    """A thing of the project that is not used as it is, and the step that helps."""

    path: str
    fault: str
    step: str


def clean(text: str, longest: int = LONGEST) -> str:
    """A text for one line of a terminal: printable characters only, and not too many."""
    printable = "".join(c if c.isprintable() else "?" for c in text[: longest + 1])
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Names for one line; the first ones and the number of the others."""
    known = [clean(name) for name in names]
    more = len(known) - MOST_NAMES
    shown = ", ".join(known[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


@dataclass
class Folder:
    """The project's root, an absolute path, and the remarks so far."""

    root: Path
    remarks: list[Remark] = field(default_factory=list)

    def remark(self, path: str, fault: str, step: str) -> None:
        """Adds a remark, once."""
        new = Remark(clean(path), clean(fault, LONGEST_FAULT), clean(step))
        if new not in self.remarks:
            self.remarks.append(new)

    def has_folder(self, name: str) -> bool:
        """Whether this is a folder that can be listed; one that cannot be listed is a remark."""
        try:
            mode = (self.root / name).stat().st_mode
        except OSError as error:
            self._unusable(name, error)
            return False
        if not stat.S_ISDIR(mode):
            return False
        if not os.access(self.root / name, os.R_OK | os.X_OK):
            self._closed(name)
            return False
        return True

    def has_file(self, name: str) -> bool:
        """Whether this is a regular file."""
        try:
            return stat.S_ISREG((self.root / name).stat().st_mode)
        except OSError as error:
            self._unusable(name, error)
            return False

    def entries(self, name: str = ".") -> list[str]:
        """The sorted names in a folder, at most MOST_ENTRIES; none when it cannot be listed.

        Only the root's rest is a remark: a folder of data may have any size.
        """
        names: list[str] = []
        try:
            with os.scandir(self.root / name) as found:
                for entry in found:
                    if len(names) == MOST_ENTRIES and name != ".":
                        break
                    if len(names) == MOST_ENTRIES:
                        fault = f"has more than {MOST_ENTRIES} entries; the others were left out"
                        self.remark(name, fault, "name the DAG folder with --project")
                        break
                    names.append(entry.name)
        except PermissionError:
            self._closed(name)
        except OSError as error:
            self._unusable(name, error)
        return sorted(names)

    def read(self, name: str, limit: int = TEXT_LIMIT) -> str | None:
        """The file's text; None for a file that is missing, and for a remark otherwise.

        Args:
            limit: the largest size in bytes.
        """
        try:
            # Without O_NONBLOCK the opening of a pipe waits for its writer.
            descriptor = os.open(self.root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._unusable(name, error)
            return None
        try:
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    self.remark(name, "is not a regular file and was not read", "replace it")
                    return None
                data = file.read(limit + 1)
        except OSError as error:
            self._unusable(name, error)
            return None
        return self._text(name, data, limit)

    def _text(self, name: str, data: bytes, limit: int) -> str | None:
        if len(data) > limit:
            fault = f"has more than {limit // 1024} KiB and was not read"
            self.remark(name, fault, "shorten it")
            return None
        try:
            # Editors of other systems write a byte order mark.
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            self.remark(name, "is not UTF-8 text and was not read", "save it as UTF-8")
            return None
        return text

    def _unusable(self, name: str, error: OSError) -> None:
        """A remark, unless there is simply no such file."""
        path = self.root / name
        # `Path.is_symlink` raises where this user may not look.
        is_symlink = os.path.islink(path)  # noqa: PTH114
        if error.errno in MISSING and not is_symlink:
            return
        if error.errno == errno.EACCES and not os.access(path.parent, os.X_OK):
            # One line for the folder, not one for each file that might be in it.
            self._closed(os.path.relpath(path.parent, self.root))
            return
        step = f"chmod u+r {shlex.quote(name)}"
        if is_symlink:
            step = "correct or remove the symlink"
        self.remark(name, f"cannot be read ({error.strerror})", step)

    def _closed(self, name: str) -> None:
        self.remark(name, "this folder cannot be read", f"chmod u+rx {shlex.quote(name)}")
