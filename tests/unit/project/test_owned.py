"""A project may not move the stack's own ports, folders, secrets and addresses."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from tests.unit.project.conftest import Look, remarks
from windtunnel.project import owned

CFG = Path(__file__).resolve().parents[3] / "airflow-home" / "airflow.cfg"


def test_every_setting_with_a_path_a_port_or_a_secret_of_the_stack_is_owned() -> None:
    ours = configparser.RawConfigParser()
    ours.read_string(CFG.read_text())
    signs = ("$", "127.0.0.1", "windtunnel.")
    for section in ours.sections():
        for key, value in ours.items(section):
            if key.endswith("_cmd") or any(sign in value for sign in signs):
                assert owned.option(section, key), (section, key)


def test_every_owned_section_is_one_of_ours() -> None:
    ours = configparser.RawConfigParser()
    ours.read_string(CFG.read_text())
    assert set(owned.OPTIONS) <= set(ours.sections())


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT",
        "AIRFLOW_HOME",
        "WINDTUNNEL_STATE",
        "PORT_OFFSET",
        "PC_SOCKET_PATH",
        "PYTHONPATH",
    ],
)
def test_a_variable_of_the_stack_is_refused(look: Look, name: str) -> None:
    found = look({".env": f"{name}=x\nMINE=y\n"})
    assert found.variables == ["MINE"]
    assert f".env: {name} is the stack's own and is not taken" in remarks(found)


@pytest.mark.parametrize(
    "name", ["AIRFLOW__CORE__PARALLELISM", "AIRFLOW_CONN_WAREHOUSE", "AIRFLOW_VAR_X", "HOME_PAGE"]
)
def test_a_variable_of_the_project_is_taken(look: Look, name: str) -> None:
    found = look({".env": f"export {name}='x y'\n"})
    assert found.variables == [name]


def test_each_refused_setting_is_one_line_and_the_others_are_taken(look: Look) -> None:
    text = "[DEFAULT]\na = 1\n[core]\nfernet_key = x\nparallelism = 3\n[api]\nport = 1\n"
    found = look({"config/airflow.cfg": text})
    assert found.options is not None
    assert found.options.taken == ["DEFAULT.a", "core.parallelism"]
    refused = [each for each in found.remarks if each.path == "config/airflow.cfg"]
    assert [each.fault.partition(" is")[0] for each in refused] == [
        "[core] fernet_key",
        "[api] port",
    ]
