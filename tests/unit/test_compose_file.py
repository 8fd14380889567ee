"""process-compose.yaml keeps the rules written at its top, and each rule is shown to fail on a copy that breaks it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit import compose_rules as rules
from windtunnel.health.checks import RECONCILER_READY_SECONDS
from windtunnel.ledger.ledger import READY_SECONDS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "process-compose.yaml").read_text()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_file_keeps_the_rule(rule: rules.Rule) -> None:
    assert rule(rules.read(TEXT), TEXT) == []


#: rule, what is replaced (the first occurrence), by what, and words of the complaint.
TAMPERED = [
    (
        rules.unknown_keys,
        "parent_only: true",
        "parents_only: true",
        "rabbitmq.shutdown: unknown key 'parents_only'",
    ),
    (rules.unknown_keys, "backoff_seconds: 1", "backof_seconds: 1", ".availability: unknown key"),
    (
        rules.unknown_keys,
        "failure_threshold: 15",
        "failure_treshold: 15",
        "api-server.readiness_probe: unknown key",
    ),
    (
        rules.unknown_keys,
        "path: /health}",
        "url: /health}",
        "scheduler.readiness_probe.http_get: unknown key 'url'",
    ),
    (
        rules.unknown_keys,
        "${BROKER:-valkey}: {condition: process_started}",
        "${BROKER:-valkey}: {when: process_started}",
        ".depends_on.valkey: unknown key",
    ),
    (
        rules.unknown_keys,
        "max_backups: 3",
        "backups: 3",
        ".log_configuration.rotation: unknown key 'backups'",
    ),
    (
        rules.unknown_keys,
        "no_color: true",
        "colour: no",
        ".log_configuration: unknown key 'colour'",
    ),
    (
        rules.unknown_keys,
        "disabled: true",
        "timeout_seconds: 5",
        "worker-heavy: unknown key 'timeout_seconds'",
    ),
    (rules.unknown_keys, "log_length: 2000", "log_lenght: 2000", "project: unknown key"),
    (
        rules.project_settings,
        "ordered_shutdown: true",
        "ordered_shutdown: false",
        "ordered_shutdown is not on",
    ),
    (rules.project_settings, "is_strict: true", "is_strict: false", "is_strict is not on"),
    (
        rules.executor,
        "EXECUTOR=CeleryExecutor",
        "EXECUTOR=LocalExecutor",
        "no AIRFLOW__CORE__EXECUTOR=CeleryExecutor",
    ),
    (
        rules.executor,
        "- WORKER_QUEUES=",
        "- AIRFLOW__CORE__EXECUTOR=x\n      - WORKER_QUEUES=",
        "worker sets",
    ),
    (rules.probes, "http_get: {host", "http_post: {host", "api-server has no readiness probe"),
    (
        rules.probes,
        "failure_threshold: 15",
        "failure_threshold: 3",
        "api-server would be restarted",
    ),
    (
        rules.probes,
        "command: exec python -m windtunnel.services.migrate",
        "readiness_probe: {}\n    command: exec x",
        "migrate runs once",
    ),
    (
        rules.shutdowns,
        "shutdown: {signal: 15, timeout_seconds: 20}",
        "shutdown: {signal: 15}",
        "flower has no shutdown.timeout_seconds",
    ),
    (
        rules.shutdowns,
        "shutdown: {timeout_seconds: 30}",
        "is_tty: false",
        "prepare has no shutdown.timeout_seconds",
    ),
    (rules.shutdowns, "replicas: ${WORKERS:-1}", "is_tty: true", "worker is a terminal"),
    (
        rules.restarts,
        "restart: always",
        "restart: on_failure",
        "valkey has restart policy 'on_failure'",
    ),
    (rules.logs, "/logs/flower.log", "/logs/valkey.log", "flower shares the log"),
    (
        rules.logs,
        "log_location: ${WINDTUNNEL_STATE:-.state}/logs/flower.log",
        "namespace: x",
        "flower has no log_location",
    ),
    (rules.logs, "worker-{PC_REPLICA_NUM}", "worker", "replicas would share one log"),
    (
        rules.logs,
        "rotation: {max_size_mb: 20, max_backups: 3}",
        "no_color: true",
        "has no log rotation",
    ),
    (
        rules.descriptions,
        "description: message broker",
        "description:",
        "valkey has no description",
    ),
    (
        rules.conditions,
        "{condition: process_started}",
        "{condition: process_healthy}",
        "with 'process_healthy'",
    ),
    (rules.conditions, "{condition: process_started}", "{}", "with None"),
    (
        rules.needed_while_draining,
        "api-server: {condition: process_started}",
        "",
        "worker does not depend directly on api-server",
    ),
    (
        rules.needed_while_draining,
        "  postgres: {condition: process_started}",
        "",
        "scheduler does not depend directly on postgres",
    ),
    (
        rules.needed_while_draining,
        "parent_only: true, timeout_seconds: $",
        "timeout_seconds: $",
        "worker is not stopped with parent_only",
    ),
    (
        rules.commands,
        "exec python -m windtunnel.runtime.component api-server",
        "airflow api-server",
        "the command of api-server does not start with exec",
    ),
    (
        rules.commands,
        "exec python -m windtunnel.runtime.component scheduler --skip-serve-logs",
        "|\n" + "      exec a\n" * 6,
        "scheduler has more than 5",
    ),
    (rules.variables, "${WORKERS:-1}", "${WORKERS}", "${WORKERS} has no default"),
    (rules.variables, "${WORKERS:-1}", "${WORKERS-1}", "'${WORKERS-1}' is not of the form"),
    (
        rules.variables,
        "${WORKERS:-1}",
        "${WORKERS:?set it}",
        "'${WORKERS:?set it}' is not of the form",
    ),
    (
        rules.variables,
        "$${PC_REPLICA_NUM}",
        "${PC_REPLICA_NUM}",
        "${PC_REPLICA_NUM} has no default",
    ),
]


@pytest.mark.parametrize(
    ("rule", "old", "new", "complaint"), TAMPERED, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_rule_fails_on_a_file_that_breaks_it(
    rule: rules.Rule, old: str, new: str, complaint: str
) -> None:
    assert old in TEXT, f"the file has changed: {old!r} is not in it"
    tampered = TEXT.replace(old, new, 1)
    found = rule(rules.read(tampered), tampered)
    assert any(complaint in text for text in found), found


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, *_ in TAMPERED} == set(rules.RULES)


def launcher(*words: str, root: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Our `process-compose`, for the file of another folder."""
    env = {**os.environ, "WINDTUNNEL_ROOT": str(root), "WINDTUNNEL_STATE": str(state)}
    return subprocess.run(
        ["process-compose", *words],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_our_lists_of_keys_hold_nothing_that_process_compose_does_not_read(tmp_path: Path) -> None:
    done = launcher("schema", str(tmp_path / "schema.json"), root=ROOT, state=tmp_path)
    assert done.returncode == 0, done.stderr
    known = {
        name: set(part.get("properties", {}))
        for name, part in json.loads((tmp_path / "schema.json").read_text())["$defs"].items()
    }
    assert {
        name: keys - known[name] for name, keys in rules.KEYS.items() if keys - known[name]
    } == {}


def test_process_compose_itself_takes_the_file_and_refuses_a_broken_one(tmp_path: Path) -> None:
    done = launcher("up", "--dry-run", root=ROOT, state=tmp_path / "state")
    assert done.returncode == 0, done.stderr + done.stdout
    assert not (tmp_path / "state").exists(), "a dry run writes nothing"
    broken = tmp_path / "broken"
    shutil.copytree(ROOT / "airflow-home", broken / "airflow-home")
    (broken / "process-compose.yaml").write_text(TEXT.replace("disabled: true", "disbled: true", 1))
    done = launcher("up", "--dry-run", root=broken, state=tmp_path / "state")
    assert done.returncode == 1
    assert "disbled" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("worker", READY_SECONDS),
        ("worker-heavy", READY_SECONDS),
        ("reconciler", RECONCILER_READY_SECONDS),
    ],
)
def test_a_probe_and_status_agree_on_the_age_of_ready(name: str, seconds: float) -> None:
    probe = rules.read(TEXT)["processes"][name]["readiness_probe"]["exec"]["command"]
    assert f'/ready" -newermt "-{seconds:.0f} seconds"' in probe
