"""A command that AIRFLOW sends to a stack that does not run, while another version's runs."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import NoStackError
from windtunnel.settings import load


@pytest.mark.parametrize("checkout", ["checkout", "deep" * 25])
def test_a_forgotten_airflow_is_named_where_no_stack_of_the_newest_one_runs(
    checkout: str, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / checkout
    (root / "airflow-home").mkdir(parents=True)
    for name in ("process-compose.yaml", "airflow-home/airflow.cfg"):
        (root / name).touch()
    newest = load({"WINDTUNNEL_ROOT": str(root)}, client=False)
    older = load({"WINDTUNNEL_ROOT": str(root), "WINDTUNNEL_SERIES": "3.2"}, client=False)
    for runs, asked, step in (
        (older, newest, "AIRFLOW=3.2 before the command"),
        (newest, older, "unset AIRFLOW"),
    ):
        # The socket of a deep checkout is elsewhere, so its folder alone makes no state folder.
        for folder in (runs.state, runs.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(runs.socket))
            server.listen()
            with pytest.raises(NoStackError, match=step):
                process_compose.require(asked)
        runs.socket.unlink()
    with pytest.raises(NoStackError, match="start one with"):
        process_compose.require(newest)
