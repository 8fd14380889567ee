"""A process-compose that takes a question and never answers it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import load


def test_a_process_compose_that_never_answers_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_compose, "ANSWER_SECONDS", 0.2)
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    settings.socket.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(settings.socket))
        server.listen()
        with pytest.raises(WindtunnelError, match=r"has not answered .*process-compose\.log"):
            process_compose.Compose(settings).processes()


def test_a_forgotten_airflow_is_named_where_no_stack_of_the_newest_one_runs(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "airflow-home").mkdir()
    for name in ("process-compose.yaml", "airflow-home/airflow.cfg"):
        (root / name).touch()
    newest = load({"WINDTUNNEL_ROOT": str(root)}, client=False)
    older = load({"WINDTUNNEL_ROOT": str(root), "WINDTUNNEL_SERIES": "3.2"}, client=False)
    for runs, asked, step in (
        (older, newest, "AIRFLOW=3.2 before the command"),
        (newest, older, "unset AIRFLOW"),
    ):
        runs.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(runs.socket))
            server.listen()
            with pytest.raises(NoStackError, match=step):
                process_compose.require(asked)
        runs.socket.unlink()
    with pytest.raises(NoStackError, match="start one with"):
        process_compose.require(newest)
