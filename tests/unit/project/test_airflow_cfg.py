"""A project's airflow.cfg: read as Airflow reads it, also one that Airflow itself wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.project.conftest import Look, remarks
from windtunnel.project.airflow_files import Options


def options(look: Look, text: str) -> tuple[Options, str]:
    found = look({"config/airflow.cfg": text})
    assert found.options is not None
    return found.options, remarks(found)


def test_a_doubled_percent_sign_is_one_as_airflow_has_it(look: Look) -> None:
    text = "[logging]\nsimple_log_format = %%(asctime)s\nbase = a\nother = %(base)s/b\n"
    found, said = options(look, text)
    assert found.variables == {
        "AIRFLOW__LOGGING__SIMPLE_LOG_FORMAT": "%(asctime)s",
        "AIRFLOW__LOGGING__BASE": "a",
        "AIRFLOW__LOGGING__OTHER": "a/b",
    }
    assert "airflow.cfg" not in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x = 100%", "has a % that is not doubled"),
        ("x = %(gone)s", "has a % that is not doubled"),
        ("plugins_folder = /opt/airflow/plugins", "is a path in a container"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_and_the_rest_is_taken(
    look: Look, line: str, said: str
) -> None:
    found, lines = options(look, f"[core]\n{line}\nparallelism = 3\n")
    assert found.taken == ["core.parallelism"]
    assert said in lines


def test_a_name_that_no_variable_can_have_is_not_taken(look: Look) -> None:
    # `os.environ` refuses it, and each process of Airflow would end at its start.
    found, said = options(look, "[a=b]\nc = 1\n[core]\nparallelism = 3\n")
    assert found.taken == ["core.parallelism"]
    assert "is no name of a setting" in said
    project = look({".env": "'a=b'=1\nGOOD=2\nwith.dot=3\n"})
    assert project.variables == ["GOOD", "with.dot"]
    assert ".env: a=b cannot be names of variables" in remarks(project)


def test_of_a_file_that_airflow_wrote_only_what_a_person_changed_is_taken(
    look: Look, tmp_path: Path
) -> None:
    ours = ("AIRFLOW", "WINDTUNNEL")
    env = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    home = tmp_path / "home"
    code = (
        "from airflow.configuration import write_default_airflow_configuration_if_needed as w; w()"
    )
    subprocess.run([sys.executable, "-c", code], env=env | {"AIRFLOW_HOME": str(home)}, check=True)
    text = (home / "airflow.cfg").read_text()
    assert "%%(asctime)s" in text and "\nparallelism = 32" in text
    text = text.replace(str(home), "/opt/airflow")
    text = text.replace("\nparallelism = 32", "\nparallelism = 7")
    found, said = options(look, text)
    assert found.taken == ["core.parallelism"]
    assert "the stack has its own [core] dags_folder, [core] fernet_key" in said
    assert len([line for line in said.splitlines() if "airflow.cfg" in line]) == 2, said
