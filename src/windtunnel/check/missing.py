"""Queues, pools and connections that a DAG file names and that a stack of the project lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windtunnel.check.declared import Declared
from windtunnel.check.names import Names
from windtunnel.check.report import Finding, Severity

#: Hooks of these work without the connection (amazon: hooks/base_aws.py; cncf.kubernetes:
#: hooks/kubernetes.py): they take what the machine has.
OPTIONAL = frozenset({"aws_default", "kubernetes_default"})
#: The ids that providers give to connections that nobody has named end with this.
PROVIDERS_DEFAULT = "_default"


class Missing:
    """Compares the names in a file with what is declared.

    Args:
        backend: Airflow's setting for a secrets backend, which may hold connections too.
    """

    def __init__(self, declared: Declared, backend: str) -> None:
        self._declared = declared
        self._backend = backend

    def findings(self, file: Path, name: str, facts: dict[str, Any]) -> Iterator[Finding]:
        """One for each name that is not there.

        Args:
            name: of the file, for people.
        """
        names = Names(file)
        for queue, tasks in facts.get("queues", {}).items():
            for severity, text in self._queue(queue):
                line = names.line("queue", queue)
                yield Finding(severity, "queue", text + _of(tasks), name, line)
        for pool, tasks in facts.get("pools", {}).items():
            if pool not in self._declared.pools:
                step = "declare it in airflow_settings.yaml or pools.json"
                text = f"the pool {pool!r} does not exist, its tasks would never run: {step}"
                line = names.line("pool", pool)
                yield Finding("error", "pool", text + _of(tasks), name, line)
        named = facts.get("connections", {})
        for connection in dict.fromkeys([*named, *names.connections]):
            for severity, text in self._connection(connection):
                line = names.connections.get(connection) or names.line("conn_id", connection)
                text += _of(named.get(connection, []))
                yield Finding(severity, "connection", text, name, line)

    def _queue(self, queue: str) -> Iterator[tuple[Severity, str]]:
        if queue in self._declared.queues:
            return
        worker = self._declared.queues_off.get(queue)
        if worker:
            step = f"`process-compose process start {worker}` starts it"
            yield "warning", f"only {worker} serves the queue {queue!r}, and it is off: {step}"
        else:
            step = "name it in WORKER_QUEUES, or declare a worker in windtunnel.yaml"
            yield "error", f"no worker serves the queue {queue!r}: {step}"

    def _connection(self, name: str) -> Iterator[tuple[Severity, str]]:
        if self._backend or name in OPTIONAL or self._declared.has_connection(name):
            return
        files = "airflow_settings.yaml or connections.yaml"
        step = f"declare it in {files}, or set AIRFLOW_CONN_{name.upper()} in .env"
        text = f"the connection {name!r} is not declared: {step}"
        yield "warning" if name.endswith(PROVIDERS_DEFAULT) else "error", text


def _of(tasks: list[str]) -> str:
    return f" (task {', '.join(tasks)})" if tasks else ""
