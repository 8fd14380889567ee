"""`windtunnel-secrets`: a folder of secrets, and never one of anything else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.services.host_secrets import NAMES, make


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_second_run_keeps_the_secrets_and_writes_the_urls_anew(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert "fernet-key" in make(folder, "hub", "hub")
    key = (folder / "fernet-key").read_text()
    folder.chmod(0o755)
    assert make(folder, "other", "hub") == []
    assert (mode(folder), (folder / "fernet-key").read_text()) == (0o700, key)
    assert "@other:6379/" in (folder / "broker-url").read_text()
    assert {path.name for path in folder.iterdir()} == NAMES


def test_a_folder_of_other_files_keeps_its_mode_and_gets_no_secret(tmp_path: Path) -> None:
    """`windtunnel-secrets ... /etc` would close /etc to every user."""
    tmp_path.chmod(0o755)
    (tmp_path / "passwd").touch()
    with pytest.raises(WindtunnelError, match=r"has other files \(passwd\)"):
        make(tmp_path, "hub", "hub")
    assert (mode(tmp_path), [path.name for path in tmp_path.iterdir()]) == (0o755, ["passwd"])
    tmp_path.chmod(0o700)
    make(tmp_path, "hub", "hub")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """In /tmp anyone may have made it, and could replace what is in it."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4711, 4711)
    with pytest.raises(WindtunnelError, match="belongs to another user"):
        make(folder, "hub", "hub")
    assert list(folder.iterdir()) == []
