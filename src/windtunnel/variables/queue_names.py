"""Checks the names of queues: with a name that cannot work, a worker would never start."""

from __future__ import annotations

import re

from windtunnel.errors import UsageError

DEFAULT = "default"
#: AMQP's limit for a short string; Airflow's own column holds 256 characters.
LONGEST_BYTES = 255
#: kombu, Celery and this project keep these keys in the broker under other types
#: (kombu 5.7, transport/redis.py).
TAKEN = re.compile(
    r"unacked(_index|_mutex)?|_kombu\..*|celeryev(\..*)?"
    r"|celery-task-meta-.*|windtunnel:.*|.*\.pidbox",
    re.DOTALL,
)


def _wrong(name: str) -> str | None:
    """The fault of a name, None for a name that works."""
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in name):
        return "has a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    if size > LONGEST_BYTES:
        return f"has {size} bytes, {LONGEST_BYTES} at most"
    if name.startswith("-"):
        return "begins with `-`, which Celery takes for an option"
    # The name becomes part of YAML, where these characters end a value or begin a comment.
    if ": " in name or " #" in name or name.endswith(":") or "{{" in name:
        return "holds `: `, ` #`, `{{` or a `:` at its end, which process-compose.yaml cannot carry"
    if TAKEN.fullmatch(name):
        return "is a key that Celery or this project uses in the broker"
    return None


def queue_names(text: str, source: str) -> str:
    """The names in a comma-separated text, each once and without blanks around it.

    `default` when the text has no name.

    Args:
        source: the variable or option that the text comes from.

    Raises:
        UsageError: a name cannot work.
    """
    stripped = [name.strip(" ") for name in text.split(",")]
    names = list(dict.fromkeys(name for name in stripped if name))
    for name in names:
        fault = _wrong(name)
        if fault:
            shown = name if len(name) <= 40 else f"{name[:40]}…"
            step = "choose another name, or unset it"
            raise UsageError(f"{source}: the queue name {shown!r} {fault}: {step}")
    return ",".join(names) or DEFAULT
