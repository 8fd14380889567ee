"""Why the database cannot be created or opened, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.services import postgres, postgres_user
from windtunnel.settings import load

#: What initdb of PostgreSQL 15 writes to stderr where its server finds no shared memory, and where the folder is another's.
NO_MEMORY = """2026-11-27 11:40:00.000 UTC [7] FATAL:  could not create shared memory segment: No space left on device
2026-11-27 11:40:00.000 UTC [7] DETAIL:  Failed system call was shmget(key=1, size=56, 03600).
child process exited with exit code 1
initdb: removing contents of data directory "/state/postgres"
"""
NO_FOLDER = """initdb: error: could not change permissions of directory "/state/postgres": Operation not permitted
initdb: hint: Check the folder.
"""
#: What it writes where /dev/null is not open to the user that runs it.
NO_DEVICE = """sh: 1: cannot create /dev/null: Permission denied
child process exited with exit code 2
initdb: removing contents of data directory "/state/postgres"
"""


@pytest.mark.parametrize(
    ("stderr", "shown"),
    [
        (NO_MEMORY, "could not create shared memory segment: No space left on device"),
        (NO_FOLDER, "could not change permissions of directory"),
        (NO_DEVICE, "cannot create /dev/null: Permission denied"),
        ("setpriv: setresuid failed\n", "setpriv: setresuid failed"),
        ("", "no message"),
    ],
)
def test_a_database_that_cannot_be_created_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, shown: str
) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)
    settings.state.mkdir()
    (tmp_path / "stderr").write_text(stderr)
    (tmp_path / "bin").mkdir()
    for name, script in (
        ("postgres", "echo 'postgres (PostgreSQL) 17.2'"),
        ("initdb", f"cat '{tmp_path}/stderr' >&2; exit 1"),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for module in (postgres, postgres_user):
        monkeypatch.setattr(module, "service_user", lambda data: None)
    with pytest.raises(WindtunnelError, match="initdb failed with exit code 1: ") as error:
        postgres.create(settings)
    assert shown in str(error.value)
    assert "removing contents" not in str(error.value)


@pytest.mark.parametrize(
    ("is_there", "way_on"),
    [
        (True, "/old/15/bin:$PATH WINDTUNNEL_SERVERS=path`"),
        (False, "install PostgreSQL 15 to go on with it"),
    ],
)
def test_a_database_of_another_major_version_is_named_with_the_ways_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, way_on: str
) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)
    data = settings.state / "postgres"
    data.mkdir(parents=True)
    (data / "created").touch()
    (data / "PG_VERSION").write_text("15\n")
    if is_there:
        (tmp_path / "old" / "15" / "bin").mkdir(parents=True)
        (tmp_path / "old" / "15" / "bin" / "postgres").touch()
    monkeypatch.setattr(postgres, "OTHER_FOLDERS", (f"{tmp_path}/old/{{}}/bin",))
    monkeypatch.setattr(postgres, "installed_major", lambda: 18)
    with pytest.raises(WindtunnelError) as error:
        postgres.create(settings)
    text = str(error.value)
    assert "made by PostgreSQL 15, which 18 cannot open" in text
    assert way_on in text
    assert "docs/guides/updating.md" in text and "`windtunnel reset`" in text
    assert "\n" not in text
    assert (data / "created").exists(), "nothing of it may be touched"
