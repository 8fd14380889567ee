"""The committed data equal the evaluation of the flake."""

from __future__ import annotations

import pytest

from tests.nix import harness


@pytest.mark.usefixtures("evaluation")
def test_the_committed_data_are_up_to_date() -> None:
    """About 15 s. Where it fails: `python -m tests.nix.regenerate`, and read the difference before committing it."""
    assert harness.collect() == harness.committed()
