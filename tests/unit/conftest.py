"""Fixtures of tests that need something that runs, and no whole stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.small_stack import small_stack
from windtunnel.settings import Settings, load
from windtunnel.stack.ports import free_offset


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a state folder with a process-compose; commands of the test find it."""
    monkeypatch.setenv("WINDTUNNEL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PORT_OFFSET", str(free_offset()))
    settings = load(client=False)
    with small_stack(settings):
        yield settings
