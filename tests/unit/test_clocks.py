"""docs/reference/clocks.md against the settings in force: neither changes alone, and no time limit is without a row."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "clocks.md"
SOURCE = ROOT / "src" / "windtunnel"
#: Commands of a person and of tests: their waits end with the command.
TOOLS = ("bench", "drill", "stock", "testing")
#: What an option of Airflow is called that sets a time or a number of attempts.
TIMED = re.compile(
    r"timeout|retries|interval|_wait_|expir|_sec$|threshold|throttle|heartbeats$|refresh"
)


@dataclass(frozen=True)
class Row:
    """One limit: `where` names the place of its value, `value` its first number in the unit of that place."""

    limit: str
    value: float
    where: str
    test: str


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 6 or cells[0] in ("limit",) or set(cells[0]) == {"-"}:
            continue
        number = re.match(r"[\d,.]+", cells[2])
        assert number, f"no number in {cells[2]!r} of {cells[0]!r}"
        where = re.fullmatch(r"`(.+)`", cells[3])
        assert where, f"{cells[3]!r} of {cells[0]!r} is no place"
        found.append(
            Row(cells[0], float(number.group().replace(",", "")), where.group(1), cells[5])
        )
    return found


ROWS = rows()


def stack_file() -> dict[str, Any]:
    """process-compose.yaml with the defaults of its variables."""
    text = (ROOT / "process-compose.yaml").read_text()
    text = re.sub(r"\$\{\w+:-((?:[^{}]|\$\{[^}]*\})*)\}", r"\1", text).replace("$$", "$")
    return dict(yaml.safe_load(text)["processes"])


def airflow_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "airflow-home" / "airflow.cfg")
    return parser


def in_force(where: str) -> float:
    """The value at a place, as a number. A place is `FILE-OR-MODULE: NAME`."""
    kind, _, name = where.partition(": ")
    if kind == "airflow.cfg":
        section, option = re.fullmatch(r"\[(\w+)\] (\w+)", name).groups()  # type: ignore[union-attr]
        return float(airflow_cfg()[section][option])
    if kind == "Airflow's default":
        from airflow.configuration import conf

        section, option = re.fullmatch(r"\[(\w+)\] (\w+)", name).groups()  # type: ignore[union-attr]
        return float(conf.get_default_value(section, option))
    if kind == "process-compose.yaml":
        processes, key = name.rsplit(" ", 1)
        numbers = {float(_at(stack_file()[process], key)) for process in processes.split(", ")}
        assert len(numbers) == 1, f"{name}: {numbers}"
        return numbers.pop()
    if kind == "CELERY_CONFIG":
        from windtunnel.runtime.celery_config import CELERY_CONFIG

        return float(CELERY_CONFIG[name])
    value = getattr(importlib.import_module(kind), name)
    return float(max(value) if isinstance(value, tuple) else value)


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data[key]
    return data


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.where)
def test_the_page_names_the_value_in_force(row: Row) -> None:
    assert in_force(row.where) == row.value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.where)
def test_what_crosses_a_limit_exists(row: Row) -> None:
    ids = re.findall(r"`(tests/[\w/.]+::\w+)`", row.test)
    assert ids or row.test.startswith("none:"), f"{row.limit}: name a test, or say `none: REASON`"
    for test in ids:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), test


def constants() -> list[str]:
    """Module constants that name seconds, as `module: NAME`."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        inner = path.relative_to(SOURCE).with_suffix("")
        if str(inner).startswith(TOOLS):
            continue
        for node in ast.parse(path.read_text()).body:
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found += [
                f"windtunnel.{'.'.join(inner.parts)}: {name}"
                for name in names
                if name.endswith("_SECONDS")
            ]
    return found


def test_every_time_limit_of_ours_has_a_row() -> None:
    listed = {row.where for row in ROWS}
    assert [name for name in constants() if name not in listed] == []


def test_every_timed_option_of_airflow_cfg_has_a_row() -> None:
    listed = {row.where for row in ROWS}
    options = [(section, option) for section, values in airflow_cfg().items() for option in values]
    timed = [
        f"airflow.cfg: [{section}] {option}" for section, option in options if TIMED.search(option)
    ]
    numbers = [
        where
        for where in timed
        if re.fullmatch(
            r"[\d.]+", airflow_cfg()[where.split("[")[1].split("]")[0]][where.split("] ")[1]]
        )
    ]
    assert [where for where in numbers if where not in listed] == []


def test_every_process_has_its_shutdown_and_probe_in_the_table() -> None:
    listed = {row.where for row in ROWS if row.where.startswith("process-compose.yaml")}
    for key in ("shutdown.timeout_seconds", "readiness_probe.failure_threshold"):
        named = {
            name
            for where in listed
            if where.endswith(key)
            for name in where.split(": ")[1].rsplit(" ", 1)[0].split(", ")
        }
        outer, inner = key.split(".")
        expected = {
            name for name, process in stack_file().items() if inner in process.get(outer, {})
        }
        assert named == expected, key
