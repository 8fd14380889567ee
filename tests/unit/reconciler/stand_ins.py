"""What stands in for messages of workers and for the database's rows."""

from __future__ import annotations

import json
import time
from typing import Any

from redis import Redis


def message(task_id: str) -> dict[str, Any]:
    """As kombu writes one; the other ids of the headers must not be taken for the task's."""
    headers = {
        "lang": "py",
        "task": "execute_workload",
        "id": task_id,
        "root_id": "root-" + task_id,
        "parent_id": None,
    }
    return {
        "body": "e30=" * 500,
        "headers": headers,
        "properties": {"delivery_info": {"exchange": "default", "routing_key": "default"}},
    }


def hold(broker: Redis, task_id: str) -> str:
    """The message is in a worker's hands."""
    broker.hset("unacked", "tag-" + task_id, json.dumps([message(task_id), "default", "default"]))
    broker.zadd("unacked_index", {"tag-" + task_id: time.time()})
    return "tag-" + task_id


class Rows:
    """Stands in for reconciler.database.Database."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.aged: list[str] = []
        self.age: float | None = 1.0
        self.beats: dict[str, str] = {}
        self.forgotten: list[str] = []
        #: How often each of them was asked.
        self.schedulers = 0
        self.cleanings = 0

    def drop(self) -> None: ...

    def lead(self) -> bool:
        return True

    def scheduler_age(self) -> float | None:
        return self.age

    def job_ages(self) -> dict[str, float]:
        return {}

    def lost_state(
        self, task_id: str, names: tuple[str, str], started: float, noted: float
    ) -> str | None:
        return self.states.get(task_id)

    def age_heartbeat(self, task_id: str) -> None:
        self.aged.append(task_id)

    def queued(self) -> dict[str, str]:
        return {k: "default" for k, v in self.states.items() if v == "queued"}

    def age_queued(self, task_id: str) -> str | None:
        self.aged.append(task_id)
        return task_id

    def age_dead_schedulers(self, alive: int | None, host: str) -> int:
        self.schedulers += 1
        return 0

    def finished(self, task_ids: list[str]) -> list[str]:
        return [t for t in task_ids if self.states.get(t) == "finished"]

    def forget_result(self, task_id: str) -> None:
        self.forgotten.append(task_id)

    def running(self) -> dict[str, tuple[str, str]]:
        return {key: (beat, key) for key, beat in self.beats.items()}

    def age_silent(self, key: str, beat: str) -> bool:
        self.aged.append(key)
        return True

    def callback_state(self, key: str) -> str | None:
        return self.states.get(key)

    def delete_old_results(self) -> int:
        self.cleanings += 1
        return 0
