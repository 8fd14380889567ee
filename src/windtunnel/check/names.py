"""The lines of a DAG file that name queues, pools and connections, also inside of task functions.

The text alone says it: what runs only in a task does not happen while the file is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a file that are searched.
LIMIT = 4 * 1024 * 1024
#: Calls that make a connection, and so name one that need not be declared.
MAKERS = frozenset({"Connection"})
#: Calls whose first argument is the id of a connection.
READERS = frozenset({"get_connection", "get_hook"})
IN_TEMPLATE = re.compile(r"\bconn\.(?:get\(\s*['\"]([\w.-]+)['\"]|([A-Za-z_]\w*))")
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Names:
    """The names in the text of one file, each with its first line."""

    def __init__(self, file: Path) -> None:
        #: Connection -> line.
        self.connections: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._keywords: dict[tuple[str, str], int] = {}
        for node in _nodes(file):
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Dict):
                self._dictionary(node)
            elif text := _text(node):
                self._texts.setdefault(text, getattr(node, "lineno", 0))
                self._template(text, getattr(node, "lineno", 0))

    def line(self, keyword: str, name: str) -> int | None:
        """The line that gives this name to an argument, else the first one that has the text."""
        return self._keywords.get((keyword, name)) or self._texts.get(name)

    def _call(self, node: ast.Call) -> None:
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        for each in node.keywords:
            if each.arg:
                self._given(each.arg, each.value, called)
        first = _text(node.args[0]) if node.args else ""
        owner = getattr(getattr(node.func, "value", None), "id", "")
        reads = called in READERS or (called == "get" and owner == "Connection")
        if first and (reads or called.endswith("Hook")):
            self._connection(first, node.lineno)

    def _dictionary(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            # Such as `default_args`. Not as a connection: a dictionary may describe anything.
            if key is not None and (name := _text(key)) and (text := _text(value)):
                self._keywords.setdefault((name, text), value.lineno)

    def _given(self, name: str, value: ast.expr, called: str) -> None:
        text = _text(value)
        if not text:
            return
        self._keywords.setdefault((name, text), value.lineno)
        if called not in MAKERS and (name == "conn_id" or name.endswith("_conn_id")):
            self._connection(text, value.lineno)

    def _connection(self, name: str, line: int) -> None:
        if "{{" not in name:
            self.connections.setdefault(name, line)

    def _template(self, text: str, line: int) -> None:
        for template in TEMPLATE.findall(text):
            for found in IN_TEMPLATE.finditer(template):
                self._connection(found[1] or found[2], line)


def _text(node: ast.AST) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else ""


def _nodes(file: Path) -> Iterator[ast.AST]:
    """Every node, none of a file that is no Python, such as a zip file."""
    try:
        if file.suffix != ".py" or file.stat().st_size > LIMIT:
            return
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from ast.walk(tree)
