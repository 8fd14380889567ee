"""The map of src/windtunnel: few files at the top, a charter each, imports that go downwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "windtunnel"
CHARTERS = sorted(path for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


def test_imports_go_downwards_and_in_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts in pyproject.toml; `exhaustive` refuses a package without a place."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


def test_the_top_holds_few_files() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 8


def test_a_file_of_over_200_lines_says_why() -> None:
    silent = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        charter = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
        if len(text.splitlines()) > 200 and "ver 200 lines" not in charter:
            silent.append(str(path.relative_to(SOURCE)))
    assert silent == []


@pytest.mark.parametrize("path", CHARTERS, ids=lambda path: str(path.parent.relative_to(SOURCE)))
def test_a_package_says_what_it_is_for_and_exports_nothing(path: Path) -> None:
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module) and len(module.body) == 1
