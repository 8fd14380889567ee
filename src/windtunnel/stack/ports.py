"""Whether the stack's ports are free, and the processes that hold them."""

from __future__ import annotations

import random
import socket

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Ports, Settings


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # The servers do the same: a connection that has just ended must not count as a holder.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_offset() -> int:
    """A port offset, not the default one, at which every port of a private stack is free.

    Raises:
        WindtunnelError: 200 random offsets were taken.
    """
    for _ in range(200):
        offset = random.randrange(10, 50) * 1000 + random.randrange(0, 80)  # noqa: S311
        if not any(_taken(port) for _, port in Ports().shifted(offset).items()):
            return offset
    raise WindtunnelError(
        "found no free ports for a private stack: see `ss -ltn` for what holds them",
    )


def holder(port: int) -> str:
    """`name (pid N)` of the process that listens on a local port, as far as this user may see."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            if connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "a process of another user"


def check_free(settings: Settings) -> None:
    """Check that every port of the stack is free.

    Raises:
        WindtunnelError: names each taken port, its holder, and the variable that moves the stack.
    """
    taken = [(name, port) for name, port in settings.ports.items() if _taken(port)]
    if not taken:
        return
    said = "; ".join(f"{port} ({name}) by {holder(port)}" for name, port in taken)
    ports = "1 port is" if len(taken) == 1 else f"{len(taken)} ports are"
    command = f"PORT_OFFSET={settings.port_offset + 1000} process-compose up"
    step = f"Stop the holder, or move the stack: {command}"
    raise WindtunnelError(f"{ports} taken: {said}. {step}")
