"""Faults of a machine for one stack alone: full disk, sleeping processes, jumping clock."""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.system import disk

#: The largest file system that a rehearsal fills.
SMALL_BYTES = 8 * 1024**3
#: Everybody's, however small they are.
SHARED = frozenset({Path("/"), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")})  # noqa: S108
#: Names the file with the offset of a stack that has a clock of its own
#: (tests/faults/own_clock.py): one double, in seconds.
CLOCK_VARIABLE = "OWN_CLOCK_FILE"


def own_file_system(settings: Settings) -> Path:
    """The mount point of the state folder's own small file system.

    Raises:
        WindtunnelError: it has none of its own; to fill another would be a fault of everybody's.
    """
    room = disk.room(settings.state)
    own = (
        room.mount in (settings.state.resolve(), settings.state.resolve().parent)
        and room.mount not in SHARED
    )
    if own and room.total <= SMALL_BYTES:
        return room.mount
    raise WindtunnelError(
        f"the state folder {settings.state} is not on a small file system of its own, "
        f"and {room.mount} is not filled for a rehearsal: "
        "mount one of 512 MiB and set WINDTUNNEL_STATE to a folder right below it"
    )


def ballast(settings: Settings) -> Path:
    return settings.state / "drill-fills-the-disk"


@contextmanager
def full_disk(settings: Settings) -> Iterator[None]:
    """Not a byte is left while the block lasts: what processes give back is taken at once."""
    own_file_system(settings)
    path, over = ballast(settings), threading.Event()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def go() -> None:
        while not over.wait(0.2):
            _fill(descriptor)

    try:
        _fill(descriptor)
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _fill(descriptor: int) -> None:
    for size in (1024 * 1024, 4096, 1):
        block = bytes(size)
        try:
            while os.write(descriptor, block):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def sleep(find: Callable[[], list[psutil.Process]], seconds: float) -> None:
    """SIGSTOP to every process of the stack, its supervisor first; SIGCONT in reverse order.

    Args:
        find: the stack's processes, its supervisor first.
    """
    stopped: dict[int, psutil.Process] = {}
    try:
        for _ in range(5):  # what was started while others were being stopped
            new = [p for p in find() if p.pid not in stopped]
            for process in new:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
                    stopped[process.pid] = process
            if not new:
                break
        time.sleep(seconds)
    finally:
        for process in reversed(stopped.values()):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def jump_clock(environment: Mapping[str, str], seconds: float) -> None:
    """Forward, or back where `seconds` is negative; whole seconds.

    Raises:
        WindtunnelError: the stack's clock is the machine's.
    """
    path = environment.get(CLOCK_VARIABLE)
    if not path:
        raise WindtunnelError(
            "this stack's clock is the machine's, which is not moved "
            "(tests/faults/own_clock.py gives it one of its own)",
        )
    with open(path, "r+b") as file:
        (before,) = struct.unpack("d", file.read(8))
        os.pwrite(file.fileno(), struct.pack("d", before + float(int(seconds))), 0)
