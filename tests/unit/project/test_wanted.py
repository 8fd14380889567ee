"""The packages of a project's environment, and when none is needed."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Make
from windtunnel.errors import WindtunnelError
from windtunnel.project import limits, published, survey, wanted
from windtunnel.project.wanted import Wanted

HERE = ".".join(platform.python_version_tuple()[:2])
#: Another one that windtunnel runs with.
OTHER = "3.12" if HERE != "3.12" else "3.13"
LOCK = 'version = 1\n[[package]]\nname = "emoji"\nversion = "2.14.0"\n'
PYPROJECT = '[project]\nname = "x"\nversion = "1"\n'


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "_fetch", lambda *_: "pandas==2.3.3\nemoji==2.0.0\n")


def find(make: Make, **files: str) -> Wanted | None:
    names = {"requirements": "requirements.txt", "constraints": "constraints.txt"}
    texts = {names.get(name, name): text for name, text in files.items()}
    return wanted.find(survey.survey(make({"dags/a.py": DAG} | texts)))


def found(make: Make, **files: str) -> Wanted:
    result = find(make, **files)
    assert result is not None
    return result


@pytest.mark.parametrize(
    "text", ["", "apache-airflow\n", "apache-airflow[celery]>=3.3\n", "windtunnel\n"]
)
def test_a_project_that_wants_nothing_but_airflow_needs_no_environment(
    make: Make, text: str
) -> None:
    assert find(make, requirements=text) is None


def test_requirements_come_with_airflow_and_with_what_windtunnel_needs(make: Make) -> None:
    result = found(make, requirements="emoji==2.14.0\n--extra-index-url https://example.org\n")
    assert result.requirements[0] == "emoji==2.14.0"
    assert any(line.startswith("apache-airflow[celery]==3.") for line in result.requirements)
    assert any(line.startswith("celery") for line in result.requirements)
    assert result.indexes == ["--extra-index-url https://example.org"]
    assert limits.find(result).origin == "Airflow's published constraints"
    # What the project names itself counts.
    assert (
        "pandas==2.3.3" in limits.find(result).constraints
        and "emoji==2.0.0" not in limits.find(result).constraints
    )


def test_the_extras_of_airflow_are_kept_and_its_pin_is_replaced(make: Make) -> None:
    text = "apache-airflow[amazon,postgres]~=3.3.0\napache-airflow[ftp]; python_version < '3'\n"
    (airflow,) = [line for line in found(make, requirements=text).requirements if "[" in line]
    assert airflow.partition("==")[0] == "apache-airflow[amazon,celery,postgres]"


def test_a_pre_release_is_named_for_each_package_that_uv_would_refuse_it_of(make: Make) -> None:
    requirements = found(make, requirements="apache-airflow==3.4.0b2\n").requirements
    assert "apache-airflow[celery]==3.4.0b2" in requirements
    assert "apache-airflow-core==3.4.0b2" in requirements
    assert "apache-airflow-task-sdk>=1.0.0a0" in requirements
    released = found(make, requirements="apache-airflow==3.2.2\n").requirements
    assert not any(line.startswith("apache-airflow-") for line in released)


def test_windtunnel_itself_is_never_asked_of_an_index(make: Make) -> None:
    text = PYPROJECT + 'dependencies = ["windtunnel", "emoji"]\n'
    result = found(make, **{"pyproject.toml": text})
    assert not any(line.startswith("windtunnel") for line in result.requirements)


def test_constraints_of_the_project_beat_the_published_ones_and_pin_no_airflow(make: Make) -> None:
    text = "pandas==2.2.0\napache-airflow==3.1.8\n"
    result = found(make, requirements="emoji\n", constraints=text)
    assert "pandas==2.2.0" in limits.find(result).constraints
    assert not [
        line
        for line in limits.find(result).constraints
        if line.startswith(("pandas==2.3", "apache-airflow=="))
    ]


def test_where_nothing_is_published_windtunnels_own_lock_limits(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "_fetch", lambda *_: "")
    result = found(make, requirements="emoji\n")
    assert limits.find(result).origin == "windtunnel's own lock"
    assert any(line.startswith("sqlalchemy==") for line in limits.find(result).constraints)


def test_a_lock_limits_alone_and_needs_its_pyproject(make: Make) -> None:
    assert find(make, **{"uv.lock": LOCK}) is None
    result = found(make, **{"uv.lock": LOCK, "pyproject.toml": PYPROJECT})
    assert (result.locked, limits.find(result).origin, limits.find(result).constraints) == (
        True,
        "uv.lock",
        [],
    )


def test_the_lock_of_an_airflow_that_does_not_run_pins_nothing(make: Make) -> None:
    lock = f'{LOCK}[[package]]\nname = "apache-airflow"\nversion = "3.0.4"\n'
    pyproject = f'{PYPROJECT}dependencies = ["apache-airflow~=3.0.0", "emoji>=2"]\n'
    result = found(make, **{"uv.lock": lock, "pyproject.toml": pyproject})
    assert not result.locked
    assert limits.find(result).origin == "Airflow's published constraints"
    assert result.requirements[0] == "emoji>=2"


def test_a_pin_that_excludes_ours_is_one_line_with_both_sides(make: Make) -> None:
    with pytest.raises(
        WindtunnelError, match=r"wants celery==5\.4\.0, windtunnel needs celery[<>]"
    ):
        find(make, requirements="celery==5.4.0\n")
    assert found(make, requirements="celery==5.4.0; python_version < '3'\nemoji\n")


@pytest.mark.parametrize(
    ("text", "python"),
    [
        (">=3.10", HERE),
        (">=3.12,<3.13", "3.12"),
        (">=3.12.4,<3.13", "3.12"),
        ("==3.13.*", "3.13"),
        ("==3.8.*", HERE),
    ],
)
def test_the_python_is_one_that_the_project_allows_and_windtunnel_runs_with(
    make: Make, text: str, python: str
) -> None:
    pyproject = f'{PYPROJECT}requires-python = "{text}"\ndependencies = ["emoji"]\n'
    assert found(make, **{"pyproject.toml": pyproject}).python == python


def test_the_digest_changes_with_all_that_the_environment_is_made_from(make: Make) -> None:
    lock = {"uv.lock": LOCK, "pyproject.toml": PYPROJECT}
    texts: list[dict[str, str]] = [
        {"requirements": "emoji\n"},
        {"requirements": "emoji==2.14.0\n"},
        {"requirements": "emoji==2.14.0\n", "constraints": "pandas==2.2.0\n"},
        {"requirements": "emoji==2.14.0\n", ".python-version": f"{OTHER}\n"},
        {"requirements": "", "constraints": "", ".python-version": "", **lock},
        {**lock, "uv.lock": LOCK.replace("2.14.0", "2.14.1")},
    ]
    root = make({})
    digests = [found(make, **text).digest(root) for text in texts]
    assert len(set(digests)) == len(texts)
    assert found(make, **texts[-1]).digest(root) == digests[-1]


def test_an_environment_made_without_a_network_stays_the_same_with_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(published, "_fetch", lambda *_: "")
    without = found(make, requirements="emoji\n")
    assert limits.find(without).origin == "windtunnel's own lock"
    monkeypatch.setattr(published, "_fetch", lambda *_: "pandas==2.3.3\n")
    online = found(make, requirements="emoji\n")
    assert limits.find(online).origin == "Airflow's published constraints"
    assert without.digest(tmp_path) == online.digest(tmp_path)
