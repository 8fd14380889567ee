"""Ports of private stacks, and the processes that hold one, on real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from windtunnel.settings import Ports
from windtunnel.stack import ports


def test_no_port_of_a_private_stack_is_one_that_the_kernel_gives_to_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(50):
        offset = ports.free_offset()
        assert all(port < first for _, port in Ports().shifted(offset).items()), offset


def test_a_wide_range_of_outgoing_connections_still_leaves_a_thousand_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "_first_ephemeral_port", lambda: 1024)
    offsets = {ports.free_offset() for _ in range(50)}
    assert len(offsets) > 10
    assert min(offsets) >= ports.LOWEST_OFFSET


def test_an_outgoing_connection_that_holds_a_port_is_named_as_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client:
            said = ports.holder(client.getsockname()[1])
            assert said.startswith("an outgoing connection of "), said
            assert said.endswith(f"(pid {os.getpid()})")
            listening = ports.holder(server.getsockname()[1])
            assert listening.endswith(f"(pid {os.getpid()})")
            assert "outgoing" not in listening
