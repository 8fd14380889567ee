"""What is found in a DAG file, and what is not: real files, parsed by Airflow itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.check.files import FILES
from windtunnel.check.checker import Checker
from windtunnel.check.report import FileReport

Reports = dict[str, FileReport]


def the_one(report: FileReport) -> tuple[str, str, str, str]:
    """The only finding: severity, kind, place, message."""
    (found,) = report.findings
    return found.severity, found.kind, found.place, found.message


def test_every_file_has_one_report_in_the_order_of_the_files(reports: Reports) -> None:
    assert list(reports) == sorted(FILES)


@pytest.mark.parametrize(
    "stem",
    ["good", "connects_in_task", "opens_memory", "pool_known", "queue_served", "no_dag", "huge",
     "prints_little", "reads_env_variable", "reads_stdin", "relative_file", "other_id_a", "slow_import",
     "leaves_a_process"],
)  # fmt: skip
def test_what_is_well_has_no_finding(reports: Reports, stem: str) -> None:
    assert reports[stem].findings == []


def test_the_dags_and_tasks_of_a_file_are_named(reports: Reports) -> None:
    assert reports["good"].dags == {"good": ["only"]}
    assert reports["no_dag"].dags == {}
    assert len(reports["huge"].dags) == 300


@pytest.mark.parametrize(
    ("stem", "kind", "place", "part"),
    [
        ("broken", "import-error", "helpers.py:5", "ZeroDivisionError: division by zero"),
        ("missing_package", "import-error", "dags/missing_package.py:2", "ModuleNotFoundError: No module named 'not_there'"),
        ("no_python", "import-error", "dags/no_python.py:2", "SyntaxError: '(' was never closed"),
        ("raises_cause", "import-error", "dags/raises_cause.py:6", "RuntimeError: no config, caused by KeyError"),
        ("same_task", "duplicate-task-id", "dags/same_task.py:5", "'a' has already been added"),
        ("circle", "import-error", "dags/circle.py", "AirflowDagCycleException"),
        ("unserializable", "import-error", "dags/unserializable.py", "Failed to serialize DAG 'unserializable'"),
        ("uses_metadata", "import-error", "dags/uses_metadata.py:4", "Direct database access"),
        ("one_id_twice", "duplicate-dag-id", "dags/one_id_twice.py:5", "two DAGs of this file"),
        ("other_id_b", "duplicate-dag-id", "dags/other_id_b.py:3", "also in dags/other_id_a.py"),
        ("exits", "exit", "dags/exits.py:3", "SystemExit: enough"),
        ("exits_at_once", "exit", "dags/exits_at_once.py:8", "os._exit(3)"),
        ("answers", "exit", "dags/answers.py", "writes into descriptors that it has not opened"),
        ("interrupts", "import-error", "dags/interrupts.py:7", "KeyboardInterrupt: mine"),
        ("crashes", "crash", "dags/crashes.py:8", "SIGSEGV"),
        ("killed", "crash", "dags/killed.py", "SIGKILL"),
        ("hangs", "timeout", "dags/hangs.py:8", "after 4.0s"),
        ("hangs_on", "timeout", "dags/hangs_on.py:11", "not parsed within 8 s"),
        ("connects", "network", "helpers.py:8", "connects to 127.0.0.1:"),
        ("connects_quietly", "network", "dags/connects_quietly.py:10", "connects to 127.0.0.1:"),
        ("looks_up", "network", "dags/looks_up.py:8", "looks up the address of db.invalid"),
        ("opens_sqlite", "database", "dags/opens_sqlite.py:8", "opens the database /dev/null"),
        ("opens_postgres", "database", "dags/opens_postgres.py:10", "connects to a database with psycopg2"),
        ("queue_unknown", "queue", "dags/queue_unknown.py:4", "no worker serves the queue 'nowhere'"),
        ("pool_unknown", "pool", "dags/pool_unknown.py:3", "the pool 'nowhere' does not exist"),
    ],
)  # fmt: skip
def test_a_fault_is_one_error_with_its_place(
    reports: Reports, stem: str, kind: str, place: str, part: str
) -> None:
    found = the_one(reports[stem])
    assert found[:3] == ("error", kind, place)
    assert part in found[3]


@pytest.mark.parametrize(
    ("stem", "kind", "place", "part"),
    [
        ("queue_off", "queue", "dags/queue_off.py:3", "process start worker-heavy"),
        ("reads_variable", "variable", "dags/reads_variable.py:8", "{{ var.value.a }}"),
        ("reads_default", "variable", "dags/reads_default.py:8", "no file of the project declares it"),
        ("reads_connection", "connection", "dags/reads_connection.py:8", "reads the connection 'known'"),
        ("forks", "fork", "dags/forks.py:8", "forks while it is parsed"),
        ("forks_and_goes_on", "fork", "dags/forks_and_goes_on.py:8", "forks while it is parsed"),
        ("prints", "output", "dags/prints.py", "prints 29"),
        ("deprecated", "deprecation", "dags/deprecated.py:4", "DeprecationWarning: old is gone soon"),
        ("deprecated_import", "deprecation", "dags/deprecated_import.py:7", "airflow.sdk.bases.operator"),
    ],
)  # fmt: skip
def test_what_works_but_should_not_be_is_one_warning(
    reports: Reports, stem: str, kind: str, place: str, part: str
) -> None:
    found = the_one(reports[stem])
    assert found[:3] == ("warning", kind, place)
    assert part in found[3]
    assert reports[stem].dags == {stem: ["only"]} or stem == "deprecated"


def test_the_frames_of_the_projects_own_code_lead_to_a_fault(reports: Reports) -> None:
    (found,) = reports["connects"].findings
    assert found.frames == ["dags/connects.py:8 in <module>", "helpers.py:8 in fetch"]
    assert found.lines()[1:] == [f"  at {frame}" for frame in found.frames]


def test_a_file_that_hangs_has_the_time_that_it_took(reports: Reports) -> None:
    assert 4 <= reports["hangs"].seconds < 30
    assert 8 <= reports["hangs_on"].seconds < 60


def test_each_connection_that_nothing_declares_is_named_with_its_line(reports: Reports) -> None:
    found = reports["connections"].findings
    assert [(each.severity, each.line, each.message.split("'")[1]) for each in found] == [
        ("error", 13, "unknown_1"),
        ("error", 14, "unknown_2"),
        ("error", 17, "unknown_3"),
        ("error", 18, "unknown_4"),
        ("warning", 5, "mine_default"),
    ]
    assert "AIRFLOW_CONN_UNKNOWN_1" in found[0].message
    assert "connections.unknown" in found[0].message


def test_a_variable_that_is_missing_is_the_cause_beside_the_error(reports: Reports) -> None:
    assert [each.kind for each in reports["reads_nothing"].findings] == ["import-error", "variable"]


def test_no_secret_of_a_connection_is_shown(reports: Reports) -> None:
    assert "secret" not in "\n".join(reports["opens_postgres"].lines())


def test_the_slowest_import_is_found_behind_the_projects_own_modules(reports: Reports) -> None:
    ((name, seconds),) = reports["slow_import"].imports.items()
    assert name == "slow_inside" and 0.3 <= seconds < reports["slow_import"].seconds


def test_a_process_that_a_file_leaves_is_ended(reports: Reports, project: Path) -> None:
    assert reports["leaves_a_process"].dags
    pid = int((project / "dags" / "leaves_a_process.pid").read_text())
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return
    assert name != "sleep\n", "it lives on"


def test_nothing_is_written_into_a_project_without_packages_of_its_own(
    reports: Reports, project: Path
) -> None:
    assert reports
    assert not (project / ".windtunnel").exists()


def test_a_report_is_one_line_for_the_file_and_its_findings_below(reports: Reports) -> None:
    first, second = reports["queue_off"].lines()
    assert first.startswith("dags/queue_off.py  1 DAG  0.")
    assert second.startswith("  dags/queue_off.py:3: warning: only worker-heavy")
    assert second.endswith("[queue]")


def test_json_has_every_part_of_a_finding(reports: Reports) -> None:
    data = reports["broken"].as_json()
    assert data["path"] == "dags/broken.py" and data["dags"] == {}
    assert data["findings"] == [
        {
            "severity": "error",
            "kind": "import-error",
            "message": "ZeroDivisionError: division by zero",
            "file": "helpers.py",
            "line": 5,
            "frames": ["dags/broken.py:4 in <module>", "helpers.py:5 in divide"],
        }
    ]


def test_one_file_after_the_other_can_be_checked(checker: Checker, project: Path) -> None:
    report = checker.check(project / "dags" / "good.py")
    assert report.dags == {"good": ["only"]} and not report.findings
    assert checker.airflow.startswith("3.")
