"""The number of connections that PostgreSQL must take, and the workers that fit into them.

Measured on a live stack (Airflow 3.3.2): a slot that has run a task keeps one or two connections
for Celery's results. The others are SQLAlchemy's pools, each of 5 connections and 10 more under
load. The API server and the scheduler have two pools each, the DAG processor and the triggerer
one each. Three LISTEN connections, the reconciler and people's commands come on top.
"""

from __future__ import annotations

PER_SLOT = 2
BASE = 120
LEAST = 200
#: This number of workers always fits, also when WORKERS was lower at the start.
ROOM = 4
#: PostgreSQL's own limit (src/backend/utils/misc/guc_tables.c, MAX_BACKENDS).
MOST = 262_143


def needed(workers: int, concurrency: int) -> int:
    """The connections of a stack with so many workers, and `worker-heavy`."""
    return BASE + PER_SLOT * concurrency * (workers + 1)


def default(workers: int, concurrency: int) -> int:
    """`max_connections` of a stack that starts with so many workers."""
    return min(MOST, max(LEAST, needed(max(workers, ROOM), concurrency)))


def most_workers(connections: int, concurrency: int) -> int:
    """The number of workers that fit into so many connections."""
    return (connections - BASE) // (PER_SLOT * concurrency) - 1
