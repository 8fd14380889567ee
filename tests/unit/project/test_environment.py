"""A project's environment: complete or made anew, and nothing else is deleted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.project import fake_uv
from tests.unit.project.conftest import DAG, Make
from windtunnel.errors import WindtunnelError
from windtunnel.project import environment, limits, published, survey, wanted
from windtunnel.project.survey import Project
from windtunnel.project.wanted import Wanted
from windtunnel.system import nix_store

#: Nix makes its environments itself; `up` refuses there (tests/unit/project/test_nix.py).
pytestmark = pytest.mark.skipif(
    nix_store.holds(sys.prefix), reason="this windtunnel is from Nix, which installs no packages"
)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(published, "_fetch", lambda *_: "")
    return fake_uv.install(tmp_path / "tools", monkeypatch)


@pytest.fixture
def project(make: Make, calls: Path) -> Project:
    return survey.survey(make({"dags/a.py": DAG, "requirements.txt": "emoji==2.14.0\n"}))


def needed(project: Project) -> Wanted:
    found = wanted.find(project)
    assert found is not None
    return found


def make_it(project: Project, state: Path) -> Path:
    state.mkdir(exist_ok=True)
    return environment.make(project, needed(project), limits.find(needed(project)), state, print)


def test_a_made_environment_is_found_and_only_its_owner_can_look_into_it(
    project: Project, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    assert environment.find(project, needed(project), state) is None
    made = make_it(project, state)
    assert environment.find(project, needed(project), state) == made
    assert made == environment.place(project, needed(project), state)
    for folder in (made, made.parent):
        assert folder.stat().st_mode & 0o077 == 0, folder
    done = subprocess.run(
        [made / "bin" / "windtunnel", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("windtunnel "), done


def test_the_python_that_runs_here_is_named_by_its_path_since_PATH_may_not_have_it(
    make: Make, calls: Path, tmp_path: Path
) -> None:
    other = "3.13" if sys.version_info[:2] == (3, 12) else "3.12"
    for python, text in ((sys.executable, ""), (other, f"{other}\n")):
        files = {"dags/a.py": DAG, "requirements.txt": "emoji\n", ".python-version": text}
        make_it(survey.survey(make(files)), tmp_path / "state")
        assert f"venv --quiet --python {python} " in calls.read_text()


def test_one_without_its_last_file_is_made_anew(project: Project, tmp_path: Path) -> None:
    made = make_it(project, tmp_path / "state")
    (made / environment.COMPLETE).unlink()
    (made / "half").touch()
    assert environment.find(project, needed(project), tmp_path / "state") is None
    assert make_it(project, tmp_path / "state") == made
    assert not (made / "half").exists()


def test_a_python_that_uv_cannot_find_is_no_fault_of_the_requirements(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "venv")
    said = rf"Python {needed(project).python}, install that Python, or .*:\nvenv has failed"
    with pytest.raises(WindtunnelError, match=said):
        make_it(project, tmp_path / "state")


def test_a_failure_of_uv_leaves_no_environment_that_is_found(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "pip")
    with pytest.raises(WindtunnelError, match=r"correct requirements\.txt:\npip has failed"):
        make_it(project, tmp_path / "state")
    assert environment.find(project, needed(project), tmp_path / "state") is None


def test_a_version_of_the_lock_that_the_project_does_not_name_gives_way_to_the_stack(
    make: Make, calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject = '[project]\nname = "x"\nversion = "1"\ndependencies = ["emoji"]\n'
    project = survey.survey(
        make({"dags/a.py": DAG, "pyproject.toml": pyproject, "uv.lock": "version = 1\n"})
    )
    monkeypatch.setenv("EXCLUDED", "redis==7")
    said: list[str] = []
    (tmp_path / "state").mkdir()
    made = environment.make(
        project, needed(project), limits.find(needed(project)), tmp_path / "state", said.append
    )
    assert said == [
        "uv.lock excludes what the stack needs; it gives way here: redis 7.1.0 -> 6.4.0"
    ]
    wanted_lines = (made / "loosened.in").read_text().splitlines()
    assert "emoji==2.14.0" in wanted_lines and "redis==7.1.0" not in wanted_lines
    monkeypatch.setenv("EXCLUDED", "emoji")
    with pytest.raises(WindtunnelError, match=r"correct pyproject\.toml, uv\.lock:\nemoji==2"):
        environment.make(
            project, needed(project), limits.find(needed(project)), tmp_path / "state", said.append
        )


def test_one_that_was_moved_or_has_lost_its_interpreter_is_not_used(
    project: Project, tmp_path: Path
) -> None:
    made = make_it(project, tmp_path / "state")
    shutil.copytree(tmp_path / "state", tmp_path / "copy", symlinks=True)
    assert environment.find(project, needed(project), tmp_path / "copy") is None
    (made / "bin" / "python").unlink()
    (made / "bin" / "python").symlink_to(tmp_path / "gone")
    assert environment.find(project, needed(project), tmp_path / "state") is None


def test_the_environment_in_use_is_kept_also_where_the_state_folder_is_a_symlink(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    made = make_it(project, tmp_path / "state")
    (made.parent / "former").mkdir()
    # The interpreter names its folder without symlinks.
    environment.remove_others(tmp_path / "state", made.resolve())
    assert list((tmp_path / "disk" / "environments").iterdir()) == [made]
    environment.remove_others(tmp_path / "state", None)
    assert list((tmp_path / "disk" / "environments").iterdir()) == []


def test_one_that_was_half_deleted_is_not_used(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_it(project, tmp_path / "state")
    # Killed at the first step, or a folder in it cannot be deleted.
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    environment.remove_others(tmp_path / "state", None)
    assert made.exists()
    assert environment.find(project, needed(project), tmp_path / "state") is None


def test_uv_ends_with_the_command_that_was_killed(
    project: Project, tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "60")
    code = "import sys; from windtunnel.system import uv; uv.run(sys.argv[1:], '/', '', '')"
    command = [sys.executable, "-c", code, os.environ["UV"], "venv", str(tmp_path / "made")]
    process = subprocess.Popen(command)
    end = time.monotonic() + 30
    while not calls.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    (child,) = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while Path(f"/proc/{child}/exe").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}/exe").exists()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_lock_is_exported_without_the_development_group(
    make: Make, calls: Path, tmp_path: Path
) -> None:
    lock = (
        'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "emoji"\nversion = "2.14.0"\n'
    )
    text = '[project]\nname = "x"\nversion = "1"\n'
    root = make({"dags/a.py": DAG, "pyproject.toml": text, "uv.lock": lock})
    made = make_it(survey.survey(root), tmp_path / "state")
    assert "-r locked.txt" in (made / "requirements.txt").read_text()
    (export,) = [line for line in calls.read_text().splitlines() if line.startswith("export")]
    for option in ("--frozen", "--no-dev", "--no-emit-project"):
        assert option in export


def test_packages_that_uv_has_put_elsewhere_are_no_environment(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", "")
    with pytest.raises(WindtunnelError, match=r"take target, prefix and no-deps out of \[tool"):
        make_it(project, tmp_path / "state")
    assert environment.find(project, needed(project), tmp_path / "state") is None
