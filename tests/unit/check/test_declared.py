"""The names that a stack of a project will serve, as its files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.check import declared, target
from windtunnel.check.declared import Declared
from windtunnel.errors import WindtunnelError
from windtunnel.project import survey
from windtunnel.settings import load
from windtunnel.stack import project_record


@pytest.fixture(autouse=True)
def no_other_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER", "WORKER_QUEUES"):
        monkeypatch.delenv(name, raising=False)


def find(root: Path, **env: str) -> Declared:
    (root / "dags").mkdir(exist_ok=True)
    settings = load({"WINDTUNNEL_PROJECT": str(root), **env}, client=False)
    project = survey.survey(root)
    return declared.find(project, project_record.make(project, "/usr/bin/python3"), settings)


def test_without_files_there_are_the_default_queue_and_pool(tmp_path: Path) -> None:
    found = find(tmp_path)
    assert found.queues == {"default": "worker"}
    assert found.queues_off == {"heavy": "worker-heavy"}
    assert found.pools == {"default_pool"} and not found.has_connection("any")


def test_worker_queues_are_those_of_the_variable(tmp_path: Path) -> None:
    assert find(tmp_path, WORKER_QUEUES="default,heavy").queues == {
        "default": "worker",
        "heavy": "worker",
    }


@pytest.mark.parametrize(
    "command",
    [
        "exec python -m windtunnel.worker --name w --queues a,b",
        "exec python -m windtunnel.worker --queues='a, b'",
        "airflow celery worker -q a,b",
    ],
)
def test_the_projects_own_workers_serve_their_queues(tmp_path: Path, command: str) -> None:
    text = f"processes:\n  w:\n    command: {command}\n  other:\n    command: echo --queues c\n"
    (tmp_path / "windtunnel.yaml").write_text(text)
    assert find(tmp_path).queues == {"default": "worker", "a": "w", "b": "w"}


def test_a_project_can_switch_the_heavy_worker_on(tmp_path: Path) -> None:
    (tmp_path / "windtunnel.yaml").write_text("processes:\n  worker-heavy: {disabled: false}\n")
    found = find(tmp_path)
    assert found.queues["heavy"] == "worker-heavy" and found.queues_off == {}


def test_a_worker_without_an_option_serves_the_queues_of_its_own_variable(tmp_path: Path) -> None:
    text = "processes:\n  w:\n    command: python -m windtunnel.worker\n"
    text += "    environment: ['WORKER_QUEUES=${SOMETHING:-a}']\n"
    (tmp_path / "windtunnel.yaml").write_text(text)
    assert find(tmp_path).queues == {"default": "worker", "a": "w"}


def test_a_damaged_file_of_processes_is_named(tmp_path: Path) -> None:
    (tmp_path / "windtunnel.yaml").write_text("processes: [\n")
    with pytest.raises(WindtunnelError, match=r"windtunnel\.yaml cannot be read"):
        find(tmp_path)


def test_connections_and_pools_come_from_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "connections.yaml").write_text("one: {conn_type: http}\n")
    (tmp_path / "pools.json").write_text('{"small": {"slots": 1}}')
    (tmp_path / ".env").write_text("AIRFLOW_CONN_TWO=http://h\n")
    monkeypatch.setenv("AIRFLOW_CONN_THREE", "http://h")
    found = find(tmp_path)
    assert found.pools == {"default_pool", "small"}
    assert [found.has_connection(name) for name in ("one", "two", "three", "four")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_folder_of_dags_that_a_person_names_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dags").mkdir()
    other = tmp_path / "other"
    monkeypatch.setenv("DAGS_FOLDER", str(other))
    assert target.find(tmp_path, print).folders == [other]


def test_the_shell_of_another_projects_stack_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dags").mkdir()
    for name in ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    found = target.find(tmp_path, print)
    assert found.folders == [tmp_path / "dags"]
    assert found.settings.state == tmp_path / ".windtunnel"
    assert found.environment(tmp_path / "state")["WINDTUNNEL_STATE"] == str(tmp_path / "state")


def test_no_secret_and_no_address_of_a_stack_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    found = target.find(tmp_path, print)
    env = found.environment(tmp_path / "state")
    assert {env[name] for name in target.UNUSED} == set(target.UNUSED.values())
