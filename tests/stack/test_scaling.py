"""`process-compose process scale worker N` works every time, from any count to any count, also twice at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Thread

from tests.servers import connected
from tests.stack_fixture import NewStack, Stack, read_marks, until
from windtunnel.variables import connections


def nodes(count: int) -> set[str]:
    return {f"worker-{number}" for number in range(count)}


def online(stack: Stack) -> list[str]:
    return sorted(name for name, well in stack.flower.workers().items() if well)


def test_any_count_is_reached_and_every_worker_is_a_distinct_node_that_runs_tasks(
    new_stack: NewStack, tmp_path: Path
) -> None:
    stack = new_stack(WORKER_CONCURRENCY="1")
    stack.up()
    for step, count in enumerate((3, 2, 12, 1)):
        before = len(stack.compose.workers())
        if count < before:
            scaled_down_while_tasks_run(stack, before, count, tmp_path / f"busy-{step}")
        else:
            stack.scale(count)
        assert len(stack.compose.workers()) == count
        until(f"Flower shows {count}", partial(shows, stack, count), 60)
        each = tmp_path / f"each-{step}"
        _, state = stack.run("parallel", tasks=3 * count, seconds=3, marks=each, timeout=180)
        assert state == "success"
        assert {m.worker for m in read_marks(each)} == nodes(count)


def shows(stack: Stack, count: int) -> bool:
    """Whether Flower has exactly these nodes online, each once."""
    return sorted(name.split("@")[0] for name in online(stack)) == sorted(nodes(count))


def scaled_down_while_tasks_run(stack: Stack, before: int, count: int, marks: Path) -> None:
    """No task in hand is lost, none runs twice."""
    run_id = stack.trigger("parallel", tasks=before, seconds=5, marks=marks)
    until("every slot is taken", lambda: len(read_marks(marks)) >= before, 90)
    stack.scale(count)
    assert stack.finished("parallel", run_id) == "success"
    for event in ("start", "end"):
        assert sorted(m.map_index for m in read_marks(marks) if m.event == event) == list(
            range(before)
        )


def test_two_scale_commands_at_the_same_moment_leave_one_of_their_counts_and_nothing_untracked(
    stack: Stack,
) -> None:
    commands = [
        Thread(target=stack.command, args=("process-compose", "process", "scale", "worker", n))
        for n in ("3", "2")
    ]
    try:
        for command in commands:
            command.start()
        for command in commands:
            command.join()
        stack.command("windtunnel", "wait", "--timeout", "120", check=True)
        workers = stack.compose.workers()
        assert len(workers) in (2, 3)
        until("Flower agrees", lambda: stack.flower.online() == nodes(len(workers)), 60)
    finally:
        stack.scale(1)
    until("the surplus is gone", lambda: stack.flower.online() == nodes(1), 60)


def test_more_workers_than_postgresql_has_connections_for_are_refused_with_the_variable_to_set(
    stack: Stack,
) -> None:
    with connected(stack.settings) as cursor:
        cursor.execute("SHOW max_connections")
        takes = int(cursor.fetchone()[0])
    assert takes == stack.settings.postgres_max_connections
    most = connections.most_workers(takes, stack.settings.worker_concurrency)
    for command in (("process-compose", "process", "scale", "worker"), ("windtunnel", "scale")):
        done = stack.command(*command, str(most + 1))
        assert done.returncode == 2
        said = done.stderr.strip()
        assert len(said.splitlines()) == 1
        assert f"WORKERS={most + 1}" in said and "POSTGRES_MAX_CONNECTIONS=" in said, said
    assert len(stack.compose.workers()) == 1


def test_a_count_that_is_none_is_refused_in_one_line(stack: Stack) -> None:
    for word in ("0", "-1", "abc", "1000"):
        done = stack.command("process-compose", "process", "scale", "worker", word)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1 and "number of workers" in done.stderr
    assert len(stack.compose.workers()) == 1
