"""Why a task failed is read from its log: the exception, its causes, the user's frames, the last output."""

from __future__ import annotations

from typing import Any

from windtunnel.stack.task_error import OUTPUT_LINES, log_text, read

AT = "2026-01-01T00:00:00Z"
SDK = "/venv/lib/python3.12/site-packages/airflow/sdk/execution_time/task_runner.py"


def event(text: str, logger: str = "task", level: str = "info", **more: Any) -> dict[str, Any]:
    return {"timestamp": AT, "event": text, "logger": logger, "level": level, **more}


def detail(name: str, message: str, *frames: tuple[str, int, str], **more: Any) -> dict[str, Any]:
    rows = [{"filename": file, "lineno": line, "name": function} for file, line, function in frames]
    return {"exc_type": name, "exc_value": message, "frames": rows, **more}


HEAD = [
    {"timestamp": None, "event": "::group::Log message source details"},
    {"timestamp": None, "event": "/logs/attempt=1.log"},
]
GROUP = [
    event("::group::Pre Execute"),
    event("Filling up the DagBag", "airflow.dag_processing.dagbag.BundleDagBag"),
]
END = [event("::group::Post Execute"), event("::endgroup::")]


def test_a_frame_of_the_users_own_code_is_among_those_of_installed_packages() -> None:
    library = "/p/.windtunnel/environments/1/lib/python3.11/site-packages/pandas"
    frames = [
        ("/venv/lib/python3.11/site-packages/airflow/sdk/task.py", 1, "run"),
        ("/p/dags/a.py", 7, "load"),
        *((f"{library}/{number}.py", number, "read") for number in range(3)),
        ("<frozen posixpath>", 9, "realpath"),
    ]
    error = read([event("task", error_detail=[detail("OSError", "gone", *frames)])])
    assert error.causes[0].frames == [
        "/p/dags/a.py:7 in load",
        f"{library}/2.py:2 in read",
        "<frozen posixpath>:9 in realpath",
    ]


def test_an_exception_is_told_with_its_cause_and_only_the_frames_of_the_user() -> None:
    chain = [
        detail("RuntimeError", "no [1]", (SDK, 9, "run"), ("/dags/a.py", 14, "work")),
        detail("KeyError", "'x'", ("/dags/b.py", 3, "get")),
    ]
    error = read(
        [
            *HEAD,
            *GROUP,
            event("Task failed with exception", level="error", error_detail=chain),
            *END,
        ]
    )
    assert error.summary == "RuntimeError: no [1]"
    assert error.lines() == [
        "  at /dags/a.py:14 in work",
        "caused by KeyError: 'x'",
        "  at /dags/b.py:3 in get",
    ]
    assert error.as_json()["causes"][1] == {
        "type": "KeyError",
        "message": "'x'",
        "frames": ["/dags/b.py:3 in get"],
    }


def test_output_is_the_task_s_own_and_its_end_however_much_it_printed() -> None:
    failed = event(
        "Task failed with exception",
        level="error",
        error_detail=[detail("AirflowException", "exit code 7")],
    )
    # Output is stamped when it is read, and so may stand behind the end.
    lines = [event(f"out {n}", "task.stdout") for n in range(100_000)]
    error = read([*HEAD, *GROUP, failed, *END[:1], *lines, *END[1:]])
    assert error.output == [f"out {n}" for n in range(100_000 - OUTPUT_LINES, 100_000)]
    assert error.summary == "AirflowException: exit code 7"


def test_a_killed_task_names_the_signal_and_a_lost_one_its_worker() -> None:
    killed = event(
        "Process terminated by signal. Likely OOM. For more information, see https://x",
        level="critical",
        signal_name="SIGKILL",
    )
    assert (
        read([*HEAD, *GROUP, killed]).summary
        == "killed by SIGKILL: Process terminated by signal. Likely OOM."
    )
    lost = event(
        "worker-0 lost this task: its drain reached the ceiling.", "windtunnel.worker", "critical"
    )
    assert read([*GROUP, lost]).summary.startswith("worker-0 lost this task")
    assert (
        read([event("Task exited", level="error", exit_code=3)]).summary
        == "Task exited with code 3"
    )


def test_what_a_task_logs_as_an_error_is_output_and_not_the_reason() -> None:
    logged = event(
        "tried in vain", "airflow.task", "error", error_detail=[detail("OSError", "first")]
    )
    end = event(
        "Task failed with exception", level="error", error_detail=[detail("ValueError", "second")]
    )
    error = read([logged, end])
    assert (error.summary, error.output) == ("ValueError: second", ["tried in vain"])


def test_a_log_that_is_missing_is_said() -> None:
    error = read([*HEAD[:1], {"timestamp": None, "event": "No logs available"}])
    assert "the log gives no reason" in error.summary and "No logs available" in error.summary
    assert read([]).lines() == []


def test_a_message_of_pages_is_cut_for_people_and_whole_for_programs() -> None:
    error = read(
        [event("Task failed", level="error", error_detail=[detail("ValueError", "x" * 5000)])]
    )
    assert len(error.summary) < 1100 and "(5000 characters)" in error.summary
    assert len(error.as_json()["causes"][0]["message"]) == 5000


def test_the_text_of_a_log_has_the_exception_and_not_the_marks_that_fold_it() -> None:
    chain = [
        detail("ValueError", "no table", ("/dags/a.py", 14, "work"), exc_notes=["look at b"]),
        detail("KeyError", "'x'", ("/dags/b.py", 3, "get")),
    ]
    failed = event("Task failed with exception", level="error", error_detail=chain)
    assert log_text([*GROUP, event("about to load"), failed, *END]).splitlines()[-7:] == [
        "about to load",
        "Task failed with exception",
        "    ValueError: no table",
        "      look at b",
        "      at /dags/a.py:14 in work",
        "    caused by KeyError: 'x'",
        "      at /dags/b.py:3 in get",
    ]
