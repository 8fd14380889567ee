"""Layouts that teams have, each in a folder made here."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Look, Make, remarks, said_to_an_ordinary_user
from windtunnel.project import versions
from windtunnel.project.survey import survey

ASTRONOMER = {
    "Dockerfile": "FROM astrocrpublic.azurecr.io/runtime:3.1-4\n",
    "dags/example.py": DAG,
    "dags/.airflowignore": "",
    "include/": "",
    "plugins/": "",
    "tests/dags/test_dag.py": DAG,
    "requirements.txt": "# packages\nduckdb==0.10.3\npyarrow\n",
    "packages.txt": "# one a line\ngcc\nlibpq-dev=15.1\n",
    ".env": "API_KEY=secret-value\n",
    "airflow_settings.yaml": """
airflow:
  connections:
    - conn_id: warehouse
      conn_password: secret-value
    - conn_id:
  pools:
    - pool_name:
  variables:
    - variable_name: region
      variable_value: secret-value
""",
    "docker-compose.override.yml": """
services:
  scheduler:
    volumes: [./dbt:/usr/local/airflow/dbt]
""",
}
OFFICIAL = """
x-airflow-common: &airflow-common
  image: ${AIRFLOW_IMAGE_NAME:-apache/airflow:3.1.8}
  environment: &environment
    AIRFLOW__CORE__EXECUTOR: CeleryExecutor
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: postgresql+psycopg2://airflow:airflow@postgres/airflow
    AIRFLOW__CELERY__BROKER_URL: redis://:@redis:6379/0
    AIRFLOW__CORE__LOAD_EXAMPLES: 'true'
  volumes:
    - ${AIRFLOW_PROJ_DIR:-.}/dags:/opt/airflow/dags
    - ${AIRFLOW_PROJ_DIR:-.}/data:/opt/airflow/data
services:
  postgres: {image: "postgres:16"}
  redis: {image: "redis:7.2-bookworm"}
  airflow-apiserver:
    <<: *airflow-common
    command: api-server
  airflow-worker:
    <<: *airflow-common
    environment:
      <<: *environment
      DUMB_INIT_SETSID: "0"
  flower:
    <<: *airflow-common
  warehouse: {image: "postgres:15"}
  mail: {image: "axllent/mailpit:v1"}
