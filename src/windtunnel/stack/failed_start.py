"""Why a stack did not come up, in one line: from the logs of the steps that can fail for good."""

from __future__ import annotations

import re
import time
from importlib import metadata

from windtunnel.project import releases
from windtunnel.settings import Settings
from windtunnel.system import locked_versions

#: Line of a log that says no more than that the lines above it have the reason.
ABOVE = ": the lines above have its reason"
ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Exit|Interrupt)?: .+")
MODULE = re.compile(r'^  File ".*/site-packages/(\w+)[./]', re.M)
#: Characters of a message.
LONGEST = 300


def reason(settings: Settings, seconds: float) -> str:
    """The last line of the migration, the preparation or process-compose, with the log's path.

    Args:
        seconds: logs that are older than this are of a former start.
    """
    for name in ("migrate", "prepare", "process-compose"):
        path = settings.logs / f"{name}.log"
        try:
            lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            continue
        if lines and path.stat().st_mtime > time.time() - seconds:
            return f"{_explained(lines)} ({path})"
    return f"see {settings.logs}"


def _explained(lines: list[str]) -> str:
    last = lines[-1].removeprefix("windtunnel: ")
    if not last.endswith(ABOVE) or len(lines) < 2:
        return last
    start = max((i for i, line in enumerate(lines) if line.startswith("Traceback ")), default=None)
    if start is None:
        return last
    trace = lines[start:-1]
    error = next((line for line in reversed(trace) if ERROR.match(line)), trace[-1])
    text = f"{last.removesuffix(ABOVE)}: {error[:LONGEST]}"
    if package := _stranger("\n".join(trace)):
        airflow = metadata.version("apache-airflow-core")
        newest = {str(releases.newest(each[:3])) for each in releases.RELEASED}
        others = sorted(newest - {airflow})
        step = f"pin another version of it, or apache-airflow=={' or '.join(others)}"
        text += f"; {package} does not load with Airflow {airflow}: {step}"
    return text


def _stranger(trace: str) -> str:
    """The package of the project, not of ours, that a traceback passes last; empty for none."""
    tested = locked_versions.text()
    owners = metadata.packages_distributions()
    for module in reversed(MODULE.findall(trace)):
        found = owners.get(module, [])
        names = [each for each in found if f'name = "{_canonical(each)}"' not in tested]
        if names and module not in ("airflow", "windtunnel"):
            return f"{names[0]} {metadata.version(names[0])}"
    return ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
