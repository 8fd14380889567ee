"""What process-compose.yaml must look like beyond what process-compose itself checks; each rule returns what it found wrong.

Strict mode rejects unknown names only at project and process level: inside `shutdown`, `availability` or a probe a typing
error is silently ignored (src/types/process.go of process-compose v1.120, `ValidateProcessConfig`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

PROBE = {
    "exec",
    "http_get",
    "initial_delay_seconds",
    "period_seconds",
    "timeout_seconds",
    "success_threshold",
    "failure_threshold",
}
#: Mapping by mapping, the names that process-compose v1.120 reads; the names in `$defs` of its schema are the keys here.
KEYS: dict[str, set[str]] = {
    "Project": {
        "version",
        "name",
        "is_strict",
        "ordered_shutdown",
        "log_length",
        "log_level",
        "log_location",
        "log_configuration",
        "log_format",
        "shell",
        "environment",
        "vars",
        "env_cmds",
        "processes",
        "disable_env_expansion",
        "is_tui_disabled",
        "extends",
    },
    "ProcessConfig": {
        "command",
        "entrypoint",
        "description",
        "disabled",
        "is_daemon",
        "log_location",
        "log_configuration",
        "environment",
        "env_file",
        "availability",
        "depends_on",
        "liveness_probe",
        "readiness_probe",
        "ready_log_line",
        "shutdown",
        "disable_ansi_colors",
        "working_dir",
        "namespace",
        "replicas",
        "vars",
        "is_foreground",
        "is_tty",
        "is_elevated",
        "is_interactive",
        "schedule",
        "launch_timeout_seconds",
        "is_disabled",
        "is_dotenv_disabled",
        "is_template_disabled",
        "success_exit_codes",
        "extends",
    },
    "RestartPolicyConfig": {
        "restart",
        "backoff_seconds",
        "max_restarts",
        "exit_on_end",
        "exit_on_skipped",
    },
    "ShutDownParams": {"signal", "timeout_seconds", "parent_only", "command", "send_keys"},
    "Probe": PROBE,
    "ExecProbe": {"command", "working_dir"},
    "HttpProbe": {"host", "path", "scheme", "port", "num_port", "headers", "status_code"},
    "ProcessDependency": {"condition"},
    "LoggerConfig": {
        "rotation",
        "fields_order",
        "disable_json",
        "timestamp_format",
        "no_color",
        "no_metadata",
        "add_timestamp",
        "flush_each_line",
    },
    "LogRotationConfig": {
        "directory",
        "filename",
        "max_size_mb",
        "max_age_days",
        "max_backups",
        "compress",
    },
    "ShellConfig": {
        "shell_command",
        "shell_argument",
        "elevated_shell_command",
        "elevated_shell_argument",
    },
}
#: Which mapping stands under which name.
NESTED = {
    "availability": "RestartPolicyConfig",
    "shutdown": "ShutDownParams",
    "liveness_probe": "Probe",
    "readiness_probe": "Probe",
    "exec": "ExecProbe",
    "http_get": "HttpProbe",
    "log_configuration": "LoggerConfig",
    "rotation": "LogRotationConfig",
    "shell": "ShellConfig",
}
#: `${NAME:-default}`, the only form we use; others are fatal or silently wrong in process-compose's own expansion.
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-((?:[^${}]|\$\{[A-Za-z_]+\})*))?\}")
LONGEST_COMMAND = 5
#: A cold start of Airflow on two busy cores must not be taken for a failure.
PATIENCE_SECONDS = 120

Project = dict[str, Any]
Rule = Callable[[Project, str], list[str]]


def expand(text: str) -> str:
    """As process-compose does before it reads the YAML, with every variable unset; `$$` is a dollar."""
    kept = text.replace("$$", "\0")
    while (new := VARIABLE.sub(lambda match: match[3] or "", kept)) != kept:
        kept = new
    return kept.replace("\0", "$")


def read(text: str) -> Project:
    return dict(yaml.safe_load(expand(text)))


def services(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that run until they are stopped; the others run once."""
    for name, process in project["processes"].items():
        if process.get("availability", {}).get("restart") != "exit_on_failure":
            yield name, process


def unknown_keys(project: Project, text: str) -> list[str]:
    wrong: list[str] = []

    def look(mapping: Any, kind: str, where: str) -> None:
        if not isinstance(mapping, dict):
            wrong.append(f"{where} is no mapping")
            return
        for key, value in mapping.items():
            if str(key).startswith("x-") and kind in ("Project", "ProcessConfig"):
                continue
            if key not in KEYS[kind]:
                wrong.append(f"{where}: unknown key {key!r}")
            elif key in NESTED:
                look(value, NESTED[key], f"{where}.{key}")
            elif key == "depends_on":
                for name, dependency in value.items():
                    look(dependency, "ProcessDependency", f"{where}.depends_on.{name}")

    look(project, "Project", "project")
    for name, process in project["processes"].items():
        look(process, "ProcessConfig", name)
    return wrong


def project_settings(project: Project, text: str) -> list[str]:
    return [
        f"{key} is not on"
        for key in ("is_strict", "ordered_shutdown")
        if project.get(key) is not True
    ]


def executor(project: Project, text: str) -> list[str]:
    """To the letter, for all, and overridden by none."""
    wrong = (
        []
        if "AIRFLOW__CORE__EXECUTOR=CeleryExecutor" in project.get("environment", [])
        else ["no AIRFLOW__CORE__EXECUTOR=CeleryExecutor"]
    )
    for name, process in project["processes"].items():
        wrong += [
            f"{name} sets {entry}"
            for entry in process.get("environment", [])
            if entry.startswith("AIRFLOW__CORE__EXECUTOR=")
        ]
    return wrong


