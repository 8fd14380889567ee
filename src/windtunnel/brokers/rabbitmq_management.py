"""Client of RabbitMQ's management API, with the user of Airflow."""

from __future__ import annotations

import base64
import http.client
import json
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from windtunnel.brokers import rabbitmq_conf
from windtunnel.brokers.interface import BrokerAway
from windtunnel.settings import Settings

#: An answer takes milliseconds.
ANSWER_SECONDS = 3.0


def _get(settings: Settings, path: str) -> tuple[Any, str]:
    """The answer, and its date. Raises `BrokerAway`."""
    password = settings.secret(rabbitmq_conf.PASSWORD)
    login = base64.b64encode(f"{rabbitmq_conf.USER}:{password}".encode()).decode()
    port = settings.ports.rabbitmq_management
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise BrokerAway(f"RabbitMQ's management answers {answer.status} {answer.reason}")
        return json.loads(text), str(answer.getheader("date") or "")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, BrokerAway):
            raise
        raise BrokerAway(f"RabbitMQ's management: {error or type(error).__name__}") from None
    finally:
        connection.close()


def queues(settings: Settings) -> dict[str, tuple[int | None, int | None]]:
    """Waiting and unacknowledged messages of each durable queue, some seconds old at most.

    None for a queue that was not counted yet: it has just been made, or its leader starts.
    Raises `BrokerAway`.
    """
    columns = "columns=name,durable,messages_ready,messages_unacknowledged"
    rows, _ = _get(settings, f"/api/queues/{quote(rabbitmq_conf.VHOST, safe='')}?{columns}")
    return {
        str(row["name"]): (row.get("messages_ready"), row.get("messages_unacknowledged"))
        for row in rows
        if row.get("durable")
    }


def clock(settings: Settings) -> float:
    """Its time of day, Unix seconds. Raises `BrokerAway`."""
    _, date = _get(settings, "/api/whoami")
    return parsedate_to_datetime(date).timestamp()
