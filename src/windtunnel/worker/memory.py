"""The memory ceiling of a task: WORKER_TASK_MEMORY_MB (0 = none).

It applies to the sum over the task's process and all processes below it. Celery's own
worker_max_memory_per_child measures the pool child. In Airflow 3 the pool child only watches, and
the task runs in a process below it. Resident memory is counted as `ps` shows it (RSS). So pages
shared with the worker count too, and an empty task starts at about 200 MB.
"""

from __future__ import annotations

from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import describe
from windtunnel.ledger.task_log import tell_log
from windtunnel.system import procfs
from windtunnel.worker.celery_process import CeleryProcess
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record

EVERY_SECONDS = 1.0


class MemoryCeiling:
    """Looks once a second. A task that grows faster can exceed the ceiling for that long."""

    def __init__(self, options: Options, record: Record) -> None:
        self.limit = options.task_memory
        self.record = record
        self.next = 0.0

    def check(self, celery: CeleryProcess, now: float) -> None:
        if not self.limit or now < self.next:
            return
        self.next = now + EVERY_SECONDS
        for task_id, entry in self.record.files.in_hand().items():
            pid = ledger.number(entry, "pid")
            if not procfs.alive(pid, ledger.number(entry, "start")):
                continue
            for top in procfs.children(pid):
                members = procfs.family(top)
                used = sum(procfs.resident(p.pid) for p in members)
                if used > self.limit:
                    text = (
                        f"Killed by {self.record.options.name}: the task used {used >> 20} MB, "
                        f"more than the {self.limit >> 20} MB that WORKER_TASK_MEMORY_MB allows. "
                        "Give the task less data at a time, or raise WORKER_TASK_MEMORY_MB."
                    )
                    tell_log(entry, text)
                    self.record.incident(
                        "task_over_memory",
                        f"{describe(task_id, entry)}: {text}",
                        used=used,
                        limit=self.limit,
                        **ledger.identity(task_id, entry),
                    )
                    for member in members:
                        procfs.kill(member)
