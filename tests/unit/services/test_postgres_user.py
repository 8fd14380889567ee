"""The user that PostgreSQL runs as where we are root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.services import postgres_user

PRESENT = pwd.getpwuid(0)


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names that this machine is to have; we are root."""
    names: set[str] = set()

    def find(name: str) -> pwd.struct_passwd:
        if name not in names:
            raise KeyError(name)
        # The group of /, which in Nix's sandbox is closed to all others.
        group = Path("/").stat().st_gid
        return pwd.struct_passwd((name, "x", 4321, group, "", "/", "/bin/false"))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", find)
    return names


@pytest.mark.parametrize(
    ("present", "chosen"), [({"postgres", "nobody"}, "postgres"), ({"nobody"}, "nobody")]
)
def test_nobody_serves_where_there_is_no_user_postgres(
    users: set[str], tmp_path: Path, present: set[str], chosen: str
) -> None:
    users.update(present)
    user = postgres_user.service_user(tmp_path / "none yet")
    assert user is not None and user.pw_name == chosen


def test_the_owner_of_the_data_stays_the_user_when_a_user_postgres_appears(
    users: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.update({"postgres", "nobody"})
    owner = pwd.struct_passwd(("nobody", "x", 65534, 65534, "", "/", "/bin/false"))
    monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((0, 0, 0, 0, 65534, *[0] * 5)))
    monkeypatch.setattr(pwd, "getpwuid", {65534: owner}.__getitem__)
    assert postgres_user.service_user(tmp_path) == owner


def test_root_without_a_user_to_become_is_told_what_to_do(users: set[str], tmp_path: Path) -> None:
    assert not users
    with pytest.raises(WindtunnelError, match="useradd --system postgres"):
        postgres_user.service_user(tmp_path / "none yet")


def test_an_ordinary_user_becomes_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres_user.service_user(tmp_path) is None
    assert postgres_user.as_service_user(tmp_path, ["/bin/postgres"]) == ["/bin/postgres"]


def test_a_data_folder_that_the_user_cannot_reach_costs_one_capability(
    users: set[str], tmp_path: Path
) -> None:
    users.add("nobody")
    program = str(Path("/bin/sh").resolve())  # every system has it, Nix's sandbox too
    closed = tmp_path / "closed" / "postgres"
    closed.parent.mkdir(mode=0o700)
    capability = "--ambient-caps=+dac_read_search"
    assert capability in postgres_user.as_service_user(closed, [program])
    assert capability not in postgres_user.as_service_user(Path("/none yet"), [program])


def test_a_program_that_the_user_cannot_reach_is_named_with_the_remedy(
    users: set[str], tmp_path: Path
) -> None:
    users.add("nobody")
    program = tmp_path / "closed" / "initdb"
    program.parent.mkdir(mode=0o700)
    with pytest.raises(WindtunnelError, match=r"as `nobody`, who cannot reach .*WINDTUNNEL_CACHE"):
        postgres_user.as_service_user(Path("/none yet"), [str(program)])


def test_a_user_without_a_name_is_told_before_initdb_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postgres_user.require_name()
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    with pytest.raises(WindtunnelError, match="uid 4000000000, which has no name"):
        postgres_user.require_name()
