"""The ids of DAGs, as far as the text of the files names them. Nothing is executed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from windtunnel.project.folder import Folder
from windtunnel.project.layout import MOST_FILES

#: An id that needs no quotes anywhere.
PLAIN_ID = re.compile(r"[A-Za-z_][\w.-]{0,200}", re.ASCII)


def first(root: Path, dag_folders: list[str]) -> str | None:
    """The id of one DAG; None where no text names one."""
    folder = Folder(root)
    for dags in dag_folders:
        names = [name for name in folder.entries(dags) if name.endswith(".py")]
        for name in names[:MOST_FILES]:
            found = _in(folder.read(f"{dags}/{name}") or "")
            if found:
                return found
    return None


def _in(text: str) -> str | None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls = [(each, node.name) for each in node.decorator_list if _is(each, "dag")]
        elif isinstance(node, ast.Call) and _is(node, "DAG"):
            calls = [(node, "")]
        else:
            continue
        for call, name in calls:
            found = _id(call) or name
            if PLAIN_ID.fullmatch(found):
                return found
    return None


def _is(node: ast.expr, name: str) -> bool:
    """Whether this is `NAME`, `MODULE.NAME`, or a call of either."""
    named = node.func if isinstance(node, ast.Call) else node
    return getattr(named, "id", getattr(named, "attr", None)) == name


def _id(node: ast.expr) -> str:
    if not isinstance(node, ast.Call):
        return ""
    given = [each.value for each in node.keywords if each.arg == "dag_id"] + node.args[:1]
    texts = [each.value for each in given if isinstance(each, ast.Constant)]
    return next((text for text in texts if isinstance(text, str)), "")
