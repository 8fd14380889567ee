"""A deployment by services.windtunnel: machines that are reached by commands only.

A machine is the NixOS test driver's object, or a host of tests/hosts with the same methods.
Standard library only: the test driver's Python has nothing else. Over 200 lines, because one class
has every operation and every fact.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from signal import SIGKILL, Signals
from typing import Any, Protocol

from windtunnel.drill import incidents
from windtunnel.drill.cluster import Away, Check, Checks, Mark, TaskInstance
from windtunnel.ledger.ledger import READY_SECONDS
from windtunnel.system import events

STATE = PurePosixPath("/var/lib/windtunnel")
MARKS = STATE / "run" / "marks.jsonl"
SECRETS = PurePosixPath("/var/lib/windtunnel-secrets")
EVENTS = STATE / "logs" / events.NAME
#: Bash that connects to Valkey. A host may have no client of its own.
VALKEY = "exec 3<>/dev/tcp/127.0.0.1/6379"
PING = f"{VALKEY} && echo PING >&3 && read -t 4 -r <&3 && [[ $REPLY =~ PONG|NOAUTH ]]"
#: Names of process-compose.yaml whose unit is not `windtunnel-NAME`.
UNITS = {"valkey": "redis-windtunnel", "postgres": "postgresql"}


class Machine(Protocol):
    """What is needed of one host."""

    name: str

    def execute(self, command: str) -> tuple[int, str]:
        """Exit code and output of a shell command, run as root."""

    def block(self) -> None:
        """Pull the network cable."""

    def unblock(self) -> None:
        """Plug it in again."""


class NixosCluster:
    """Implements `Cluster`, and of `LocalStack` what can be seen from outside the machines.

    Args:
        roles: machine of each service, named as in process-compose.yaml.
            Workers are named by their Celery node.
        slots: task slots of one worker.
    """

    #: The module has no other.
    broker = "valkey"
    parallelism = 32

    def __init__(self, roles: Mapping[str, Machine], slots: int = 2) -> None:
        self.roles, self.slots = dict(roles), slots
        self.nodes = sorted(name for name in roles if name.startswith("worker"))
        self.api = roles["api-server"]
        self._token = ""

    # -- commands ---------------------------------------------------------------------------
    def output(self, service: str, command: str) -> str:
        """Of a command on that service's machine. Raises `Away` when it fails."""
        status, text = self.roles[service].execute(command)
        if status:
            raise Away(
                f"{self.roles[service].name}: exit code {status}: "
                f"{command.splitlines()[0][:80]}: {text.strip()[-200:]}",
            )
        return text

    def systemctl(self, command: str, service: str) -> str:
        unit = UNITS.get(service, f"windtunnel-{service}")
        return self.output(service, f"systemctl {command} {shlex.quote(unit)}.service")

    def secret(self, name: str) -> str:
        return self.output("api-server", f"cat {SECRETS / name}")

    def http(
        self,
        port: int,
        path: str,
        method: str = "GET",
        body: object = None,
        header: str = "",
    ) -> Any:
        """JSON of one API call, made on the API server's machine.

        curl gets the login by standard input, since argv is public.
        """
        lines = [
            f'url = "http://127.0.0.1:{port}{path}"',
            f'request = "{method}"',
            'write-out = "\\n%{http_code}"',
            "silent",
            "max-time = 15",
        ]
        if header:
            lines.append(f"header = {json.dumps(header)}")
        if body is not None:
            lines += [
                'header = "Content-Type: application/json"',
                f"data = {json.dumps(json.dumps(body))}",
            ]
        text = self.output(
            "api-server",
            f"printf %s {shlex.quote(chr(10).join(lines))} | curl --config -",
        )
        answer, _, code = text.rpartition("\n")
        if not code.startswith("2"):
            raise Away(f"{method} {path}: HTTP {code}: {answer[:200]}")
        return json.loads(answer)

    def airflow(self, path: str, method: str = "GET", body: object = None) -> Any:
        if not self._token:
            login = {"username": "admin", "password": self.secret("airflow-password")}
            self._token = str(self.http(8080, "/auth/token", "POST", login)["access_token"])
        return self.http(
            8080,
            f"/api/v2{path}",
            method,
            body,
            f"Authorization: Bearer {self._token}",
        )

    # -- Cluster ------------------------------------------------------------------------------
    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        body = {"logical_date": None, "conf": {"marks": str(MARKS)} | (conf or {})}
        return str(self.airflow(f"/dags/{dag_id}/dagRuns", "POST", body)["dag_run_id"])

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        rows = self.airflow(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100")[
            "task_instances"
        ]
        return [
            TaskInstance(
                row["task_id"],
                row["map_index"],
                row["state"],
                row["try_number"],
                row["hostname"] or "",
                *(_unix(row[key]) for key in ("queued_when", "start_date", "end_date")),
            )
            for row in rows
        ]

    def workers(self) -> set[str]:
        import base64

        login = base64.b64encode(self.secret("flower-basic-auth").encode()).decode()
        online = self.http(5555, "/api/workers?status=true", header=f"Authorization: Basic {login}")
        return {node.split("@")[0] for node, is_online in online.items() if is_online}

    def stop(self, service: str) -> None:
        self.systemctl("stop", service)

    def start(self, service: str) -> None:
        self.systemctl("start --no-block", service)

    def kill(self, service: str, signal: int = SIGKILL) -> None:
        name, _, part = service.partition("/")
        number = Signals(signal).value
        if name in self.nodes and not part:
            self.output(name, f"kill -{number} {self.main_pid(name)}")
        else:
            self.systemctl(f"kill --signal={number} --kill-whom=main", name)

    def scale(self, workers: int) -> None:
        """Starts or drains so many of the workers that the machines have."""
        if not 0 <= workers <= len(self.nodes):
            raise ValueError(f"{workers} workers: these machines have {', '.join(self.nodes)}")
        for node in self.nodes[:workers]:
            self.start(node)
        for node in self.nodes[workers:]:
            self.stop(node)
        end = time.monotonic() + 180
        while time.monotonic() < end:
            with contextlib.suppress(Away):
                if self.workers() == set(self.nodes[:workers]) and all(
                    self.up(n) for n in self.nodes[:workers]
                ):
                    return
            time.sleep(0.5)
        raise Away(f"not {workers} workers within 180 s")

    @contextlib.contextmanager
    def partition(self, service: str, *, silent: bool = True) -> Iterator[None]:
        """Unplug the machine, so that packets vanish. A cable cannot reset: ValueError."""
        if not silent:
            raise ValueError("a pulled cable is silent: run the scenario with silent=True")
        self.roles[service].block()
        try:
            yield
        finally:
            self.roles[service].unblock()

    def marks(self) -> list[Mark]:
        machines = {self.roles[node].name: node for node in self.nodes}
        lines = [
            line
            for node in machines.values()
            for line in self.output(node, f"cat {MARKS} || true").splitlines()
        ]
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        found = [Mark(attempt=row.pop("try"), **row) for row in rows]
        return sorted(found, key=lambda mark: mark.time)

    # -- what else the machines show -----------------------------------------------------------
    def up(self, service: str) -> bool:
        """Whether the service answers a client now. A worker must be connected and consume."""
        probes = {
            "valkey": PING,
            "postgres": "pg_isready -q -h 127.0.0.1",
            "scheduler": "curl -sf -m 5 http://127.0.0.1:8974/health",
            "flower": "curl -sf -m 5 http://127.0.0.1:5555/healthcheck",
            "api-server": "curl -sf -m 5 http://127.0.0.1:8080/api/v2/version",
        }
        if service in self.nodes:
            return self.process_state(service) == "Ready"
        return self.roles[service].execute(probes[service])[0] == 0

    def main_pid(self, service: str) -> int | None:
        name, _, part = service.partition("/")
        if name in self.nodes and not part:
            pid = self.supervisor(name).get("celery_pid")
            return int(pid) if pid else None
        pid = self.systemctl("show --property=MainPID --value", name).strip()
        return int(pid) or None

    def supervisor(self, worker: str) -> dict[str, Any]:
        """What the worker's supervisor wrote down; empty before it ever ran."""
        text = self.output(
            worker,
            f"cat {STATE}/run/workers/{worker}/supervisor.json 2>/dev/null || echo '{{}}'",
        )
        return dict(json.loads(text))

    def alive(self, marks: Iterable[Mark]) -> set[int]:
        """Pids that are a process of a worker on any machine. Marks do not name the machine."""
        wanted = {(mark.pid, mark.start) for mark in marks}
        # Field 22 of proc(5), the 20th after the name in brackets, which may hold blanks.
        ask = f"for p in {' '.join(str(pid) for pid, _ in sorted(wanted))}; do "
        ask += "test -r /proc/$p/stat && "
        ask += "echo $p $(sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20); done; true"
        rows = [line.split() for node in self.nodes for line in self.output(node, ask).splitlines()]
        found = {(int(pid), int(start)) for pid, start in (row for row in rows if len(row) == 2)}
        return {pid for pid, _ in found & wanted}

    def incident(self, worker: str, since: float, event: str = "") -> str | None:
        """From the worker's machine.

        A killed supervisor writes nothing, and its successor reports the loss.
        """
        lines = self.output(worker, f"cat {EVENTS}.1 {EVENTS} 2>/dev/null || true").splitlines()
        # The clocks of two machines may differ by a fraction of a second.
        return incidents.first(events.parse(lines), worker, int(since), event)

    def process_state(self, service: str) -> str:
        recent = f"-newermt '-{READY_SECONDS:.0f} seconds'"
        probe = f"find {STATE}/run/workers/{service}/ready {recent}"
        return (
            "Ready"
            if self.roles[service].execute(probe)[1].strip().startswith("/")
            else "Not Ready"
        )

    def open_files(self, service: str) -> int:
        return int(self.output(service, f"ls /proc/{self.main_pid(service)}/fd | wc -l"))

    def messages(self) -> dict[str, int]:
        password = f'"$(cat {SECRETS}/valkey-password)"'
        asked = r"AUTH %s\nLLEN default\nLLEN heavy\nHLEN unacked\nQUIT\n"
        answers = self.output("valkey", f"{VALKEY} && printf '{asked}' {password} >&3 && cat <&3")
        counts = [int(line[1:]) for line in answers.splitlines() if line.startswith(":")]
        return dict(zip(("default", "heavy", "unacked"), counts, strict=True))

    def scheduler_age(self) -> float:
        beat = _unix(
            self.http(8080, "/api/v2/monitor/health")["scheduler"]["latest_scheduler_heartbeat"],
        )
        return time.time() - beat if beat else 3600.0

    @contextlib.contextmanager
    def lab_worker(self) -> Iterator[str]:
        """The last worker takes the fault, and is started again afterwards."""
        node = self.nodes[-1]
        self.start(node)
        wait(lambda: self.up(node), f"{node} to be up")
        try:
            yield node
        finally:
            self.start(node)

    def rehearse(self, scenario: Callable[..., object], **arguments: Any) -> list[Check]:
        """Run a scenario and print each promise.

        Raises AssertionError that names the broken ones.
        """
        checks = Checks()
        scenario(self, checks, **arguments)
        for check in checks.made:
            print(f"{'kept' if check.ok else 'BROKEN'}: {check.promised}: {check.seen}", flush=True)
        broken = [f"{check.promised}: {check.seen}" for check in checks.made if not check.ok]
        assert checks.made and not broken, "; ".join(broken) or "the scenario checked nothing"
        return checks.made


def wait(condition: Callable[[], object], what: str, patience: float = 300) -> None:
    """Until the condition holds. Raises AssertionError after `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        with contextlib.suppress(Away):
            if condition():
                return
        assert time.monotonic() < end, f"{what}: not within {patience:.0f} s"
        time.sleep(0.5)


def share_secrets(source: Machine, others: list[Machine]) -> None:
    """Copy the folder of secrets to every host, as root (docs/guides/several-machines.md)."""
    wait(lambda: source.execute(f"test -s {SECRETS}/broker-url")[0] == 0, "the secrets to be made")
    packed = source.execute(f"tar -C {SECRETS.parent} -cf - {SECRETS.name} | base64 -w0")[1].strip()
    for machine in others:
        status, text = machine.execute(
            f"umask 077; printf %s {packed} | base64 -d | tar -C {SECRETS.parent} -xf -",
        )
        assert status == 0, text


def _unix(text: str | None) -> float | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
