"""action.yml: a GitHub workflow's step. Its structure, and its scripts as GitHub would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from windtunnel.system import cache_folder

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "action.yml").read_text()
ACTION: dict[str, Any] = yaml.safe_load(TEXT)
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = {step["id"]: step for step in STEPS if "run" in step}
#: A uv that notes its own name and its arguments, one a line, and the Python that it was told.
#: The sandbox of Nix has no /usr/bin/env.
UV = (
    f"#!{shutil.which('bash')}\n"
    + """printf '%s\\n' "$(basename "$0")" "$@" >"$NOTED"
printf '%s' "${UV_PYTHON-none}" >"$NOTED.python"
exit "${CODE:-0}"
"""
)
REPORT = "--windtunnel-report-dir=/tmp/the report"


def expressions(text: str) -> Iterator[str]:
    """What stands between `${{` and `}}`."""
    for found in re.findall(r"\$\{\{(.*?)\}\}", text, re.S):
        yield found.strip()


def named_inputs(text: str) -> set[str]:
    return {name for each in expressions(text) for name in re.findall(r"inputs\.([\w-]+)", each)}


def test_it_is_a_composite_action_whose_inputs_are_described_and_used() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert named_inputs(TEXT) == set(ACTION["inputs"])
    for name, given in ACTION["inputs"].items():
        assert set(given) == {"description", "default"}, name
        assert given["description"].endswith("."), name


def test_each_step_runs_bash_or_an_action_of_a_major_version() -> None:
    for step in STEPS:
        if "run" in step:
            # GitHub gives this shell the options -eo pipefail.
            assert step["shell"] == "bash"
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]), step["uses"]


def test_a_step_that_is_named_exists() -> None:
    ids = {step["id"] for step in STEPS if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", TEXT)) == ids


def test_no_input_becomes_the_text_of_a_script() -> None:
    for name, step in SCRIPTS.items():
        assert "${{" not in step["run"], name


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_is_right(name: str) -> None:
    script = SCRIPTS[name]["run"]
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # Each variable is of GitHub, of this step, or has a default.
    used = set(re.findall(r"\$\{?([A-Z_]{2,})\b(?!:-)", script))
    assert used <= {*SCRIPTS[name].get("env", ()), "GITHUB_WORKSPACE", "GITHUB_OUTPUT", "HOME"}
    if shutil.which("shellcheck"):
        command = ["shellcheck", "--shell=bash", "--severity=warning", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def run(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """One script, as GitHub runs it."""
    script = folder / "script.sh"
    script.write_text(SCRIPTS[name]["run"])
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | variables
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


class Project:
    """A workspace with a project in it, and a uv that only notes what it gets."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.folder = workspace, workspace / "my project"
        self.noted = workspace / "noted"
        self.folder.mkdir()
        (workspace / "bin").mkdir()
        for name in ("uv", "uvx"):
            program = workspace / "bin" / name
            program.write_text(UV)
            program.chmod(0o755)

    def test(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the step `test` with inputs, by the names of its variables."""
        given = dict.fromkeys(SCRIPTS["test"]["env"], "") | {"REPORT": "/tmp/the report"}
        given |= {
            "PATH": f"{self.workspace / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_WORKSPACE": str(self.workspace),
            "NOTED": str(self.noted),
        }
        return run("test", self.folder, **given | inputs)

    def called(self, **inputs: str) -> list[str]:
        done = self.test(**inputs)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.noted.read_text().splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_project_that_has_windtunnel_uses_its_own(project: Project) -> None:
    (project.folder / "pyproject.toml").touch()
    assert project.called() == ["uv", "run", "pytest", REPORT]
    assert project.called(ARGUMENTS="tests -n 2")[3:] == [REPORT, "tests", "-n", "2"]
    assert (project.workspace / "noted.python").read_text() == "none"


def test_without_a_pyproject_a_windtunnel_must_be_named(project: Project) -> None:
    done = project.test()
    assert done.returncode == 2
    assert "::error::the project has no pyproject.toml" in done.stdout
    assert not project.noted.exists()


def test_a_version_an_address_and_a_file_are_installed_beside_pytest(project: Project) -> None:
    wheel = "dist of ours/windtunnel-0.1.0-py3-none-any.whl"
    (project.workspace / wheel).parent.mkdir()
    (project.workspace / wheel).touch()
    address = "https://example.org/windtunnel-0.1.0-py3-none-any.whl"
    for given, wanted in (
        ("0.1.0", "windtunnel==0.1.0"),
        (address, address),
        (wheel, str(project.workspace / wheel)),
    ):
        assert project.called(WANTED=given) == ["uvx", "--with", wanted, "pytest", REPORT]
    more = project.called(
        WANTED="0.1.0", PACKAGES="pytest-xdist\npytest-timeout>=2 ", PYTHON="3.12"
    )
    packages = ["--with", "pytest-xdist", "--with", "pytest-timeout>=2"]
    assert more == ["uvx", "--with", "windtunnel==0.1.0", *packages, "pytest", REPORT]
    assert (project.workspace / "noted.python").read_text() == "3.12"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", []),
        ("  ", []),
        ("tests -k 'one or two' --tb=short", ["tests", "-k", "one or two", "--tb=short"]),
        ('-m "not long"\ntests/a.py', ["-m", "not long", "tests/a.py"]),
        ("-k ''", ["-k", ""]),
        ("$(touch hit) `touch hit`", ["$(touch", "hit)", "`touch", "hit`"]),
        ("; touch hit && false", [";", "touch", "hit", "&&", "false"]),
        ("* $HOME ${{ x }}", ["*", "$HOME", "${{", "x", "}}"]),
    ],
)
def test_arguments_are_words_and_nothing_in_them_is_run(
    project: Project, given: str, words: list[str]
) -> None:
    assert project.called(WANTED="0.1.0", ARGUMENTS=given)[5:] == words
    assert not (project.folder / "hit").exists()


def test_a_quote_without_its_partner_is_named(project: Project) -> None:
    done = project.test(WANTED="0.1.0", ARGUMENTS="-k 'one")
    assert done.returncode == 2
    assert "::error::pytest-arguments has a quote without its partner" in done.stdout
    assert not project.noted.exists()


@pytest.mark.parametrize("given", ["$(touch hit)", "; touch hit", "-h", "0.1.0; touch hit"])
def test_a_windtunnel_that_is_none_is_one_word_for_uv(project: Project, given: str) -> None:
    called = project.called(WANTED=given, PACKAGES="* $(touch hit)")
    words = [given, "*", "$(touch", "hit)"]
    assert called == [
        "uvx",
        *(part for word in words for part in ("--with", word)),
        "pytest",
        REPORT,
    ]
    assert not (project.folder / "hit").exists()


def test_the_step_fails_as_pytest_does(project: Project) -> None:
    assert project.test(WANTED="0.1.0", CODE="1").returncode == 1
    (project.folder / "pyproject.toml").touch()
    assert project.test(CODE="5").returncode == 5


@pytest.mark.parametrize("named", [{}, {"XDG_CACHE_HOME": "/xdg"}, {"WINDTUNNEL_CACHE": "/own"}])
def test_the_cached_folder_is_the_one_that_windtunnel_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str]
) -> None:
    output = tmp_path / "output"
    for name in ("XDG_CACHE_HOME", "WINDTUNNEL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert run("place", tmp_path, GITHUB_OUTPUT=str(output), **named).returncode == 0
    assert output.read_text() == f"cache={cache_folder.cache()}\n"


def test_pages_that_show_the_action_give_it_inputs_that_it_has() -> None:
    shown = 0
    for page in (ROOT / "README.md", ROOT / "docs" / "guides" / "ci.md"):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S):
            for step in steps_of(yaml.safe_load(block)):
                if re.fullmatch(r"OWNER/windtunnel@v[\d.]+", step.get("uses", "")):
                    shown += 1
                    assert set(step.get("with", {})) <= set(ACTION["inputs"]), page
    assert shown >= 2


def steps_of(data: Any) -> list[dict[str, Any]]:
    """The steps of a workflow, or of a part of it."""
    if isinstance(data, list):
        return [each for each in data if isinstance(each, dict)]
    jobs = data.get("jobs", {}) if isinstance(data, dict) else {}
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_job_for_gitlab_keeps_caches_and_the_report_in_the_projects_folder() -> None:
    page = (ROOT / "docs" / "guides" / "ci.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    (job,) = [yaml.safe_load(block)["dags"] for block in blocks if "script:" in block]
    kept = {f"$CI_PROJECT_DIR/{path}" for path in job["cache"]["paths"]}
    assert set(job["variables"].values()) == kept
    (report,) = job["artifacts"]["paths"]
    assert f"--windtunnel-report-dir={report}" in job["script"][0]
    assert job["artifacts"]["when"] == "on_failure"
