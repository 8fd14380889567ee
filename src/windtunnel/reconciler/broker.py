"""The reconciler's view of the broker: which messages exist, who holds them, which tasks were reported lost.

Keys and formats are kombu's Redis transport (kombu 5.7, transport/redis.py): a queue is a list of JSON messages, one list a
priority; what a worker has taken and not acknowledged is in the hash `unacked`, with its time in `unacked_index`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from windtunnel.ledger.lost_tasks import LOST_KEY

CHUNK = 500
PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
#: The header `id`; `root_id` and `parent_id` do not match, and the body is base64, which has no quotes.
_ID = re.compile(rb'"id": ?"([^"]+)"')
#: Moves a message back to its queue and forgets the report, or does nothing where the message is no longer held.
_RESTORE = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[3])
return 1
"""

Held = tuple[str, dict[str, Any], str]


class Broker:
    """Every method raises redis.RedisError while the broker is away."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))

    def lost(self) -> dict[str, dict[str, Any]]:
        """Celery task id -> what its supervisor wrote (ledger/lost_tasks.py). What cannot be read is dropped with one line."""
        found: dict[str, dict[str, Any]] = {}
        for key, value in cast("dict[bytes, bytes]", self.redis.hgetall(LOST_KEY)).items():
            try:
                entry = json.loads(value)
                found[key.decode()] = entry if isinstance(entry, dict) else {}
            except ValueError:  # JSONDecodeError and UnicodeDecodeError are ones
                self.redis.hdel(LOST_KEY, key)
                print(f"reconciler: dropped the report of a lost task that cannot be read: {key!r}", flush=True)
        return found

    def renewals(self) -> dict[str, float]:
        """Delivery tag -> the score that the worker which holds the message last wrote (runtime/lease.py)."""
        rows = cast("list[tuple[bytes, float]]", self.redis.zrange("unacked_index", 0, -1, withscores=True))
        return {tag.decode(): score for tag, score in rows}

    def forget(self, task_id: str) -> None:
        self.redis.hdel(LOST_KEY, task_id)

    def message_ids(self, queues: Iterable[str]) -> set[str]:
        """Celery task ids of all waiting messages, read in pieces: the lists may be long."""
        return {task_id for queue in queues for suffix in PRIORITY_SUFFIXES for task_id in self._ids(queue + suffix)}

    def _ids(self, key: str) -> Iterator[str]:
        # From the tail: workers take from there, so what is read twice or missed meanwhile was just taken and is in unacked.
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
        for tag, raw in cast("dict[bytes, bytes]", self.redis.hgetall("unacked")).items():
            try:
                message, _, queue = json.loads(raw)
                found[message["headers"]["id"]] = (tag.decode(), message, queue)
            except (ValueError, KeyError, TypeError):
                continue  # not a task of Airflow's
        return found

    def restore(self, task_id: str, held: Held) -> bool:
        """Back into its queue, to be taken next; False where somebody else was quicker."""
        tag, message, queue = held
        message["headers"]["redelivered"] = True
        message.setdefault("properties", {}).setdefault("delivery_info", {})["redelivered"] = True
        keys = ["unacked", "unacked_index", queue, LOST_KEY]
        return bool(self.redis.eval(_RESTORE, len(keys), *keys, tag, json.dumps(message), task_id))

    def discard(self, held: Held) -> None:
        """What a dead worker held and nobody needs any more."""
        with self.redis.pipeline() as pipe:
            pipe.hdel("unacked", held[0])
            pipe.zrem("unacked_index", held[0])
            pipe.execute()
