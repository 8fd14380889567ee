"""The connections that the text of a DAG file names, and the lines of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.check.names import Names


def names(folder: Path, text: str) -> Names:
    file = folder / "dag.py"
    file.write_text(text)
    return Names(file)


@pytest.mark.parametrize(
    "line",
    [
        "PostgresHook('c')",
        "hooks.PostgresHook('c')",
        "PostgresHook(postgres_conn_id='c')",
        "BaseHook.get_connection('c')",
        "Connection.get('c')",
        "sql(conn_id='c')",
        "def f():\n    return lambda: x(aws_conn_id='c')",
        "t = 'echo {{ conn.c.host }}'",
        "t = '{{ conn.get(\"c\").host }}'",
    ],
)
def test_a_connection_is_found_in(tmp_path: Path, line: str) -> None:
    assert list(names(tmp_path, line).connections) == ["c"]


@pytest.mark.parametrize(
    "line",
    [
        "Connection(conn_id='c')",
        "sql(conn_id=None)",
        "sql(conn_id=name)",
        "sql(conn_id='{{ params.c }}')",
        "Hook(name)",
        "settings.get('c')",
        "{'conn_id': 'c'}",
        "t = 'my_conn.c and conn.c without a template'",
    ],
)
def test_no_connection_is_found_in(tmp_path: Path, line: str) -> None:
    assert names(tmp_path, line).connections == {}


def test_the_line_of_a_name_is_that_of_its_argument(tmp_path: Path) -> None:
    text = "title = 'heavy'\n\n@task(queue='heavy')\ndef f(): pass\nargs = {\n  'pool': 'p',\n}\n"
    found = names(tmp_path, text)
    assert found.line("queue", "heavy") == 3
    assert found.line("pool", "p") == 6
    assert found.line("pool", "heavy") == 1
    assert found.line("pool", "other") is None


@pytest.mark.parametrize("text", ["def (", "x = '\0'", "(" * 10_000])
def test_what_is_no_python_has_no_names(tmp_path: Path, text: str) -> None:
    assert names(tmp_path, text).connections == {}
