"""Paths, ports and names come from the environment, and from a running stack's own record."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import SOCKET_PATH_LIMIT, Settings, load, recorded_airflow
from windtunnel.system import socket_folder
from windtunnel.variables import connections


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"WINDTUNNEL_STATE": str(tmp_path / "state"), **more}


def test_default_ports_are_the_well_known_ones(tmp_path: Path) -> None:
    assert dict(load(env(tmp_path)).ports.items()) == {
        "api": 8080, "flower": 5555, "postgres": 5432, "valkey": 6379, "scheduler-health": 8974,
    }  # fmt: skip


def test_an_offset_moves_every_port(tmp_path: Path) -> None:
    plain, moved = load(env(tmp_path)), load(env(tmp_path, PORT_OFFSET="100"))
    assert [port + 100 for _, port in plain.ports.items()] == [
        port for _, port in moved.ports.items()
    ]


@pytest.mark.parametrize("value", ["x", "-1", "60000", "1.5"])
def test_an_offset_that_leaves_the_port_range_is_refused_by_name(
    tmp_path: Path, value: str
) -> None:
    with pytest.raises(UsageError, match="PORT_OFFSET"):
        load(env(tmp_path, PORT_OFFSET=value))


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(env(tmp_path, PORT_OFFSET="", WORKERS=" ", WORKER_QUEUES="")).workers == 1


def test_relative_folders_are_relative_to_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({"WINDTUNNEL_STATE": "here", "DAGS_FOLDER": "../mine"})
    assert settings.state == tmp_path / "here"
    assert settings.dags.resolve() == (tmp_path / "../mine").resolve()


def deep(tmp_path: Path, end: str = "e") -> dict[str, str]:
    """A state folder whose socket cannot lie in it."""
    return {"WINDTUNNEL_STATE": str(tmp_path / ("d" * 60) / (end * 60))}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """XDG_CACHE_HOME, with a short path: tmp_path may have one that is too long for a socket."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("XDG_CACHE_HOME", folder)
        yield Path(folder)


@contextmanager
def listening(settings: Settings) -> Iterator[None]:
    """Something that listens as the stack's process-compose does."""
    settings.run.mkdir(parents=True, exist_ok=True)
    settings.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(settings.socket))
        server.listen()
        yield


def test_a_deep_state_folder_still_gets_a_socket_that_the_kernel_accepts(
    tmp_path: Path, short: Path
) -> None:
    one, other = load(deep(tmp_path)), load(deep(tmp_path, "f"))
    assert one.socket.parent == other.socket.parent == short / "windtunnel" / "run"
    assert len(str(one.socket)) <= SOCKET_PATH_LIMIT
    assert one.socket != other.socket


