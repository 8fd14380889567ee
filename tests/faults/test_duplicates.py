"""A message that is delivered twice does no harm: a publish whose answer came late, a lease that ended under a living task."""

from __future__ import annotations

import json

from tests.stack_fixture import Stack
from windtunnel.drill.cluster import Checks
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.steps import launch, marks_of, wait_running, wait_until
from windtunnel.drill.verdicts import all_succeed_once, no_message_left

TASKS = 4


def test_every_message_twice_runs_every_task_once(
    faults_stack: Stack, cluster: LocalCluster
) -> None:
    workers = sorted(cluster.workers())
    for name in workers:
        cluster.stop(name)
    runs = launch(cluster, "retry", TASKS, seconds=6, failures=0, helper=True)
    wait_until(
        "the messages to wait",
        lambda: cluster.messages().get("default", 0) == TASKS,
        60,
        saw=cluster.messages,
    )
    with faults_stack.broker as broker:
        for raw in broker.lrange("default", 0, -1):
            message = json.loads(raw)
            # What a second publish looks like: the same task, a delivery of its own.
            message["properties"]["delivery_tag"] += "-again"
            broker.lpush("default", json.dumps(message))
    for name in workers:
        cluster.start(name)
    wait_running(cluster, runs, 90)
    checks = Checks()
    all_succeed_once(checks, cluster, runs, 90)
    no_message_left(checks, cluster)
    wait_until(
        "each to be delivered twice",
        lambda: cluster.deliveries() == 2 * TASKS,
        10,
        saw=cluster.deliveries,
    )
    last_helper = {mark.run_id: mark.time for mark in marks_of(cluster, runs, "helper")}
    for end in marks_of(cluster, runs, "end"):
        assert end.time - last_helper[end.run_id] < 3, (
            "the helper of a running task was ended by the copy's refusal"
        )
    assert all(check.ok for check in checks.made), checks.made
