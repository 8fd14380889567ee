"""A drill in a stack that lacks our DAGs is refused at once; it would wait for runs that never begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from windtunnel.clients.airflow import Airflow
from windtunnel.drill import rehearse
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.stack import run_dag


class Known(Airflow):
    """An API server that knows these DAGs."""

    def __init__(self, settings: Settings, **dags: dict[str, Any]) -> None:
        super().__init__(settings)
        self.dags = dags

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        file = {"relative_fileloc": f"{dag_id}.py", "is_stale": False, "is_paused": False}
        return file | self.dags[dag_id] if dag_id in self.dags else None

    def import_errors(self) -> list[tuple[str, str]]:
        return []


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A stack whose DAG folder is a project's."""
    return load({"WINDTUNNEL_STATE": str(tmp_path), "DAGS_FOLDER": str(tmp_path)}, client=False)


@pytest.mark.parametrize(
    "former",
    [{}, {name: {"is_stale": True} for name in rehearse.DAGS}],
    ids=["never there", "of a former DAG folder"],
)
def test_the_missing_dags_are_named_with_the_two_ways_out(
    settings: Settings, former: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as refused:
        rehearse.require_dags(settings, Known(settings, **former))
    assert f"{settings.dags} lacks {', '.join(rehearse.DAGS)}" in str(refused.value)
    assert "without DAGS_FOLDER" in str(refused.value) and "copy them" in str(refused.value)


def test_dags_in_any_folder_will_do(settings: Settings) -> None:
    rehearse.require_dags(settings, Known(settings, **{name: {} for name in rehearse.DAGS}))


def test_a_paused_dag_is_refused(settings: Settings) -> None:
    dags = {name: {"is_paused": True} for name in rehearse.DAGS}
    with pytest.raises(WindtunnelError, match="is paused"):
        rehearse.require_dags(settings, Known(settings, **dags))


def test_a_dag_whose_file_is_there_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_dag, "PARSE_SECONDS", 0.3)
    for name in rehearse.DAGS:
        (settings.dags / f"{name}.py").write_text("")
    with pytest.raises(WindtunnelError, match="defines no DAG"):
        rehearse.require_dags(settings, Known(settings))
