"""The project's own modules that a DAG file imports, as far as the text of the files names them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: More belong to no DAG file that a person has written.
MOST_FILES = 500
#: A larger file holds data.
MOST_BYTES = 1_000_000


def files_of(file: Path, folders: list[Path]) -> list[Path]:
    """A DAG file and the modules in these folders that it needs, also those that they need.

    Nothing is executed: a module whose name is put together at run time is not found.
    """
    found, todo = [file], [file]
    while todo and len(found) < MOST_FILES:
        path = todo.pop()
        for module, places in _imports(path, folders):
            new = [each for each in _files(module, places) if each not in found]
            found += new
            todo += new
    return found


def _imports(path: Path, folders: list[Path]) -> Iterator[tuple[str, list[Path]]]:
    """The names after `import`, and the folders in which each is looked for."""
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, folders) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = [path.parents[node.level - 1]] if 0 < node.level <= len(path.parents) else []
            base = f"{node.module}." if node.module else ""
            # The last part may be a module too: from include import galaxies.
            names = [f"{base}{alias.name}" for alias in node.names]
            yield from ((name, start if node.level else folders) for name in names)


def _nodes(path: Path) -> Iterator[ast.AST]:
    with suppress(OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        if path.suffix == ".py" and path.stat().st_size <= MOST_BYTES:
            yield from ast.walk(ast.parse(path.read_bytes()))


def _files(module: str, folders: list[Path]) -> Iterator[Path]:
    """The module and the packages around it, in the first folder that has a part of it."""
    parts = module.split(".")
    for folder in folders:
        found = []
        for count in range(1, len(parts) + 1):
            path = folder.joinpath(*parts[:count])
            found += [
                each
                for each in (path.with_name(f"{path.name}.py"), path / "__init__.py")
                if each.is_file()
            ]
        if found:
            yield from found
            return
