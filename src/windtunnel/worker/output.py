"""What a supervisor and its Celery print, passed on without ever waiting for whoever reads it.

A task may print faster than process-compose reads, and process-compose may be stopped. A supervisor that waited for it could
neither drain nor look after its tasks. So there is a buffer, and what does not fit into it is dropped, and said to be.
"""

from __future__ import annotations

import os
import select
import time

BUFFER = 1 << 20
#: A pipe that polls as writable takes this many bytes at once (pipe(7)), so that such a write never blocks.
#: O_NONBLOCK would do too, but it would hold for everyone who shares this standard output, such as a terminal's shell.
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
        """Takes it all or nothing, and passes on what it can."""
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
        """Writes for as long as the reader takes it, `BUFFER` bytes at most."""
        for _ in range(BUFFER // PIECE):
            if not self._writable():
                return
            if not self._waiting:
                self._say_dropped()
            if not self._waiting:
                return
            try:
                count = os.write(self.fd or 1, self._waiting[:PIECE])
            except OSError:  # nobody may read any more: the tasks matter more
                self.fd = None
                return
            del self._waiting[:count]

    def finish(self, seconds: float) -> None:
        """Passes on the rest, for so long at most."""
        end = time.monotonic() + seconds
        while self.pending and (left := end - time.monotonic()) > 0:
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
            text = f"\nsupervisor: {self._dropped} bytes of output were dropped here: nobody read them fast enough\n"
            self._waiting += text.encode()
            self._dropped = 0
