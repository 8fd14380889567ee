"""Which process listens on a port of this machine."""

from __future__ import annotations


def by_port() -> dict[int, int | None]:
    """port -> pid of the process that listens on it; None for a process of another user.

    Raises:
        psutil.Error: this system does not show who listens.
    """
    # Seldom needed, and half of the start of a small process.
    import psutil

    return {
        connection.laddr.port: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }
