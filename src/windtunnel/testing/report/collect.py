"""Collects what explains a failed test, before its teardown changes the stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from windtunnel.clients.airflow import Airflow, TaskInstance, moment
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.health import status
from windtunnel.pages import redact
from windtunnel.settings import Settings
from windtunnel.system import events
from windtunnel.testing.report import entry, folder, logs, stacks
from windtunnel.testing.report.source import Source
from windtunnel.testing.results import ENDED

#: One question to Airflow's API: a part of the stack may hang.
API_SECONDS = 5.0
#: Runs of one test whose tasks are asked for.
MOST_RUNS = 50


class Collector:
    """Fills the folder of one failed test, and its entry."""

    def __init__(self, target: Path, found: entry.Entry, source: Source) -> None:
        self.target, self.entry, self.source = target, found, source
        self.redact = redact.of_stack(source.state, source.secrets)

    def collect(self) -> None:
        """Collect everything. What cannot be had is a note on the page, never an error."""
        self.entry.faults = [asdict(fault) for fault in self.source.faults]
        self.entry.runs = [entry.Run(r.dag_id, r.run_id, r.time) for r in self.source.runs]
        for run in self.source.runs:
            if run.impatience > 1:
                text = f"{run.dag_id} {run.run_id} ran with waiting {run.impatience:g} times"
                self.entry.notes.append(f"{text} shorter (`impatient`)")
        if self.source.settings is not None:
            settings = self.source.settings
            # First what changes. The logs are the same a little later.
            self._step("the runs", lambda: self._runs(settings))
            self._step("the status", lambda: self._status(settings))
        if self.source.up_log:
            self._step("the output of the start", self._up_log)
        self._step("the events", self._events)
        self._step("the task logs", self._task_logs)
        self._step("the component logs", self._component_logs)

    def _step(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except WindtunnelError as error:
            self.entry.notes.append(self.redact(f"{what} cannot be had: {error}"))
        except Exception as error:  # whatever it is, the test's own failure counts
            text = f"{what} cannot be had: {type(error).__name__}: {error}"
            self.entry.notes.append(self.redact(text))

    def _write(self, name: str, text: str) -> None:
        (self.target / name).write_text(self.redact(text), errors="backslashreplace")
        self.entry.files.append(name)

    def _up_log(self) -> None:
        if self.source.up_log and self.source.up_log.is_file():
            parts = [(self.source.up_log, 0)]
            logs.copy(parts, self.target / "up.log", logs.COMPONENT_BYTES, self.redact)
            self.entry.files.append("up.log")

    def _events(self) -> None:
        kept = [
            event
            for event in events.read(self.source.state / "logs" / events.NAME)
            if self.entry.began <= event["time"] <= self.entry.ended
        ]
        if kept:
            text = self.redact("".join(json.dumps(event) + "\n" for event in kept))
            self._write(events.NAME, text)
            self.entry.events = list(events.parse(text.splitlines()))

    def _component_logs(self) -> None:
        for name, parts in logs.since(self.source.state / "logs", self.source.begun):
            (self.target / "components").mkdir(exist_ok=True)
            file = f"components/{folder.file_name(name)}.log"
            logs.copy(parts, self.target / file, logs.COMPONENT_BYTES, self.redact)
            self.entry.files.append(file)

    def _task_logs(self) -> None:
        """The whole log of each try, also of those that the API could not tell about."""
        for number, run in enumerate(self.entry.runs, 1):
            place = self.source.state / "logs" / "tasks" / _of_run(run.dag_id, run.run_id)
            for file in sorted(place.rglob("attempt=*")):
                name = f"{_folder(number, run)}/{_task_name(file.relative_to(place))}"
                target = self.target / name
                target.parent.mkdir(parents=True, exist_ok=True)
                logs.copy([(file, 0)], target, logs.TASK_BYTES, self.redact, logs.task_line)
                self.entry.files.append(name)
            for each in run.tries:
                each.log = each.log if each.log in self.entry.files else ""

    def _runs(self, settings: Settings) -> None:
        airflow = Airflow(settings, timeout=API_SECONDS)
        if len(self.entry.runs) > MOST_RUNS:
            self.entry.notes.append(f"only the first {MOST_RUNS} runs have their tasks here")
        for number, run in enumerate(self.entry.runs[:MOST_RUNS], 1):
            try:
                run.state = airflow.run_state(run.dag_id, run.run_id)
                base = _folder(number, run)
                for task in airflow.task_instances(run.dag_id, run.run_id):
                    run.tries += self._tries(airflow, run, task, base)
                run.tries.sort(key=lambda each: (each.start is None, each.start or 0.0))
            except NoStackError:
                raise
            except WindtunnelError as error:
                text = f"{run.dag_id} {run.run_id} cannot be had: {error}"
                self.entry.notes.append(self.redact(text))

    def _tries(
        self, airflow: Airflow, run: entry.Run, task: TaskInstance, base: str
    ) -> list[entry.Try]:
        tries = [task]
        if task.try_number > 1 or task.state == "up_for_retry":
            tries = airflow.task_tries(run.dag_id, run.run_id, task)
        return [
            entry.Try(
                task=each.label,
                number=each.try_number,
                state=each.state or "waiting",
                worker=each.hostname or "",
                start=moment(each.start_date),
                end=moment(each.end_date),
                log=f"{base}/{_task_file(each.task_id, each.map_index, each.try_number)}",
            )
            for each in tries
        ]

    def _status(self, settings: Settings) -> None:
        data: dict[str, Any] = {}
        try:
            data = status.collect(settings).as_json()
            self._write("status.json", json.dumps(data, indent=1, default=str) + "\n")
            self.entry.problems = [
                {"part": self.redact(each["part"]), "what": self.redact(each["what"])}
                for each in data["problems"]
            ]
        finally:
            self._step("stacks of hanging processes", lambda: self._stacks(settings, data))

    def _stacks(self, settings: Settings, data: dict[str, Any]) -> None:
        waiting = any(run.state not in ENDED for run in self.entry.runs)
        pids = stacks.targets(settings, data, waiting)
        if not pids:
            return
        command = stacks.program()
        if command is None:
            self.entry.notes.append(stacks.MISSING)
            return
        self._write("stacks.txt", stacks.dump(command, pids))


def _folder(number: int, run: entry.Run) -> str:
    return f"tasks/{number}-{folder.file_name(run.dag_id, 60)}"


def _of_run(dag_id: str, run_id: str) -> Path:
    return Path(f"dag_id={dag_id}") / f"run_id={run_id}"


def _task_name(path: Path) -> str:
    """`task_id=load/map_index=0/attempt=2.log` -> `load[0].try-2.log`, and what follows `.log`."""
    values = dict(part.split("=", 1) for part in path.parts if "=" in part)
    number, _, rest = values.get("attempt", "").partition(".log")
    name = _task_file(values.get("task_id", "task"), int(values.get("map_index", -1)), number)
    # The triggerer has a log of its own: `attempt=1.log.trigger.3.log`.
    more = f".{folder.file_name(rest.removesuffix('.log'))}.log" if rest else ".log"
    return name.removesuffix(".log") + more


def _task_file(task_id: str, map_index: int, number: int | str) -> str:
    index = "" if map_index < 0 else f".{map_index}"
    return f"{folder.file_name(task_id)}{index}.try-{number}.log"