def test_the_socket_outlives_the_session_that_started_the_stack(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """logind removes XDG_RUNTIME_DIR at the last logout."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(short / "home"))
    assert load(deep(tmp_path)).socket.parent == short / "home/.cache/windtunnel/run"


@pytest.mark.parametrize("home", ["too long", "below a file"])
@pytest.mark.parametrize("runtime", ["own", "relative", "/no/such/folder", "another's"])
def test_where_the_cache_cannot_serve_the_socket_lies_in_a_runtime_folder_of_its_own(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, home: str, runtime: str
) -> None:
    (short / "file").touch()
    cache = tmp_path / ("c" * 100) if home == "too long" else short / "file" / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime if "/" in runtime else str(short))
    if runtime == "relative":
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    if runtime == "another's":
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    expected = short / "windtunnel" if runtime == "own" else cache / "windtunnel" / "run"
    assert load(deep(tmp_path)).socket.parent == expected


def test_the_socket_does_not_move_with_the_temporary_folder(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nix develop` gives every shell a TMPDIR of its own."""
    found = set()
    for name in ("one", "two"):
        (short / name).mkdir()
        monkeypatch.setenv("TMPDIR", str(short / name))
        monkeypatch.setattr(tempfile, "tempdir", None)
        found.add(load(deep(tmp_path)).socket)
    assert len(found) == 1


def test_a_stack_is_found_from_a_session_with_another_cache_folder(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(deep(tmp_path))
    with listening(settings):
        settings.stack_file.write_text(
            json.dumps({"port_offset": 700, "socket": str(settings.socket)})
        )
        monkeypatch.setenv("XDG_CACHE_HOME", str(short / "other"))
        assert load(deep(tmp_path)).port_offset == 700
    settings.socket.unlink()
    assert load(deep(tmp_path)).socket.parent == short / "other" / "windtunnel" / "run"


def test_the_folder_of_the_socket_is_made_for_this_user_alone(tmp_path: Path) -> None:
    socket_folder.make(tmp_path / "new" / "windtunnel")
    socket_folder.make(tmp_path / "new" / "windtunnel")
    assert (tmp_path / "new" / "windtunnel").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_use_is_refused_for_the_socket(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path / "open", tmp_path / "link"):
        with pytest.raises(WindtunnelError, match="is not this user's alone"):
            socket_folder.make(folder)
    with pytest.raises(WindtunnelError, match="shorter path"):
        socket_folder.make(Path("/dev/null/windtunnel"))


def test_another_users_folder_is_refused_for_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(WindtunnelError, match="is not this user's alone"):
        socket_folder.make(tmp_path / "theirs")


def test_a_client_follows_a_running_stack_and_refuses_another_offset(tmp_path: Path) -> None:
    settings = load(env(tmp_path))
    with listening(settings):
        settings.stack_file.write_text(json.dumps({"port_offset": 700, "WORKER_CONCURRENCY": "3"}))
        found = load(env(tmp_path))
        assert (found.ports.api, found.worker_concurrency) == (8780, 3)
        with pytest.raises(UsageError, match="was started with 700"):
            load(env(tmp_path, PORT_OFFSET="5"))
    # Once the stack is gone its record binds nobody.
    assert load(env(tmp_path, PORT_OFFSET="5")).ports.api == 8085


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"port_offset": "x"}',
        '{"port_offset": 5, "WORKERS": [1]}',
        "[" * 200_000,
    ],
)
def test_a_damaged_record_of_a_running_stack_is_named_and_its_ports_can_be_given(
    tmp_path: Path, text: str
) -> None:
    settings = load(env(tmp_path))
    with listening(settings):
        settings.stack_file.write_text(text)
        with pytest.raises(UsageError, match=r"stack\.json is damaged.*PORT_OFFSET"):
            load(env(tmp_path))
        assert load(env(tmp_path, PORT_OFFSET="5")).port_offset == 5
        settings.stack_file.unlink()
        assert load(env(tmp_path)).port_offset == 0, (
            "the bare binary leaves no record; its stack has the default ports"
        )


def test_postgresql_takes_what_workers_and_slots_need(tmp_path: Path) -> None:
    assert load(env(tmp_path, WORKER_CONCURRENCY="2")).postgres_max_connections == 200
    many = load(env(tmp_path, WORKER_CONCURRENCY="16", WORKERS="10")).postgres_max_connections
    assert many == connections.needed(10, 16) > 16 * 10 * 2
    assert connections.most_workers(many, 16) == 10
    assert (
        connections.most_workers(
            load(env(tmp_path, WORKER_CONCURRENCY="64")).postgres_max_connections, 64
        )
        >= 3
    )


def test_fewer_connections_than_the_first_workers_need_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="POSTGRES_MAX_CONNECTIONS"):
        load(env(tmp_path, WORKER_CONCURRENCY="16", WORKERS="10", POSTGRES_MAX_CONNECTIONS="200"))


URL = "postgresql://me:hush@db.example:6432/work"


def test_a_database_of_another_service_has_no_port_of_ours_and_shows_no_password(
    tmp_path: Path,
) -> None:
    settings = load(env(tmp_path, DATABASE_URL=URL), client=False)
    assert "postgres" not in dict(settings.own_ports)
    variables = settings.environment()
    assert variables["WINDTUNNEL_DATABASE"] == "postgresql://me@db.example:6432/work"
    assert variables["WINDTUNNEL_POSTGRES_PORT"] == "6432"
    assert "hush" not in f"{variables} {settings}"


