"""`windtunnel check` as it is typed: lines, JSON, exit codes; and DAGs that are known to be well."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.check.checker import Checker

ROOT = Path(__file__).resolve().parents[3]
CODE = "from windtunnel.cli import main; main()"
#: Of a stack's shell, in which somebody runs the tests.
OTHERS = ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER", "WORKER_QUEUES")
GOOD = "from airflow.sdk import DAG\ndag = DAG('good', schedule=None)\n"


def check(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: text for name, text in os.environ.items() if name not in OTHERS}
    command = [sys.executable, "-P", "-c", CODE, "check", *words]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "good.py").write_text(GOOD)
    return tmp_path.resolve()


def test_in_a_projects_folder_every_file_has_its_line_and_the_sum_comes_last(folder: Path) -> None:
    (folder / "dags" / "bad.py").write_text("from airflow.sdk import DAG\n1 / 0\n")
    done = check(folder=folder)
    assert done.returncode == 1, done
    *lines, last = done.stdout.splitlines()
    assert re.fullmatch(r"dags/bad\.py  0 DAGs  \d+\.\d\d s", lines[0])
    fault = "dags/bad.py:2: error: ZeroDivisionError: division by zero [import-error]"
    assert lines[1] == f"  {fault}"
    assert re.fullmatch(r"dags/good\.py  1 DAG  \d+\.\d\d s.*", lines[2])
    assert re.fullmatch(r"2 files, 1 DAG, 1 error, 0 warnings in \d+\.\d s", last)
    assert re.fullmatch(
        r"checking 2 files with Airflow 3\.\d+\.\d+, Python 3\.\d+\.\d+\n", done.stderr
    )
    data = json.loads(check("--json", "dags/bad.py", folder=folder).stdout)
    assert (data["version"], data["project"], data["errors"], data["warnings"]) == (
        1,
        str(folder),
        1,
        0,
    )
    (file,) = data["files"]
    assert file["path"] == "dags/bad.py" and file["findings"][0]["kind"] == "import-error"


def test_warnings_alone_are_no_failure(folder: Path) -> None:
    lines = "import os\nif not os.fork(): os._exit(0)\n"
    (folder / "dags" / "good.py").write_text(GOOD + lines)
    done = check("--project", str(folder), folder=Path("/"))
    assert done.returncode == 0 and "1 warning in" in done.stdout, done


@pytest.mark.parametrize(
    "words", [["none.py"], ["--project", "/nonexistent"], ["dags", "--project", "dags/good.py"]]
)
def test_a_path_that_cannot_be_used_is_one_line_and_two(folder: Path, words: list[str]) -> None:
    done = check(*words, folder=folder)
    assert done.returncode == 2 and not done.stdout, done
    assert done.stderr.startswith("windtunnel: ") and done.stderr.count("\n") == 1, done.stderr


def test_settings_that_end_airflow_are_one_line_and_one(folder: Path) -> None:
    (folder / "config").mkdir()
    (folder / "config" / "airflow_local_settings.py").write_text("raise SystemExit('no way')\n")
    done = check(folder=folder)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert "has ended" in done.stderr and "no way" in done.stderr


def test_the_dags_of_the_checkout_have_no_error() -> None:
    done = check(folder=ROOT)
    assert done.returncode == 0, done
    assert "0 errors, 1 warning" in done.stdout and "only worker-heavy serves" in done.stdout


def test_airflows_own_example_dags_have_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import airflow

    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    # Their plugins are registered only so.
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    packages = Path(airflow.__file__).parent
    folders = [packages / "example_dags", packages / "providers" / "standard" / "example_dags"]
    with Checker.of(tmp_path) as checker:
        reports = list(checker.check_all(checker.files(folders)))
    # Two of the provider's examples import `airflow.DAG`, which ruff knows where it is there.
    findings = [each for report in reports for each in report.findings if "AIR311" not in str(each)]
    found = [line for each in findings for line in each.lines()]
    assert len(reports) >= 46
    # FileSensor's hook needs it, and a stack of ours has no default connections.
    assert len(found) == 1 and "'fs_default' is not declared" in found[0], "\n".join(found)
