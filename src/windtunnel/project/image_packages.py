"""Packages that a project imports and that its base image brings.

Airflow's image and Astronomer's runtime hold far more than Airflow: providers, pandas. So a project
that is built on one of them need not name these packages. All of them are a gigabyte. Only those
that the project's files import are taken.
Source of the list: the extras in the Dockerfile of apache/airflow (AIRFLOW_EXTRAS).
"""

from __future__ import annotations

import ast
import itertools
import os
from collections.abc import Iterator

from windtunnel.project.folder import Folder
from windtunnel.project.layout import FOREIGN, Layout

#: Import name -> requirement. Airflow's published constraints hold pandas 2.
LIBRARIES = {
    "boto3": "boto3",
    "numpy": "numpy",
    "openlineage": "openlineage-python",
    "pandas": "pandas<3",
    "paramiko": "paramiko",
    "psycopg2": "psycopg2-binary",
    "pyarrow": "pyarrow",
    "pymysql": "pymysql",
    "redis": "redis",
    "slack_sdk": "slack-sdk",
    "snowflake": "snowflake-connector-python",
    "statsd": "statsd",
}
PROVIDERS = "airflow.providers."
#: Namespaces whose second part belongs to the package's name: airflow.providers.common.sql.
NAMESPACES = frozenset({"apache", "atlassian", "cncf", "common", "dbt", "microsoft"})
#: The number of folders and of Python files that are looked at, and bytes of one file.
MOST_FOLDERS = 500
MOST_FILES = 300
LIMIT = 256 * 1024
DEEPEST = 4


def find(folder: Folder, layout: Layout) -> list[str]:
    """The requirements for these packages, sorted."""
    parts = [*layout.dag_folders, layout.include, layout.plugins]
    modules: set[str] = set()
    files = _python_files(folder, [part for part in dict.fromkeys(parts) if part])
    for name in itertools.islice(files, MOST_FILES):
        modules |= _imports(folder.read(name, LIMIT) or "")
    return sorted({package for module in modules if (package := _package(module))})


def _python_files(folder: Folder, names: list[str]) -> Iterator[str]:
    """The files in these folders and below, the upper ones first: a tree of data has no end."""
    level = names
    seen = 0
    for _ in range(DEEPEST + 1):
        below: list[str] = []
        for name in level:
            seen += 1
            if seen > MOST_FOLDERS:
                return
            for entry in folder.entries(name):
                path = entry if name == "." else f"{name}/{entry}"
                if entry.endswith(".py"):
                    yield path
                    continue
                searched = entry not in FOREIGN and "." not in entry and len(below) < MOST_FOLDERS
                if searched and os.path.isdir(folder.root / path):  # noqa: PTH112
                    below.append(path)
        level = below


def _imports(text: str) -> set[str]:
    """The modules that a file names in imports, also within functions."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # The last part may be a module too: from airflow.providers import amazon.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _package(module: str) -> str | None:
    if module.startswith(PROVIDERS):
        words = module.removeprefix(PROVIDERS).split(".")
        count = 2 if words[0] in NAMESPACES and len(words) > 1 else 1
        return "-".join(["apache-airflow-providers", *words[:count]]).replace("_", "-")
    return LIBRARIES.get(module.partition(".")[0])
