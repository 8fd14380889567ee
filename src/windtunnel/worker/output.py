"""Passes on the output of a supervisor and its Celery without ever waiting for the reader.

A task may print faster than process-compose reads, and process-compose may be stopped.
A supervisor that waited for it could neither drain nor look after its tasks.
So there is a buffer. Output that does not fit into it is dropped, and a line says so.
"""

from __future__ import annotations

import logging
import os
import select
import time

BUFFER = 1 << 20
#: A pipe that polls as writable takes this many bytes at once (pipe(7)): such a write never blocks.
#: O_NONBLOCK would also apply to everyone who shares this standard output, such as a shell.
PIECE = select.PIPE_BUF


class Output:
    """Bytes on their way to a file descriptor."""

    def __init__(self, fd: int = 1) -> None:
        self.fd: int | None = fd
        self._waiting = bytearray()
        self._dropped = 0

    @property
    def pending(self) -> bool:
        return self.fd is not None and bool(self._waiting or self._dropped)

    def put(self, data: bytes) -> None:
        """Buffers all of the data or drops all of it, then writes as much as the reader takes."""
        if self.fd is None:
            return
        if len(self._waiting) + len(data) > BUFFER:
            self.pump()
        if self._dropped or len(self._waiting) + len(data) > BUFFER:
            self._dropped += len(data)
        else:
            self._waiting += data
        self.pump()

    def pump(self) -> None:
        """Writes for as long as the reader takes more, `BUFFER` bytes at most."""
        for _ in range(BUFFER // PIECE):
            if not self._writable():
                return
            if not self._waiting:
                self._say_dropped()
            if not self._waiting:
                return
            try:
                count = os.write(self.fd or 1, self._waiting[:PIECE])
            except OSError:  # no reader is left: the tasks matter more than the output
                self.fd = None
                return
            del self._waiting[:count]

    def finish(self, seconds: float) -> None:
        """Writes the rest, for this many seconds at most."""
        end = time.monotonic() + seconds
        while self.pending:
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._writable(left):
                self.pump()

    def _writable(self, seconds: float = 0.0) -> bool:
        if self.fd is None:
            return False
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _say_dropped(self) -> None:
        if self._dropped:
            lost = f"{self._dropped} bytes of output were dropped here"
            text = f"\nsupervisor: {lost}: nobody read them fast enough\n"
            self._waiting += text.encode()
            self._dropped = 0


class Lines(logging.Handler):
    """Log lines that share the output with Celery's."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self.out = out

    def emit(self, record: logging.LogRecord) -> None:
        self.out.put(f"{self.format(record)}\n".encode(errors="backslashreplace"))
