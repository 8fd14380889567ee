"""The problems of a stack, each with the command that helps: the last table of `status`."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.clients import process_compose
from windtunnel.health import checks, restarts
from windtunnel.health.rows import WorkerRow
from windtunnel.ledger import held, ledger
from windtunnel.ledger.survivors import Survivors
from windtunnel.project import record
from windtunnel.services import project_objects
from windtunnel.settings import BROKERS, Settings
from windtunnel.system import disk

#: Under load Airflow's own processes need this long before they answer.
STARTING_NANOSECONDS = 60 * 10**9
#: A worker needs these services: while one of them is away, that service is the one to repair.
NEEDED = (*BROKERS, "postgres", "api-server")


@dataclass(frozen=True)
class Problem:
    """A fault (`what`) of one part of the stack, and the command that helps (`do`)."""

    part: str
    what: str
    do: str


def process_problems(
    settings: Settings,
    rows: list[process_compose.Process],
    faults: dict[str, str | None],
) -> list[Problem]:
    """A problem for each process with a fault; `faults` is the result of `judgement.judge`.

    A worker that drains does what somebody told it to.
    """
    stopping = any(row.status == "Terminating" for row in rows)
    faulty = {row.name for row in rows if faults[row.name] or not row.is_running}
    problems = []
    for row in rows:
        fault = faults[row.name]
        if fault and not fault.startswith(held.DRAINING):
            what = fault + restarts.told(settings, row)
            problems.append(Problem(row.name, what, _advice(settings, row, faulty, stopping)))
    return problems


def _advice(
    settings: Settings,
    row: process_compose.Process,
    faulty: set[str],
    stopping: bool,
) -> str:
    log = settings.logs / f"{process_compose.node(row.name)}.log"
    start = f"process-compose process start {row.name}"
    if row.status == "Terminating":
        return "process-compose stops it; nothing to do"
    if row.status == "Restarting":
        return f"process-compose starts it again; if it keeps failing, see {log}"
    if disk.room(settings.state).full:
        return "it goes on by itself once the disk has room"
    if not row.is_running and stopping:
        return f"a command is stopping processes; if the stack still runs after it: {start}"
    if not row.is_running:
        return start
    away = [name for name in NEEDED if name in faulty]
    if away and row.name not in NEEDED:
        return f"it recovers by itself when {' and '.join(away)} is back"
    if row.name.startswith("worker"):
        return f"its supervisor repairs it by itself; if it does not, see {log}"
    if row.age < STARTING_NANOSECONDS:
        return f"it has just been started; if it does not come up, see {log}"
    return f"process-compose process restart {row.name}"


def queue_problems(queues: dict[str, int], workers: list[WorkerRow]) -> list[Problem]:
    """Queues with messages that no healthy worker takes."""
    healthy = [worker for worker in workers if worker.state == "healthy"]
    served = {queue for worker in healthy for queue in worker.queues}
    problems = []
    for name, depth in queues.items():
        if not depth or name in served:
            continue
        tasks = "1 task waits" if depth == 1 else f"{depth} tasks wait"
        what = f"{tasks} in the queue {name!r} and no healthy worker serves it"
        problems.append(Problem(name, what, _queue_advice(name, workers)))
    return problems


def _queue_advice(queue: str, workers: list[WorkerRow]) -> str:
    serving = [worker for worker in workers if queue in worker.queues]
    if drains := [worker.node for worker in serving if worker.drains]:
        return f"wait until {drains[0]} has drained, then start a worker"
    if queue == "heavy":
        return "process-compose process start worker-heavy"
    if stopped := [w.process for w in serving if w.state.startswith("not running")]:
        return f"process-compose process start {stopped[0]}"
    return f"start the stack with WORKER_QUEUES={queue}, or a worker of another host for it"


def skew_problems(settings: Settings) -> list[Problem]:
    """Running workers whose versions or DAG files differ from those of the scheduler's host."""
    do = "install the same versions and the same DAG files on both hosts, then restart the worker"
    problems = []
    for files in ledger.all_workers(settings.run):
        if checks.supervisor_record(settings, files.name).get("state") == "stopped":
            continue
        problems += [Problem(files.name, text, do) for text in files.skewed()]
    return problems


def survivor_problems(settings: Settings) -> list[Problem]:
    """Living processes that a worker could not end."""
    problems = []
    for files in ledger.all_workers(settings.run):
        survivors = Survivors.written(ledger.read(files.supervisor))
        survivors.refresh()
        for entry in survivors.entries:
            what = f"cannot end {entry['text']}"
            if entry["tasks"]:
                what += f"; {len(entry['tasks'])} task(s) wait for its end"
            problems.append(Problem(files.name, what, f"sudo kill -9 {entry['pid']}"))
    return problems


def disk_problems(settings: Settings) -> list[Problem]:
    """A file system that is full or nearly full."""
    wrong = disk.problem(settings.state)
    return [Problem("disk", wrong, disk.REMEDY.format(logs=settings.logs))] if wrong else []


def project_problems(settings: Settings) -> list[Problem]:
    """Files that the running stack was made from, or imported, and that have changed since."""
    known = record.read(settings.state) if settings.project else None
    files = record.changed(known) if known else []
    do = "`windtunnel up` stops the stack by a drain and starts it with the new files"
    problems = [Problem(name, "has changed since the stack was started", do) for name in files]
    # A stack that comes up for the first time has yet to import them.
    names = known.objects if known and project_objects.read(settings) else []
    objects = project_objects.changed(settings, names)
    what, do = "has changed since it was imported", "`windtunnel up` imports it; the stack runs on"
    problems += [Problem(name, what, do) for name in objects]
    # A file that has changed since is not what these lines are about.
    lines = [] if objects or not names else project_objects.refused(settings)
    do = "correct its file; `windtunnel up` then imports it, and the stack runs on"
    return problems + [Problem(", ".join(names), line, do) for line in lines]


def import_problems(errors: list[tuple[str, str]]) -> list[Problem]:
    """DAG files that cannot be imported, from (path, error) pairs."""
    problems = []
    for path, why in errors:
        do = f"mend {path}; it is read again within seconds"
        problems.append(Problem(path, f"cannot be imported: {why}", do))
    return problems
