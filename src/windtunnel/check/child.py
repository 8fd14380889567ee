"""A process that parses one file, seen from the process that has forked it."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windtunnel.system import procfs

#: Bytes of a child's output that are kept; the rest is counted.
TAIL = 16 * 1024
PIECE = 64 * 1024
#: Pieces that are taken from a child that has ended.
MOST_PIECES = 16


@dataclass
class Child:
    """What has come from it so far. Times are on the monotonic clock, in seconds."""

    number: int
    pid: int
    #: Readable when the process has ended (pidfd_open(2)).
    handle: int
    answer: int
    output: int
    limit: float
    data: bytearray = field(default_factory=bytearray)
    printed: int = 0
    tail: bytes = b""
    is_late: bool = False
    closed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.start = time.monotonic()
        self.deadline = self.start + self.limit

    @property
    def descriptors(self) -> tuple[int, int, int]:
        return self.handle, self.answer, self.output

    @property
    def has_answered(self) -> bool:
        return b"\n" in self.data

    def read(self) -> bool:
        """Take what has come; one that prints all the time must not keep the others waiting.

        Returns:
            Whether something came.
        """
        came = False
        for descriptor in (self.answer, self.output):
            try:
                data = os.read(descriptor, PIECE)
            except BlockingIOError:
                continue
            came = came or bool(data)
            if not data:
                self.closed.add(descriptor)
            elif descriptor == self.answer:
                self.data += data
            else:
                self.printed += len(data)
                self.tail = (self.tail + data)[-TAIL:]
        return came

    def abort(self, seconds: float) -> None:
        """Let it say where it hangs: faulthandler writes the stack to the output."""
        self.is_late = True
        self.deadline = time.monotonic() + seconds
        os.kill(self.pid, signal.SIGABRT)

    def end(self) -> dict[str, Any]:
        """End it with all that it started, and return what is known of the file."""
        for kill in (os.killpg, os.kill):
            # Not reaped yet, so the number is still this child's.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        # A pipe holds one piece. What the file has started elsewhere may still print.
        for _ in range(MOST_PIECES):
            if not self.read():
                break
        for descriptor in self.descriptors:
            os.close(descriptor)
        facts: dict[str, Any] = {"seconds": time.monotonic() - self.start}
        answered = self._answered() if self.has_answered and not self.is_late else None
        if answered is not None:
            facts |= answered
        else:
            facts["end"] = {
                "status": os.waitstatus_to_exitcode(status),
                "late": self.is_late,
                # The status is then that of our own kill.
                "garbled": self.has_answered and not self.is_late,
            }
            facts["limit"] = self.limit
        return {**facts, "printed": self.printed, "tail": self.tail.decode(errors="replace")}

    def _answered(self) -> dict[str, Any] | None:
        """What it has said; None where the file itself has written there."""
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(self.data.partition(b"\n")[0])
            return said if isinstance(said, dict) else None
        return None


def fork(number: int, limit: float, parse: Callable[[int], None]) -> Child:
    """Start a process that calls `parse` with the descriptor for its answer."""
    answer, answer_write = os.pipe()
    output, output_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            procfs.die_with_parent()
            os.dup2(output_write, 1)
            os.dup2(output_write, 2)
            faulthandler.enable(file=2, all_threads=False)
            parse(answer_write)
        except BaseException:
            traceback.print_exc()
        finally:
            # Never back into the loop of the server.
            os._exit(1)
    for descriptor in (answer_write, output_write):
        os.close(descriptor)
    for descriptor in (answer, output):
        os.set_blocking(descriptor, False)
    return Child(number, pid, os.pidfd_open(pid), answer, output, limit)


def end_orphans(known: set[int]) -> None:
    """End what left its session: the kernel made it a child of this process."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return
    for pid in map(int, text.split()):
        if pid not in known:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
