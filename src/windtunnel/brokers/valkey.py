"""Valkey, as the rest of windtunnel asks for it (interface.py)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from windtunnel.brokers import valkey_conf
from windtunnel.brokers.interface import BrokerAway, Depths, File, Messages, Page
from windtunnel.settings import Ports, Settings

if TYPE_CHECKING:
    from redis import Redis


def client(url: str, seconds: float = 2.0, **options: Any) -> Redis:
    """A client that gives up after so long."""
    from redis import Redis

    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, **options)


def once(url: str, seconds: float, **options: Any) -> Redis:
    """A client that tries no second time."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return client(url, seconds, retry=Retry(NoBackoff(), 0), **options)


def keepalive() -> dict[int, int]:
    """Socket options with which the kernel notices a silent peer after 5 + 3 x 2 s (tcp(7)).

    They also work on a connection that only waits.
    """
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    options: dict[int, int] = {}
    for name, value in wanted.items():
        if hasattr(socket, name):
            options[getattr(socket, name)] = value
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Valkey:
    name = "valkey"
    title = "Valkey"
    schemes: tuple[str, ...] = ("redis", "rediss", "sentinel")
    secrets: tuple[str, ...] = ("valkey-password",)
    pushes = False
    confirms = False
    port_variable = "WINDTUNNEL_VALKEY_PORT"

    def port(self, ports: Ports) -> int:
        return ports.valkey

    def url(self, password: str, address: str) -> str:
        return f"redis://:{password}@{address}/0"

    def require(self, settings: Settings) -> None:
        """Its program is brought with PostgreSQL's (stack/programs.py)."""

    def files(self, settings: Settings) -> Iterable[File]:
        return [File(valkey_conf.file(settings), valkey_conf.configuration(settings))]

    def pages(self, settings: Settings) -> list[Page]:
        return []

    def fault(self, settings: Settings) -> str | None:
        from redis import RedisError

        try:
            with client(settings.secret("broker-url")) as valkey:
                valkey.ping()
        except RedisError as error:
            return f"does not answer ({_first_line(error)})"
        return None

    def depths(self, settings: Settings, always: Iterable[str] = ()) -> Depths:
        from redis import RedisError

        try:
            with client(settings.secret("broker-url")) as valkey:
                lists = {key.decode() for key in valkey.scan_iter(count=1000, _type="list")}
                names = [n for n in sorted(lists | {*always}) if not n.endswith(".pidbox")]
                waiting = {name: int(valkey.llen(name)) for name in names}
                return Depths(waiting, int(valkey.hlen("unacked")))
        except RedisError as error:
            raise BrokerAway(f"Valkey: {_first_line(error)}") from None

    def bodies(self, settings: Settings, queues: Iterable[str]) -> list[bytes]:
        from redis import RedisError

        try:
            with client(settings.secret("broker-url")) as valkey:
                texts = [text for name in queues for text in valkey.lrange(name, 0, -1)]
        except RedisError as error:
            raise BrokerAway(f"Valkey: {_first_line(error)}") from None
        return [str(json.loads(text)["body"]).encode() for text in texts]

    def clock(self, settings: Settings) -> float:
        from redis import RedisError

        try:
            with client(settings.secret("broker-url")) as valkey:
                return float(cast("tuple[int, int]", valkey.time())[0])
        except RedisError as error:
            raise BrokerAway(f"Valkey: {_first_line(error)}") from None

    def report_lost(self, url: str, reports: Mapping[str, str]) -> None:
        from redis import RedisError

        from windtunnel.brokers.valkey_messages import LOST_KEY

        try:
            with once(url, 1) as valkey:
                valkey.hset(LOST_KEY, mapping=dict(reports))
        except RedisError as error:
            raise BrokerAway(f"Valkey: {_first_line(error)}") from None

    def messages(self, settings: Settings) -> Messages:
        from windtunnel.brokers.valkey_messages import ValkeyMessages

        return ValkeyMessages(settings.secret("broker-url"))

    def celery(self, config: dict[str, Any]) -> None:
        config["broker_transport_options"].setdefault("socket_keepalive_options", keepalive())

    def flower(self, broker_url: str) -> dict[str, str]:
        return {}

    def answers(self, url: str, seconds: float) -> bool:
        """One connection, one PING.

        `-LOADING` (Valkey reads its file after a restart) counts as no. A refused or missing
        password counts as yes: Celery's own error then names the true cause.
        """
        from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

        try:
            with once(url, seconds, protocol=2) as valkey:
                valkey.ping()
        except (AuthenticationError, NoPermissionError):
            return True
        except (RedisError, OSError) as error:
            return "NOAUTH" in str(error)
        return True
