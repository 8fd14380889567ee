"""The modules that a DAG file needs, by the text of the files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.testing.imports import files_of


def found(root: Path, texts: dict[str, str], *folders: str) -> set[str]:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    files = files_of(root / "dags" / "etl.py", [root / folder for folder in folders])
    return {str(path.relative_to(root)) for path in files}


@pytest.mark.parametrize(
    "statement",
    [
        "import include.steps",
        "from include import steps",
        "from include.steps import load",
        "def late():\n    from include import steps",
    ],
)
def test_a_module_is_found_however_it_is_imported(tmp_path: Path, statement: str) -> None:
    texts = {"dags/etl.py": statement, "include/steps.py": "", "include/other.py": ""}
    assert found(tmp_path, texts, ".", "dags") == {"dags/etl.py", "include/steps.py"}


def test_the_packages_around_it_and_what_it_imports_itself_count_also_in_a_circle(
    tmp_path: Path,
) -> None:
    texts = {
        "dags/etl.py": "from team.steps import load\nimport airflow.sdk, json",
        "src/team/__init__.py": "from . import names",
        "src/team/names.py": "from .steps import load",
        "src/team/steps.py": "from ..far import away\nfrom .inner.deep import *",
        "src/team/inner/deep.py": "import team",
        "src/far.py": "",
    }
    assert found(tmp_path, texts, "src", "dags") == texts.keys()


def test_a_file_that_is_no_python_or_that_is_gone_has_no_modules(tmp_path: Path) -> None:
    assert found(tmp_path, {"dags/etl.py": "import ("}, "dags") == {"dags/etl.py"}
    assert files_of(tmp_path / "gone.py", []) == [tmp_path / "gone.py"]
