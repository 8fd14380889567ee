"""Tasks that a supervisor reported lost (ledger/lost_tasks.py): each is given back.

For a task that ran, the last heartbeat is moved back, and the scheduler retries or fails it. A task
that had not begun, and a callback of an executor, goes back into its queue.
"""

from __future__ import annotations

import logging
from typing import Any

from windtunnel.brokers.interface import Held, Messages
from windtunnel.ledger import ledger
from windtunnel.reconciler import living
from windtunnel.reconciler.database import Database
from windtunnel.settings import Settings
from windtunnel.system.logs import Say

#: Airflow's CallbackState of a callback that an executor still owes a result.
UNFINISHED_CALLBACK = ("pending", "queued", "running")

#: A supervisor's report of a lost task (ledger/lost_tasks.py).
Report = dict[str, Any]


class Reports:
    """Keeps no state: a report stays at the broker until its task has been given back."""

    def __init__(self, settings: Settings, broker: Messages, database: Database, say: Say) -> None:
        self.settings, self.broker, self.database, self.say = settings, broker, database, say

    def give_back(self, lost: dict[str, Report]) -> None:
        """Gives back the tasks whose processes a supervisor has ended."""
        held = self.broker.unacked()
        for task_id, entry in lost.items():
            try:
                self.give_back_one(task_id, entry, held)
            # A name that PostgreSQL cannot hold, or a timestamp outside its range.
            except (ValueError, OverflowError) as error:
                self.broker.forget(task_id)
                what = "dropped the report of a lost task that makes no sense"
                text = f"{what}: {task_id!r}: {error}"
                self.say("report_dropped", text, level=logging.WARNING, task=task_id)

    def give_back_one(self, task_id: str, entry: Report, held: dict[str, Held]) -> None:
        """One of them.

        Raises:
            ValueError, OverflowError: no worker of ours wrote this report.
        """
        name = ledger.describe(task_id, entry)
        if entry.get("callback"):
            self.give_back_callback(task_id, entry, held, name)
        else:
            self.give_back_task(task_id, entry, held, name)

    def give_back_task(
        self,
        task_id: str,
        entry: Report,
        held: dict[str, Held],
        name: str,
    ) -> None:
        """The scheduler retries or fails it; a task that had not begun goes back into its queue."""
        names = (str(entry.get("worker", "")), str(entry.get("hostname", "")))
        started, noted = _seconds(entry.get("started")), _seconds(entry.get("noted"))
        state = self.database.lost_state(task_id, names, started, noted)
        # The ledger is read after the database. A run that the database knows has an entry before.
        if self.is_living(task_id):
            if state != "running":
                self.broker.forget(task_id)  # another delivery of the message is in hand
            # Else this may be a copy that Airflow is about to refuse: the report waits for its end.
            return
        if state == "running":
            self.database.age_heartbeat(task_id)
            return  # the report stays until the scheduler has acted
        if state == "queued" and task_id in held:
            if self.broker.restore(task_id, held[task_id]):
                text = f"put {name} back into its queue: its worker died before it began"
                self.say("message_restored", text, **ledger.identity(task_id, entry))
            return
        self.drop(task_id, held)
        if state != "queued":
            self.database.forget_result(task_id)
            self.returned(task_id, entry, name, state)

    def is_living(self, task_id: str) -> bool:
        """Whether a living process on this machine has the task in hand."""
        return any(task_id == living_id for living_id, _ in living.tasks(self.settings.run))

    def returned(self, task_id: str, entry: Report, name: str, state: str | None) -> None:
        """Logs the state of a task after its worker was lost."""
        text = f"{name} is {state or 'gone'} after its worker was lost"
        self.say("task_returned", text, state=state, **ledger.identity(task_id, entry))

    def drop(self, task_id: str, held: dict[str, Held]) -> None:
        """Deletes the message and the report."""
        if task_id in held:
            self.broker.discard(held[task_id])
        self.broker.forget(task_id)

    def give_back_callback(
        self,
        task_id: str,
        entry: Report,
        held: dict[str, Held],
        name: str,
    ) -> None:
        """A callback runs again under the same id.

        It has no retry policy, and only a result frees its executor slot.
        """
        if self.is_living(task_id):
            self.broker.forget(task_id)  # another delivery of the message is in hand
            return
        self.database.forget_result(task_id)
        state = self.database.callback_state(str(entry["callback"]))
        if task_id in held and state in UNFINISHED_CALLBACK:
            if self.broker.restore(task_id, held[task_id]):
                text = f"put {name} back into its queue: its worker died while it ran"
                self.say("message_restored", text, **ledger.identity(task_id, entry))
            return
        self.drop(task_id, held)
        self.returned(task_id, entry, name, state)


def _seconds(value: object) -> float:
    """A timestamp from a report; 0 where it is not a number."""
    return float(value) if isinstance(value, int | float) else 0.0
