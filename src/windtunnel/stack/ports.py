"""Whether the stack's ports are free, and the processes that hold them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Ports, Settings
from windtunnel.system import listeners

# Keeps a private stack away from the ports of one with the defaults.
LOWEST_OFFSET = 10_000
#: Between the ports of one person's stacks.
STEP = 1000


def _highest(broker: str) -> int:
    return max(port for _, port in Ports().items(broker))


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        # The servers do the same: a connection that has just ended must not count as a holder.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _first_ephemeral_port() -> int:
    """The first port that the kernel gives to outgoing connections; 32768 without its file."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def _is_free(offset: int, broker: str) -> bool:
    """Whether every port of a stack with this offset is free."""
    return not any(is_taken(port) for _, port in Ports().shifted(offset).items(broker))


def free_port() -> int:
    """A free port below those of outgoing connections, for the same reason as `free_offset`.

    Raises:
        WindtunnelError: 200 random ports were taken.
    """
    for _ in range(200):
        port = random.randrange(LOWEST_OFFSET, max(_first_ephemeral_port(), LOWEST_OFFSET + 1000))  # noqa: S311
        if not is_taken(port):
            return port
    raise WindtunnelError("found no free port: see `ss -ltn` for what holds them")


def free_offset(broker: str = "valkey") -> int:
    """A port offset, not the default one, at which every port of a private stack is free.

    The ports lie below those of outgoing connections: any program's next connection could
    take one of those between this look and the server's start.

    Raises:
        WindtunnelError: 200 random offsets were taken.
    """
    # At least 1,000 offsets, also where an administrator widened the range of outgoing connections.
    end = max(_first_ephemeral_port() - _highest(broker), LOWEST_OFFSET + 1000)
    for _ in range(200):
        offset = random.randrange(LOWEST_OFFSET, end)  # noqa: S311
        if _is_free(offset, broker):
            return offset
    raise WindtunnelError(
        "found no free ports for a private stack: see `ss -ltn` for what holds them",
    )


def holder(port: int) -> str:
    """`name (pid N)` of the process that holds a local port, as far as this user may see.

    A server that listens comes first; an outgoing connection holds its local port as well.
    """
    import psutil

    try:
        found = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port]
        for connection in sorted(found, key=lambda c: c.status != psutil.CONN_LISTEN):
            if not connection.pid:
                continue
            name = f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            if connection.status == psutil.CONN_LISTEN:
                return name
            return f"an outgoing connection of {name}"
    except psutil.Error:
        pass
    return "a process of another user"


def beside_others(settings: Settings) -> int:
    """The port offset for a stack whose person named none.

    The default; where another stack of ours holds one of its ports, the next thousand that is free.
    """
    others = _offsets_of_others(settings)
    taken = [port for _, port in settings.own_ports if is_taken(port)]
    ours = settings.port_offset not in others
    if ours and not any(_is_of_another_stack(port, settings) for port in taken):
        return settings.port_offset
    for offset in range(STEP, _first_ephemeral_port() - _highest(settings.broker), STEP):
        if offset not in others and _is_free(offset, settings.broker):
            return offset
    return settings.port_offset


def _offsets_of_others(settings: Settings) -> set[int]:
    """The port offsets of this user's other stacks. One that is starting holds no port yet."""
    import psutil

    found = set()
    for process in psutil.process_iter():
        try:
            # The name first: /proc/PID/environ of every process costs more.
            env = process.environ() if process.name() == "process-compose" else {}
        except psutil.Error:
            continue
        offset = env.get("PORT_OFFSET", "")
        if env.get("WINDTUNNEL_STATE", str(settings.state)) != str(settings.state):
            found |= {int(offset)} if offset.isdecimal() else set()
    return found


def _is_of_another_stack(port: int, settings: Settings) -> bool:
    import psutil

    try:
        pid = listeners.by_port().get(port)
        stack = psutil.Process(pid).environ().get("WINDTUNNEL_STACK") if pid else None
    except psutil.Error:
        return False
    return stack is not None and stack != str(settings.state)


def check_free(settings: Settings) -> None:
    """Check that every port of the stack is free.

    Raises:
        WindtunnelError: names each taken port, its holder, and the variable that moves the stack.
    """
    taken = [(name, port) for name, port in settings.own_ports if is_taken(port)]
    if not taken:
        return
    said = "; ".join(f"{port} ({name}) by {holder(port)}" for name, port in taken)
    ports = "1 port is" if len(taken) == 1 else f"{len(taken)} ports are"
    command = f"PORT_OFFSET={settings.port_offset + STEP} {settings.start_command}"
    step = f"Stop the holder, or move the stack: {command}"
    raise WindtunnelError(f"{ports} taken: {said}. {step}")
