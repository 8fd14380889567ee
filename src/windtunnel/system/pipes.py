"""Room in the pipes that this process prints into."""

from __future__ import annotations

import contextlib
import fcntl
import sys

#: An ordinary user may have as much in one pipe (pipe(7), pipe-max-size).
OUTPUT_BYTES = 1 << 20


def widen_output() -> None:
    """Lets this process print a megabyte into its pipes while nobody reads them.

    A stopped process-compose (Ctrl-Z) reads nothing, and a full pipe stops whoever prints into it.
    Linux's default of 64 KiB is some hundred requests in the log of the API server.
    """
    if not sys.platform.startswith("linux"):
        return  # no other kernel has this call
    for stream in (1, 2):
        # The stream is no pipe, or this user's pipes hold too much already (pipe(7)).
        with contextlib.suppress(OSError):
            fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, OUTPUT_BYTES)
