"""One check of all files of `files.py`, made once: to import Airflow takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.check import files
from windtunnel.check.checker import Checker
from windtunnel.check.report import FileReport


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("checked").resolve()
    with files.answering_port() as port:
        files.write(root, port)
        yield root


@pytest.fixture(scope="session")
def checker(project: Path) -> Iterator[Checker]:
    with pytest.MonkeyPatch.context() as patch:
        # A stack's shell, in which somebody runs the tests, means another project.
        for name in ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER", "WORKER_QUEUES"):
            patch.delenv(name, raising=False)
        with Checker.of(project) as made:
            yield made


@pytest.fixture(scope="session")
def reports(checker: Checker) -> dict[str, FileReport]:
    """The stem of a file -> its report."""
    return {each.path.stem: each for each in checker.check_all(checker.files())}
