"""`--windtunnel-check`: an item for each DAG file, in one process and in several ones."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

DAG = "from airflow.sdk import DAG\ndag = DAG('{}', schedule=None)\n"
FILES = {
    "good": DAG.format("good"),
    "bad": "from airflow.sdk import DAG\n1 / 0\n",
    "one": DAG.format("same"),
    "other": DAG.format("same"),
    "forks": DAG.format("forks") + "import os\nif not os.fork(): os._exit(0)\n",
    "hangs": DAG.format("hangs") + "import time\ntime.sleep(1000)\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Path:
    """A project whose DAG files lie where pytest does not look for tests."""
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    for name in ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER", "WORKER_QUEUES"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    dags = pytester.mkdir("dags")
    for stem, text in FILES.items():
        (dags / f"{stem}.py").write_text(text)
    (pytester.path / ".env").write_text("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT=3\n")
    tests = pytester.mkdir("tests")
    (tests / "test_nothing.py").write_text("def test_nothing(): pass\n")
    return pytester.path


@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one", "several"])
def test_each_dag_file_is_an_item_beside_the_tests(
    project: Path, pytester: pytest.Pytester, processes: list[str], tmp_path: Path
) -> None:
    options = ["--windtunnel-check", "-p", "no:cacheprovider", *processes]
    done = pytester.runpytest_subprocess(*options)
    done.assert_outcomes(passed=4, failed=3, warnings=1)
    done.stdout.fnmatch_lines_random(
        [
            "dags/bad.py:2: error: ZeroDivisionError: division by zero [[]import-error[]]",
            "dags/*.py:2: error: the DAG id 'same' is also in dags/*.py: *",
            "dags/hangs.py:4: error: AirflowTaskTimeout: *after 3.0s. [[]timeout[]]",
            "*DagWarning: forks while it is parsed*",
            "FAILED dags/bad.py::windtunnel-check*",
        ]
    )
    assert not (project / ".windtunnel").exists()
    sessions = [each.name for each in (tmp_path / "cache" / "testing").iterdir() if each.is_dir()]
    assert sessions == ["environments"]


def test_a_dag_file_that_is_named_is_checked_and_not_imported_by_pytest(
    project: Path, pytester: pytest.Pytester
) -> None:
    done = pytester.runpytest_subprocess(
        "--windtunnel-check", "-p", "no:cacheprovider", "dags/hangs.py", "dags/good.py"
    )
    done.assert_outcomes(passed=1, failed=1)


def test_warnings_can_be_made_errors(project: Path, pytester: pytest.Pytester) -> None:
    strict = "-Werror::windtunnel.testing.checks.DagWarning"
    options = ["--windtunnel-check", "-p", "no:cacheprovider", strict, "dags/forks.py"]
    pytester.runpytest_subprocess(*options).assert_outcomes(failed=1)


def test_settings_that_end_airflow_end_the_session_with_their_cause(
    project: Path, pytester: pytest.Pytester
) -> None:
    (project / "config").mkdir()
    text = "raise SystemExit('my settings')\n"
    (project / "config" / "airflow_local_settings.py").write_text(text)
    done = pytester.runpytest_subprocess("--windtunnel-check", "-p", "no:cacheprovider")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--windtunnel-check: *has ended*my settings*"])


def test_a_project_without_dags_is_wrong_usage(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--windtunnel-check", "-p", "no:cacheprovider")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--windtunnel-check: * has no DAG folder"])


def test_without_the_option_no_dag_file_is_an_item(
    project: Path, pytester: pytest.Pytester
) -> None:
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
