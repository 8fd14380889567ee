"""Patches of Flower."""

from __future__ import annotations

import inspect
import time
from typing import Any

from windtunnel.patches.base import Unfit
from windtunnel.patches.registry import Replacements, patch

#: The pause between two attempts to receive the workers' events again.
AGAIN_SECONDS = 2.0


@patch("fault", "flower.events:Events.run", tested="flower 2.2", components=("flower",))
def flower_looks_again_soon() -> Replacements:
    """Flower shows the workers within seconds of the broker's return, however long that was away.

    Fault: `Events.run` (flower/events.py) doubles its pause after each failed attempt, without end.
    After ten minutes without a broker Flower shows no worker for another eight and a half.
    No upstream report found. Ours: a pause of AGAIN_SECONDS.
    """
    from flower import events  # type: ignore[import-untyped]

    text = inspect.getsource(events.Events.run)
    logger, receiver = events.logger, events.EventReceiver
    if "try_interval *= 2" not in text or "time.sleep(try_interval)" not in text:
        raise Unfit("Events.run looks different")

    def run(self: Any) -> None:
        while True:
            try:
                with self.capp.connection() as connection:
                    handlers = {"*": self.on_event}
                    events_of_workers = receiver(connection, handlers=handlers, app=self.capp)
                    events_of_workers.capture(limit=None, timeout=None, wakeup=True)
            except (KeyboardInterrupt, SystemExit):
                import _thread

                _thread.interrupt_main()
            except Exception as error:
                message = "Failed to capture events: '%s', trying again in %.0f seconds."
                logger.error(message, error, AGAIN_SECONDS)
                time.sleep(AGAIN_SECONDS)

    return {"flower.events:Events.run": run}
