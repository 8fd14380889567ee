"""Fixtures of the Nix tests: evaluated data, and whether more can be evaluated here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nix import harness, stack_file


@pytest.fixture(scope="session")
def stack() -> dict[str, Any]:
    """process-compose.yaml."""
    return stack_file.load()


@pytest.fixture(scope="session")
def data() -> dict[str, Any]:
    """The committed result of an evaluation; `test_data.py` compares it with a new one where it can."""
    return harness.committed()


@pytest.fixture(scope="session")
def units(data: dict[str, Any]) -> dict[str, Any]:
    """Units of the machine that has every role."""
    found: dict[str, Any] = data["single-host"]["host"]
    return found


@pytest.fixture
def evaluation() -> None:
    """Skips where the flake cannot be evaluated."""
    if reason := harness.why_not():
        pytest.skip(reason)
