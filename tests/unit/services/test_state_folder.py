"""The state folder: made once, private, and never silently replaced."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.project import environment
from windtunnel.services import state_folder
from windtunnel.settings import Settings, load
from windtunnel.stack import down, reset


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("windtunnel.services.postgres.create", lambda _: None)
    return load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)


def test_a_second_preparation_keeps_every_secret(settings: Settings) -> None:
    state_folder.prepare(settings)
    before = {path.name: path.read_text() for path in settings.secrets.iterdir()}
    state_folder.prepare(settings)
    assert {path.name: path.read_text() for path in settings.secrets.iterdir()} == before
    assert all(not text.endswith("\n") for text in before.values())


def test_a_full_disk_leaves_the_old_text_and_no_half_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    code = (
        "import resource, signal, sys, pathlib\n"
        "from windtunnel.services.state_folder import write_private\n"
        # The kernel refuses what comes after the first 100 bytes.
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write_private(pathlib.Path(sys.argv[1]), 'x' * 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"secret": "old"}


def test_a_secret_that_someone_made_readable_is_private_again(settings: Settings) -> None:
    state_folder.prepare(settings)
    for path in settings.secrets.iterdir():
        path.chmod(0o644)
    state_folder.prepare(settings)
    assert {stat.S_IMODE(path.stat().st_mode) for path in settings.secrets.iterdir()} == {0o600}


def test_logs_are_private_also_where_an_older_version_made_them(settings: Settings) -> None:
    settings.logs.mkdir(parents=True)
    settings.logs.chmod(0o755)
    state_folder.prepare(settings)
    assert stat.S_IMODE(settings.logs.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", [b"", b"short", b"has a space inside", b"\x00" * 40])
def test_a_damaged_secret_stops_with_its_name_and_stays(settings: Settings, text: bytes) -> None:
    state_folder.prepare(settings)
    path = settings.secrets / "jwt-secret"
    path.write_bytes(text)
    with pytest.raises(WindtunnelError, match="jwt-secret is damaged"):
        state_folder.prepare(settings)
    assert path.read_bytes() == text


def test_ports_follow_the_offset_into_the_urls(settings: Settings, tmp_path: Path) -> None:
    state_folder.prepare(settings)
    moved = load({"WINDTUNNEL_STATE": str(tmp_path / "state"), "PORT_OFFSET": "11"}, client=False)
    state_folder.prepare(moved)
    assert ":6390/0" in moved.secret("broker-url") and ":5443/" in moved.secret("database-url")


def test_reset_deletes_what_a_stack_wrote_and_nothing_else(settings: Settings) -> None:
    state_folder.prepare(settings)
    (settings.state / "notes.txt").write_text("mine")
    for name in ("stack.json", "project.json.new"):
        (settings.state / name).write_text("{}")
    reset.reset(settings)
    assert [path.name for path in settings.state.iterdir()] == ["notes.txt"]


def test_reset_leaves_no_folder_but_a_persons_symlink(settings: Settings, tmp_path: Path) -> None:
    state_folder.prepare(settings)
    deleted = reset.reset(settings)
    assert settings.run in deleted and not settings.state.exists()
    assert reset.reset(settings) == []
    (tmp_path / "disk").mkdir()
    settings.state.symlink_to(tmp_path / "disk")
    state_folder.prepare(settings)
    reset.reset(settings)
    assert settings.state.is_symlink() and list((tmp_path / "disk").iterdir()) == []


def test_reset_deletes_nothing_of_a_stack_that_it_cannot_stop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_folder.prepare(settings)

    def refuse(_: Settings) -> int:
        raise WindtunnelError("it goes on")

    monkeypatch.setattr(down, "down", refuse)
    with pytest.raises(WindtunnelError, match="it goes on"):
        reset.reset(settings)
    assert {path.name for path in settings.secrets.iterdir()} >= set(state_folder.GENERATED)


def test_a_file_that_reset_cannot_delete_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_folder.prepare(settings)

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(
        WindtunnelError, match=r"cannot delete .* \(Permission denied\): delete it as"
    ):
        reset.reset(settings)


def test_a_reset_that_is_killed_leaves_no_half_database_that_counts_as_a_whole(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_folder.prepare(settings)
    (settings.state / "postgres").mkdir()
    (settings.state / "postgres" / "created").touch()
    complete = settings.state / environment.FOLDER / "a" / environment.COMPLETE
    complete.parent.mkdir(parents=True)
    complete.touch()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        reset.reset(settings)
    assert not (settings.state / "postgres" / "created").exists()
    assert not complete.exists()
    # Another password or key would lock `up` out of a database that is still there.
    assert {path.name for path in settings.secrets.iterdir()} >= set(state_folder.GENERATED)
    assert reset.WRITTEN.index("postgres") < reset.WRITTEN.index("secrets")


def test_a_socket_that_finds_no_short_enough_place_is_refused_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """process-compose itself would only say that it did not become ready."""
    monkeypatch.setattr("windtunnel.services.postgres.create", lambda _: None)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("c" * 100)))
    deep = load({"WINDTUNNEL_STATE": str(tmp_path / ("s" * 100))}, client=False)
    with pytest.raises(WindtunnelError, match="too long for the kernel"):
        state_folder.prepare(deep)


def test_git_ignores_the_default_folder_in_any_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nix run` also serves repositories that have never heard of it."""
    monkeypatch.setattr("windtunnel.services.postgres.create", lambda _: None)
    for name, ignored in ((".state", True), ("mine", False)):
        state_folder.prepare(load({"WINDTUNNEL_STATE": str(tmp_path / name)}, client=False))
        assert (tmp_path / name / ".gitignore").exists() == ignored
    assert (tmp_path / ".state" / ".gitignore").read_text() == "*\n"
