"""The failure table on live processes: one short variant of every row here, the long ones behind the marker `long`.

What is broken, what is promised and every threshold stand in `windtunnel.drill.scenarios`; a test adds only parameters.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import own_clock
from tests.faults.conftest import Rehearse, rehearse_on
from tests.faults.small_world import small_world
from tests.stack_fixture import until
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.system import disk

long = pytest.mark.long


# -- row 1: the broker is down at the scheduler's start, or when tasks are to be queued ----------


def test_row_1_tasks_wait_for_the_broker_and_none_fails(rehearse: Rehearse) -> None:
    rehearse("broker-away", tasks=4, seconds=15)


@long
@pytest.mark.parametrize("tasks", [0, 4, 100])
def test_row_1_for_30_seconds_with_so_many_waiting(rehearse: Rehearse, tasks: int) -> None:
    rehearse("broker-away", tasks=tasks, seconds=30)


@long
@pytest.mark.timeout(1200)
def test_row_1_for_10_minutes(rehearse: Rehearse) -> None:
    rehearse("broker-away", tasks=4, seconds=600)


@long
@pytest.mark.parametrize("name", ["scheduler-without-broker", "scheduler-lost"])
def test_row_1_the_scheduler_starts_or_dies_without_a_broker(rehearse: Rehearse, name: str) -> None:
    rehearse(name)


# -- row 2: the broker is killed while tasks run -------------------------------------------------


def test_row_2_a_killed_broker_loses_and_doubles_nothing(rehearse: Rehearse) -> None:
    rehearse("broker-killed", queued=10, long=25)


@long
@pytest.mark.timeout(2400)
def test_row_2_twenty_times_in_a_row(rehearse: Rehearse) -> None:
    rehearse("broker-killed-again", cycles=20)


# -- row 3: a worker is killed mid-task ----------------------------------------------------------


def test_row_3_the_retry_runs_elsewhere_and_never_beside_the_lost_one(rehearse: Rehearse) -> None:
    rehearse("worker-killed")


def test_row_3_without_retries_the_task_is_failed_and_not_lost(rehearse: Rehearse) -> None:
    rehearse("worker-killed-no-retry")


def test_row_3_a_task_that_outlives_its_lease_stays_its_workers(rehearse: Rehearse) -> None:
    rehearse("long-task")


@long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [1, 2])
def test_row_3_a_task_of_400_seconds(rehearse: Rehearse, workers: int) -> None:
    rehearse("long-task", seconds=380, workers=workers)


@long
def test_row_3_the_only_worker(rehearse: Rehearse) -> None:
    rehearse("only-worker-killed")


@long
def test_row_3_the_supervisor_is_the_one_killed(rehearse: Rehearse) -> None:
    rehearse("supervisor-killed")


# -- row 4: a task is killed, or runs out of memory ----------------------------------------------


def test_row_4_a_killed_task_is_retried_and_its_worker_serves_on(rehearse: Rehearse) -> None:
    rehearse("task-killed", seconds=12)


def test_row_4_the_kernel_takes_a_task_that_wants_too_much(rehearse: Rehearse) -> None:
    rehearse("task-out-of-memory")


# -- row 5: PostgreSQL is down -------------------------------------------------------------------


def test_row_5_tasks_end_without_their_database_and_are_recorded(rehearse: Rehearse) -> None:
    rehearse("database-away", seconds=20)


@long
def test_row_5_a_killed_database(rehearse: Rehearse) -> None:
    rehearse("database-killed")


@long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("again", [1, 2, 3])
def test_row_5_for_a_minute_three_times_in_a_row(rehearse: Rehearse, again: int) -> None:
    rehearse("database-away", seconds=60, queued=10, short=30, long=90)


@long
@pytest.mark.timeout(1800)
def test_row_5_for_five_minutes(rehearse: Rehearse) -> None:
    rehearse("database-away", seconds=300, queued=10, short=30, long=90)


# -- row 6: no worker at all ---------------------------------------------------------------------


def test_row_6_tasks_wait_for_workers_as_long_as_it_takes(rehearse: Rehearse) -> None:
    rehearse("workers-away", tasks=20)


@long
@pytest.mark.timeout(900)
def test_row_6_with_fifty_tasks(rehearse: Rehearse) -> None:
    rehearse("workers-away", tasks=50, hold=40)


# -- row 7: a worker cannot reach the broker -----------------------------------------------------


def test_row_7_a_worker_that_is_cut_off_notices_and_comes_back(rehearse: Rehearse) -> None:
    rehearse("partition")


@long
def test_row_7_with_resets_instead_of_silence(rehearse: Rehearse) -> None:
    rehearse("connection-reset")


@long
@pytest.mark.parametrize("silent", [True, False])
def test_row_7_a_worker_drains_while_it_is_cut_off(rehearse: Rehearse, silent: bool) -> None:
    rehearse("partition-drain", silent=silent)


# -- row 8: everything dies ----------------------------------------------------------------------


def test_row_8_up_resumes_after_everything_was_killed(rehearse: Rehearse) -> None:
    rehearse("everything-killed")


def test_row_8_each_component_that_is_killed_comes_back(rehearse: Rehearse) -> None:
    rehearse("components-killed")


@long
def test_row_8_tasks_killed_as_well(rehearse: Rehearse) -> None:
    rehearse("everything-killed", spare_tasks=False)


# -- row 9: the disk is full ---------------------------------------------------------------------


def test_row_9_tasks_live_through_a_full_disk_and_it_is_named(tmp_path: Path) -> None:
    with small_world(disk="512m") as stack:
        rehearse_on(LocalCluster(stack.settings, tmp_path / "marks"), "disk-full", seconds=25)
        rooms = [event["text"] for event in stack.events("disk_has_room")]
        assert f"there is room again on {stack.settings.state.parent}" in rooms[-1], rooms
        # Before it happens: 3 % free.
        ballast = stack.settings.state / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(
                file.fileno(), 0, disk.room(stack.settings.state).free - 24 * disk.MIB
            )
        shown = until(
            "status warns", lambda: [p for p in stack.status()["problems"] if p["part"] == "disk"]
        )
        assert "nearly full: 2" in shown[0]["what"], shown
        doctor = stack.command("windtunnel", "doctor").stdout
        assert f"wrong   disk: the file system {stack.settings.state.parent}" in doctor, doctor
        until(
            "the reconciler warns",
            lambda: [e for e in stack.events("disk_low") if not e["full"]],
        )


def test_row_9_a_file_system_that_others_use_is_never_filled(rehearse: Rehearse) -> None:
    with pytest.raises(AssertionError, match="is not on a small file system of its own"):
        rehearse("disk-full")


# -- row 10: the clock jumps, or the machine sleeps ----------------------------------------------


def test_row_10_a_machine_that_sleeps_loses_and_doubles_nothing(rehearse: Rehearse) -> None:
    rehearse("machine-asleep", seconds=45)


@long
@pytest.mark.timeout(1200)
def test_row_10_asleep_for_six_minutes(rehearse: Rehearse) -> None:
    rehearse("machine-asleep", seconds=360)


def test_row_10_a_clock_that_jumps_ten_minutes_reports_nobody_dead(tmp_path: Path) -> None:
    with small_world(clock=True) as stack:
        rehearse_on(LocalCluster(stack.settings, tmp_path / "marks"), "clock-jump", seconds=600)


# -- NFR-1: an unhealthy worker ------------------------------------------------------------------


def test_a_stopped_worker_is_reported_and_goes_on(rehearse: Rehearse) -> None:
    rehearse("worker-stopped", seconds=15)


@long
def test_a_hung_worker_is_reported_and_replaced_without_losing_its_task(rehearse: Rehearse) -> None:
    rehearse("worker-hung")


@long
def test_a_worker_that_takes_nothing_is_reported_and_cured(rehearse: Rehearse) -> None:
    rehearse("worker-not-consuming")


# -- under load ----------------------------------------------------------------------------------


@long
@pytest.mark.timeout(1200)
def test_restarting_and_scaling_workers_under_load_for_five_minutes(rehearse: Rehearse) -> None:
    rehearse("rolling", minutes=5)


@long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_minutes_of_random_faults_under_load(rehearse: Rehearse, seed: int) -> None:
    rehearse("soak", minutes=10, seed=seed)


@long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_soak_of_twenty_minutes_with_tasks_of_six_to_nine(tmp_path: Path, seed: int) -> None:
    # Root has a disk and, where libfaketime is, a clock of the stack's own: then both are among the faults.
    root = os.geteuid() == 0
    with small_world(
        disk="3g" if root else "", clock=own_clock.missing() is None, WORKER_CONCURRENCY="8"
    ) as stack:
        cluster = LocalCluster(stack.settings, tmp_path / "marks")
        rehearse_on(
            cluster, "soak", minutes=20, seed=seed, apart=(15, 50), every=40, real=360, megabytes=20
        )
