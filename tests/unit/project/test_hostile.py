"""Files that a stranger wrote to do harm, or that something damaged: one line each, quickly."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Look, Make, remarks, said_to_an_ordinary_user
from windtunnel.project.folder import LONGEST_FAULT, MOST_ENTRIES
from windtunnel.project.survey import survey

#: Every file that is read.
READ = [
    ".env",
    ".python-version",
    "Dockerfile",
    "airflow_settings.yaml",
    "compose.yaml",
    "config/airflow.cfg",
    "config/connections.json",
    "config/pools.yaml",
    "constraints.txt",
    "packages.txt",
    "pyproject.toml",
    "requirements.txt",
    "uv.lock",
    "variables.env",
]
#: Seconds. All of it takes about one; the machine may be busy.
QUICK = 30.0


@pytest.mark.parametrize("name", READ)
def test_a_binary_file_is_one_line(make: Make, name: str) -> None:
    root = make({"dags/a.py": DAG, name: ""})
    (root / name).write_bytes(bytes(range(256)) * 10)
    assert f"{name}: is not UTF-8 text and was not read" in remarks(survey(root))


@pytest.mark.parametrize("name", READ)
def test_a_huge_file_is_one_line(make: Make, name: str) -> None:
    root = make({"dags/a.py": DAG, name: ""})
    os.truncate(root / name, 10 * 1024**3)
    assert f"{name}: has more than" in remarks(survey(root))


@pytest.mark.parametrize("name", READ)
def test_a_symlink_to_itself_or_to_nothing_is_one_line(make: Make, name: str) -> None:
    root = make({"dags/a.py": DAG, "config/": ""})
    for target in (Path(name).name, "nothing"):
        (root / name).symlink_to(target)
        lines = [line for line in remarks(survey(root)).splitlines() if line.startswith(name)]
        assert len(lines) == 1 and "correct or remove the symlink" in lines[0]
        (root / name).unlink()


@pytest.mark.parametrize("name", READ)
def test_a_folder_or_a_pipe_in_a_files_place_does_not_stop_the_look(make: Make, name: str) -> None:
    root = make({"dags/a.py": DAG, "config/": ""})
    (root / name).mkdir()
    survey(root)
    (root / name).rmdir()
    os.mkfifo(root / name)
    survey(root)


def test_files_that_this_user_may_not_read_are_one_line_each(make: Make) -> None:
    root = make({"dags/a.py": DAG, **dict.fromkeys(READ, "x")})
    for name in READ:
        (root / name).chmod(0)
    said = said_to_an_ordinary_user(root)
    assert sorted(said) == [f"{name}: cannot be read (Permission denied)" for name in READ]


def test_folders_that_this_user_may_not_open_are_one_line_each(make: Make) -> None:
    root = make({"dags/a.py": DAG, "config/airflow.cfg": "", "b/dags/b.py": DAG, "plugins/": ""})
    closed = ["config", "b/dags", "plugins"]
    for name in closed:
        (root / name).chmod(0)
    try:
        said = said_to_an_ordinary_user(root)
        assert sorted(said) == sorted(f"{name}: this folder cannot be read" for name in closed)
    finally:
        for name in closed:
            (root / name).chmod(0o755)


@pytest.mark.parametrize(
    "name", [name for name in READ if name.endswith(("yaml", "toml", "json", "lock", "cfg"))]
)
@pytest.mark.parametrize(
    "text", ["[" * 50_000, "{" * 50_000, "}{", "a: !!python/name:os.system ''"]
)
def test_damaged_or_deeply_nested_text_is_one_line(make: Make, name: str, text: str) -> None:
    lines = remarks(survey(make({"dags/a.py": DAG, name: text}))).splitlines()
    assert len([line for line in lines if line.startswith(f"{name}: ")]) == 1


def test_yaml_that_multiplies_itself_is_refused_quickly(look: Look) -> None:
    lines = ["a0: &a0 {k: v, l: v}"]
    for n in range(1, 30):
        keys = ", ".join(f"x{n}_{m}: 1" for m in range(9))
        lines.append(f"a{n}: &a{n}")
        lines.append(f"  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n  y: {{{keys}}}")
    begin = time.monotonic()
    assert "compose.yaml: is not valid YAML" in remarks(look({"compose.yaml": "\n".join(lines)}))
    assert time.monotonic() - begin < QUICK


def test_lists_that_multiply_are_never_written_out(look: Look) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 50)]
    environment = "services: {airflow: {environment: {A: *a49}, build: {context: *a49}}}"
    settings = "airflow: {connections: [{conn_id: *a49}]}"
    begin = time.monotonic()
    look(
        {
            "compose.yaml": "\n".join([*lines, environment]),
            "airflow_settings.yaml": "\n".join([*lines, settings]),
        }
    )
    assert time.monotonic() - begin < QUICK


def test_a_mapping_that_holds_itself_ends(look: Look) -> None:
    look({"compose.yaml": "services: &s\n  a: *s\n", "airflow_settings.yaml": "airflow: &a [*a]"})


def test_defaults_that_double_each_other_stay_small(look: Look) -> None:
    lines = ["ARG A0=xxxxxxxxxx"] + [f"ARG A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60)]
    begin = time.monotonic()
    look({"Dockerfile": "\n".join([*lines, "FROM apache/airflow:$A59"])})
    assert time.monotonic() - begin < QUICK


@pytest.mark.parametrize(
    "text",
    ["A='\n" * 30_000, "A=\"\\'" * 20_000, "\\\n" * 60_000, "$" * 100_000, "-r x\n" * 20_000],
)
def test_no_text_takes_long(make: Make, text: str) -> None:
    root = make({"dags/a.py": DAG, **dict.fromkeys(READ, text)})
    begin = time.monotonic()
    survey(root)
    assert time.monotonic() - begin < QUICK


@pytest.mark.parametrize("number", ["9" * 1500, "9" * 5000, "1e999999999", "0x" + "f" * 9000])
def test_numbers_without_an_end_do_no_harm(look: Look, number: str) -> None:
    look(
        {
            "requirements.txt": f"apache-airflow=={number}\n",
            "Dockerfile": f"FROM apache/airflow:{number}.1\n",
            "pyproject.toml": f"[project]\nname = 'x'\nrequires-python = '=={number}'\n",
            "uv.lock": f"[[package]]\nname = 'apache-airflow'\nversion = '{number}'\n",
            "compose.yaml": f"services: {{a: {{image: {number}}}, {number}: 1,"
            f" airflow: {{environment: {{A: {number}}}}}}}\n",
            "airflow_settings.yaml": f"airflow: {{pools: [{{pool_name: {number}}}]}}\n",
            ".python-version": number,
        }
    )


def test_values_of_the_wrong_kind_do_no_harm(look: Look) -> None:
    look(
        {
            "pyproject.toml": "project = 1\n[dependency-groups]\na = 1\n",
            "uv.lock": "package = [1, 'a', {}]\nrequires-python = 4\n",
            "compose.yaml": "services: {a: 1, b: {image: [1], environment: 3, volumes: 4},"
            " c: {environment: [1, A, B=C], volumes: [1, {target: 3}, {}]}, 4: {}}\n",
            "airflow_settings.yaml": "airflow: {connections: 1, pools: [1, {}], variables: {a: b}}",
            "connections.json": "[1]",
        }
    )


def test_a_name_with_control_characters_cannot_reach_the_terminal(make: Make) -> None:
    name = "x\x1b[2J\n" + "y" * 150
    root = make(
        {
            f"{name}/dags/a.py": DAG,
            ".env": "A\x1b[31m=1\n",
            "requirements.txt": "-r \x1b\napache-airflow===\x1b[2J\n",
        }
    )
    found = survey(root)
    assert found.layout.dag_folders == [f"{name}/dags"]
    assert all(
        text.isprintable() and len(text) <= LONGEST_FAULT
        for each in found.remarks
        for text in (each.path, each.fault, each.step)
    )


def test_a_folder_with_very_many_entries_is_looked_at_in_part(make: Make) -> None:
    root = make({"dags/a.py": DAG})
    for number in range(MOST_ENTRIES + 10):
        (root / f"f{number}").touch()
    assert f"has more than {MOST_ENTRIES} entries" in remarks(survey(root))


def test_a_dag_folder_that_is_a_symlink_to_itself_is_one_line(make: Make) -> None:
    root = make({})
    (root / "dags").symlink_to("dags")
    assert "dags: cannot be read (Too many levels of symbolic links)" in remarks(survey(root))
