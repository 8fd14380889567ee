"""The map of src/windtunnel: few files at the top, a charter each, imports that go downwards."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "windtunnel"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
#: Modules that say of themselves that they need nothing but Python.
ALONE = [
    path for path, tree in TREES.items() if "tandard library only" in str(ast.get_docstring(tree))
]
#: A place that Airflow keeps free for the one who runs its code, and sets itself in each process.
GIVEN = {"SUPERVISOR_COMMS"}
CHARTERS = sorted(path for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


def test_imports_go_downwards_and_in_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts in pyproject.toml; `exhaustive` refuses a package without a place."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


def test_the_top_holds_few_files() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 8


def test_a_file_of_over_200_lines_says_why() -> None:
    silent = []
    for path, tree in TREES.items():
        charter = " ".join((ast.get_docstring(tree) or "").split())
        if len(path.read_text().splitlines()) > 200 and "ver 200 lines" not in charter:
            silent.append(str(path.relative_to(SOURCE)))
    assert silent == []


@pytest.mark.parametrize("path", CHARTERS, ids=lambda path: str(path.parent.relative_to(SOURCE)))
def test_a_package_says_what_it_is_for_and_exports_nothing(path: Path) -> None:
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module) and len(module.body) == 1


def loaded(module: Path, *options: str) -> set[str]:
    """The packages that a module brings along when it is imported."""
    name = ".".join(module.relative_to(SOURCE.parent).with_suffix("").parts)
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {name}; print(*sys.modules)"
    command = [sys.executable, *options, "-c", code, str(SOURCE.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {each.partition(".")[0] for each in done.stdout.split()}


@pytest.mark.parametrize("path", ALONE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_that_promises_the_standard_library_only_loads_without_any_package(
    path: Path,
) -> None:
    loaded(path, "-I", "-S")


@pytest.mark.parametrize("name", ["worker/supervisor.py", "reconciler/reconciler.py"])
def test_supervisor_and_reconciler_stay_light(name: str) -> None:
    assert loaded(SOURCE / name).isdisjoint({"airflow", "celery", "kombu", "sqlalchemy"})


def test_clients_print_nothing() -> None:
    prints = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if path.parent.name == "clients" and isinstance(node, ast.Name) and node.id == "print"
    ]
    assert prints == []


def test_only_patches_replace_something_in_other_packages() -> None:
    found = []
    for path, tree in TREES.items():
        foreign = _foreign_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
                base: ast.expr = node
                while isinstance(base, ast.Attribute):
                    base = base.value
                if isinstance(base, ast.Name) and base.id in foreign and node.attr not in GIVEN:
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert [place for place in found if not place.startswith("patches/")] == []


def _foreign_names(tree: ast.Module) -> set[str]:
    """The names in a module that stand for a part of another package than this one and Python's."""
    ours = sys.stdlib_module_names | {"windtunnel"}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] not in ours:
            names |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Import):
            tops = {each.asname or each.name.partition(".")[0]: each.name for each in node.names}
            names |= {name for name, full in tops.items() if full.partition(".")[0] not in ours}
    return names
