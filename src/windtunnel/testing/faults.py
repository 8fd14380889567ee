"""Breaking a part of the stack for the length of a block, with the operations of the drills."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from windtunnel.clients import process_compose
from windtunnel.drill.lab_worker import NAME as REMOTE
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.health import wait
from windtunnel.settings import Settings
from windtunnel.system import procfs
from windtunnel.system.waiting import wait_for
from windtunnel.testing import notes
from windtunnel.testing.runs import POLL_SECONDS, Task

#: What a test calls a part -> its process.
PARTS = {
    "worker": "",
    "broker": "valkey",
    "database": "postgres",
    "scheduler": "scheduler",
    "api-server": "api-server",
    "dag-processor": "dag-processor",
    "triggerer": "triggerer",
}
WAYS = ("killed", "away")
#: A part that was broken has this time to come back.
BACK_SECONDS = 120.0
#: A process that was killed has this time to be gone.
GONE_SECONDS = 10.0
#: In the stack's `run`: one note for each open block that keeps parts away.
FOLDER = "broken"


@contextmanager
def broken(
    cluster: LocalCluster,
    part: str,
    of: Task | str | None,
    how: str,
    is_within: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """See `Windtunnel.broken`.

    Args:
        is_within: whether the block of another part is open. That one waits for the whole stack.
    """
    if part == "partition":
        with _cut_off(cluster, of) as name:
            yield name
        return
    if part not in PARTS:
        raise UsageError(f"{part!r} cannot be broken; choose {', '.join([*PARTS, 'partition'])}")
    if how not in ("", *WAYS):
        raise UsageError(f"how={how!r} is no way to break a part; choose {' or '.join(WAYS)}")
    if part == "database" and cluster.settings.database:
        where = cluster.settings.database.name
        step = "take a private stack, which has a database of its own"
        raise UsageError(f"the database {where} belongs to another service: {step}")
    name = _worker(cluster, of) if part == "worker" else PARTS[part]
    killed = way(part, how) == "killed"
    former = cluster.main_pid(name)
    if former is None:
        raise WindtunnelError(f"{name} does not run, so it cannot be broken: see `status()`")
    if killed:
        cluster.kill(name)
        if not wait_for(lambda: cluster.main_pid(name) != former, GONE_SECONDS, 0.02):
            raise WindtunnelError(
                f"{name} (pid {former}) lives on {GONE_SECONDS:.0f} s after SIGKILL"
            )
    # A part that is away stays away where this process is killed; see `bring_back`.
    note = None if killed else notes.Note(cluster.settings.run, FOLDER, {"parts": [name]})
    try:
        if not killed:
            cluster.stop(name)
        yield name
    finally:
        if not killed:
            cluster.start(name)
        _wait_until_back(cluster, name, former)
        if note:
            note.remove()
        if not is_within():
            wait_for_workers(cluster.settings)


def way(part: str, how: str) -> str:
    """How a part is broken where the test does not say it."""
    return how or {"worker": "killed", "partition": "cut off"}.get(part, "away")


@contextmanager
def remote_worker(cluster: LocalCluster) -> Iterator[str]:
    """See `Windtunnel.remote_worker`."""
    others = [row.name for row in cluster.compose.workers() if row.is_running]
    with cluster.lab_worker() as name:
        lab = cluster.main_pid(name) or 0
        process = procfs.read(lab)
        start = process.start if process else 0
        facts = {"parts": others, "lab": lab, "lab_start": start}
        note = notes.Note(cluster.settings.run, FOLDER, facts)
        try:
            for other in others:
                cluster.compose.stop(other)
            yield name
        finally:
            for other in others:
                with suppress(WindtunnelError):
                    cluster.compose.start(other)
            wait_for_workers(cluster.settings)
            note.remove()


def bring_back(settings: Settings) -> bool:
    """Start the parts that killed tests have left away. Returns whether there were any."""
    found = False
    for facts in notes.left(settings.run, FOLDER):
        found = True
        # The remote worker of such a test has nobody who connects it to the broker.
        if lab := procfs.find(facts.get("lab", 0), facts.get("lab_start", 0), facts["boot"]):
            procfs.kill(lab, signal.SIGTERM)
        for part in facts["parts"]:
            _start_again(process_compose.Compose(settings), part)
    return found


def _start_again(compose: process_compose.Compose, part: str) -> None:
    def row() -> process_compose.Process | None:
        return next((row for row in compose.processes() if row.has_name(part)), None)

    def is_still() -> bool:
        return (found := row()) is None or found.status != "Terminating"

    # Its stop goes on without the test.
    wait_for(is_still, BACK_SECONDS, POLL_SECONDS)
    if (found := row()) and not found.is_running:
        compose.start(found.name)


def wait_for_workers(settings: Settings) -> None:
    """Return when every part of the stack is well and Flower lists each worker.

    Raises:
        WindtunnelError: that took longer than `BACK_SECONDS`; the text names the parts.
    """
    wait.wait(settings, BACK_SECONDS, lambda _: None)


def _wait_until_back(cluster: LocalCluster, name: str, former: int) -> None:
    def is_back() -> bool:
        with suppress(WindtunnelError):
            return cluster.main_pid(name) not in (None, former)
        return False

    if not wait_for(is_back, BACK_SECONDS, POLL_SECONDS):
        raise WindtunnelError(f"{name} has not come back after {BACK_SECONDS:.0f} s")


@contextmanager
def _cut_off(cluster: LocalCluster, of: Task | str | None) -> Iterator[str]:
    name = _worker(cluster, of) if of is not None else REMOTE
    if cluster.lab is None or name != REMOTE:
        step = "begin the block `with windtunnel.remote_worker():` before the run"
        raise UsageError(f"only the remote worker can be cut off from the broker: {step}")
    with cluster.partition(REMOTE):
        yield name
    if not wait_for(lambda: cluster.up(REMOTE), BACK_SECONDS, POLL_SECONDS):
        raise WindtunnelError(f"{REMOTE} has not come back after {BACK_SECONDS:.0f} s")


def _worker(cluster: LocalCluster, of: Task | str | None) -> str:
    """The name of the worker that is meant."""
    if isinstance(of, str):
        names = [process_compose.node(row.name) for row in cluster.compose.workers()]
        if of not in (*names, REMOTE):
            step = f"give a task of a run, such as run['load'], or {', '.join(names)}"
            raise UsageError(f"of={of!r} is no worker: {step}")
        return of
    if of is not None:
        name = of.worker
        if not name:
            raise UsageError(
                f"{of.label} has no worker yet: `run.wait_for({of.label!r}, 'running')`"
            )
        return name
    first = next((row.name for row in cluster.compose.workers() if row.is_running), None)
    if first is None:
        raise WindtunnelError("no worker runs, so none can be broken")
    return process_compose.node(first)
