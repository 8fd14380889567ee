"""A stack on a PostgreSQL that somebody else runs and that speaks TLS only (`DATABASE_URL`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
import pytest

from tests import servers, tls_front
from tests.stack_fixture import NewStack, Stack, until
from tests.tls_front import Front
from windtunnel.clients.postgres import libpq_url
from windtunnel.settings import Settings
from windtunnel.stack import leftovers, ports


class Service:
    """The PostgreSQL of somebody else."""

    def __init__(self, settings: Settings, front: Front) -> None:
        self.settings, self.front = settings, front
        plain = libpq_url(settings).replace(f":{settings.ports.postgres}/", f":{front.port}/")
        #: With the strictest check of its certificate.
        self.url = f"{plain}?sslmode=verify-full&sslrootcert={quote(str(front.authority))}"

    def count(self, run_id: str) -> int:
        with servers.connected(self.settings) as cursor:
            cursor.execute("SELECT count(*) FROM dag_run WHERE run_id = %s", (run_id,))
            return int((cursor.fetchone() or (0,))[0])

    def crash(self) -> None:
        """Its postmaster ends every session and starts again."""
        pid = int((self.settings.state / "postgres" / "postmaster.pid").read_text().split()[0])
        for child in psutil.Process(pid).children():
            if "walwriter" in " ".join(child.cmdline()):
                child.kill()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with servers.running(folder / "state", "postgres") as settings:
        with tls_front.before(settings.ports.postgres, folder) as front:
            yield Service(settings, front)


@pytest.fixture(scope="module")
def outside(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(
        tmp_path_factory.mktemp("outside") / "state",
        ports.free_offset(),
        WORKER_CONCURRENCY="2",
        DATABASE_URL=service.url,
    )
    try:
        made.up()
        yield made
    finally:
        made.destroy()


def test_tasks_and_triggers_run_on_it_and_the_stack_has_no_postgresql_of_its_own(
    outside: Stack,
) -> None:
    assert outside.run("hello")[1] == "success"
    # The triggerer and parts of the API server reach the database through asyncpg.
    assert outside.run("deferrable")[1] == "success"
    own = [p.name() for p in leftovers.find(outside.settings) if p.name().startswith("postgres")]
    assert own == [] and not (outside.settings.state / "postgres").exists()
    assert not ports.is_taken(outside.settings.ports.postgres)


def test_every_connection_of_the_stack_is_encrypted(outside: Stack, service: Service) -> None:
    assert outside.run("hello")[1] == "success"
    assert service.front.encrypted > 5
    # Only the probe asks without: it sends no password, and the refusal is its answer.
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        psycopg2.connect(service.url.replace("verify-full", "disable"))


def test_status_names_the_database_and_no_process_has_its_password(outside: Stack) -> None:
    status = outside.command("windtunnel", "status", check=True, DATABASE_URL="").stdout
    assert outside.settings.database is not None
    assert f"database: {outside.settings.database.name}, of another service" in status
    password = outside.settings.secret("database-url").split(":")[2].split("@")[0]
    found = leftovers.find(outside.settings)
    assert len(found) > 8
    for process in found:
        with process.oneshot():
            seen = " ".join([*process.cmdline(), *process.environ().values()])
        assert password not in seen, process.name()


def test_a_task_that_ends_while_the_service_restarts_succeeds_in_its_first_try(
    outside: Stack, service: Service, marks: Path
) -> None:
    """Row 5 of the failure table, on a database that the stack does not start itself."""
    run_id = outside.trigger("steady", seconds=6, marks=str(marks))
    until("the task runs", lambda: marks.exists() and marks.read_text(), 60)
    service.crash()
    assert outside.finished("steady", run_id) == "success"
    assert {task.try_number for task in outside.tasks("steady", run_id)} == {1}


def test_a_drill_does_not_break_it_and_says_so(outside: Stack) -> None:
    done = outside.command("windtunnel", "drill", "database-killed", "--yes", "--json")
    assert "belongs to another service" in done.stdout


def test_after_down_the_tables_are_there_and_the_next_up_goes_on_with_them(
    outside: Stack, service: Service
) -> None:
    before = outside.run("hello")
    assert outside.down().returncode == 0
    assert service.count(before[0]) == 1
    outside.up()
    assert outside.run("hello")[1] == "success"


def test_a_wrong_password_ends_up_with_the_cause_before_anything_is_written(
    service: Service, tmp_path: Path
) -> None:
    wrong = service.url.replace("airflow:", "airflow:x", 1)
    stack = Stack(tmp_path / "state", ports.free_offset(), DATABASE_URL=wrong)
    done = stack.command("process-compose", "up", "-D")
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr and "DATABASE_URL" in done.stderr
    assert not (tmp_path / "state" / "secrets" / "database-url").exists()


def test_behind_pgbouncer_tasks_succeed_and_status_says_that_airflow_polls(
    new_stack: NewStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pooled")
    with servers.running(folder / "state", "postgres") as settings:
        with servers.pooled(settings, tmp_path_factory.mktemp("pooler")) as port:
            url = libpq_url(settings).replace(f":{settings.ports.postgres}/", f":{port}/")
            stack = new_stack(DATABASE_URL=url)
            stack.up()
            assert stack.run("hello")[1] == "success"
            assert stack.run("deferrable")[1] == "success"
            assert "a connection pooler stands before it" in stack.status()["database"]
            stack.destroy()
