"""What goes into the report of a failed test: the right lines, no secret, nothing of anybody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from windtunnel.pages import redact
from windtunnel.testing.report import folder, logs


# -- the lines of a test -----------------------------------------------------------------------
def copied(state: Path, begun: logs.Positions) -> dict[str, str]:
    found = {}
    for name, parts in logs.since(state, begun):
        logs.copy(parts, state / "copy", 10_000, str)
        found[name] = (state / "copy").read_text()
    return found


def test_only_lines_written_during_the_test_are_copied(tmp_path: Path) -> None:
    (tmp_path / "scheduler.log").write_text("before\n")
    (tmp_path / "worker-0.log").write_text("before\n")
    begun = logs.positions(tmp_path)
    with open(tmp_path / "scheduler.log", "a") as file:
        file.write("during\n")
    (tmp_path / "worker-1.log").write_text("a new worker\n")
    assert copied(tmp_path, begun) == {"scheduler": "during\n", "worker-1": "a new worker\n"}


def test_a_log_that_was_rotated_meanwhile_is_copied_from_both_files(tmp_path: Path) -> None:
    log = tmp_path / "worker-0.log"
    old = tmp_path / "worker-0-2026-11-30T10-00-00.000.log"
    old.write_text("an hour ago\n")
    log.write_text("before\n")
    begun = logs.positions(tmp_path)
    with open(log, "a") as file:
        file.write("during, 1\n")
    log.rename(tmp_path / "worker-0-2026-11-30T11-00-00.000.log")
    log.write_text("during, 2\n")
    assert copied(tmp_path, begun) == {"worker-0": "during, 1\nduring, 2\n"}


def test_a_log_that_became_shorter_is_copied_whole(tmp_path: Path) -> None:
    log = tmp_path / "valkey.log"
    log.write_text("a long line from before\n")
    begun = logs.positions(tmp_path)
    with open(log, "r+") as file:
        file.truncate(0)
        file.write("during\n")
    assert copied(tmp_path, begun) == {"valkey": "during\n"}


def test_a_long_log_loses_whole_lines_of_its_middle_and_says_how_many(tmp_path: Path) -> None:
    lines = [f"line {number:04}" for number in range(1000)]
    kept = list(logs.excerpt(lines, 1000))
    assert kept[0] == "line 0000" and kept[-1] == "line 0999"
    assert sum(len(line) + 1 for line in kept) < 1100
    said = [line for line in kept if line.startswith("[windtunnel: ")]
    assert said == [f"[windtunnel: {1000 - len(kept) + 1} lines are left out here]"]
    assert list(logs.excerpt(lines, 100_000)) == lines


def test_bytes_that_are_no_text_do_not_stop_the_copy(tmp_path: Path) -> None:
    (tmp_path / "flower.log").write_bytes(b"\xff\xfe\nnext\n")
    assert copied(tmp_path, {})["flower"].endswith("next\n")


def test_an_event_of_a_task_is_a_line_with_its_traceback() -> None:
    event = {
        "timestamp": "2026-11-30T20:11:31Z",
        "level": "error",
        "event": "Task failed with exception",
        "dag_id": "etl",
        "rows": 3,
        "error_detail": [
            {
                "exc_type": "ValueError",
                "exc_value": "no rows",
                "frames": [{"filename": "/dags/etl.py", "lineno": 7, "name": "load"}],
            },
            {"exc_type": "KeyError", "exc_value": "'x'", "frames": []},
        ],
    }
    assert logs.task_line(json.dumps(event)).splitlines() == [
        "2026-11-30T20:11:31Z error    Task failed with exception rows=3",
        "    ValueError: no rows",
        "      at /dags/etl.py:7 in load",
        "    caused by KeyError: 'x'",
    ]


@pytest.mark.parametrize("line", ["plain text", "[1, 2]", "{broken", ""])
def test_a_line_of_a_task_that_is_no_event_stays(line: str) -> None:
    assert logs.task_line(line) == line


# -- secrets -----------------------------------------------------------------------------------
def test_values_of_the_stack_s_secret_files_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    (state / "secrets").mkdir(parents=True)
    (state / "secrets" / "valkey-password").write_text("sEcret-of/valkey\n")
    (state / "secrets" / "simple-auth-manager.json").write_text('{"admin": "adminspassword"}')
    variables = {"WAREHOUSE_PASSWORD": "fromdotenv", "MODE": "harmless"}
    record = {"version": 1, "root": "/p", "python": "/p/python", "variables": variables}
    (state / "project.json").write_text(json.dumps(record))
    monkeypatch.setenv("CI_JOB_TOKEN", "glpat-1234567")
    hide = redact.of_stack(state)
    text = "sEcret-of/valkey sEcret-of%2Fvalkey adminspassword fromdotenv harmless glpat-1234567"
    assert hide(text) == "*** *** *** *** harmless ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sflKxw b", "a *** b"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("postgresql://airflow:hunter2@127.0.0.1/x", "postgresql://***@127.0.0.1/x"),
        ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
        ("url = 'https://user:pw@index/simple'", "url = 'https://***@index/simple'"),
    ],
)
def test_tokens_and_passwords_in_urls_are_hidden_whoever_made_them(text: str, shown: str) -> None:
    assert redact.Redactor()(text) == shown


def test_a_secret_is_hidden_as_json_writes_it_and_a_connections_password_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", 'quo"ted')
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://me:pass%2Fword@shop/x")
    hide = redact.of_stack(None)
    assert hide('{"event": "quo\\"ted"}') == '{"event": "***"}'
    assert hide("with pass/word, pass%2Fword") == "with ***, ***"


def test_every_line_of_a_key_is_hidden() -> None:
    hide = redact.Redactor(["-----BEGIN-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END-----"])
    assert hide("the key has DDDDEEEEFFFF") == "the key has ***"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("WAREHOUSE_PASSWORD", True),
        ("STRIPE_APIKEY", True),
        ("AIRFLOW_CONN_WAREHOUSE", True),
        ("aws_secret_access_key", True),
        ("GIT_AUTHOR_NAME", False),
        ("KEYBOARD_LAYOUT", False),
        ("COMPASS_URL", False),
    ],
)
def test_the_name_of_a_variable_says_whether_it_is_a_secret(name: str, secret: bool) -> None:
    assert bool(redact.NAMES.search(name)) == secret


# -- the folder --------------------------------------------------------------------------------
def test_a_former_report_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    report = tmp_path / "a" / "report"
    folder.prepare(report)
    (report / folder.PAGE).write_text("old")
    (folder.of_test(report, "t.py::test_a") / "x").touch()
    (report / "junit.xml").write_text("<x/>")
    folder.prepare(report)
    assert sorted(path.name for path in report.iterdir()) == [
        folder.RUNNING,
        folder.MARK,
        folder.TESTS,
        "junit.xml",
    ]
    assert list((report / folder.TESTS).iterdir()) == []


@pytest.mark.parametrize("name", [folder.PAGE, folder.TESTS])
def test_what_somebody_else_wrote_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(folder.NotOurs, match=name):
        folder.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_in_place_of_our_folder_is_not_followed(tmp_path: Path) -> None:
    report, other = tmp_path / "report", tmp_path / "other"
    folder.prepare(report)
    other.mkdir()
    (other / "kept").touch()
    (report / folder.TESTS).rmdir()
    (report / folder.TESTS).symlink_to(other)
    with pytest.raises(OSError):
        folder.prepare(report)
    assert (other / "kept").exists()


def test_two_failures_of_one_name_have_two_folders(tmp_path: Path) -> None:
    folder.prepare(tmp_path)
    node = "tests/test_etl.py::TestX::test_a[/etc/../x y]"
    names = [folder.of_test(tmp_path, node).name for _ in range(2)]
    assert names == ["test_etl.TestX_test_a_etc_.._x_y", "test_etl.TestX_test_a_etc_.._x_y-2"]
