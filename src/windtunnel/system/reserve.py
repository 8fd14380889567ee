"""Small files that a worker keeps for a full disk: what it must write down then has a block already.

Where a block is allocated, text can be put into it without any room (tmpfs, ext4, xfs; not on file systems that copy on
write, such as btrfs: there the caller learns of it as usual). Standard library only.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: One block of the usual file systems; an entry of the ledger has some 400 bytes.
BLOCK = 4096
FOLDER = "reserve"


def fill(folder: Path, count: int) -> None:
    """Have `count` files of one block each; as many as there is room for.

    Args:
        folder: the worker's.
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
    """Put the text into the file's own block, or into one of the reserve; whether that was possible.

    A reader may see half of it for a moment; `ledger.read` takes that for an empty file.
    """
    data = text.encode()
    if len(data) > BLOCK:
        return False
    if _overwrite(path, data):
        return True
    for folder in (path.parent / FOLDER, path.parent.parent / FOLDER):
        for spare in sorted(folder.iterdir()) if folder.is_dir() else ():
            claimed = path.with_name(f".{path.name}.{os.getpid()}")
            with contextlib.suppress(OSError):  # another process was quicker
                spare.replace(claimed)
                if _overwrite(claimed, data):
                    claimed.replace(path)
                    return True
                claimed.unlink()
    return False


def _overwrite(path: Path, data: bytes) -> bool:
    """Never longer than what is allocated; blanks fill the rest, which JSON allows."""
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
