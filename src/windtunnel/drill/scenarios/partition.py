"""Row 7: the network between one worker and the broker is cut."""

from __future__ import annotations

import time
from signal import SIGTERM

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import instances, launch, log, marks_of, occupy, seconds_until
from windtunnel.drill.verdicts import all_succeed_once, no_message_left

#: Seconds.
NOTICED, RECONNECTED = 20.0, 5.0
#: A message that is on its way to a worker in the very moment of the cut is lost to it.
SETTLE = 2.0


def worker_cut_off_from_the_broker(
    cluster: LocalStack,
    checks: Checks,
    silent: bool = True,
    seconds: float = 25,
) -> None:
    """Cut while the worker is at work, heal after `seconds`; its tasks end meanwhile.

    Args:
        silent: packets vanish; otherwise every connection is reset.
    """
    with cluster.lab_worker() as lab:
        runs = occupy(cluster, lab, seconds - 8)
        moment, cut = time.time(), time.monotonic()
        with cluster.partition(lab, silent=silent):
            noticed = seconds_until(
                "the worker to notice",
                lambda: _cut_off(cluster, lab, moment),
                60,
                since=cut,
            )
            checks.within("the worker notices and reports it", NOTICED, noticed, 60)
            time.sleep(max(0.0, SETTLE - (time.monotonic() - cut)))
            later = launch(cluster, "steady", cluster.slots + 1, seconds=0.5)
            log.info("the cut lasts %.0f s more", seconds - (time.monotonic() - cut))
            time.sleep(max(0.0, seconds - (time.monotonic() - cut)))
            taken = [m for m in marks_of(cluster, later, "start") if m.worker == lab]
            checks.add("it takes no new task", not taken, f"{len(taken)} taken")
            ended = {m.run_id for m in marks_of(cluster, runs, "end") if m.worker == lab}
            mine = {m.run_id for m in marks_of(cluster, runs, "start") if m.worker == lab}
            states = [i.state for run, i in instances(cluster, runs) if run.run_id in mine]
            checks.add(
                "its running tasks end and are recorded",
                ended == mine and set(states) == {"success"},
                f"{', '.join(map(str, states))}",
            )
        healed = time.monotonic()
        checks.within(
            "it is connected again after healing",
            RECONNECTED,
            seconds_until("the worker to be back", lambda: cluster.up(lab), 60, since=healed),
            60,
        )
        all_succeed_once(checks, cluster, runs + later, 120)
        more = occupy(cluster, lab, 1)
        all_succeed_once(checks, cluster, more, 60, "later tasks")
        no_message_left(checks, cluster)


def worker_drained_while_cut_off(
    cluster: LocalStack,
    checks: Checks,
    silent: bool = True,
    seconds: float = 12,
    ceiling: float = 60,
) -> None:
    """SIGTERM to a worker with tasks in hand that cannot reach the broker."""
    with cluster.lab_worker() as lab:
        runs = occupy(cluster, lab, seconds)
        with cluster.partition(lab, silent=silent):
            time.sleep(SETTLE)
            mine = [
                run
                for run in runs
                if any(m.worker == lab for m in marks_of(cluster, [run], "start"))
            ]
            asked = time.monotonic()
            cluster.kill(f"{lab}/supervisor", SIGTERM)
            gone = seconds_until(
                "the worker to end",
                lambda: cluster.main_pid(f"{lab}/supervisor") is None,
                ceiling + 60,
                since=asked,
            )
            checks.within("it ends, its tasks done", ceiling, gone, ceiling + 60)
            ended = marks_of(cluster, mine, "end")
            checks.add(
                "its tasks ended first",
                len(ended) == len(mine),
                f"{len(ended)} of {len(mine)}",
            )
        all_succeed_once(checks, cluster, runs, 90)


def _cut_off(cluster: LocalStack, lab: str, since: float) -> bool:
    return cluster.process_state(lab) != "Ready" and cluster.incident(lab, since) is not None
