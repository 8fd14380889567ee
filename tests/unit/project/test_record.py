"""What a process takes from the record of a project, and what makes it useless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.project import record
from windtunnel.project.record import Record

#: Enters the project, and prints where names come from.
CODE = """
import json, os
from windtunnel.project import record
record.enter()
import redis, types, include, only_here
print(json.dumps({
    "redis": redis.__file__, "include": include.__file__, "only_here": only_here.__file__,
    "types": types.__file__, "folder": os.getcwd(),
    "env": {name: os.environ.get(name) for name in ("MINE", "TAKEN", "PYTHONPATH")},
}))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project ü"
    for name in ("include/__init__.py", "types.py", "dags/redis.py", "dags/only_here.py"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def write(state: Path, known: Record) -> None:
    state.mkdir(exist_ok=True)
    (state / record.NAME).write_text(known.text())


def entered(root: Path, state: Path, **env: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE],
        env={**os.environ, "WINDTUNNEL_STATE": str(state), "WINDTUNNEL_PROJECT": str(root)} | env,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_the_projects_folder_comes_before_packages_and_behind_python_and_dag_folders_come_last(
    root: Path, tmp_path: Path
) -> None:
    known = Record(
        root=str(root),
        python=sys.executable,
        variables={"MINE": "a b", "TAKEN": "project"},
        import_path=[str(root)],
        import_last=[str(root / "dags")],
        python_path=[str(root / "include")],
    )
    write(tmp_path / "state", known)
    found = entered(root, tmp_path / "state", TAKEN="stack")
    assert found["include"] == str(root / "include" / "__init__.py")
    assert found["only_here"] == str(root / "dags" / "only_here.py")
    assert not str(found["redis"]).startswith(str(root))
    assert not str(found["types"]).startswith(str(root))
    assert found["folder"] == str(root)
    env = {"MINE": "a b", "TAKEN": "stack", "PYTHONPATH": str(root / "include")}
    assert found["env"] == env


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"root": 1}', "\xff"])
def test_a_record_that_is_missing_or_damaged_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / record.NAME).write_text(text, "latin-1")
    assert record.read(tmp_path) is None
    before = dict(os.environ)
    record.enter({"WINDTUNNEL_STATE": str(tmp_path), "WINDTUNNEL_PROJECT": str(tmp_path)})
    assert dict(os.environ) == before


def test_a_record_of_another_windtunnel_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    text = json.dumps({"version": 2, "root": "/p", "python": "/x", "more": 1})
    (tmp_path / record.NAME).write_text(text)
    assert record.read(tmp_path) == Record(root="/p", python="/x")


def test_changed_files_are_named_also_those_that_came_or_went(tmp_path: Path) -> None:
    for name in ("same", "other", "gone"):
        (tmp_path / name).write_text(name)
    names = ("same", "other", "gone", "came", "never")
    files = {name: record.digest(tmp_path / name) for name in names}
    known = Record(root=str(tmp_path), python="", files=files)
    assert record.changed(known) == []
    (tmp_path / "other").write_text("x")
    (tmp_path / "gone").unlink()
    (tmp_path / "came").write_text("")
    assert record.changed(known) == ["other", "gone", "came"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("types.py", True), ("email/__init__.py", True), ("email/x.py", False), ("mine.py", False)],
)
def test_a_file_or_a_package_can_shadow_pythons_own(
    tmp_path: Path, name: str, expected: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert record.shadows(tmp_path) is expected
    assert not record.shadows(tmp_path / "nowhere")
