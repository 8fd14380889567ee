"""Who is at the other end of a connection on the loopback interface."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

#: The kernel's tables of TCP connections (proc(5)); the second one has IPv4 in IPv6's form too.
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
MAPPED = "0000000000000000FFFF0000"


def user(connection: socket.socket) -> int | None:
    """The user id of the process that opened a connection over IPv4; None if not known."""
    theirs, ours = _place(connection.getpeername()), _place(connection.getsockname())
    for table in TABLES:
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, remote = (field.removeprefix(MAPPED) for field in fields[1:3])
            if (local, remote) == (theirs, ours):
                return int(fields[7])
    return None


def _place(address: tuple[str, int]) -> str:
    """`127.0.0.1` and a port as the kernel writes them."""
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"
