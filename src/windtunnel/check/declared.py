"""What a stack of the project will serve: queues of workers, pools and connections of its files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from windtunnel.errors import WindtunnelError
from windtunnel.project.record import Record
from windtunnel.project.survey import Project
from windtunnel.settings import Settings

#: Airflow's own pool.
DEFAULT_POOL = "default_pool"
CONNECTION = "AIRFLOW_CONN_"
#: process-compose replaces these before it reads the YAML. The innermost ones match first.
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^{}]*))?\}")
WORKERS = re.compile(r"windtunnel\.worker\b|\bcelery worker\b")


@dataclass(frozen=True)
class Declared:
    """The names that a DAG may use."""

    #: Queue -> the worker that serves it.
    queues: dict[str, str]
    #: The same for workers that a person has to start.
    queues_off: dict[str, str]
    pools: frozenset[str]
    connections: frozenset[str]
    #: Connections that variables hold, in capitals.
    connections_of_variables: frozenset[str]

    def has_connection(self, name: str) -> bool:
        return name in self.connections or name.upper() in self.connections_of_variables


def find(project: Project | None, record: Record | None, settings: Settings) -> Declared:
    """Read the files that the stack would read.

    Raises:
        WindtunnelError: the file of the project's own processes is no YAML.
    """
    queues: dict[str, str] = {}
    off: dict[str, str] = {}
    for name, process in _processes(settings).items():
        for queue in _queues(process, settings):
            (off if process.get("disabled") else queues).setdefault(queue, name)
    objects = project.objects if project else []
    names = {*os.environ, *(record.variables if record else ())}
    prefixed = {name.removeprefix(CONNECTION) for name in names if name.startswith(CONNECTION)}
    known = {name for each in objects for name in each.connections}
    return Declared(
        queues=queues,
        queues_off={queue: name for queue, name in off.items() if queue not in queues},
        pools=frozenset({DEFAULT_POOL, *(name for each in objects for name in each.pools)}),
        connections=frozenset(known),
        connections_of_variables=frozenset(
            name.removeprefix(CONNECTION).upper() for name in prefixed | known
        ),
    )


def _processes(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every process of the stack; those of the project are merged over ours."""
    found: dict[str, dict[str, Any]] = {}
    for file in settings.compose_files:
        try:
            data = yaml.safe_load(_filled(file.read_text(), settings))
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise WindtunnelError(f"{file} cannot be read ({why}): correct it") from None
        processes = data.get("processes") if isinstance(data, dict) else None
        for name, process in (processes if isinstance(processes, dict) else {}).items():
            if isinstance(process, dict):
                found.setdefault(str(name), {}).update(process)
    return found


def _queues(process: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    """The queues of one process, none where it is no worker."""
    command = str(process.get("command") or "")
    if not WORKERS.search(command):
        return
    lines = process.get("environment")
    given = [str(line) for line in lines] if isinstance(lines, list) else []
    own = dict(line.split("=", 1) for line in given if "=" in line)
    words = _words(command)
    names = _option(words, "--queues") or _option(words, "-q") or own.get("WORKER_QUEUES")
    yield from (name.strip() for name in (names or settings.worker_queues).split(","))


def _filled(text: str, settings: Settings) -> str:
    """The file with the values of its variables."""
    env = settings.environment()
    while VARIABLE.search(text):
        text = VARIABLE.sub(lambda found: env.get(found[1]) or found[2] or "", text)
    return text


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _option(words: Iterable[str], name: str) -> str:
    """The value of an option, in one word or in two."""
    previous = ""
    for word in words:
        if previous == name:
            return word
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        previous = word
    return ""
