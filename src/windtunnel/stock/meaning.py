"""What each scenario is on a stack with Airflow's own settings: other parameters, or nothing."""

from __future__ import annotations

from typing import Any

from windtunnel.drill.scenarios.components import COMPONENTS

#: Airflow notices a vanished task after `[scheduler] task_instance_heartbeat_timeout`, 300 s, and
#: looks for such tasks every 10 s. The retry is waited for longer than that.
NOTICES = 420.0
#: Airflow looks for tasks that are queued too long every 120 s.
LOOKS = 150.0

#: Parameters that differ from the scenario's own, so that stock's own limits can be seen.
OPTIONS: dict[str, dict[str, Any]] = {
    "worker-killed": {"patience": NOTICES},
    "only-worker-killed": {"patience": NOTICES},
    "worker-killed-no-retry": {"patience": NOTICES},
    # In containers no task outlives its worker.
    "everything-killed": {"patience": NOTICES, "spare_tasks": False},
    "workers-away": {"hold": LOOKS},
    "components-killed": {
        "components": tuple(name for name in COMPONENTS if name != "reconciler"),
    },
}
#: Why a scenario cannot be played there.
NOTHING: dict[str, str] = {
    "supervisor-killed": "its workers have no supervisor",
    "long-task": "it is about the lease of a message and the worker's ledger, which only we have",
    "disk-full": "the private stack has no small file system of its own",
    "clock-jump": "its clock is the machine's, which is not moved",
    "soak": "its random faults also hit parts that only we have",
}
