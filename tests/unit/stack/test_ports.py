"""Ports of private stacks, and the processes that hold one, on real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Ports, load
from windtunnel.stack import locks, ports, up


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


@contextmanager
def held(port: int, **env: str) -> Iterator[None]:
    """A child process that listens on a port."""
    code = (
        "import socket, sys\n"
        f"server = socket.create_server(('127.0.0.1', {port}))\n"
        "print('listens', flush=True)\nsys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout and child.stdout.readline() == b"listens\n"
        try:
            yield
        finally:
            child.kill()


def test_a_stack_takes_the_next_thousand_only_where_another_stack_of_ours_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default ports may belong to a stack of the person who runs this test.
    offset = ports.free_offset()
    settings = load({"WINDTUNNEL_STATE": str(tmp_path), "PORT_OFFSET": str(offset)}, client=False)
    api = settings.ports.api
    asked: list[int] = []

    def taken(port: int) -> bool:
        asked.append(port)
        # The first thousand is taken too, by whomever.
        return port in (api, Ports().shifted(ports.STEP).valkey)

    monkeypatch.setattr(ports, "is_taken", taken)
    monkeypatch.setattr(ports, "_offsets_of_others", lambda _: set())
    with held(api, WINDTUNNEL_STACK=str(tmp_path / "another")):
        assert ports.beside_others(settings) == 2 * ports.STEP
    with held(api, WINDTUNNEL_STACK=str(tmp_path)):
        assert ports.beside_others(settings) == offset, "what it left itself is ended, not avoided"
    ours = {name: text for name, text in os.environ.items() if name != "WINDTUNNEL_STACK"}
    monkeypatch.setattr(os, "environ", ours)
    with held(api):
        assert ports.beside_others(settings) == offset, "the holder is named instead"
    monkeypatch.setattr(ports, "is_taken", lambda _: False)
    assert ports.beside_others(settings) == offset


def test_a_stack_that_is_starting_counts_before_it_holds_a_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = ports.free_offset()
    settings = load({"WINDTUNNEL_STATE": str(tmp_path), "PORT_OFFSET": str(offset)}, client=False)
    program = tmp_path / "process-compose"
    program.write_text("#!/bin/sh\necho runs\nread -r line\n")
    program.chmod(0o755)
    for state, expected in ((tmp_path / "another", True), (tmp_path, False)):
        env = os.environ | {"WINDTUNNEL_STATE": str(state), "PORT_OFFSET": str(offset)}
        with subprocess.Popen(
            [program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout and child.stdout.readline() == b"runs\n"
            assert (offset in ports._offsets_of_others(settings)) is expected
            assert (ports.beside_others(settings) != offset) is expected
            child.kill()


def test_two_stacks_that_choose_their_ports_do_it_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PORT_OFFSET", raising=False)
    code = (
        "from windtunnel.stack import locks\n"
        "with locks.choosing_ports(): print('chose', flush=True)"
    )
    command = [sys.executable, "-c", code]
    with locks.choosing_ports():
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stderr and "another stack is starting" in child.stderr.readline()
        assert child.poll() is None
        # A named offset leaves nothing to choose.
        named = subprocess.run(command, env=os.environ | {"PORT_OFFSET": "1"}, check=True)
        assert named.returncode == 0
    with child:
        assert child.stdout and child.stdout.read() == "chose\n"
    monkeypatch.setenv("WINDTUNNEL_CACHE", "/proc/nowhere")
    with locks.choosing_ports():
        pass


def test_an_up_that_a_taken_port_refuses_makes_no_database_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windtunnel.stack.programs.bring", lambda: None)
    (tmp_path / "dags").mkdir()
    offset = ports.free_offset()
    env = {
        "WINDTUNNEL_STATE": str(tmp_path / "state"),
        "PORT_OFFSET": str(offset),
        "DAGS_FOLDER": str(tmp_path / "dags"),
    }
    settings = load(env, client=False)
    with held(settings.ports.api), pytest.raises(WindtunnelError, match=r"1 port is taken"):
        up.up(settings, "/bin/true", ["up", "-D"], dry_run=False)
    assert not (settings.state / "postgres").exists()
    assert list(settings.secrets.iterdir()) == []
