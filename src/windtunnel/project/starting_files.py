"""The texts that `windtunnel init` writes: a CI workflow, a `pyproject.toml` and a first test."""

from __future__ import annotations

import json
import re
from importlib import metadata

from windtunnel.project import dag_ids
from windtunnel.project.claims import PYPROJECT
from windtunnel.project.layout import CODE
from windtunnel.project.survey import Project
from windtunnel.project.versions import OURS

WORKFLOW = ".github/workflows/windtunnel.yml"
TEST = "tests/test_dags.py"
#: The DAG of the workflow where the DAG files name none.
ANY_DAG = "my_dag"

WORKFLOW_TEXT = """\
# `windtunnel init` wrote this once. It is yours: change it as you like.
# It starts Airflow on real Celery workers, without a container, and runs a DAG.
name: windtunnel
on:
  push:
  pull_request:

permissions:
  contents: read

jobs:
  dags:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    env:
      # The DAG that is run: take one that needs nothing from outside.
      DAG: "{dag}"
{address}    steps:
      - uses: actions/checkout@v4
      - uses: astral-sh/setup-uv@v7
      - name: Start the stack
        run: |
          {windtunnel} up -D
          {windtunnel} wait --timeout 300
      - name: Every DAG file can be imported
        run: {test}
      - name: Run the DAG
        run: {windtunnel} run "$DAG" --timeout 600
      - name: Stop the stack
        if: always()
        run: {windtunnel} down
      - if: failure()
        uses: actions/upload-artifact@v4
        with:
          name: windtunnel-logs
          path: .windtunnel/logs
          include-hidden-files: true
"""
ADDRESS = """\
      # A release's wheel. OWNER stands for the owner of the windtunnel that you use.
      WINDTUNNEL: https://github.com/OWNER/windtunnel/releases/download/v{version}/\
windtunnel-{version}-py3-none-manylinux_2_17_x86_64.whl
"""

TEST_TEXT = '''\
"""Every DAG file of this project can be imported.

`windtunnel init` wrote this once. It is yours: change it as you like. It needs Airflow, the
project's packages and pytest, and neither a stack nor a plugin of windtunnel:

    {command}
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DAG_FOLDERS = {folders}
PLUGINS = {plugins}
# As in the stack: code comes before the installed packages and behind Python's own. Folders of DAGs
# come last, where a DAG file called redis.py replaces no package.
place = next((i for i, path in enumerate(sys.path) if "site-packages" in path), 0)
sys.path[place:place] = [str(ROOT / folder) for folder in {first}]
sys.path += [str(ROOT / folder) for folder in {last}]
# Airflow reads these when it is imported. It writes files into its home folder.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__DAGS_FOLDER", str(ROOT / DAG_FOLDERS[0]))
if PLUGINS:
    os.environ.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(ROOT / PLUGINS))


@pytest.mark.parametrize("folder", DAG_FOLDERS)
def test_every_dag_file_can_be_imported(folder: str) -> None:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.1
        from airflow.models.dagbag import DagBag
    # Tasks run in the project's folder, so DAG files may read files by a relative path.
    os.chdir(ROOT)
    bag = DagBag(str(ROOT / folder))
    faults = "\\n".join(f"{{file}}: {{fault}}" for file, fault in bag.import_errors.items())
    assert not bag.import_errors, faults
    assert bag.dags, f"{{folder}} holds no DAG"
'''


def texts(project: Project) -> dict[str, str]:
    """Path relative to the project -> text, in the order in which they are written."""
    return {
        WORKFLOW: _workflow(project),
        PYPROJECT: _pyproject(project),
        TEST: _test(project),
    }


def dag(project: Project) -> str:
    """The DAG that the workflow runs: the first by name of its file."""
    return dag_ids.first(project.root, project.layout.dag_folders) or ANY_DAG


def _workflow(project: Project) -> str:
    if project.packages.own_environment:
        windtunnel, address = "uv run windtunnel", ""
        test = f"uv run --with pytest pytest {TEST}"
    else:
        windtunnel = 'uvx --from "$WINDTUNNEL" windtunnel'
        address = ADDRESS.format(version=metadata.version("windtunnel"))
        # The shell has the packages of the stack, which need not have pytest.
        test = f"{windtunnel} shell <<< 'uv run --no-project --with pytest pytest {TEST}'"
    return WORKFLOW_TEXT.format(
        dag=dag(project),
        address=address,
        windtunnel=windtunnel,
        test=test,
    )


def _pyproject(project: Project) -> str:
    python = project.python.specifier
    if project.python.source == OURS:
        python = metadata.metadata("windtunnel")["Requires-Python"]
    # The lower limit first, as people write it.
    python = ",".join(sorted(python.split(","), reverse=True))
    # JSON's texts are TOML's, but for a character that no name and no specifier has.
    lines = {"name": json.dumps(_name(project)), "version": '"0"'}
    lines["requires-python"] = json.dumps(python)
    return "\n".join(["[project]", *(f"{key} = {text}" for key, text in lines.items()), ""])


def _name(project: Project) -> str:
    """The folder's name as the name of a Python package (packaging.python.org, "Names")."""
    words = re.sub(r"[^a-z0-9]+", "-", project.root.name.lower())
    return words.strip("-") or "airflow-project"


def _test(project: Project) -> str:
    layout = project.layout
    command = f"uv run --with pytest pytest {TEST}"
    if not project.packages.own_environment:
        command = f"windtunnel shell <<< 'uv run --no-project --with pytest pytest {TEST}'"
    return TEST_TEXT.format(
        command=command,
        folders=_python(layout.dag_folders or ["dags"]),
        plugins=_python(layout.plugins),
        first=_python([path for path in layout.import_path if path in CODE]),
        last=_python([path for path in layout.import_path if path not in CODE]),
    )


def _python(value: object) -> str:
    """The value as Python source; ASCII, since a folder's name may have bytes that are no UTF-8."""
    source = ascii(value)
    return source if "\\" in source or value is None else json.dumps(value)
