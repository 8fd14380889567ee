"""Compose files that differ from the official one."""

from __future__ import annotations

from tests.unit.project.conftest import Look, remarks

OLD = """
services:
  postgres:
    image: postgres:13
    environment: [POSTGRES_DB=airflow]
  metadata: {image: "mysql:8"}
  warehouse: {image: "postgres:13", environment: {POSTGRES_DB: shop}}
  web:
    build: {context: ./docker, dockerfile: Dockerfile.airflow}
    image: ours/thing:latest
    environment: [AIRFLOW__CORE__SQL_ALCHEMY_CONN=mysql://a:b@metadata:3306/x]
  loop:
    build: {context: ./docker, dockerfile: Dockerfile.airflow}
    volumes: [{type: bind, source: ./dags, target: /opt/airflow/dags}]
"""


def test_a_service_is_airflows_by_its_variables_or_its_mounts(look: Look) -> None:
    compose = look({"compose.yaml": OLD}).compose[0]
    assert set(compose.replaced) == {"web", "loop", "postgres", "metadata"}
    assert compose.missing == ["warehouse"]


def test_an_image_that_is_built_here_is_judged_by_its_dockerfile(look: Look) -> None:
    files = {"compose.yaml": OLD, "docker/Dockerfile.airflow": "FROM apache/airflow:3.1.8\n"}
    found = look(files)
    assert found.airflow.specifier == "==3.1.8"
    assert found.airflow.source == "docker/Dockerfile.airflow"
    assert "ours/thing" not in remarks(found)


def test_a_dockerfile_outside_the_project_is_not_read(look: Look) -> None:
    found = look({"compose.yaml": "services: {airflow: {build: ../x}}\n"})
    assert found.compose[0].dockerfile is None and found.airflow.source == "windtunnel"


def test_an_image_of_a_team_without_a_build_is_said(look: Look) -> None:
    said = remarks(look({"compose.yaml": "services: {airflow: {image: 'team/airflow:7'}}\n"}))
    assert "compose.yaml: the image team/airflow:7 is not Airflow's" in said


def test_tags_of_composes_own_are_read_as_plain_values(look: Look) -> None:
    text = "services: {a: {image: 'mongo:7', ports: !reset [], x: !override {b: 1}, y: !z 1}}\n"
    found = look({"docker-compose.override.yml": text})
    assert found.compose[0].missing == ["a"]
    assert "not valid YAML" not in remarks(found)


def test_a_service_called_as_a_component_of_airflow_may_run_another_program(look: Look) -> None:
    own = '{image: "team/scripts:1", command: uvicorn src.api:app --port 8000}'
    text = (
        f'services: {{api-server: {own}, scheduler: {{image: "team/a:1", command: [scheduler]}}}}\n'
    )
    compose = look({"compose.yaml": text}).compose[0]
    assert (compose.replaced, compose.missing) == (["scheduler"], ["api-server"])
    assert look({"compose.yaml": "services: {api-server: {restart: no}}\n"}).compose[0].replaced
