"""Client of Airflow's REST API v2 (docs: airflow.apache.org, "Airflow public API reference").

Over 200 lines, because the calls of one API are in one place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from windtunnel.clients import loopback_http
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import ADMIN, Settings


@dataclass(frozen=True)
class TaskInstance:
    """One try of one task as the API shows it.

    Times are in ISO 8601 with a zone, None while the point is not reached.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    hostname: str | None
    pid: int | None
    queue: str | None
    queued_when: str | None
    start_date: str | None
    end_date: str | None

    @property
    def label(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class Airflow:
    """The API server of one stack, as the generated administrator.

    Calls raise `NoStackError` when nothing answers, and `WindtunnelError` with the API's reason
    when it refuses.
    """

    def __init__(self, settings: Settings, timeout: float = 15.0) -> None:
        self.settings = settings
        self._http = loopback_http.client(settings.api_url, timeout=timeout)
        self._token: str | None = None

    def token(self) -> str:
        """A new bearer token: a JWT, valid as long as `[api_auth] jwt_expiration_time` says."""
        login = {"username": ADMIN, "password": self.settings.secret("airflow-password")}
        return str(self._send("POST", "/auth/token", json=login).json()["access_token"])

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            where = f"{self.settings.api_url} ({type(error).__name__})"
            step = (
                "`windtunnel wait` returns when it does, `windtunnel status` says why it does not"
            )
            message = f"Airflow's API does not answer at {where}: {step}"
            raise NoStackError(message) from None
        if answer.is_error and answer.status_code != 401:
            raise ApiError(answer)
        return answer

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call below /api/v2; an expired token is renewed."""
        for _ in range(2):
            if self._token is None:
                self._token = self.token()
            headers = {"Authorization": f"Bearer {self._token}"} | options.pop("headers", {})
            answer = self._send(method, f"/api/v2{path}", headers=headers, **options)
            if answer.status_code != 401:
                return answer.json() if answer.content else None
            self._token = None
        step = "restart the stack if a secret was replaced while it runs"
        raise WindtunnelError(f"Airflow refused the administrator's token: {step}")

    def pages(self, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
        """Every row of a listing, however many pages it has."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", path, params=params | {"limit": 100, "offset": len(rows)})
            rows += page[key]
            if not page[key] or len(rows) >= page["total_entries"]:
                return rows

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        try:
            return dict(self.call("GET", f"/dags/{_part(dag_id)}"))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def change_dag(self, dag_id: str, *, is_paused: bool) -> None:
        self.call("PATCH", f"/dags/{_part(dag_id)}", json={"is_paused": is_paused})

    def parse_again(self, file_token: str) -> None:
        """Ask the DAG processor to read a file at once. The token is in each DAG of the API."""
        try:
            self.call("PUT", f"/parseDagFile/{_part(file_token)}")
        except ApiError as error:
            if error.status != 409:  # the same request is there already
                raise

    def store(self, kind: str, body: dict[str, Any]) -> None:
        """Create a variable, connection or pool."""
        self.call("POST", f"/{kind}", json=body)

    def trigger(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: str | None = None,
    ) -> str:
        """Create a run that starts now; returns its run id."""
        body: dict[str, Any] = {"logical_date": logical_date, "conf": conf or {}}
        if run_id is not None:
            body["dag_run_id"] = run_id
        run = self.call("POST", f"/dags/{_part(dag_id)}/dagRuns", json=body)
        return str(run["dag_run_id"])

    def task_ids(self, dag_id: str) -> list[str]:
        """The ids of the DAG's tasks."""
        tasks = self.call("GET", f"/dags/{_part(dag_id)}/tasks")["tasks"]
        return [str(task["task_id"]) for task in tasks]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.call("GET", _run(dag_id, run_id))["state"])

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """End a run: its tasks are failed, and their processes end with their next heartbeat."""
        self.call("PATCH", _run(dag_id, run_id), json={"state": "failed"})

    def latest_run(self, dag_id: str) -> str | None:
        """The id of the newest run."""
        return next(iter(self.newest_runs(dag_id, 1)), None)

    def newest_runs(self, dag_id: str, limit: int) -> list[str]:
        """The ids of the newest runs, the newest first."""
        return [str(row["dag_run_id"]) for row in self.newest_run_rows(dag_id, limit)]

    def newest_run_rows(self, dag_id: str, limit: int) -> list[dict[str, Any]]:
        """The newest runs as the API shows them, the newest first."""
        params = {"order_by": "-run_after", "limit": limit}
        return list(self.call("GET", f"/dags/{_part(dag_id)}/dagRuns", params=params)["dag_runs"])

    def active_runs(self) -> list[tuple[str, str]]:
        """(dag id, run id) of every run that is queued or running."""
        rows = self.pages("/dags/~/dagRuns", "dag_runs", state=["queued", "running"])
        return [(row["dag_id"], row["dag_run_id"]) for row in rows]

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        rows = self.pages(f"{_run(dag_id, run_id)}/taskInstances", "task_instances")
        return _instances(rows)

    def task_tries(self, dag_id: str, run_id: str, task: TaskInstance) -> list[TaskInstance]:
        """Every try of a task that has begun, oldest first."""
        mapped = "" if task.map_index < 0 else f"/{task.map_index}"
        path = f"{_task(dag_id, run_id, task.task_id)}{mapped}/tries"
        rows = self.call("GET", path)["task_instances"]
        return sorted(_instances(rows), key=lambda each: each.try_number)

    def log_events(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        try_number: int = 1,
        map_index: int = -1,
    ) -> Iterator[dict[str, Any]]:
        """The events of one try's log, one at a time: a log may be larger than the memory."""
        path = f"/api/v2{_task(dag_id, run_id, task_id)}/logs/{try_number}"
        headers = {"Accept": "application/x-ndjson", "Authorization": f"Bearer {self.token()}"}
        params: dict[str, Any] = {"map_index": map_index, "full_content": True}
        try:
            with self._http.stream("GET", path, params=params, headers=headers) as answer:
                if answer.is_error:
                    answer.read()
                    raise ApiError(answer)
                for line in answer.iter_lines():
                    yield _event(line)
        except httpx.TransportError as error:
            where = f"{self.settings.api_url} ({type(error).__name__})"
            message = f"Airflow's API stopped answering at {where}: see `windtunnel status`"
            raise NoStackError(message) from None

    def log(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        try_number: int = 1,
        map_index: int = -1,
    ) -> str:
        """The text of one try's log, one line for each event."""
        events = self.log_events(dag_id, run_id, task_id, try_number, map_index)
        return "\n".join(str(event.get("event", event)) for event in events)

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """What a task returned; None where it returned nothing."""
        path = f"{_task(dag_id, run_id, task_id)}/xcomEntries/return_value"
        params = {"deserialize": True, "map_index": map_index}
        try:
            return self.call("GET", path, params=params)["value"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def import_traces(self) -> list[tuple[str, str, str]]:
        """(file, traceback, when) of every DAG file that cannot be imported."""
        rows = self.pages("/importErrors", "import_errors")
        return [(row["filename"], row["stack_trace"].strip(), row["timestamp"]) for row in rows]

    def import_errors(self) -> list[tuple[str, str]]:
        """(file, the error and its line there) of every DAG file that cannot be imported."""
        return [(file, reason(file, trace)) for file, trace, _ in self.import_traces()]

    def execution_api(self) -> None:
        """Return when the task-execution API answers, which the workers use. Needs no token."""
        self._send("GET", "/execution/health/ping")

    def health(self) -> dict[str, Any]:
        """The answer of /monitor/health: the last heartbeats of Airflow's jobs. Needs no token."""
        return dict(self._send("GET", "/api/v2/monitor/health").json())


def reason(file: str, trace: str) -> str:
    """The last line of a traceback, and the line of this file where its innermost frame stands."""
    places = re.findall(r'^ *File "(.*)", line ([0-9]+)', trace, re.MULTILINE)
    lines = [line for path, line in places if path == file or path.endswith(f"/{file}")]
    return trace.splitlines()[-1] + (f" (line {lines[-1]})" if lines else "")


def moment(text: str | None) -> float | None:
    """A time of Airflow's API in Unix seconds."""
    return datetime.fromisoformat(text).timestamp() if text else None


def _part(name: str) -> str:
    """A name as one part of a URL's path: ids may hold `/`, `?`, `#` and `%`."""
    return quote(name, safe="~")


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}"


def _instances(rows: Iterable[dict[str, Any]]) -> list[TaskInstance]:
    names = TaskInstance.__dataclass_fields__
    return [TaskInstance(**{name: row[name] for name in names}) for row in rows]


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = line
    return event if isinstance(event, dict) else {"event": event}


class ApiError(WindtunnelError):
    """The API refused a call; `status` is the HTTP status code."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        try:
            detail = answer.json().get("detail", answer.text)
        except ValueError:
            detail = answer.text
        super().__init__(f"Airflow's API answered {answer.status_code}: {detail}")
