"""Paths, ports and names come from the environment, and from a running stack's own record."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from windtunnel.errors import UsageError
from windtunnel.settings import SOCKET_PATH_LIMIT, load


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"WINDTUNNEL_STATE": str(tmp_path / "state"), **more}


def test_default_ports_are_the_well_known_ones(tmp_path: Path) -> None:
    assert dict(load(env(tmp_path)).ports.items()) == {
        "api": 8080, "flower": 5555, "postgres": 5432, "valkey": 6379, "scheduler-health": 8974,
    }  # fmt: skip


def test_an_offset_moves_every_port(tmp_path: Path) -> None:
    plain, moved = load(env(tmp_path)), load(env(tmp_path, PORT_OFFSET="100"))
    assert [port + 100 for _, port in plain.ports.items()] == [port for _, port in moved.ports.items()]


@pytest.mark.parametrize("value", ["x", "-1", "60000", "1.5"])
def test_an_offset_that_leaves_the_port_range_is_refused_by_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="PORT_OFFSET"):
        load(env(tmp_path, PORT_OFFSET=value))


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(env(tmp_path, PORT_OFFSET="", WORKERS=" ", WORKER_QUEUES="")).workers == 1


def test_relative_folders_are_relative_to_where_the_person_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({"WINDTUNNEL_STATE": "here", "DAGS_FOLDER": "../mine"})
    assert settings.state == tmp_path / "here"
    assert settings.dags.resolve() == (tmp_path / "../mine").resolve()


def test_a_deep_state_folder_still_gets_a_socket_that_the_kernel_accepts(tmp_path: Path) -> None:
    deep = load({"WINDTUNNEL_STATE": str(tmp_path / ("d" * 60) / ("e" * 60))})
    assert len(str(deep.socket)) <= SOCKET_PATH_LIMIT
    other = load({"WINDTUNNEL_STATE": str(tmp_path / ("d" * 60) / ("f" * 60))})
    assert deep.socket != other.socket


def test_a_client_follows_a_running_stack_and_refuses_another_offset(tmp_path: Path) -> None:
    settings = load(env(tmp_path))
    settings.run.mkdir(parents=True)
    settings.stack_file.write_text(json.dumps({"port_offset": 700, "WORKER_CONCURRENCY": "3"}))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(settings.socket))
        server.listen()
        found = load(env(tmp_path))
        assert (found.ports.api, found.worker_concurrency) == (8780, 3)
        with pytest.raises(UsageError, match="was started with 700"):
            load(env(tmp_path, PORT_OFFSET="5"))
    # Once the stack is gone its record binds nobody.
    assert load(env(tmp_path, PORT_OFFSET="5")).ports.api == 8085


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"port_offset": "x"}', '{"port_offset": 5, "WORKERS": [1]}', "[" * 200_000])
def test_a_damaged_record_of_a_running_stack_is_named_and_its_ports_can_be_given(tmp_path: Path, text: str) -> None:
    settings = load(env(tmp_path))
    settings.run.mkdir(parents=True)
    settings.stack_file.write_text(text)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(settings.socket))
        server.listen()
        with pytest.raises(UsageError, match=r"stack\.json is damaged.*PORT_OFFSET"):
            load(env(tmp_path))
        assert load(env(tmp_path, PORT_OFFSET="5")).port_offset == 5
        settings.stack_file.unlink()
        assert load(env(tmp_path)).port_offset == 0, "the bare binary leaves no record; its stack has the default ports"
