"""Packages of a base image: those that the project's files import, found within bounds."""

from __future__ import annotations

import time

import pytest

from tests.unit.project.conftest import DAG, Look, Make
from windtunnel.project import image_packages
from windtunnel.project.survey import survey

IMAGE = {"Dockerfile": "FROM apache/airflow:3.3.2\n", "dags/a.py": DAG}


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("import pandas as pd", "pandas<3"),
        ("def f():\n    import numpy.linalg", "numpy"),
        (
            "from airflow.providers.amazon.aws.hooks.s3 import S3Hook",
            "apache-airflow-providers-amazon",
        ),
        ("from airflow.providers import slack", "apache-airflow-providers-slack"),
        ("from airflow.providers.common.sql import hooks", "apache-airflow-providers-common-sql"),
        ("import airflow.providers.apache.spark", "apache-airflow-providers-apache-spark"),
        (
            "from airflow.providers.microsoft.azure.hooks import x",
            "apache-airflow-providers-microsoft-azure",
        ),
    ],
)
def test_an_import_names_its_package(look: Look, text: str, package: str) -> None:
    assert look(IMAGE | {"include/deep/er/x.py": text}).image_packages == [package]


@pytest.mark.parametrize(
    "text", ["from . import pandas", "# import pandas", "import (", "import os"]
)
def test_other_text_names_none(look: Look, text: str) -> None:
    assert look(IMAGE | {"plugins/x.py": text}).image_packages == []


def test_a_project_without_such_an_image_gets_none(look: Look) -> None:
    assert look({"dags/a.py": f"{DAG}import pandas\n"}).image_packages == []


def test_a_tree_of_data_beside_the_dags_is_looked_at_in_part(make: Make) -> None:
    root = make(IMAGE | {"dags/z.py": "import pandas"})
    for outer in range(40):
        for inner in range(100):
            (root / f"dags/data{outer}/part{inner}").mkdir(parents=True)
    (root / "dags/loop").symlink_to(root / "dags")
    start = time.monotonic()
    assert survey(root).image_packages == ["pandas<3"], "the upper folders come first"
    assert time.monotonic() - start < 5
    assert image_packages.MOST_FOLDERS < 4000
