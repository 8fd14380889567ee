"""The user at the other end of a connection, as the kernel knows it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from windtunnel.system import loopback


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
)
def test_it_is_the_user_who_connected(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        try:
            client.connect((address, server.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        accepted, _ = server.accept()
        with accepted:
            assert loopback.user(accepted) == os.geteuid()


def test_another_user_is_not_taken_for_this_one() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # The other user may not read this interpreter's files, so nothing is imported later.
        code = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(); "
            f"s.connect(('127.0.0.1', {port})); sys.stdin.read()"
        )
        stranger = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        server.settimeout(30)
        accepted, _ = server.accept()
        with accepted:
            assert loopback.user(accepted) == 65534
        stranger.communicate()
