"""A private stack, used the way a person uses one: through its commands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from windtunnel.clients import process_compose as compose
from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.clients.flower import Flower
from windtunnel.drill.cluster import Mark
from windtunnel.health import checks
from windtunnel.settings import Settings, load
from windtunnel.stack import leftovers, reset
from windtunnel.system import events

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def until(what: str, check: Callable[[], T], timeout: float = 60.0, every: float = 0.2) -> T:
    """The first true value of a check. Fails after `timeout` seconds with the last value or error."""
    end = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except NameError:  # a mistake of the test itself
            raise
        except Exception as error:  # a part that is away for the moment is not the answer yet
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:.0f} s: {what} (last seen: {last!r})")
        time.sleep(every)


class Stack:
    """Commands, clients and observations of one stack.

    Args:
        state: its state folder. offset: its port offset. root: the checkout it is started from.
        variables: more of the project's variables, such as WORKERS="2".
    """

    def __init__(self, state: Path, offset: int, root: Path = ROOT, **variables: str) -> None:
        self.root = root
        self.variables = {
            "WINDTUNNEL_STATE": str(state),
            "PORT_OFFSET": str(offset),
            "WINDTUNNEL_ROOT": str(root),
            **variables,
        }
        self.settings: Settings = load({**os.environ, **self.variables}, client=False)

    # -- commands --------------------------------------------------------------------------
    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings.environment(), **self.variables}

    def command(
        self, *words: str, timeout: float = 300.0, check: bool = False, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command of the project as a person would; its output is kept."""
        done = subprocess.run(
            words,
            env={**self.environment, **more},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def up(self, timeout: float = 240.0) -> None:
        self.command("process-compose", "up", "-D", check=True, timeout=timeout)
        self.command(
            "windtunnel", "wait", "--timeout", str(timeout), check=True, timeout=timeout + 30
        )

    def down(self, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        return self.command("process-compose", "down", timeout=timeout)

    def scale(self, count: int) -> None:
        self.command("process-compose", "process", "scale", "worker", str(count), check=True)
        self.command("windtunnel", "wait", "--timeout", "120", check=True)

    def destroy(self) -> None:
        """End everything at once, whatever state it is in, and delete the state folder."""
        self.kill_everything()
        reset.reset(self.settings)
        if self.settings.state.exists():
            shutil.rmtree(self.settings.state)

    def kill_everything(self) -> None:
        """SIGKILL for every process of the stack, the supervisor first."""
        for _ in range(5):
            if not (found := leftovers.find(self.settings)):
                return
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.2)

    # -- clients ---------------------------------------------------------------------------
    @property
    def compose(self) -> compose.Compose:
        return compose.Compose(self.settings)

    @property
    def airflow(self) -> Airflow:
        return Airflow(self.settings)

    @property
    def flower(self) -> Flower:
        return Flower(self.settings)

    @property
    def broker(self) -> Any:
        return checks.broker(self.settings)

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.command("windtunnel", "status", "--json").stdout))

    def events(self, name: str) -> list[events.Event]:
        """The events of that name, oldest first."""
        return [e for e in events.read(self.settings.events) if e["event"] == name]

    def supervisor(self, node: str) -> dict[str, Any]:
        return checks.supervisor_record(self.settings, node)

    # -- DAG runs --------------------------------------------------------------------------
    def trigger(self, dag_id: str, **conf: Any) -> str:
        until(f"{dag_id} is known", lambda: self.airflow.dag(dag_id), 30)
        return self.airflow.trigger(
            dag_id, {k: str(v) if isinstance(v, Path) else v for k, v in conf.items()}
        )

    def tasks(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return self.airflow.task_instances(dag_id, run_id)

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """The value that a task returned. The ids must need no quoting in a URL."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.call("GET", path, params={"deserialize": True})["value"]

    def finished(self, dag_id: str, run_id: str, timeout: float = 120.0) -> str:
        """The run's final state."""
        final = ("success", "failed")

        def ended() -> str:
            state = self.airflow.run_state(dag_id, run_id)
            return state if state in final else ""

        return until(f"{dag_id} {run_id} ends", ended, timeout, 0.3)

    def run(self, dag_id: str, timeout: float = 120.0, **conf: Any) -> tuple[str, str]:
        """Trigger and follow; (run id, final state)."""
        run_id = self.trigger(dag_id, **conf)
        return run_id, self.finished(dag_id, run_id, timeout)


#: Makes private stacks: `new_stack(WORKERS="2")`.
NewStack = Callable[..., Stack]


def read_marks(path: Path) -> list[Mark]:
    """The side effects written so far."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [Mark(attempt=row.pop("try"), **row) for row in rows]
