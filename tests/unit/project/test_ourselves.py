"""This windtunnel in a project's environment."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import windtunnel
from windtunnel.errors import WindtunnelError
from windtunnel.project import ourselves


def test_a_disk_that_is_full_is_one_line_that_names_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "python3.13" / "site-packages"
    site.mkdir(parents=True)
    monkeypatch.setattr(ourselves, "is_checkout", lambda _: False)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_: Any, **__: Any) -> None:
        raise full

    copytree = shutil.copytree

    def copy(source: Path, target: Path, **named: Any) -> Path:
        return copytree(source, target, copy_function=refuse, **named)

    monkeypatch.setattr(shutil, "copytree", copy)
    package = tmp_path / "windtunnel"
    package.mkdir()
    for name in ("__init__.py", "a.py", "b.py"):
        (package / name).touch()
    monkeypatch.setattr(windtunnel, "__file__", str(package / "__init__.py"))
    with pytest.raises(WindtunnelError) as caught:
        ourselves.put_into(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"cannot write {site / 'windtunnel'}/"), said
    assert said.endswith("No space left on device") and said.count("No space") == 1, said
