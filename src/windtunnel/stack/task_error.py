"""The cause of a task's failure, from the events of its log.

Airflow 3 logs one JSON object for each event. The exception is a field of one of them:
`error_detail`, the outermost exception first, then its causes (airflow.sdk.log, structlog's
ExceptionDictTransformer).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OUTPUT_LINES = 8
FRAMES = 3
#: The longest part of a message that is shown. A failed query's message may be a whole page;
#: `--json` has all of it.
MESSAGE_CHARACTERS = 1000
#: Loggers of Airflow's task runner itself. A task's own output has other loggers (`task.stdout`,
#: `airflow.task`, its own names).
OF_AIRFLOW = ("task", "airflow.dag_processing")
#: Frames below these paths belong to Airflow, not to the user's code.
AIRFLOW_CODE = ("/site-packages/airflow/", "/dist-packages/airflow/")
#: And below these, to Python and installed packages.
INSTALLED_CODE = ("/site-packages/", "/dist-packages/", "/lib/python3.", "<frozen ")


@dataclass(frozen=True)
class Cause:
    """One exception.

    `frames` are `file:line in function`, the innermost last, without Airflow's. One is of the
    user's own code, where there is one: the innermost ones may all be of an installed package.
    """

    type: str
    message: str
    frames: list[str]

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Cause:
        files = [
            (str(frame.get("filename")), f"{frame.get('lineno')} in {frame.get('name')}")
            for frame in detail.get("frames") or []
        ]
        files = [each for each in files if not _is_below(AIRFLOW_CODE, each[0])]
        own = [each for each in files if not _is_below(INSTALLED_CODE, each[0])]
        shown = files[-FRAMES:]
        if own and own[-1] not in shown:
            shown = [own[-1], *shown[1:]]
        frames = [":".join(each) for each in shown]
        return cls(str(detail.get("exc_type")), str(detail.get("exc_value")), frames)


@dataclass(frozen=True)
class TaskError:
    """A failure: a summary of one line, the exception with its causes, the task's last lines."""

    summary: str
    causes: list[Cause]
    output: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The lines for a person, without the summary."""
        shown: list[str] = []
        for number, cause in enumerate(self.causes):
            if number:
                shown.append(f"caused by {cause.type}: {_short(cause.message)}")
            shown += [f"  at {frame}" for frame in cause.frames]
        if self.output:
            shown += ["last output:", *(f"  {line}" for line in self.output)]
        return shown


def _is_below(folders: Iterable[str], file: str) -> bool:
    return any(folder in file for folder in folders)


def _short(text: str) -> str:
    text = text.strip()
    if len(text) <= MESSAGE_CHARACTERS:
        return text
    return f"{text[:MESSAGE_CHARACTERS]} … ({len(text)} characters)"


def _is_airflows(event: Mapping[str, Any]) -> bool:
    """Whether the task runner or the API server wrote this event.

    An event of the API server has neither a logger nor a timestamp.
    """
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
    if event.get("signal_name"):
        return f"killed by {event['signal_name']}: {text}"
    if "exit_code" in event:
        return f"{text} with code {event['exit_code']}"
    return text


def traceback_lines(details: Any, indent: str = "    ") -> Iterator[str]:
    """The exception first, then its causes (structlog's ExceptionDictTransformer)."""
    for number, detail in enumerate(details if isinstance(details, list) else []):
        if not isinstance(detail, dict):
            continue
        why = "caused by " if number else ""
        yield f"{indent}{why}{detail.get('exc_type')}: {detail.get('exc_value')}"
        for note in detail.get("exc_notes") or []:
            yield f"{indent}  {note}"
        for frame in detail.get("frames") or []:
            place = f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            yield f"{indent}  at {place}"
        for member in detail.get("exceptions") or []:
            yield from traceback_lines(member, indent + "    ")


def log_text(events: Iterable[Mapping[str, Any]]) -> str:
    """A log as Airflow's UI shows it, with exceptions, without the marks that fold parts of it."""
    lines: list[str] = []
    for event in events:
        said = str(event.get("event", event))
        if not said.startswith("::"):
            lines += [said, *traceback_lines(event.get("error_detail"))]
    return "\n".join(lines)


def read(events: Iterable[Mapping[str, Any]]) -> TaskError:
    """Read a log once; only a few lines of it are kept, so its length does not matter."""
    output: deque[str] = deque(maxlen=OUTPUT_LINES)
    exception: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    last: Mapping[str, Any] = {}
    for event in events:
        ours = event.get("logger") == "windtunnel.worker"
        text = str(event.get("event"))
        if event.get("error_detail"):
            exception = event
        if event.get("level") in ("error", "critical") and (ours or _is_airflows(event)):
            verdict = event
        elif text.startswith("::"):
            continue
        elif not event.get("timestamp"):
            last = event
        elif not _is_airflows(event):
            output += text.splitlines() or [""]
    # A task can log an exception and go on, so the error of its end counts first.
    failure = verdict or exception
    if failure is None:
        summary = "the log gives no reason: it is missing, or the task never started"
        if last:
            # The rest of Airflow's text is the whole of a failed HTTP call.
            summary += f" ({str(last['event']).partition(': ')[0]})"
        return TaskError(summary, [], list(output))
    causes = _causes(failure.get("error_detail"))
    return TaskError(_summary(failure, causes), causes, list(output))