def probes(project: Project, text: str) -> list[str]:
    """Services have one readiness probe, patient enough for a cold start; one-shots have none."""
    lasting = dict(services(project))
    wrong = [
        f"{name} runs once and has a probe"
        for name, p in project["processes"].items()
        if name not in lasting and "readiness_probe" in p
    ]
    for name, process in lasting.items():
        probe = process.get("readiness_probe") or {}
        if len({"exec", "http_get"} & set(probe)) != 1:
            wrong.append(f"{name} has no readiness probe")
        elif probe.get("period_seconds", 10) * probe.get("failure_threshold", 3) < PATIENCE_SECONDS:
            wrong.append(f"{name} would be restarted within {PATIENCE_SECONDS} s of its start")
    return wrong


def shutdowns(project: Project, text: str) -> list[str]:
    """Without timeout_seconds nothing is ever killed, and `down` waits for ever."""
    wrong = []
    for name, process in project["processes"].items():
        if (
            not isinstance(process.get("shutdown", {}).get("timeout_seconds"), int)
            or process["shutdown"]["timeout_seconds"] < 1
        ):
            wrong.append(f"{name} has no shutdown.timeout_seconds")
        if process.get("is_tty"):
            wrong.append(f"{name} is a terminal: SIGTERM would become SIGHUP")
    return wrong


def restarts(project: Project, text: str) -> list[str]:
    allowed = ("always", "exit_on_failure")
    return [
        f"{name} has restart policy {policy!r}, not one of {', '.join(allowed)}"
        for name, process in project["processes"].items()
        if (policy := process.get("availability", {}).get("restart")) not in allowed
    ]


def logs(project: Project, text: str) -> list[str]:
    """A file each, in the state folder, kept over a restart (without rotation it is truncated), one a replica."""
    wrong, seen = [], set()
    for name, process in project["processes"].items():
        place = str(process.get("log_location", ""))
        if not place.startswith(".state/logs/"):
            wrong.append(f"{name} has no log_location in the state folder")
        if place in seen:
            wrong.append(f"{name} shares the log {place}")
        if "rotation" not in process.get("log_configuration", {}):
            wrong.append(f"{name} has no log rotation")
        seen.add(place)
    if "{PC_REPLICA_NUM}" not in str(project["processes"].get("worker", {}).get("log_location")):
        wrong.append("worker: replicas would share one log")
    return wrong


def descriptions(project: Project, text: str) -> list[str]:
    return [
        f"{name} has no description"
        for name, process in project["processes"].items()
        if not process.get("description")
    ]


def conditions(project: Project, text: str) -> list[str]:
    """process-compose issue 544: one unready moment of a `process_healthy` dependency leaves a new replica Skipped for ever."""
    allowed = ("process_started", "process_completed_successfully")
    return [
        f"{name} waits for {other} with {condition!r}"
        for name, process in project["processes"].items()
        for other, dependency in process.get("depends_on", {}).items()
        if (condition := dependency.get("condition")) not in allowed
    ]


def needed_while_draining(project: Project, text: str) -> list[str]:
    """Ordered shutdown looks at direct dependants only."""
    wrong = []
    for name, process in services(project):
        direct = set(process.get("depends_on", {}))
        needs: set[str] = set()
        if name.startswith("worker"):
            needs = {"postgres", "valkey", "api-server"}
        elif "migrate" in direct:
            needs = {"postgres"}
        wrong += [
            f"{name} does not depend directly on {missing}" for missing in sorted(needs - direct)
        ]
        if name.startswith("worker") and process.get("shutdown", {}).get("parent_only") is not True:
            wrong.append(
                f"{name} is not stopped with parent_only: its tasks would be signalled too"
            )
    return wrong


def commands(project: Project, text: str) -> list[str]:
    """`exec`, so that the signal reaches the program and not a shell; nothing long that belongs into a file."""
    wrong = []
    for name, process in project["processes"].items():
        if not str(process.get("command", "")).startswith("exec "):
            wrong.append(f"the command of {name} does not start with exec")
        probe = process.get("readiness_probe", {}).get("exec", {}).get("command", "")
        shells = (process.get("command", ""), probe, process.get("shutdown", {}).get("command", ""))
        if any(len(str(shell).strip().splitlines()) > LONGEST_COMMAND for shell in shells):
            wrong.append(f"{name} has more than {LONGEST_COMMAND} lines of shell")
    return wrong


def variables(project: Project, text: str) -> list[str]:
    """The file works with the bare binary, where nobody has set anything but PWD."""
    plain = text.replace("$$", "")
    wrong = [
        f"${{{match[1]}}} has no default"
        for match in VARIABLE.finditer(plain)
        if match[2] is None and match[1] != "PWD"
    ]
    rest = VARIABLE.sub("", plain)
    wrong += [
        f"{found!r} is not of the form ${{NAME:-default}}"
        for found in re.findall(r"\$\{[^}]*\}?", rest)
    ]
    return wrong


RULES: tuple[Rule, ...] = (
    *(
        unknown_keys,
        project_settings,
        executor,
        probes,
        shutdowns,
        restarts,
        logs,
        descriptions,
        conditions,
    ),
    *(needed_while_draining, commands, variables),
)
