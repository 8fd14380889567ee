"""Why a task failed, from the events of its log.

Airflow 3 logs one JSON object an event. The exception is a field of one of them: `error_detail`, the outermost
exception first, then its causes (airflow.sdk.log, structlog's ExceptionDictTransformer).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OUTPUT_LINES = 8
FRAMES = 3
#: A message may be a whole page, such as a failed query's text: so much of it is shown. `--json` has all of it.
MESSAGE_CHARACTERS = 1000
#: Loggers of Airflow's task runner itself. What a task logs has another name (`task.stdout`, `airflow.task`, its own).
OF_AIRFLOW = ("task", "airflow.dag_processing")
#: Paths of frames that are Airflow's and not the user's.
AIRFLOW_CODE = ("/site-packages/airflow/", "/dist-packages/airflow/")


@dataclass(frozen=True)
class Cause:
    """One exception. `frames` are `file:line in function` of the user's code, the innermost last."""

    type: str
    message: str
    frames: list[str]

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Cause:
        frames = [
            f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            for frame in detail.get("frames") or []
            if not any(part in str(frame.get("filename")) for part in AIRFLOW_CODE)
        ]
        return cls(str(detail.get("exc_type")), str(detail.get("exc_value")), frames[-FRAMES:])


@dataclass(frozen=True)
class TaskError:
    """`summary` is one line, `causes` the exception and what led to it, `output` the task's last lines."""

    summary: str
    causes: list[Cause]
    output: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person, without the summary."""
        shown: list[str] = []
        for number, cause in enumerate(self.causes):
            if number:
                shown.append(f"caused by {cause.type}: {_short(cause.message)}")
            shown += [f"  at {frame}" for frame in cause.frames]
        if self.output:
            shown += ["last output:", *(f"  {line}" for line in self.output)]
        return shown


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]} … ({len(text)} characters)"


def _is_airflows(event: Mapping[str, Any]) -> bool:
    """Whether the task runner wrote it, or the API server (which names no logger and gives no time)."""
    name = str(event.get("logger") or "")
    if not name:
        return not event.get("timestamp")
    return name == OF_AIRFLOW[0] or name.startswith(OF_AIRFLOW[1])


def _causes(details: Any) -> list[Cause]:
    """The chain, and below an exception group the first exception of each member."""
    found: list[Cause] = []
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict):
            found.append(Cause.of(detail))
            for member in detail.get("exceptions") or []:
                found += _causes(member[:1])
    return found


def _summary(event: Mapping[str, Any], causes: list[Cause]) -> str:
    if causes:
        return f"{causes[0].type}: {_short(causes[0].message)}"
    text = str(event.get("event")).partition(" For more information")[0]
    if name := event.get("signal_name"):
        return f"killed by {name}: {text}"
    if "exit_code" in event:
        return f"{text} with code {event['exit_code']}"
    return text


def read(events: Iterable[Mapping[str, Any]]) -> TaskError:
    """Goes through a log once and keeps a few lines of it, however long it is."""
    output: deque[str] = deque(maxlen=OUTPUT_LINES)
    exception: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    last: Mapping[str, Any] = {}
    for event in events:
        ours = event.get("logger") == "windtunnel.worker"
        if event.get("error_detail"):
            exception = event
        if event.get("level") in ("error", "critical") and (ours or _is_airflows(event)):
            verdict = event
        elif not event.get("timestamp") and not str(event.get("event")).startswith("::"):
            last = event
        elif not _is_airflows(event) and not str(event.get("event")).startswith("::"):
            output += str(event.get("event")).splitlines() or [""]
    # A task can log an exception and go on: what its end says counts first.
    told = verdict or exception
    if told is None:
        # Airflow's reason goes on with the whole of a failed HTTP call.
        why = f" ({str(last['event']).partition(': ')[0]})" if last else ""
        return TaskError(f"its log does not say why: it is missing, or the task never began{why}", [], list(output))
    causes = _causes(told.get("error_detail"))
    return TaskError(_summary(told, causes), causes, list(output))
