"""The ids in DAGs, and the queues, pools and connections that their tasks name.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

from typing import Any

#: Tasks that are named for each queue, pool and connection.
MOST_TASKS = 5


def read(dags: list[Any]) -> dict[str, Any]:
    """What a file's DAGs hold."""
    ids: dict[str, list[str]] = {}
    twice: list[str] = []
    names: dict[str, dict[str, list[str]]] = {"queues": {}, "pools": {}, "connections": {}}
    for dag in dags:
        if dag.dag_id in ids:
            twice.append(dag.dag_id)
        ids[dag.dag_id] = [str(task.task_id) for task in dag.tasks]
        for task in dag.tasks:
            shown = f"{dag.dag_id}.{task.task_id}"
            _add(names["queues"], getattr(task, "queue", None), shown)
            _add(names["pools"], getattr(task, "pool", None), shown)
            for name in _connections(task):
                _add(names["connections"], name, shown)
    return {"dags": ids, "twice": twice, **names}


def _add(found: dict[str, list[str]], name: Any, task: str) -> None:
    if isinstance(name, str) and name:
        tasks = found.setdefault(name, [])
        if len(tasks) < MOST_TASKS:
            tasks.append(task)


def _connections(task: Any) -> list[str]:
    """The ids of connections in a task's attributes; what a template will give is not known."""
    fields = dict(vars(task)) if hasattr(task, "__dict__") else {}
    # A mapped task keeps the arguments of its operator.
    partial = getattr(task, "partial_kwargs", None)
    expanded = getattr(getattr(task, "expand_input", None), "value", None)
    for more in (partial, expanded):
        if isinstance(more, dict):
            fields |= more
    found: list[str] = []
    for key, value in fields.items():
        if key == "conn_id" or str(key).endswith("_conn_id"):
            values = value if isinstance(value, list | tuple) else [value]
            found += [each for each in values if isinstance(each, str) and "{{" not in each]
    return list(dict.fromkeys(found))
