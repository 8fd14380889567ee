"""Which names a queue may have. One that cannot work would end each start of its worker, for ever."""

from __future__ import annotations

import re

from windtunnel.errors import UsageError

DEFAULT = "default"
#: AMQP's limit for a short string; Airflow's own column holds 256 characters.
LONGEST_BYTES = 255
#: Keys that kombu, Celery and this project keep in the broker under other types (kombu 5.7, transport/redis.py).
TAKEN = re.compile(r"unacked(_index|_mutex)?|_kombu\..*|celeryev(\..*)?|celery-task-meta-.*|windtunnel:.*|.*\.pidbox", re.DOTALL)


def _wrong(name: str) -> str | None:
    """What is wrong with a name, None where it works."""
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
    # The name passes through the stack's file, in which these end a value or begin something else.
    if ": " in name or " #" in name or name.endswith(":") or "{{" in name:
        return "holds `: `, ` #`, `{{` or a `:` at its end, which process-compose.yaml cannot carry"
    if TAKEN.fullmatch(name):
        return "is a key that Celery or this project uses in the broker"
    return None


def queue_names(text: str, source: str) -> str:
    """The names in a comma-separated text without blanks around them, each once; `default` where there is none.

    Args:
        source: the variable or option that the text comes from.

    Raises:
        UsageError: a name cannot work.
    """
    names = list(dict.fromkeys(name.strip(" ") for name in text.split(",") if name.strip(" ")))
    for name in names:
        if wrong := _wrong(name):
            shown = name if len(name) <= 40 else f"{name[:40]}…"
            raise UsageError(f"{source}: the queue name {shown!r} {wrong}: choose another name, or unset it")
    return ",".join(names) or DEFAULT
