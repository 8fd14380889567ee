"""The times that components write before their log lines."""

from __future__ import annotations

import re
from datetime import UTC, datetime

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Airflow, PostgreSQL and Celery; Valkey; Flower. The first two have a zone or the local one.
FORMS = (
    re.compile(
        r"^\[?(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?P<part>[.,]\d+)?"
        r"(?P<zone> ?Z| UTC|[+-]\d\d:?\d\d)?( \[\d+\])?(: )?\]?\s*"
    ),
    re.compile(
        r"^\d+:[A-Z] (?P<valkey>\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d)(?P<part>\.\d+)\s*"
    ),
    re.compile(r"^\[(?P<level>[IWEC]) (?P<flower>\d{6} \d\d:\d\d:\d\d) [^]]*\]\s*"),
)


def split(line: str) -> tuple[float | None, str]:
    """The time in Unix seconds, None without one that we know, and the rest of the line."""
    text = COLOURS.sub("", line)
    for form in FORMS:
        if (match := form.match(text)) is None:
            continue
        try:
            return _seconds(match.groupdict()), text[match.end() :]
        except ValueError:
            break
    return None, text


def _seconds(found: dict[str, str | None]) -> float:
    part = (found.get("part") or ".0").replace(",", ".")
    if text := found.get("valkey"):
        moment = datetime.strptime(text, "%d %b %Y %H:%M:%S").astimezone()
    elif text := found.get("flower"):
        # Whole seconds: the middle of them is the best guess.
        moment, part = datetime.strptime(text, "%y%m%d %H:%M:%S").astimezone(), ".5"
    else:
        moment = datetime.fromisoformat(str(found["iso"]))
        zone = (found.get("zone") or "").strip()
        if zone in ("Z", "UTC"):
            moment = moment.replace(tzinfo=UTC)
        elif zone:
            moment = datetime.fromisoformat(f"{found['iso']}{zone}")
        else:
            moment = moment.astimezone()
    return moment.timestamp() + float(part)
