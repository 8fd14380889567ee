"""Messages whose worker stopped renewing them (runtime/lease.py): they go back into their queues.

The limit counts on this process's own clock while broker, database and scheduler are well. A task
whose process lives on this machine keeps its message, even if its worker's main loop hangs. Where a
worker on another machine lives but cannot reach the broker, its message is delivered again. Airflow
refuses that copy (`PATCH /run` answers 409 for a running task).
"""

from __future__ import annotations

import os

from windtunnel.brokers.interface import Held, Messages
from windtunnel.reconciler import living
from windtunnel.reconciler.silence import Silence
from windtunnel.settings import Settings
from windtunnel.system.logs import Say

#: Four renewals and a half.
LEASE_SECONDS = float(os.environ.get("WINDTUNNEL_LEASE_SECONDS") or 45)
#: One look adds no more: sweeps come every 10 s.
STEP_SECONDS = 15.0


class Leases:
    """Its state is in memory only. A restart loses it, and a message then comes back later."""

    def __init__(self, settings: Settings, broker: Messages, say: Say) -> None:
        self.settings, self.broker, self.say = settings, broker, say
        self.silence: Silence[str] = Silence(LEASE_SECONDS, STEP_SECONDS)

    def check(self, held: dict[str, Held], now: float) -> None:
        """Puts the messages with an ended lease back.

        Args:
            held: the messages that workers hold, by Celery task id.
            now: monotonic seconds.

        Raises:
            one of `Messages.errors`: the broker is away.
        """
        ended = self.silence.look(self.broker.renewals(), now)
        lapsed = {task_id: held[task_id] for task_id, (tag, _, _) in held.items() if tag in ended}
        if not lapsed:
            return
        running = {task_id for task_id, _ in living.tasks(self.settings.run)}
        for task_id in lapsed.keys() - running:
            if self.broker.restore(task_id, lapsed[task_id]):
                done = f"put Celery task {task_id} back into its queue"
                why = f"its worker has not renewed the message for {LEASE_SECONDS:.0f} s"
                self.say("message_restored", f"{done}: {why}", task=task_id)
