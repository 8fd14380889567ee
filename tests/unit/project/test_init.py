"""`windtunnel init`: three files, only where nothing is, and each of them works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.project.conftest import Make
from windtunnel.project.create import create, remarks
from windtunnel.project.survey import survey

CODE = "from windtunnel.cli import main; main()"
WORKFLOW = ".github/workflows/windtunnel.yml"
ALL = [WORKFLOW, "pyproject.toml", "tests/test_dags.py"]
GOOD = """
from airflow.sdk import dag, task
from include.names import NAME


@dag(schedule=None)
def {id}():
    @task
    def look() -> str:
        return NAME

    look()


{id}()
"""
PROJECT = {"dags/first.py": GOOD.format(id="first"), "include/names.py": "NAME = 'x'\n"}


def init(root: Path, *words: str, restricted: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, "init", "--project", str(root), *words]
    if restricted and os.geteuid() == 0:
        # Root without this capability is refused like everybody else.
        command = ["setpriv", "--bounding-set=-dac_override", *command]
    return subprocess.run(command, capture_output=True, text=True)


def steps(root: Path) -> list[dict[str, Any]]:
    workflow = yaml.safe_load((root / WORKFLOW).read_text())
    assert workflow["jobs"]["dags"]["runs-on"] == "ubuntu-latest"
    return list(workflow["jobs"]["dags"]["steps"])


def test_it_says_what_it_wrote_and_a_second_time_what_it_left_alone(make: Make) -> None:
    root = make(PROJECT)
    first = init(root)
    assert first.returncode == 0
    assert first.stdout.splitlines() == [f"{name}: written" for name in ALL]
    texts = {name: (root / name).read_bytes() for name in ALL}
    second = init(root)
    assert second.returncode == 0
    assert second.stdout.splitlines() == [f"{name}: left alone: it exists" for name in ALL]
    assert {name: (root / name).read_bytes() for name in ALL} == texts


def test_the_json_names_each_file_and_what_is_left_to_do(make: Make) -> None:
    root = make(PROJECT | {"pyproject.toml": "[tool.ruff]\n"})
    said = json.loads(init(root, "--json").stdout)
    assert said["version"] == 1 and said["project"] == str(root)
    assert [each["written"] for each in said["files"]] == [True, False, True]
    assert any("`uv add --dev windtunnel`" in line for line in said["remarks"])
    assert (root / "pyproject.toml").read_text() == "[tool.ruff]\n"


def test_the_workflow_starts_a_stack_runs_a_dag_of_the_project_and_stops_it(make: Make) -> None:
    root = make(PROJECT)
    init(root)
    workflow = yaml.safe_load((root / WORKFLOW).read_text())
    env = workflow["jobs"]["dags"]["env"]
    assert env["DAG"] == "first"
    assert env["WINDTUNNEL"].startswith("https://github.com/OWNER/windtunnel/releases/download/v")
    names = [each.get("uses", "").split("@")[0] for each in steps(root)]
    assert names[:2] == ["actions/checkout", "astral-sh/setup-uv"]
    run = "\n".join(each.get("run", "") for each in steps(root))
    commands = ("windtunnel up -D", "windtunnel wait", 'windtunnel run "$DAG"', "windtunnel down")
    places = [run.index(command) for command in commands]
    assert places == sorted(places)
    (down,) = [each for each in steps(root) if each.get("run", "").endswith("windtunnel down")]
    assert down["if"] == "always()"


def test_a_project_that_has_windtunnel_in_its_environment_uses_that_one(make: Make) -> None:
    root = make(
        {
            "dags/a.py": "from airflow.sdk import DAG\nwith DAG(dag_id='nightly-load'):\n    ...\n",
            "pyproject.toml": "[project]\nname = 'a'\n[dependency-groups]\ndev = ['windtunnel']\n",
        }
    )
    done = init(root)
    workflow = yaml.safe_load((root / WORKFLOW).read_text())
    assert workflow["jobs"]["dags"]["env"] == {"DAG": "nightly-load"}
    assert "uv run windtunnel up -D" in (root / WORKFLOW).read_text()
    assert "uv add" not in done.stderr
    assert "it runs the DAG nightly-load; name one that" in done.stderr


@pytest.mark.parametrize(
    ("folder", "name"), [("my_dags", "my-dags"), ("Täglich & Co", "t-glich-co"), ("日", "airflow-project")]
)  # fmt: skip
def test_the_name_in_pyproject_is_made_from_the_folder(
    tmp_path: Path, folder: str, name: str
) -> None:
    root = tmp_path / folder
    root.mkdir()
    (root / ".python-version").write_text("3.12\n")
    assert init(root).returncode == 0
    written = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert written == {"name": name, "version": "0", "requires-python": "==3.12.*"}
    assert survey(root).python.specifier == "==3.12.*", (
        "the project wants the same Python as before"
    )


def test_without_a_wish_any_python_that_windtunnel_runs_on_will_do(make: Make) -> None:
    root = make(PROJECT)
    init(root)
    written = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert written["requires-python"] == ">=3.11,<3.14"


def test_the_step_for_an_environment_of_its_own_brings_the_requirements_along(make: Make) -> None:
    root = make(PROJECT | {"requirements.txt": "emoji\n"})
    assert "uv add --requirements requirements.txt && uv add --dev windtunnel" in init(root).stderr


def pytest_in(root: Path) -> subprocess.CompletedProcess[str]:
    """The written test, as a person types it: no stack, and no variable of one."""
    ours = ("AIRFLOW", "WINDTUNNEL", "DAGS_FOLDER", "PYTEST")
    env = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)


def test_the_written_test_passes_with_good_dags_and_names_a_broken_one(make: Make) -> None:
    root = make(PROJECT | {"plugins/own.py": "X = 1\n", "etl/dags/b.py": GOOD.format(id="b")})
    init(root)
    good = pytest_in(root)
    assert good.returncode == 0 and "2 passed" in good.stdout, good
    (root / "dags" / "broken.py").write_text("from airflow.sdk import dag\nimport no_such\n")
    bad = pytest_in(root)
    assert bad.returncode == 1 and "1 failed, 1 passed" in bad.stdout, bad
    assert "broken.py" in bad.stdout and "No module named 'no_such'" in bad.stdout


def test_the_written_test_leaves_nothing_behind_and_no_dag_file_replaces_a_package(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(PROJECT | {"dags/jinja2.py": "raise RuntimeError('a DAG file')\n"})
    init(root)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    done = pytest_in(root)
    assert done.returncode == 0 and "1 passed" in done.stdout, done
    assert list((tmp_path / "temporary").glob("airflow-*")) == []


def test_the_written_test_fails_where_there_is_no_dag(make: Make) -> None:
    root = make({"dags/": ""})
    init(root)
    done = pytest_in(root)
    assert done.returncode == 1 and "dags holds no DAG" in done.stdout, done


@pytest.mark.parametrize("name", [".github", ".github/workflows", "tests"])
def test_a_symlink_is_not_followed_out_of_the_project(
    make: Make, tmp_path: Path, name: str
) -> None:
    root = make(PROJECT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(outside)
    done = init(root)
    assert done.returncode == 0 and f"left alone: {name} is a file or a symlink" in done.stdout
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ALL)
def test_a_symlink_to_nothing_is_left_alone(make: Make, tmp_path: Path, name: str) -> None:
    root = make(PROJECT)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(tmp_path / "new")
    assert f"{name}: left alone: it exists" in init(root).stdout
    assert not (tmp_path / "new").exists()


def test_a_file_in_a_folders_place_is_left_alone(make: Make) -> None:
    root = make(PROJECT | {"tests": "notes\n"})
    assert "tests is a file or a symlink" in init(root).stdout
    assert (root / "tests").read_text() == "notes\n"


@pytest.mark.parametrize("closed", [".", "tests"])
def test_a_folder_that_cannot_be_written_is_one_line_and_one(make: Make, closed: str) -> None:
    root = make(PROJECT | {"tests/": ""})
    (root / closed).chmod(0o555)
    done = init(root, restricted=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("windtunnel: cannot write ") and "Permission" in done.stderr
    (root / closed).chmod(0o755)


def test_a_full_disk_leaves_no_half_of_a_file(make: Make) -> None:
    root = make(PROJECT)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); {CODE}"
    # Beyond that size a write fails; Python ignores the signal.
    command = [sys.executable, "-c", code, "init", "--project", str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("windtunnel: cannot write "), done
    assert not (root / WORKFLOW).exists()


def test_a_folder_that_is_none_is_two(tmp_path: Path) -> None:
    done = init(tmp_path / "nothing")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_project_below_the_top_of_its_repository_is_told_where_github_looks(make: Make) -> None:
    root = make(PROJECT | {"../.git/": ""})
    project = survey(root)
    lines = remarks(project, list(create(project)))
    assert any("the top of the repository" in line and str(root.parent) in line for line in lines)
