"""The wanted Airflow and Python, and the file that names them."""

from __future__ import annotations

import pytest

from tests.unit.project.conftest import Look, remarks
from windtunnel.project import images


@pytest.mark.parametrize(
    ("reference", "specifier", "python"),
    [
        ("apache/airflow:3.1.8", "==3.1.8", None),
        ("docker.io/apache/airflow:3.1.8-python3.12", "==3.1.8", "3.12"),
        ("apache/airflow:slim-3.1.8-python3.11", "==3.1.8", "3.11"),
        ("apache/airflow:3.1.8@sha256:0123", "==3.1.8", None),
        ("apache/airflow:latest", None, None),
        ("apache/airflow", None, None),
        ("quay.io/astronomer/astro-runtime:12.2.0", "==2.10.*", None),
        ("quay.io/astronomer/astro-runtime:9.1.0-python-3.10-base", "==2.7.*", "3.10"),
        ("quay.io/astronomer/astro-runtime:3.0.4", "==2.1.*", None),
        ("quay.io/astronomer/astro-runtime:99.0.0", None, None),
        ("astrocrpublic.azurecr.io/runtime:3.0-14", "==3.0.*", None),
        ("astrocrpublic.azurecr.io/runtime:3.1-4-python-3.12-base", "==3.1.*", "3.12"),
        ("astrocrpublic.azurecr.io/runtime:latest", None, None),
    ],
)
def test_an_images_tag_names_airflow_and_python(
    reference: str, specifier: str | None, python: str | None
) -> None:
    assert images.judge(reference) == images.Image(True, specifier, python)


@pytest.mark.parametrize("reference", ["python:3.12", "localhost:5000/airflow", "", "my/airflow:1"])
def test_another_image_is_not_airflows(reference: str) -> None:
    assert not images.judge(reference).is_airflow


def test_a_tag_that_cannot_be_mapped_is_said_with_a_step(look: Look) -> None:
    said = remarks(look({"Dockerfile": "FROM quay.io/astronomer/astro-runtime:99.0.0\n"}))
    assert "Dockerfile: the image quay.io/astronomer/astro-runtime:99.0.0 names no known" in said
    assert "pin apache-airflow==VERSION in requirements.txt" in said


@pytest.mark.parametrize(
    ("text", "specifier"),
    [
        ("ARG V=3.1.8\nFROM apache/airflow:${V}-python3.12\n", "==3.1.8"),
        ("FROM apache/airflow:3.1.8 AS base\nRUN x\nFROM base\n", "==3.1.8"),
        ("# FROM x\nFROM --platform=linux/amd64 apache/airflow:3.1.8\n", "==3.1.8"),
        ("from apache/airflow:${V:-3.1.8}\n", "==3.1.8"),
    ],
)
def test_the_base_image_is_found_through_defaults_and_stages(
    look: Look, text: str, specifier: str
) -> None:
    found = look({"Dockerfile": text})
    assert (found.airflow.specifier, found.airflow.source) == (specifier, "Dockerfile")


def test_the_instructions_that_are_not_executed_are_counted_in_one_line(look: Look) -> None:
    text = "FROM apache/airflow:3.1.8\nUSER root\nRUN a \\\n  && b\nRUN c\nCOPY d e\n"
    said = remarks(look({"Dockerfile": text}))
    assert said.count("not executed") == 1 and "(1 COPY, 2 RUN)" in said


@pytest.mark.parametrize(
    ("line", "specifier"),
    [
        ("apache-airflow==3.1.8", "==3.1.8"),
        ("Apache_Airflow[celery,postgres]==3.1.8  # why", "==3.1.8"),
        ("apache-airflow==3.1.8 \\\n    --hash=sha256:0123", "==3.1.8"),
        ("apache-airflow-core==3.1.8; python_version > '3'", "==3.1.8"),
        ("apache-airflow~=3.1.0", "~=3.1.0"),
        (
            "-c https://example.org/airflow/constraints-3.1.8/constraints-3.12.txt",
            "==3.1.8",
        ),
    ],
)
def test_requirements_name_airflow_in_each_of_pips_ways(
    look: Look, line: str, specifier: str
) -> None:
    found = look({"requirements.txt": line + "\n"})
    assert (found.airflow.specifier, found.airflow.source) == (specifier, "requirements.txt")


def test_a_requirement_for_another_python_is_no_claim(look: Look) -> None:
    text = "apache-airflow==2.9.3; python_version < '3.9'\napache-airflow==3.1.8\n"
    found = look({"dags/": "", "requirements.txt": text})
    assert found.airflow.specifier == "==3.1.8" and "2.9.3" not in remarks(found)


def test_files_that_requirements_name_are_followed_within_the_project(look: Look) -> None:
    found = look(
        {
            "requirements.txt": "-r req/base.txt\n-c constraints.txt\n-r ../outside.txt\n-r no.txt",
            "req/base.txt": "-r ../requirements.txt\n-r more.txt\npandas\n",
            "req/more.txt": "lxml\n-r base.txt\n",
            "constraints.txt": "apache-airflow==3.1.8\npandas==2.0\n",
        }
    )
    assert found.packages.files == ["requirements.txt", "req/base.txt", "req/more.txt"]
    assert found.packages.constraints == ["constraints.txt"] and found.packages.count == 2
    assert (found.airflow.specifier, found.airflow.source) == ("==3.1.8", "constraints.txt")
    said = remarks(found)
    assert "names a file outside this folder" in said
    assert "no.txt: is not there, but requirements.txt names it" in said


def test_a_pin_beats_a_range_of_a_stronger_file(look: Look) -> None:
    found = look(
        {"requirements.txt": "apache-airflow>=3\n", "Dockerfile": "FROM apache/airflow:3.1.8\n"}
    )
    assert (found.airflow.specifier, found.airflow.source) == ("==3.1.8", "Dockerfile")


