"""The machine of a drill or a bench."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from windtunnel.stack.real_binary import real_binary

PACKAGES = {
    "airflow": "apache-airflow-core",
    "task-sdk": "apache-airflow-task-sdk",
    "celery-provider": "apache-airflow-providers-celery",
    "celery": "celery",
    "kombu": "kombu",
    "flower": "flower",
}


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _program(*command: str) -> str:
    # process-compose would leave a log of its version.
    env = {**os.environ, "PC_LOG_FILE": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return (done.stdout.strip().splitlines() or ["?"])[0]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts() -> dict[str, Any]:
    """The machine at the beginning, before anything is started.

    Variables are given by name only: their values may be secrets.
    """
    versions = {
        "python": platform.python_version(),
        **{name: _package(package) for name, package in PACKAGES.items()},
        "postgres": _program("postgres", "--version"),
        "valkey": _program("valkey-server", "--version"),
        "process-compose": _program(real_binary(), "version", "--short"),
    }
    settings = {name for name in os.environ if name.startswith("AIRFLOW__")}
    return {
        "cores": _cores(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "kernel": platform.release(),
        "exported_airflow_settings": sorted(settings - {"AIRFLOW__CORE__EXECUTOR"}),
        "versions": versions,
    }


def in_words(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    versions = machine["versions"]
    return (
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"load {machine['load_average'][0]:.1f} at the beginning; "
        f"Airflow {versions['airflow']}, Python {versions['python']}"
    )
