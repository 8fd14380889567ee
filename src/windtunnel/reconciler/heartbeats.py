"""Files that stay fresh while Airflow's jobs write heartbeats.

process-compose's probes read them for the components without a port. One query serves all of them;
`airflow jobs check` in a probe would cost 3 CPU-seconds each time.
"""

from __future__ import annotations

from pathlib import Path

#: Job type in Airflow's table `job` -> process.
JOBS = {
    "DagProcessorJob": "dag-processor",
    "TriggererJob": "triggerer",
    "SchedulerJob": "scheduler",
}
FRESH_SECONDS = 30.0


def refresh(folder: Path, ages: dict[str, float]) -> None:
    """Touch the file of each job whose last heartbeat is at most `FRESH_SECONDS` old.

    Args:
        folder: where the files are, named after the processes.
        ages: seconds since the last heartbeat by job type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for job, name in JOBS.items():
        if ages.get(job, FRESH_SECONDS + 1) <= FRESH_SECONDS:
            (folder / name).touch()
