"""What the rest of windtunnel may ask of a broker, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from windtunnel.settings import Ports, Settings

#: A message that a worker holds: delivery tag, message, queue.
Held = tuple[str, dict[str, Any], str]


class BrokerAway(ConnectionError):
    """The broker does not answer, or refuses us."""


@dataclass(frozen=True)
class File:
    """A file that the broker's server reads, with its permissions."""

    path: Path
    text: str
    mode: int = 0o600


@dataclass(frozen=True)
class Depths:
    """Waiting messages by queue, and how many messages workers hold."""

    waiting: dict[str, int]
    unacknowledged: int


@dataclass(frozen=True)
class Page:
    """A page of the broker for people: its URL, and the file with the password of `admin`."""

    name: str
    url: str
    password: Path


class Messages(Protocol):
    """The reconciler's view. Every method raises one of `errors` while the broker is away."""

    errors: tuple[type[Exception], ...]

    def lost(self) -> dict[str, dict[str, Any]]:
        """Celery task id -> its supervisor's report (ledger/lost_tasks.py)."""

    def forget(self, task_id: str) -> None:
        """Drops the report."""

    def unacked(self) -> dict[str, Held]:
        """Celery task id -> message, of what workers hold and only the reconciler can give back.

        Empty where the broker itself delivers again what a dead worker held.
        """

    def absent(self, queued: Mapping[str, str], here: Callable[[], set[str]]) -> set[str]:
        """Those tasks of which it is certain that no queue and no worker has a message.

        Args:
            queued: Celery task id -> queue.
            here: Celery ids of the tasks that workers of this machine have written down.
        """

    def renewals(self) -> dict[str, float]:
        """Delivery tag -> the last renewal of its lease; empty where there are no leases."""

    def restore(self, task_id: str, held: Held) -> bool:
        """Puts the message back into its queue. False where no worker holds it any more."""

    def discard(self, held: Held) -> None:
        """Deletes a message that a dead worker held and that nobody needs."""


class Broker(Protocol):
    """One kind of broker. It holds no state; every call names the stack or the URL."""

    #: As in BROKER and in process-compose.yaml.
    name: str
    #: For people.
    title: str
    #: The schemes of its URLs.
    schemes: tuple[str, ...]
    #: Its passwords among the secrets; the first one is in the URL.
    secrets: tuple[str, ...]
    #: Whether it hands messages to a worker without being asked for each.
    pushes: bool
    #: Whether a publish waits for the broker's confirmation.
    confirms: bool
    #: The variable that may name another port, as for a worker behind a proxy.
    port_variable: str

    def port(self, ports: Ports) -> int:
        """The port that Celery connects to."""

    def url(self, password: str, address: str) -> str:
        """The URL for Celery; `address` is `host:port`."""

    def require(self, settings: Settings) -> None:
        """Raises `WindtunnelError` where this machine lacks the server, with the next step."""

    def files(self, settings: Settings) -> Iterable[File]:
        """What its server reads. The secrets exist already."""

    def pages(self, settings: Settings) -> list[Page]:
        """Its pages for people."""

    def fault(self, settings: Settings) -> str | None:
        """Why it does not serve; None when it does."""

    def depths(self, settings: Settings, always: Iterable[str] = ()) -> Depths:
        """Waiting messages; `always` names queues that are listed while empty too.

        Raises:
            BrokerAway: it does not answer.
        """

    def bodies(self, settings: Settings, queues: Iterable[str]) -> list[bytes]:
        """The bodies of the waiting messages as they are kept. They stay where they are.

        Raises:
            BrokerAway: it does not answer.
        """

    def clock(self, settings: Settings) -> float:
        """Its time of day, Unix seconds. Raises `BrokerAway`."""

    def report_lost(self, url: str, reports: Mapping[str, str]) -> None:
        """Hands reports of lost tasks (JSON by Celery task id) to the reconciler.

        Raises:
            BrokerAway: they were not taken, or it is not known whether they were.
        """

    def messages(self, settings: Settings) -> Messages:
        """The reconciler's view."""

    def celery(self, config: dict[str, Any]) -> None:
        """Adapts Celery's settings, which are those for Valkey, to this broker."""

    def flower(self, broker_url: str) -> dict[str, str]:
        """More options of Flower's command line; not for argv, they may hold a password."""

    def answers(self, url: str, seconds: float) -> bool:
        """Whether it takes commands now. A refused password counts as yes."""
