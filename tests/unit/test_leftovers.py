"""What a crash left behind is found by the files that it left."""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel import leftovers
from windtunnel.settings import load


def test_a_creation_of_the_database_that_was_interrupted_does_not_stop_the_next_up(tmp_path: Path) -> None:
    """PostgreSQL in single-user mode writes its pid negative; `up` ended in a traceback over it."""
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"-{os.getpid()}\n/somewhere\n")
    assert leftovers.find(settings) == [], "this test is no PostgreSQL"
