"""Celery's consumer, repaired (`worker_consumer`, a public Celery option).

docs/reference/upstream.md describes the faults. Over 200 lines, because Celery takes one class.

1. Reconnects quickly (Celery waits up to 30 s between attempts). Meanwhile it still writes
   health.json and obeys SIGTERM.
2. Remembers which pool processes are busy after a reconnect (celery#10346, fixed after 5.6.3).
3. Takes an event that cannot be sent for a lost connection. Celery would try without end inside
   its main loop.
4. Every 2 s: writes health.json, subscribes again if somebody unsubscribed it, and reconnects if it
   no longer asks for work.
5. Keeps the lease on the messages of its tasks, also beyond a lost connection (lease.py).
6. With RabbitMQ: takes no more than it can start (held_back.py), and makes none of the queues for
   tasks with an ETA, of which Airflow has none.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from typing import Any

from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.consumer import Consumer

from windtunnel.brokers import choice
from windtunnel.ledger import ledger
from windtunnel.runtime.held_back import LOOK_SECONDS, Heartbeats, HeldBack
from windtunnel.runtime.lease import Lease, keep_tasks_in_hand, take_over

log = get_logger(__name__)

TICK_SECONDS = 2.0
#: A task must start within 3 s of the broker's return. An attempt costs one refused connection.
RECONNECT_MAX_SECONDS = 1.0
#: A worker that is not subscribed for this long subscribes again. A shorter gap may be intended.
UNSUBSCRIBED_SECONDS = 10.0
#: The broker answers BRPOP within a second. A worker that sends no new request for this long
#: no longer asks for work.
SILENT_SECONDS = 12.0
#: A ledger entry without a request is kept this long: its request may be about to come.
LEDGER_GRACE_SECONDS = 6.0
#: Kombu's Redis transport adds this callback to the hub for every connection, and does not always
#: remove it.
POLL_START = "Transport.register_with_event_loop.<locals>.on_poll_start"


#: Celery's step that makes 28 quorum queues where a queue is of that type.
ETA_QUEUES = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class ResilientConsumer(Consumer):  # type: ignore[misc]
    """Restarting the consumer touches no task in hand: the pool and its processes stay."""

    _held_back: HeldBack | None = None

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        default_steps = tuple(s for s in Consumer.Blueprint.default_steps if s != ETA_QUEUES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._files = ledger.WorkerFiles.of_this_process()
        self._wanted: frozenset[str] = frozenset()
        self._missing_since = self._silent_since = 0.0
        self._timer: Any = None
        self._look_timer: Any = None
        super().__init__(*args, **kwargs)
        self._lease = Lease(self.app)
        broker = choice.of_url(self.app.conf.broker_url)
        if broker and broker.pushes:
            self._held_back = HeldBack(lambda: int(self.pool.num_processes))
            Heartbeats(lambda: self.connection)

    # -- 1 ---------------------------------------------------------------------------------
    def ensure_connected(self, conn: Any) -> Any:
        original = conn.ensure_connection

        def while_waiting() -> None:
            self._write(connected=False)
            state.maybe_shutdown()

        def capped(errback: Any = None, max_retries: Any = None, **kwargs: Any) -> Any:
            kwargs["interval_start"] = 0.5
            kwargs["interval_step"] = 0.5
            kwargs["interval_max"] = RECONNECT_MAX_SECONDS
            kwargs["callback"] = while_waiting
            return original(errback, max_retries, **kwargs)

        conn.ensure_connection = capped
        try:
            return super().ensure_connected(conn)
        finally:
            conn.__dict__.pop("ensure_connection", None)

    # -- 2 ---------------------------------------------------------------------------------
    def on_close(self) -> None:
        super().on_close()
        if self._held_back:
            self._held_back.forget()
        # Celery has just cleared its reserved requests. `worker_disable_prefetch` counts them to
        # find a free slot. Without them a full worker would take one message too many, and keep it
        # until one of its long tasks ends.
        for request in tuple(state.active_requests):
            state.task_reserved(request)
        pool: Any = getattr(self.pool, "_pool", None)
        busy = getattr(pool, "_busy_workers", None)
        if busy is None:
            return
        for job in pool._cache.values():
            process = getattr(job, "_write_to", None) or getattr(job, "_scheduled_for", None)
            accepted = getattr(job, "_accepted", False)
            if accepted and process is not None and process._is_alive():
                busy.add(process.inqW_fd)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Releases the lost connection.

        Kombu and the hub would keep its channel, and a socket that even connects again.

        Two references would leak one descriptor a reconnect. The hub holds the old transport's
        `on_poll_start` (kombu 5.7, transport/redis.py, `register_with_event_loop`). QoS holds a
        finalizer that only a successful restore cancels (virtual/base.py, `_on_collect`).
        """
        transport = getattr(self.connection, "transport", None)
        channels = list(getattr(transport, "channels", None) or ())
        for channel in channels:
            keep_tasks_in_hand(channel)
        super().on_connection_error_after_connected(exc)
        for channel in channels:
            qos = getattr(channel, "_qos", None)
            finalizer = getattr(qos, "_on_collect", None)
            if finalizer is not None:
                finalizer.cancel()
        on_tick: Any = getattr(self.hub, "on_tick", set())
        for callback in list(on_tick):
            if getattr(callback, "__qualname__", "").endswith(POLL_START):
                on_tick.discard(callback)  # the next connection adds its own

    # -- 3 ---------------------------------------------------------------------------------
    @property
    def event_dispatcher(self) -> Any:
        return self.__dict__.get("_event_dispatcher")

    @event_dispatcher.setter
    def event_dispatcher(self, dispatcher: Any) -> None:
        if dispatcher is not None:
            publish = dispatcher._publish

            def once(event: Any, producer: Any, routing_key: Any, *_: Any, **__: Any) -> Any:
                return publish(event, producer, routing_key, retry=False)

            dispatcher._publish = once
            dispatcher.buffer_while_offline = False
        self.__dict__["_event_dispatcher"] = dispatcher

    # -- 4 ---------------------------------------------------------------------------------
    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        if self.task_consumer is not None:
            take_over(self.task_consumer.channel)
        if self.restart_count > 0:
            # The objects of the former connection form reference cycles, and keep its sockets open
            # until they are collected. This takes some 0.1 s, once per reconnect.
            gc.collect()
        if not self._wanted:
            self._wanted = frozenset(self.app.amqp.queues.consume_from)
        self._missing_since = self._silent_since = 0.0
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.timer.call_repeatedly(TICK_SECONDS, self.tick)
        if self._held_back:
            if self._look_timer is not None:
                self._look_timer.cancel()
            self._look_timer = hub.timer.call_repeatedly(LOOK_SECONDS, self._held_back.look)
        hub.call_soon(self.tick)

    def tick(self) -> None:
        """Checks the subscription and the requests for work, and writes health.json.

        Raises:
            ConnectionResetError: the connection must be renewed. The hub hands it to the consumer,
                which then restarts.
        """
        now = time.monotonic()
        stopping = state.should_stop is not None or state.should_terminate is not None
        running = not stopping and self.task_consumer is not None
        missing = [queue for queue in self._wanted if not self._consumes_from(queue)]
        self._missing_since = (self._missing_since or now) if missing and running else 0.0
        silent = running and not missing and self._silent()
        self._silent_since = (self._silent_since or now) if silent else 0.0
        quiet = bool(self._silent_since) and now - self._silent_since > 2 * TICK_SECONDS
        self._write(connected=True, consuming=not missing and not quiet, missing=missing)
        if self.task_consumer is not None:
            self._lease.renew_if_due(self.task_consumer.channel, now)
        if self._missing_since and now - self._missing_since >= UNSUBSCRIBED_SECONDS:
            log.warning(
                "windtunnel: not consuming from %s although connected: subscribing again",
                ", ".join(missing),
            )
            queues = self.app.amqp.queues
            queues.select({*queues.consume_from, *self._wanted})
            for queue in missing:
                self.add_task_queue(queue)
            self._missing_since = 0.0
        if self._silent_since and now - self._silent_since >= SILENT_SECONDS:
            self._silent_since = 0.0
            log.warning("windtunnel: this worker does not ask for work: renewing the connection")
            raise ConnectionResetError("the consumer stopped asking for work")

    # -- 6 ---------------------------------------------------------------------------------
    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        handle = super().create_task_handler(*args, **kwargs)
        return self._held_back.wrap(handle) if self._held_back else handle

    def stop(self) -> None:
        if self._held_back:
            self._held_back.give_back()
        super().stop()

    def _consumes_from(self, queue: str) -> bool:
        return bool(self.task_consumer and self.task_consumer.consuming_from(queue))

    def _silent(self) -> bool:
        """Whether a worker with a free slot does not ask for work.

        Source: kombu 5.7, transport/redis.py, `_in_poll` and `_brpop_sent_at`.
        """
        channel: Any = getattr(self.task_consumer, "channel", None)
        if not hasattr(channel, "_brpop_sent_at") or not channel.qos.can_consume():
            return False  # another broker, or all slots taken
        asked = channel._brpop_sent_at
        return asked is None or time.monotonic() - asked > channel.brpop_timeout + 2 * TICK_SECONDS

    def _write(self, connected: bool, consuming: bool = False, missing: Any = ()) -> None:
        if self._files is None:
            return
        held = {request.id for request in (*state.active_requests, *state.reserved_requests)}
        queues: list[str] = []
        if connected and self.task_consumer:
            queues = [queue.name for queue in self.task_consumer.queues]
        pulse = {
            "time": time.time(),
            "pid": os.getpid(),
            "connected": connected,
            "consuming": consuming,
            "queues": queues,
            "missing": list(missing),
            "active": len(state.active_requests),
            "held": len(held),
            "processed": state.all_total_count[0],
            "reconnects": self.restart_count,
        }
        # A full disk must not look like a lost connection. It may look like a hang, but no longer
        # than the disk is full.
        with contextlib.suppress(OSError):
            ledger.write(self._files.health, pulse)
            self._tidy(held)

    def _tidy(self, held: set[str]) -> None:
        """Removes the entries of tasks that were refused, revoked or skipped before they began."""
        assert self._files is not None
        for entry in os.scandir(self._files.tasks):
            task_id = entry.name.removesuffix(".json")
            if not entry.name.endswith(".json") or task_id in held:
                continue
            with contextlib.suppress(OSError):  # a pool child may remove the entry first
                old = time.time() - entry.stat().st_mtime > LEDGER_GRACE_SECONDS
                if old:
                    self._files.forget_unclaimed(task_id)
