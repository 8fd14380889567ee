"""Patch of the DAG processor: it does not look for DAG files in a virtual environment."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch

FUNCTION = "_find_path_from_directory"
#: The first is of Airflow 3.2 and newer, the second one of 3.1.
HOMES = ("airflow._shared.module_loading.file_discovery", "airflow.utils.file")
#: Python has it in each virtual environment (PEP 405).
MARK = "pyvenv.cfg"


@patch(
    "fault",
    *(f"{home}:{FUNCTION}" for home in HOMES),
    tested="apache-airflow 3.1 to 3.3",
    components=("dag-processor",),
)
def environments_hold_no_dags() -> Replacements:
    """The search for DAG files leaves virtual environments out.

    Cause: the search follows links, and a directory that appears twice ends the DAG processor. On
    Linux a virtual environment has both `lib` and the link `lib64`. So a project whose DAG files
    lie beside its `.venv` has no DAGs. Without the link Airflow opens thousands of files. Ours: the
    search ignores a directory with `pyvenv.cfg`, as if `.airflowignore` named it.
    """
    home = next((name for name in HOMES if hasattr(_module(name), FUNCTION)), None)
    if home is None:
        raise Unfit("Airflow looks for DAG files elsewhere")
    search = getattr(_module(home), FUNCTION)
    if parameters(search) != ["base_dir_path", "ignore_file_name", "ignore_rule_type"]:
        raise Unfit(f"{FUNCTION} looks different")

    def without_environments(
        base_dir_path: Any, ignore_file_name: str, ignore_rule_type: Any
    ) -> Iterator[str]:
        class Rule(ignore_rule_type):  # type: ignore[misc]
            @staticmethod
            def match(path: Path, rules: list[Any]) -> bool:
                # Most paths are files: the kernel refuses to look below one at once.
                if os.path.isfile(f"{path}/{MARK}"):  # noqa: PTH113 - of each of thousands
                    return True
                return bool(ignore_rule_type.match(path, rules))

        yield from search(base_dir_path, ignore_file_name, Rule)

    return {f"{home}:{FUNCTION}": without_environments}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
