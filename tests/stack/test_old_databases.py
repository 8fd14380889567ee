"""Databases of older Airflow versions, with our triggers and a queued task in them, are brought to this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import connected, running
from tests.stack_fixture import ROOT, NewStack, until
from windtunnel.services import notify_triggers

DAG = """
from airflow.sdk import dag, task

@dag(dag_id="old", schedule=None)
def old():
    @task
    def answer():
        return 42
    answer()

old()
"""


def old_airflow(version: str) -> Path:
    """The `bin` folder of an environment with that version, made once in the user's cache."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "windtunnel"
        / f"airflow-{version}"
    )
    if not (cache / "complete").exists():
        uv = shutil.which("uv") or ROOT / ".tools" / "uv" / "bin" / "uv"
        # The Python that runs here: another one may be out of reach.
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, cache], check=True)
        packages = [
            f"apache-airflow[celery]=={version}",
            "psycopg2-binary",
            "asyncpg",
            "sqlalchemy<2.1",
        ]
        subprocess.run(
            [uv, "pip", "install", "--python", cache / "bin" / "python", *packages], check=True
        )
        (cache / "complete").touch()
    return cache / "bin"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", ["3.1.8", "3.2.2"])
def test_a_task_queued_by_an_older_airflow_runs_after_the_migration(
    version: str, new_stack: NewStack, tmp_path: Path
) -> None:
    programs = old_airflow(version)
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "old.py").write_text(DAG)
    stack = new_stack(DAGS_FOLDER=str(dags), WORKER_CONCURRENCY="2")
    with running(stack.settings.state, "postgres", offset=stack.settings.port_offset) as settings:
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "AIRFLOW_HOME": str(tmp_path / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__FERNET_KEY": settings.secret("fernet-key"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.secret("database-url"),
            "AIRFLOW__CELERY__RESULT_BACKEND": settings.secret("result-backend"),
            "AIRFLOW__CELERY__BROKER_URL": settings.secret("broker-url"),
        }
        for words in (
            "db migrate",
            "dags reserialize",
            "dags unpause old",
            "dags trigger old --run-id before",
        ):
            subprocess.run(
                [programs / "airflow", *words.split()], env=environment, check=True, timeout=600
            )
        with connected(settings) as cursor:
            # As a scheduler that has ended leaves it, with a message in a broker that is gone.
            cursor.execute(
                "INSERT INTO job (job_type, state, latest_heartbeat, start_date) VALUES ('SchedulerJob', 'success', now(), now());"
                " UPDATE dag_run SET state = 'running', start_date = now() WHERE run_id = 'before';"
                " UPDATE task_instance SET state = 'queued', queued_dttm = now() - interval '1 minute',"
                " external_executor_id = gen_random_uuid()::text, try_number = 1,"
                " queued_by_job_id = (SELECT max(id) FROM job) WHERE run_id = 'before'"
            )
            cursor.execute("SELECT count(*) FROM task_instance WHERE state = 'queued'")
            assert cursor.fetchone() == (1,)
            cursor.connection.autocommit = False
            assert "windtunnel_task" in notify_triggers.install(cursor.connection)
    stack.up(timeout=600)
    assert stack.finished("old", "before", 300) == "success"
    assert stack.returned("old", "before", "answer") == 42
    with connected(stack.settings) as cursor:
        cursor.execute(notify_triggers.missing_query(same_version=True))
        assert not cursor.fetchall()
    until("a new run runs too", lambda: stack.run("old")[1] == "success", 120)