"""


def test_astronomers_layout_is_recognised_whole(look: Look) -> None:
    found = look(ASTRONOMER)
    assert found.layout.dag_folders == ["dags"]
    assert (found.layout.include, found.layout.plugins) == ("include", "plugins")
    assert found.layout.import_path == [".", "dags", "plugins"]
    assert (found.airflow.specifier, found.airflow.source) == ("==3.1.*", "Dockerfile")
    assert found.packages.files == ["requirements.txt"] and found.packages.count == 2
    assert found.variables == ["API_KEY"]
    assert [(each.connections, each.variables, each.pools) for each in found.objects] == [
        (["warehouse"], ["region"], [])
    ]
    assert found.system_packages == ["gcc", "libpq-dev"]
    said = remarks(found)
    assert "not installed here: gcc, libpq-dev" in said
    assert "docker-compose.override.yml: these paths exist in its containers only" in said
    assert "/usr/local/airflow/dbt" in said


def test_no_value_of_a_secret_is_kept_or_shown(look: Look) -> None:
    found = look(ASTRONOMER)
    assert "secret-value" not in repr(found) + repr(found.as_json())


def test_the_official_compose_file_loses_only_the_services_that_are_not_airflows(
    look: Look,
) -> None:
    found = look(
        {
            "docker-compose.yaml": OFFICIAL,
            ".env": "AIRFLOW_UID=1000\n_PIP_ADDITIONAL_REQUIREMENTS=lxml\nREGION=eu\n",
            "dags/a.py": DAG,
            "config/airflow.cfg": "[core]\nparallelism = 5\nexecutor = LocalExecutor\n",
            "plugins/": "",
            "logs/": "",
        }
    )
    assert (found.airflow.specifier, found.airflow.source) == ("==3.1.8", "docker-compose.yaml")
    compose = found.compose[0]
    assert set(compose.replaced) == {
        "airflow-apiserver",
        "airflow-worker",
        "flower",
        "postgres",
        "redis",
    }
    assert compose.missing == ["warehouse", "mail"]
    assert found.variables == ["REGION"]
    assert found.options is not None and found.options.taken == ["core.parallelism"]
    said = remarks(found)
    assert "warehouse is a database of the image postgres:15" in said
    assert "mail is a service of the image axllent/mailpit:v1" in said
    assert "AIRFLOW__CORE__LOAD_EXAMPLES" in said and "copy those that you need to .env" in said
    assert "/opt/airflow/data" in said and "/opt/airflow/dags" not in said
    assert "[core] executor is the stack's own" in said
    assert "put the packages into requirements.txt" in said


def test_a_uv_project_is_taken_by_its_lock(look: Look) -> None:
    found = look(
        {
            "pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n'
            'dependencies = ["apache-airflow>=3.1", "pandas"]\n',
            "uv.lock": 'version = 1\nrequires-python = ">=3.12"\n'
            '[[package]]\nname = "apache-airflow"\nversion = "3.1.8"\n',
            "dags/a.py": DAG,
        }
    )
    assert (versions.exact(found.airflow), found.airflow.source) == ("3.1.8", "uv.lock")
    assert (found.python.specifier, found.python.source) == (">=3.12", "pyproject.toml")
    assert found.packages.lock == "uv.lock" and found.packages.count == 2
    # A range allows the version of the lock: no contradiction.
    assert "but uv.lock wants" not in remarks(found)


def test_a_uv_project_without_a_lock_is_taken_by_its_pyproject(look: Look) -> None:
    text = '[project]\nname = "x"\ndependencies = ["apache-airflow[celery]==3.2.*"]\n'
    found = look({"pyproject.toml": text, "dags/a.py": DAG})
    assert (found.airflow.specifier, found.airflow.source) == ("==3.2.*", "pyproject.toml")
    assert found.packages.lock is None


def test_a_plain_folder_of_dag_files_is_its_own_dag_folder(look: Look) -> None:
    found = look({"one.py": DAG, "helpers.py": "x = 1\n"})
    assert found.layout.dag_folders == ["."] and found.layout.import_path == ["."]
    assert found.airflow.specifier == f"=={metadata.version('apache-airflow')}"
    assert found.airflow.source == "windtunnel"
    assert found.remarks == []


def test_several_dag_folders_are_all_found_and_no_environment_is_one(look: Look) -> None:
    found = look(
        {
            "dags/a.py": DAG,
            "airflow/dags/b.py": DAG,
            "airflow/plugins/": "",
            "team-b/dags/c.py": DAG,
            "src/package/dags/g.py": DAG,
            "src/package/deeper/dags/h.py": DAG,
            ".venv/dags/d.py": DAG,
            "node_modules/dags/e.py": DAG,
            "tests/dags/f.py": DAG,
        }
    )
    assert found.layout.dag_folders == [
        "dags",
        "airflow/dags",
        "team-b/dags",
        "src/package/dags",
    ]
    assert found.layout.plugins == "airflow/plugins"


def test_an_empty_folder_is_one_remark_with_a_step(look: Look) -> None:
    found = look({})
    assert found.layout.dag_folders == []
    assert remarks(found).startswith(".: no DAG folder:") and "make dags/" in remarks(found)
    assert len(found.remarks) == 1


def test_a_path_with_a_space_and_a_letter_beyond_ascii_works(make: Make, tmp_path: Path) -> None:
    root = make({"Übung eins/dags/größe.py": DAG, "dags/a.py": DAG})
    there = root.rename(tmp_path / "Mein Projekt é")
    found = survey(there)
    assert found.root == there
    assert found.layout.dag_folders == ["dags", "Übung eins/dags"]


def test_a_folder_that_nobody_may_write_is_only_read(make: Make) -> None:
    root = make(ASTRONOMER)
    before = sorted(str(path) for path in root.rglob("*"))
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert survey(root).layout.dag_folders == ["dags"]
        assert sorted(str(path) for path in root.rglob("*")) == before
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)


def test_a_folder_that_cannot_be_written_needs_another_state_folder(make: Make) -> None:
    root = make({"dags/a.py": DAG})
    assert survey(root).state_folder == ".windtunnel"
    root.chmod(0o555)
    try:
        said = said_to_an_ordinary_user(root)
        assert said == [".: this folder cannot be written"]
    finally:
        root.chmod(0o755)


def test_a_uv_project_that_names_windtunnel_has_its_own_environment(look: Look) -> None:
    text = '[project]\nname = "x"\n[dependency-groups]\ndev = ["windtunnel"]\n'
    assert look({"pyproject.toml": text}).packages.own_environment
    assert not look({"pyproject.toml": ""}).packages.own_environment


@pytest.mark.parametrize("name", ["Pipfile", "poetry.lock", "environment.yml"])
def test_packages_of_another_tool_are_said_with_a_step(look: Look, name: str) -> None:
    text = "[tool.poetry.dependencies]\napache-airflow = '^3.1'\n"
    said = remarks(look({"dags/a.py": DAG, name: "", "pyproject.toml": text}))
    assert f"{name}: is not read: export its packages to requirements.txt" in said
    assert "pyproject.toml: the dependencies of [tool.poetry] are not read" in said


def test_nothing_of_the_project_is_executed(make: Make, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    code = f"open({str(witness)!r}, 'w').close()  # airflow dag\n"
    survey(
        make(
            {
                "dags/a.py": code,
                "b.py": code,
                "config/airflow_local_settings.py": code,
                "setup.py": code,
                "config/airflow.cfg": f"[core]\nx_cmd = touch {witness}\n",
                ".env": f"A=$(touch {witness})\n",
                "airflow_settings.yaml": f"!!python/object/apply:os.system ['touch {witness}']\n",
            }
        )
    )
    assert not witness.exists()
