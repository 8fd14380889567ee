"""`./dev airflow` without its database: one line, and never Airflow's traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.settings import Settings


def airflow(state: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`./dev airflow WORDS` on a PATH whose airflow only says that it ran."""
    (state / "secrets").mkdir(parents=True, exist_ok=True)
    url = "postgresql+psycopg2://airflow:hidden@127.0.0.1:1/airflow"
    (state / "secrets" / "database-url").write_text(url)
    program = state / "bin" / "airflow"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    own = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "windtunnel.environment", "airflow", *words],
        env=env | {"PATH": str(program.parent), "WINDTUNNEL_STATE": str(state)} | more,
        capture_output=True,
        text=True,
    )


def test_a_command_that_needs_the_database_names_the_cause_and_the_next_step(
    tmp_path: Path,
) -> None:
    done = airflow(tmp_path, "dags", "list")
    assert (done.returncode, done.stdout) == (1, "")
    cause = "`airflow dags` needs the database at 127.0.0.1:1, and it does not answer"
    assert cause in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert f"no stack is running (state folder {tmp_path})" in done.stderr
    assert done.stderr.endswith(": start one with `process-compose up`\n")
    assert "hidden" not in done.stderr


def test_with_a_stack_that_runs_the_next_step_is_to_look_at_it(supervised: Settings) -> None:
    done = airflow(supervised.state, "dags", "list")
    assert done.returncode == 1 and done.stderr.endswith(": see `windtunnel status`\n"), done


@pytest.mark.parametrize(
    "line", ["", "version", "config list", "dags list --help", "--help", "providers list"]
)
def test_a_command_that_needs_no_database_runs_without_a_stack(tmp_path: Path, line: str) -> None:
    assert airflow(tmp_path, *line.split()).stdout == "ran\n"


def test_a_database_of_the_person_s_own_is_not_looked_at(tmp_path: Path) -> None:
    done = airflow(tmp_path, "dags", "list", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite://")
    assert done.stdout == "ran\n"