def test_a_process_of_the_stack_takes_the_stacks_database_not_the_one_of_a_projects_env_file(
    tmp_path: Path,
) -> None:
    stack = str(load(env(tmp_path)).state)
    inside = {"WINDTUNNEL_STACK": stack, "DATABASE_URL": "mysql://shop/orders"}
    assert load(env(tmp_path, **inside), client=False).database is None
    known = "postgresql://me@db.example:6432/work"
    found = load(env(tmp_path, **inside, WINDTUNNEL_DATABASE=known), client=False).database
    assert found is not None and found.name == "db.example:6432/work"


def test_a_task_that_starts_another_stack_may_name_its_database(tmp_path: Path) -> None:
    """The task has the variables of the stack that runs it."""
    outer = {"WINDTUNNEL_STACK": "/outer/.state", "WINDTUNNEL_DATABASE": "postgresql://me@outer/a"}
    assert load(env(tmp_path, **outer), client=False).database is None
    found = load(env(tmp_path, **outer, DATABASE_URL=URL), client=False).database
    assert found is not None and found.host == "db.example"


def test_without_a_stack_no_command_but_up_reads_the_database_of_a_shell(tmp_path: Path) -> None:
    """It may be any program's. `reset`, for example, has to work in such a shell too."""
    settings = load(env(tmp_path, DATABASE_URL="mysql://shop/orders"))
    assert settings.database is None
    with pytest.raises(UsageError, match="scheme is 'mysql'"):
        load(env(tmp_path, DATABASE_URL="mysql://shop/orders"), client=False)
    settings.state.mkdir(parents=True, exist_ok=True)
    record = {"port_offset": 0, "WINDTUNNEL_DATABASE": "postgresql://me@former:5432/a"}
    settings.stack_file.write_text(json.dumps(record))
    found = load(env(tmp_path, DATABASE_URL=URL)).database
    assert found is not None and found.host == "former", "the last stack of this folder used it"


def test_a_client_takes_the_database_of_the_running_stack_whatever_its_shell_names(
    tmp_path: Path,
) -> None:
    settings = load(env(tmp_path))
    with listening(settings):
        settings.stack_file.write_text(json.dumps({"port_offset": 0}))
        assert load(env(tmp_path, DATABASE_URL="mysql://shop/orders")).database is None
        known = "postgresql://me@db.example:6432/work"
        record = {"port_offset": 0, "WINDTUNNEL_DATABASE": known}
        settings.stack_file.write_text(json.dumps(record))
        found = load(env(tmp_path)).database
        assert found is not None and found.host == "db.example"


def test_each_series_of_airflow_has_a_state_folder_of_its_own_in_a_checkout(tmp_path: Path) -> None:
    """A migration has no way back."""
    root = {"WINDTUNNEL_ROOT": str(tmp_path)}
    assert load(root, client=False).state == tmp_path / ".state"
    other = load(root | {"WINDTUNNEL_SERIES": "3.2"}, client=False)
    assert other.state == tmp_path / ".airflow" / "3.2" / "state"
    named = {"WINDTUNNEL_SERIES": "3.2", "WINDTUNNEL_STATE": str(tmp_path / "mine")}
    assert load(root | named, client=False).state == tmp_path / "mine"
    project = {"WINDTUNNEL_SERIES": "3.2", "WINDTUNNEL_PROJECT": str(tmp_path / "p")}
    assert load(root | project, client=False).state == tmp_path / "p" / ".windtunnel"


def test_the_record_of_a_stack_names_its_airflow(tmp_path: Path) -> None:
    assert recorded_airflow(tmp_path) == ""
    (tmp_path / "stack.json").write_text('{"port_offset": 0}')
    assert recorded_airflow(tmp_path) == "", "an older windtunnel wrote none"
    (tmp_path / "stack.json").write_text('{"port_offset": 0, "airflow": "3.2.2"}')
    assert recorded_airflow(tmp_path) == "3.2.2"
