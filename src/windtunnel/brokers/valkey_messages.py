"""The reconciler's view of Valkey: messages, their holders, and reports of lost tasks.

Keys and formats are kombu's Redis transport (kombu 5.7, transport/redis.py). A queue is a list of
JSON messages, one list a priority. A message that a worker has taken and not acknowledged is in the
hash `unacked`, with its timestamp in `unacked_index`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from windtunnel.brokers.interface import Held
from windtunnel.system import logs

log = logging.getLogger(__name__)

#: Hash on Valkey: Celery task id -> JSON of the ledger entry and its worker.
#: The reconciler reads and deletes its fields.
LOST_KEY = "windtunnel:lost"
CHUNK = 500
PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
#: The header `id`. `root_id` and `parent_id` do not match; the body is base64, without quotes.
_ID = re.compile(rb'"id": ?"([^"]+)"')
#: Moves a message back to its queue and forgets the report.
#: Does nothing where no worker holds the message any more.
_RESTORE = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[3])
return 1
"""


class ValkeyMessages:
    """Every method raises redis.RedisError while Valkey is away."""

    errors: tuple[type[Exception], ...] = (RedisError,)

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(
            url,
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )

    def lost(self) -> dict[str, dict[str, Any]]:
        """Celery task id -> its supervisor's report (ledger/lost_tasks.py).

        A report that cannot be read is dropped with one line.
        """
        found: dict[str, dict[str, Any]] = {}
        reports = cast("dict[bytes, bytes]", self.redis.hgetall(LOST_KEY))
        for key, value in reports.items():
            try:
                entry = json.loads(value)
                found[key.decode()] = entry if isinstance(entry, dict) else {}
            except ValueError:  # JSONDecodeError and UnicodeDecodeError are ones
                self.redis.hdel(LOST_KEY, key)
                text = f"dropped the report of a lost task that cannot be read: {key!r}"
                log.warning(text, extra=logs.event("report_dropped"))
        return found

    def renewals(self) -> dict[str, float]:
        """Delivery tag -> the score that the message's worker last wrote (runtime/lease.py)."""
        rows = self.redis.zrange("unacked_index", 0, -1, withscores=True)
        return {tag.decode(): score for tag, score in cast("list[tuple[bytes, float]]", rows)}

    def forget(self, task_id: str) -> None:
        self.redis.hdel(LOST_KEY, task_id)

    def absent(self, queued: Mapping[str, str], here: Callable[[], set[str]]) -> set[str]:
        """The queued tasks whose message is in no queue, and in no worker's hands."""
        waiting = self.message_ids(set(queued.values()))
        return set(queued) - waiting - set(self.unacked())

    def message_ids(self, queues: Iterable[str]) -> set[str]:
        """Celery task ids of all waiting messages, read in pieces: the lists may be long."""
        keys = [queue + suffix for queue in queues for suffix in PRIORITY_SUFFIXES]
        return {task_id for key in keys for task_id in self._ids(key)}

    def _ids(self, key: str) -> Iterator[str]:
        # From the tail, since workers take from there. A message that this misses or reads twice
        # was just taken, and so is in `unacked`.
        stop = -1
        while chunk := cast("list[bytes]", self.redis.lrange(key, stop - CHUNK + 1, stop)):
            for message in chunk:
                if found := _ID.search(message):
                    yield found.group(1).decode()
            if len(chunk) < CHUNK:
                return
            stop -= CHUNK

    def unacked(self) -> dict[str, Held]:
        """Celery task id -> (delivery tag, message, queue) of everything that workers hold."""
        found: dict[str, Held] = {}
        rows = cast("dict[bytes, bytes]", self.redis.hgetall("unacked"))
        for tag, raw in rows.items():
            try:
                message, _, queue = json.loads(raw)
                found[message["headers"]["id"]] = (tag.decode(), message, queue)
            except (ValueError, KeyError, TypeError):
                continue  # not a task of Airflow's
        return found

    def restore(self, task_id: str, held: Held) -> bool:
        """Puts the message back into its queue, to be taken next.

        False where no worker holds it any more.
        """
        tag, message, queue = held
        message["headers"]["redelivered"] = True
        properties = message.setdefault("properties", {})
        properties.setdefault("delivery_info", {})["redelivered"] = True
        keys = ["unacked", "unacked_index", queue, LOST_KEY]
        return bool(self.redis.eval(_RESTORE, len(keys), *keys, tag, json.dumps(message), task_id))

    def discard(self, held: Held) -> None:
        """Deletes a message that a dead worker held and that nobody needs."""
        tag, _, _ = held
        with self.redis.pipeline() as pipe:
            pipe.hdel("unacked", tag)
            pipe.zrem("unacked_index", tag)
            pipe.execute()
