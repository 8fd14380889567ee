"""How many connections PostgreSQL must take, and how many workers fit into those that it takes.

Measured on a live stack (Airflow 3.3.2): a slot that has run a task keeps one or two connections, those of Celery's results.
The rest is pools of SQLAlchemy, 5 connections and 10 more under load each: two of the API server, two of the scheduler, one of
DAG processor and triggerer; besides three alarms, the reconciler, and commands that people type.
"""

from __future__ import annotations

PER_SLOT = 2
BASE = 120
LEAST = 200
#: So many workers fit without a word, whatever WORKERS was at the start.
ROOM = 4
#: PostgreSQL's own limit (src/backend/utils/misc/guc_tables.c, MAX_BACKENDS).
MOST = 262_143


def needed(workers: int, concurrency: int) -> int:
    """Connections of a stack with so many workers of so many slots each, and `worker-heavy`."""
    return BASE + PER_SLOT * concurrency * (workers + 1)


def default(workers: int, concurrency: int) -> int:
    """`max_connections` of a stack that starts with so many workers."""
    return min(MOST, max(LEAST, needed(max(workers, ROOM), concurrency)))


def most_workers(connections: int, concurrency: int) -> int:
    """How many workers fit into so many connections."""
    return (connections - BASE) // (PER_SLOT * concurrency) - 1
