"""Small files that a worker keeps for a full disk: their blocks then take its records.

Text can be written into an allocated block although the disk is full. That holds for tmpfs, ext4
and xfs, but not for file systems that copy on write, such as btrfs: there `write` returns False.
Standard library only.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: One block of the usual file systems; an entry of the ledger has some 400 bytes.
BLOCK = 4096
FOLDER = "reserve"


def fill(folder: Path, count: int) -> None:
    """Creates files of one block each until there are `count`, or until the disk is full.

    Args:
        folder: the worker's folder.
    """
    with contextlib.suppress(OSError):
        (folder / FOLDER).mkdir(exist_ok=True)
        for number in range(count):
            path = folder / FOLDER / str(number)
            if path.exists() and path.stat().st_size >= BLOCK:
                continue
            try:
                path.write_bytes(b" " * BLOCK)
            except OSError:
                path.unlink(missing_ok=True)
                return


def write(path: Path, text: str) -> bool:
    """Writes the text into the file's own block, or into one of the reserve.

    A reader may see half of the text for a moment; `ledger.read` then returns an empty file.

    Returns:
        Whether that was possible.
    """
    data = text.encode()
    if len(data) > BLOCK:
        return False
    if _overwrite(path, data):
        return True
    for folder in (path.parent / FOLDER, path.parent.parent / FOLDER):
        spares = sorted(folder.iterdir()) if folder.is_dir() else []
        for spare in spares:
            claimed = path.with_name(f".{path.name}.{os.getpid()}")
            with contextlib.suppress(OSError):  # another process took it first
                spare.replace(claimed)
                if _overwrite(claimed, data):
                    claimed.replace(path)
                    return True
                claimed.unlink()
    return False


def _overwrite(path: Path, data: bytes) -> bool:
    """Writes into the allocated blocks only; blanks fill the rest, which JSON allows."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return False
        whole = data.ljust(size)
        return os.pwrite(descriptor, whole, 0) == len(whole)
    except OSError:
        return False
    finally:
        os.close(descriptor)