def test_two_files_that_contradict_each_other_are_both_named(look: Look) -> None:
    found = look(
        {
            "requirements.txt": "apache-airflow==3.1.8\n",
            "Dockerfile": "FROM astrocrpublic.azurecr.io/runtime:3.0-14\n",
        }
    )
    assert found.airflow.source == "requirements.txt"
    said = remarks(found)
    assert "Dockerfile: wants Airflow ==3.0.*, but requirements.txt wants ==3.1.8" in said


def test_an_airflow_that_windtunnel_does_not_run_is_said(look: Look) -> None:
    said = remarks(look({"requirements.txt": "apache-airflow==3.0.6\n"}))
    assert "requirements.txt: wants Airflow ==3.0.6; windtunnel runs 3.1, 3.2 and 3.3, so " in said


@pytest.mark.parametrize(
    ("files", "specifier", "source"),
    [
        ({".python-version": "3.12.4\n"}, "==3.12.*", ".python-version"),
        (
            {"Dockerfile": "FROM apache/airflow:3.1.8-python3.12\n"},
            "==3.12.*",
            "Dockerfile",
        ),
        (
            {"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.11"\n'},
            ">=3.11",
            "pyproject.toml",
        ),
        (
            {
                "pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.11"\n',
                "Dockerfile": "FROM apache/airflow:3.1.8-python3.12\n",
            },
            "==3.12.*",
            "Dockerfile",
        ),
        (
            {
                "pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.13"\n',
                "Dockerfile": "FROM apache/airflow:3.1.8-python3.12\n",
            },
            ">=3.13",
            "pyproject.toml",
        ),
    ],
)
def test_the_wanted_python_has_a_source(
    look: Look, files: dict[str, str], specifier: str, source: str
) -> None:
    found = look(files)
    assert (found.python.specifier, found.python.source) == (specifier, source)


def test_a_python_that_windtunnel_does_not_run_with_is_said(look: Look) -> None:
    said = remarks(look({".python-version": "3.9\n"}))
    assert ".python-version: wants Python ==3.9.*, windtunnel runs with 3.11 to" in said


def test_that_the_lock_of_another_airflow_is_of_no_use_is_said(look: Look) -> None:
    said = remarks(look({"uv.lock": '[[package]]\nname = "apache-airflow"\nversion = "3.0.4"\n'}))
    assert "wants Airflow ==3.0.4; windtunnel runs 3.1, 3.2 and 3.3, so " in said
    assert ", and takes no version from the lock: " in said


def test_a_lock_with_two_airflows_is_said_and_not_guessed(look: Look) -> None:
    rows = [f'[[package]]\nname = "apache-airflow"\nversion = "3.{n}.0"\n' for n in (1, 2)]
    found = look({"uv.lock": "".join(rows)})
    assert found.airflow.source == "windtunnel"
    assert "uv.lock: pins apache-airflow more than once (3.1.0, 3.2.0)" in remarks(found)


def test_a_line_that_is_no_requirement_is_named_by_its_number_only(look: Look) -> None:
    found = look({"requirements.txt": "pandas\ngit+https://me:secret@example.org/x\n"})
    said = remarks(found)
    assert "1 lines are no named requirements and were left out: 2" in said
    assert "secret" not in said


def test_options_of_pip_that_are_left_out_are_named(look: Look) -> None:
    found = look(
        {"requirements.txt": "-e .\n--pre\n--hash=sha256:0\nemoji==2.14.0 --hash=sha256:0\n"}
    )
    said = remarks(found)
    assert "-e was left out: nothing may be written into this folder: src/ is on" in said
    assert "options that were left out: --hash, --pre" in said
    assert found.packages.lines == ["emoji==2.14.0"]


def test_what_uv_alone_would_know_is_said(look: Look) -> None:
    text = '[project]\nname = "x"\n[tool.uv.sources]\nours = { path = "../ours" }\n'
    assert "[tool.uv.sources] is not read without uv.lock" in remarks(
        look({"pyproject.toml": text})
    )
    assert "uv.lock: is of no use without pyproject.toml" not in remarks(look({}))
    (look({}).root / "pyproject.toml").unlink()
    assert "uv.lock: is of no use without pyproject.toml" in remarks(
        look({"uv.lock": "version = 1\n"})
    )


def test_groups_that_exclude_each_other_say_nothing_of_the_wanted_airflow(look: Look) -> None:
    """`uv sync --group` chooses one of them, and nobody knows which."""
    conflicts = '[tool.uv]\nconflicts = [[{ group = "a" }, { group = "b" }]]\n'
    groups = 'a = ["apache-airflow==3.1.8"]\nb = ["apache-airflow==3.2.2"]\n'
    project = '[project]\nname = "x"\nversion = "1"\ndependencies = ["apache-airflow>=3.1"]\n'
    text = f"{project}[dependency-groups]\n{groups}"
    rows = [f'[[package]]\nname = "apache-airflow"\nversion = "3.{n}"\n' for n in ("1.8", "2.2")]
    lock = 'conflicts = [[{ package = "x", group = "a" }]]\n' + "".join(rows)
    found = look({"pyproject.toml": text + conflicts, "uv.lock": lock})
    assert (found.airflow.specifier, found.airflow.source) == (">=3.1", "pyproject.toml")
    assert "more than once" not in remarks(found)
    assert look({"pyproject.toml": text}).airflow.specifier == "==3.1.8", "groups as such do"
    for odd in ("1", "[1]", "[[1]]", '[["a"]]', '[{ group = "a" }]', "[[{ group = [] }]]"):
        look({"pyproject.toml": f"{text}[tool.uv]\nconflicts = {odd}\n"})
