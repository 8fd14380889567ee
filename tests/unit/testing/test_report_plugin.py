"""`--windtunnel-report-dir` as the person sees it who runs pytest, on a stack that is played."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.testing import fake_stack
from windtunnel.testing.report import entry, folder

pytest_plugins = ["pytester"]

TESTS = """
import os, time
from tests.unit.testing import fake_stack

def log(windtunnel, text):
    with open(windtunnel.settings.logs / "worker-0.log", "a") as file:
        file.write(text + "\\n")

def test_green(windtunnel):
    log(windtunnel, "a line of the green test")

def test_red(windtunnel):
    windtunnel.journal.note_run("etl", fake_stack.RUN)
    windtunnel.journal.secrets.append("hunter2secret")
    print("the password is hunter2secret")
    log(windtunnel, "a line of the red test, and " + fake_stack.SECRET)
    fake_stack.note_event(windtunnel.settings.state, "warning", "Celery died <script>")
    print("what the test printed")
    assert windtunnel is None, "<b>load</b> has 1 try & not 2"

def test_without_the_stack():
    assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of tests whose stack has logs and an API server."""
    state = pytester.path / "stack" / "state"
    fake_stack.make(state)
    root = Path(__file__).resolve().parents[3]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("FAKE_STATE", str(state))
    pytester.makeconftest(fake_stack.CONFTEST)
    with fake_stack.api(state) as settings:
        monkeypatch.setenv("FAKE_OFFSET", str(settings.port_offset))
        yield pytester.path


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    quiet = ("-p", "no:cacheprovider", "--windtunnel-report-dir=report")
    return pytester.runpytest_subprocess(*quiet, *options)


def failed(project: Path) -> dict[str, entry.Entry]:
    found = entry.read_all(project / "report" / folder.TESTS)
    return {each.node.rpartition("::")[2]: each for each in found}


def text_of(project: Path, test: str, file: str) -> str:
    return (project / "report" / folder.TESTS / failed(project)[test].folder / file).read_text()


def test_a_red_test_leaves_its_files_and_a_page(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(TESTS)
    done = run(pytester)
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines([f"windtunnel: the report of failed tests is *report/{folder.PAGE}"])
    # A test without the stack is none of ours.
    assert list(failed(project)) == ["test_red"]
    red = failed(project)["test_red"]
    assert red.files == [
        "message.txt",
        "events.jsonl",
        "tasks/1-etl/load.try-1.log",
        "tasks/1-etl/load.try-2.log",
        "components/worker-0.log",
    ]
    assert "what the test printed" in text_of(project, "test_red", "message.txt")
    lines = text_of(project, "test_red", "components/worker-0.log")
    assert lines == "a line of the red test, and ***\n"
    tries = [(each.number, each.state, each.worker, each.log) for each in red.runs[0].tries]
    assert tries == [
        (1, "failed", "worker-0", "tasks/1-etl/load.try-1.log"),
        (2, "success", "worker-1", "tasks/1-etl/load.try-2.log"),
    ]
    # No process-compose runs here.
    assert [note for note in red.notes if note.startswith("the status cannot be had: ")]
    page = (project / "report" / folder.PAGE).read_text()
    assert "1 failed test, 1 passed" in page
    assert "&lt;b&gt;load&lt;/b&gt; has 1 try &amp; not 2" in page
    assert "Celery died &lt;script&gt;" in page and "<script" not in page
    everything = [path for path in (project / "report").rglob("*") if path.is_file()]
    assert len(everything) == 8
    for secret in (fake_stack.SECRET, "hunter2secret"):
        assert not [path for path in everything if secret in path.read_text()]


def test_processes_of_xdist_write_one_page(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(test_a=TESTS, test_b=TESTS)
    done = run(pytester, "-n", "2")
    done.assert_outcomes(passed=2, failed=4)
    found = list(entry.read_all(project / "report" / folder.TESTS))
    assert sorted(each.node for each in found) == ["test_a.py::test_red", "test_b.py::test_red"]
    page = (project / "report" / folder.PAGE).read_text()
    assert "2 failed tests, 2 passed" in page
    done.stdout.fnmatch_lines(["windtunnel: the report of failed tests is *"])


def test_a_process_of_xdist_that_dies_has_its_test_on_the_page(
    pytester: pytest.Pytester, project: Path
) -> None:
    dies = (
        "\ndef test_dies(windtunnel):\n"
        "    log(windtunnel, 'last words')\n"
        "    tasks = windtunnel.settings.logs / 'tasks' / 'dag_id=etl'\n"
        "    (tasks / f'run_id={new_run_id()}' / 'task_id=load').mkdir(parents=True)\n"
        "    os._exit(7)\n"
    )
    pytester.makepyfile("from windtunnel.testing.runs import new_run_id\n" + TESTS + dies)
    run(pytester, "-n", "1")
    assert set(failed(project)) == {"test_red", "test_dies"}
    assert failed(project)["test_dies"].outcome == "error: its process died"
    assert "last words" in text_of(project, "test_dies", "components/worker-0.log")
    assert [each.dag_id for each in failed(project)["test_dies"].runs] == ["etl"]
    assert "test_dies" in (project / "report" / folder.PAGE).read_text()


def test_a_stack_that_does_not_start_leaves_the_output_of_its_start_once(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILURE", "1")
    pytester.makepyfile("def test_a(windtunnel): pass\n\ndef test_b(windtunnel): pass")
    run(pytester).assert_outcomes(errors=2)
    first, second = failed(project)["test_a"], failed(project)["test_b"]
    assert first.outcome == "error in setup"
    assert first.message == "windtunnel: the stack did not start"
    assert text_of(project, "test_a", "up.log") == "uv: no such package\n"
    assert f"../{first.folder}/up.log" in second.files
    assert text_of(project, "test_b", f"../{first.folder}/up.log")


def test_a_failed_teardown_is_added_to_its_test(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.fixture\ndef own(windtunnel):\n    yield\n    raise ValueError('not removed')\n"
        "def test_red(own):\n    assert not 'failed itself'\n"
        "def test_green(own):\n    pass\n"
    )
    run(pytester)
    assert failed(project)["test_red"].message.endswith("in teardown: ValueError: not removed")
    assert failed(project)["test_green"].outcome == "error in teardown"


def test_green_tests_leave_a_page_that_says_so(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(
        "import pytest\ndef test_green(windtunnel): pass\n"
        "@pytest.mark.xfail\ndef test_expected(windtunnel): assert False"
    )
    done = run(pytester)
    assert failed(project) == {}
    assert "No test that used the stack has failed." in (
        (project / "report" / folder.PAGE).read_text()
    )
    done.stdout.no_fnmatch_line("windtunnel: *report*")


@pytest.mark.parametrize("processes", [0, 2])
def test_a_folder_that_cannot_be_written_is_one_line_and_no_failure(
    pytester: pytest.Pytester, project: Path, processes: int
) -> None:
    (project / "report").write_text("a file")
    pytester.makepyfile("def test_red(windtunnel): assert False\ndef test_green(windtunnel): pass")
    done = run(pytester, "-n", str(processes)) if processes else run(pytester)
    done.assert_outcomes(passed=1, failed=1)
    lines = [line for line in done.outlines if line.startswith("windtunnel: ")]
    assert lines == [f"windtunnel: no report in {project}/report: File exists: name another folder"]


def test_a_folder_of_somebody_else_is_left_alone(pytester: pytest.Pytester, project: Path) -> None:
    (project / "report").mkdir()
    (project / "report" / folder.PAGE).write_text("my own page")
    pytester.makepyfile("def test_red(windtunnel): assert False")
    done = run(pytester)
    done.stdout.fnmatch_lines(
        ["windtunnel: no report in *: its index.html * not of a former report*"]
    )
    assert (project / "report" / folder.PAGE).read_text() == "my own page"


def test_the_next_session_replaces_the_report_and_a_listing_does_not(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(TESTS)
    run(pytester)
    before = failed(project)
    run(pytester, "--collect-only")
    assert failed(project) == before
    run(pytester, "-k", "green")
    assert failed(project) == {}


def test_a_session_that_is_killed_has_the_failures_so_far_on_the_page(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(TESTS + "\ndef test_dies(windtunnel):\n    os._exit(9)\n")
    command = ["python", "-m", "pytest", "--windtunnel-report-dir=report", "-q"]
    subprocess.run(command, cwd=project, env=os.environ, capture_output=True, check=False)
    assert "test_red" in (project / "report" / folder.PAGE).read_text()


def test_the_page_names_the_runs_whose_waiting_was_shortened(
    pytester: pytest.Pytester, project: Path
) -> None:
    called = 'windtunnel.journal.note_run("etl", fake_stack.RUN)'
    impatient = 'windtunnel.journal.note_run("etl", fake_stack.RUN, 10.0)'
    pytester.makepyfile(TESTS.replace(called, impatient))
    run(pytester)
    note = f"etl {fake_stack.RUN} ran with waiting 10 times shorter (`impatient`)"
    assert note in failed(project)["test_red"].notes
    assert note in (project / "report" / folder.PAGE).read_text()
