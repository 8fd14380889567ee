"""`windtunnel run`, where the DAG cannot be found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.settings import load
from windtunnel.stack import run_dag


class Api:
    """Airflow without any DAG."""

    def dag(self, dag_id: str) -> None:
        return None

    def import_errors(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "from airflow.sdk import dag\n",
            "defines no DAG 'mine' .* `windtunnel logs dag-processor`",
        ),
        ("import nothing\n", "only files that contain the words `airflow` and `dag`"),
    ],
)
def test_a_file_without_its_dag_is_explained_by_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr(run_dag, "PARSE_SECONDS", 0.0)
    (tmp_path / "mine.py").write_text(text)
    settings = load({"DAGS_FOLDER": str(tmp_path)}, client=False)
    api: Any = Api()
    with pytest.raises(WindtunnelError, match=said):
        run_dag.find_dag(settings, api, "mine", lambda _: None)
